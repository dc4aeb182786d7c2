import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.japanese.checks import CHECKS, UNITS
from in2x.evaluation.japanese.command import finding_rows, japanese_command
from in2x.evaluation.japanese.suite import (
    Document,
    check_document,
    documents_of,
    run_suite,
)

FEW = {name: CHECKS[name] for name in ("pronouns", "hangul", "register_switch", "foreign_kanji", "pronoun_overuse")}
WITH_HANGUL = ("雨だ。사람が来た。", "風だ。雪だ。")  # 1 finding, 4 sentences, 15 characters
WITHOUT = ("雨だ。", "彼は来た。")  # 2 sentences, 1 pronoun


def row(**changes):
    return {
        "pair": "en-ja", "domain": None, "document": "d", "segment": "1", "system": "a", "source": "Rain.",
        "hypothesis": "雨だ。", "references": [],
    } | changes  # fmt: skip


def write_store(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rates_are_summed_over_documents_before_they_are_divided():
    documents = [Document("a", "1", WITH_HANGUL), Document("a", "2", WITHOUT)]
    rates = run_suite(documents, checks=FEW)["a"].rates
    assert rates["hangul"].value == pytest.approx(100 / 6) and rates["hangul"].num_findings == 1
    assert rates["pronouns"].value == pytest.approx(100 / 6) and rates["pronouns"].size == 6
    assert rates["foreign_kanji"].size == sum(map(len, WITH_HANGUL + WITHOUT)) == 23
    assert rates["pronoun_overuse"].size == 2
    assert rates["register_switch"].value == 0.0
    assert rates["hangul"].low is None


def test_weights_enter_the_rate():
    text = "すべての犬が走る。"  # one marker of weight 1.8 in 9 characters
    rate = run_suite([Document("a", "1", (text,))])["a"].rates["translationese"]
    assert rate.value == pytest.approx(1000 * 1.8 / 9) and rate.num_findings == 1


def test_intervals_resample_documents():
    documents = [Document("a", "1", WITH_HANGUL), Document("a", "2", WITHOUT)]
    rate = run_suite(documents, num_resamples=400, checks=FEW)["a"].rates["hangul"]
    assert (rate.low, rate.high) == (pytest.approx(0.0), pytest.approx(25.0))  # one document drawn twice
    again = run_suite(documents, num_resamples=400, checks=FEW)["a"].rates["hangul"]
    assert again == rate
    assert run_suite(documents[:1], num_resamples=400, checks=FEW)["a"].rates["hangul"].low is None


def test_intervals_hold_the_same_factor_as_the_rate():
    documents = [Document("a", str(n), WITH_HANGUL) for n in range(5)]
    rate = run_suite(documents, num_resamples=50, checks=FEW)["a"].rates["hangul"]
    assert rate.low == rate.high == pytest.approx(rate.value) == pytest.approx(25.0)


def test_systems_are_summarised_apart():
    summaries = run_suite([Document("a", "1", WITH_HANGUL), Document("b", "1", WITHOUT)], checks=FEW)
    assert list(summaries) == ["a", "b"]
    assert (summaries["a"].rates["hangul"].num_findings, summaries["b"].rates["hangul"].num_findings) == (1, 0)


def test_registers_and_empty_segments_are_counted():
    document = Document("a", "1", ("雨です。", " ", "風です。", "雪だ。", ""))
    summary = run_suite([document], checks=FEW)["a"]
    assert (summary.num_documents, summary.num_segments, summary.num_empty) == (1, 5, 2)
    assert summary.registers == {"polite": 2, "plain": 1}
    assert summary.register_consistency == pytest.approx(2 / 3)


def test_nothing_to_count_in_gives_no_rate():
    summary = run_suite([Document("a", "1", ("見出し",))], checks=FEW, num_resamples=10)["a"]
    assert summary.rates["register_switch"].value is None and summary.register_consistency is None


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no documents"),
        ([Document("a", "1", ("雨だ。",))] * 2, "system 'a' has two documents '1'"),
        ([Document("a", "1", ("雨だ。",), ("Rain.", "Wind."))], "1 segments but 2 sources"),
        ([Document("a", "1", "雨だ。")], "got one string"),
    ],
)
def test_bad_documents_are_refused(documents, message):
    with pytest.raises(ValueError, match=message):
        run_suite(documents)


