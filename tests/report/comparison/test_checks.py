"""The parts of the page about the checks of Japanese and the challenge set, from the commands' own files."""

import pytest

from in2x.artifacts import In2xError, write_json
from in2x.evaluation.challenge.command import challenge_command
from in2x.evaluation.challenge.items import items
from in2x.evaluation.japanese.command import japanese_command
from in2x.evaluation.store import from_rows, write_store
from in2x.report.comparison.checks import check_parts


def make_store(path, texts):
    rows = [
        {"pair": "en-ja", "domain": "news", "document": f"d{n}", "segment": f"s{n}", "system": system,
         "source": "Rain.", "hypothesis": text, "references": ["雨だ。"]}
        for system, some in texts.items() for n, text in enumerate(some)
    ]  # fmt: skip
    frame = from_rows(list(enumerate(rows, 1)), "test")
    write_store(frame, path)
    return frame


def test_rates_intervals_and_examples_of_the_japanese_checks(tmp_path):
    frame = make_store(tmp_path / "s.jsonl", {"a": ["사람だ。", "雨だ。"], "<b>": ["雨だ。", "雨だ。"]})
    japanese_command(tmp_path / "s.jsonl", tmp_path / "japanese.json", num_resamples=50)
    part = check_parts(frame, tmp_path / "japanese.json", {})["Japanese"]
    assert "Hangul" in part and "50.00" in part and "0.00–100.00" in part
    assert "【사람】だ。" in part and "&lt;b&gt;" in part and "<b>" not in part
    assert "Nothing found: " in part and "text in a wrong encoding" in part


def test_findings_on_other_texts_are_refused(tmp_path):
    make_store(tmp_path / "s.jsonl", {"a": ["雨だ。"], "b": ["雨です。"]})
    japanese_command(tmp_path / "s.jsonl", tmp_path / "japanese.json", num_resamples=0)
    other = make_store(tmp_path / "t.jsonl", {"a": ["雨だ。"], "b": ["雨でした。"]})
    with pytest.raises(In2xError, match="made on other translations than the store's"):
        check_parts(other, tmp_path / "japanese.json", {})
    write_json(tmp_path / "wrong.json", {"pairs": {}})
    with pytest.raises(In2xError, match="not what `in2x japanese"):
        check_parts(other, tmp_path / "wrong.json", {})


def test_challenge_results_stand_side_by_side(tmp_path):
    idioms = [item for _, item in items(["idioms"])]
    for name, texts in (("good", [item.example for item in idioms]), ("bad", [item.trap_example for item in idioms])):
        path, ids = tmp_path / f"{name}.tsv", [item.id for item in idioms]
        path.write_text("".join(f"{id_}\t{text}\n" for id_, text in zip(ids, texts, strict=True)), encoding="utf-8")
        challenge_command(path, tmp_path / f"{name}.json", ["idioms"])
    paths = {name: tmp_path / f"{name}.json" for name in ("good", "bad")}
    part = check_parts(make_store(tmp_path / "s.jsonl", {"a": ["雨だ。"]}), None, paths)["Challenge set"]
    assert "<h3>Idioms</h3>" in part and part.index("<strong>good") < part.index("<strong>bad")
    assert "100.0" in part and "idiom" in part[part.index("Traps, the first") :]
    write_json(tmp_path / "good.json", {"data": "other", "categories": {}, "verdicts": []})
    with pytest.raises(In2xError, match="on different items"):
        check_parts(None, None, paths)