def test_every_check_runs_on_anything():
    document = Document("a", "1", ("", "\n", "「", "a", "\ud800", "。", "（" * 50), ("",) * 7)
    found = check_document(document).findings
    assert set(found) == set(CHECKS)
    for findings in found.values():
        for finding in findings:
            text = document.segments[finding.segment]
            assert 0 <= finding.start <= finding.end <= len(text)


def test_checks_name_their_findings_and_units():
    text = ("彼は来た。彼は見た。あなたの犬。すべての人のために泳ぐことができる。",)
    for name, findings in check_document(Document("a", "1", text)).findings.items():
        assert {finding.check for finding in findings} <= {name}
        assert CHECKS[name].unit in UNITS


def test_findings_come_with_their_text_and_without_notes():
    rows = finding_rows(check_document(Document("a", "7", ("彼は사람だ。",))))
    assert [(row["check"], row["text"], row["document"]) for row in rows] == [("hangul", "사람", "7")]


def test_a_store_is_grouped_into_documents_in_order():
    rows = [
        row(), row(segment="2", hypothesis="風だ。", source="Wind."), row(segment="3", document=None),
        row(segment="1", system="b"), row(pair="ja-en", hypothesis="Rain."), row(pair="en-ja_JP"),
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema_overrides={"references": pl.List(pl.String)})
    pairs = documents_of(frame)
    assert list(pairs) == ["en-ja", "en-ja_JP"]
    assert pairs["en-ja"] == [
        Document("a", "d", ("雨だ。", "風だ。"), ("Rain.", "Wind.")),
        Document("a", "3", ("雨だ。",), ("Rain.",)),
        Document("b", "d", ("雨だ。",), ("Rain.",)),
    ]


def test_the_command_prints_a_table_and_writes_rates_and_findings(tmp_path, capsys):
    rows = [
        row(system=system, segment=f"{document}{number}", document=document, hypothesis=text)
        for system, text in (("clean", "雨だ。"), ("dirty", "사람だ。"))
        for document in "xy"
        for number in range(2)
    ]
    out = tmp_path / "japanese.json"
    japanese_command(write_store(tmp_path / "store.jsonl", rows), out, num_resamples=20)
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("hangul"))
    assert "0.00 [0.00, 0.00]" in line and "100.00 [100.00, 100.00]" in line
    written = json.loads(out.read_text(encoding="utf-8"))
    systems = written["pairs"]["en-ja"]["systems"]
    assert systems["dirty"]["rates"]["hangul"]["value"] == 100 and systems["clean"]["num_segments"] == 4
    findings = written["pairs"]["en-ja"]["findings"]
    assert len(findings) == 4 and findings[0]["text"] == "사람" and findings[0]["system"] == "dirty"
    assert written["checks"]["hangul"]["unit"] == "100 sentences"


def test_the_command_shows_places_and_what_is_quiet(tmp_path, capsys):
    rows = [row(system=system, hypothesis=text) for system, text in (("a", "사람だ。"), ("b", "雨だ。사람だ。"))]
    japanese_command(write_store(tmp_path / "store.jsonl", rows), num_resamples=0, num_examples=2)
    printed = capsys.readouterr().out
    assert "a, d: 【사람】だ。" in printed and "b, d: 雨だ。【사람】だ。" in printed
    quiet = next(line for line in printed.splitlines() if line.startswith("nothing found: "))
    assert "mojibake" in quiet and "hangul" not in quiet
    japanese_command(tmp_path / "store.jsonl", systems=["b"], num_resamples=0, num_examples=0)
    assert "【" not in capsys.readouterr().out
    with pytest.raises(In2xError, match="no system 'c'; there are a, b"):
        japanese_command(tmp_path / "store.jsonl", systems=["c"])


def test_the_command_without_japanese_says_what_it_found(tmp_path):
    store = write_store(tmp_path / "store.jsonl", [row(pair="en-de", hypothesis="Regen.")])
    with pytest.raises(In2xError, match=r"store\.jsonl: no pair into Japanese, only en-de"):
        japanese_command(store)
