"""The page, the JSON and the LaTeX of a store made by hand."""

import json
import re

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.comparison import Settings
from in2x.evaluation.store import write_store
from in2x.report.comparison.build import report_command, segment_scores
from in2x.report.comparison.latex import escape
from in2x.report.comparison.segments import marked

SENTENCES = 6 * ["私は毎日学校へ行きます。", "神戸に住んでいます。", "何をしているのですか。", "ありがとう。"]
QUICK = Settings(num_resamples=100, num_permutations=200)


@pytest.fixture
def store(tmp_path):
    """Three systems of 24 segments; the one called <b>bad</b> & co writes markup."""
    rows = [
        {"pair": "en-ja", "domain": "news" if n % 2 else "novel", "document": f"d{n // 4}", "segment": f"s{n}",
         "system": system, "source": f"source {n}", "hypothesis": ending(text[: len(text) - cut]),
         "references": [text], "score.human": 90.0 - cut}
        for system, cut, ending in (
            ("fair_one", 4, lambda text: text), ("good", 2, lambda text: text),
            ("<b>bad</b> & co", 7, lambda text: text + "<script>alert(1)</script>"))
        for n, text in enumerate(SENTENCES)
    ]  # fmt: skip
    path = tmp_path / "store.jsonl"
    write_store(pl.DataFrame(rows), path)
    return path


def test_the_page_tells_the_ranking_and_the_lead(store, tmp_path):
    page = report_command(store, tmp_path / "out", settings=QUICK, metrics=["chrF2", "human"]).read_text("utf-8")
    assert "en-ja: good" in page and "ahead of all that it was tested against" in page
    order = [page.index(f"<strong>{name}</strong>") for name in ("good", "fair_one", "&lt;b&gt;bad&lt;/b&gt; &amp; co")]
    assert order == sorted(order)
    for part in ("Ranking", "Domains", "Significance", "good against fair_one", "Worst and best of good", "Provenance"):
        assert f">{part}</h2>" in page
    assert "novel" in page and "12 segments" in page


def test_nothing_of_the_data_becomes_markup_and_nothing_is_loaded(store, tmp_path):
    page = report_command(store, tmp_path / "out", settings=QUICK, metrics=["chrF2"]).read_text("utf-8")
    assert "<script" not in page and "<b>bad" not in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)


def test_json_and_latex_have_the_pages_numbers(store, tmp_path):
    report_command(store, tmp_path / "out", settings=QUICK, metrics=["chrF2", "human"])
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    rows = found["pairs"]["en-ja"]["scores"]
    best = next(row for row in rows if (row["system"], row["metric"]) == ("good", "chrF2"))
    latex = (tmp_path / "out" / "tables.tex").read_text()
    assert f"good & {best['value']:.1f}$^{{1}}$" in latex
    assert r"fair\_one" in latex and latex.count(r"\begin{tabular}{lrr}") == 1
    assert "SHA-256 (first 16 digits)" in found["provenance"]


def test_a_tie_is_told_as_one(store, tmp_path):
    frame = pl.read_ndjson(store)
    alike = pl.concat([frame.filter(system="good"), frame.filter(system="good").with_columns(system=pl.lit("twin"))])
    path = tmp_path / "alike.parquet"
    write_store(alike.unnest("scores").rename({"human": "score.human"}), path)
    page = report_command(path, tmp_path / "out", settings=QUICK, metrics=["chrF2"]).read_text("utf-8")
    assert "not told apart from twin" in page and "translate every segment alike" in page


def test_a_selector_is_marked_and_no_headline(store, tmp_path):
    page = report_command(store, tmp_path / "out", settings=QUICK, metrics=["chrF2", "human"],
                          roles={"chrF2": {"good": "selector"}}).read_text("utf-8")  # fmt: skip
    assert "chrF2 is no headline: selector of good." in page
    assert re.search(r'class="unit">human \(', page)


def test_the_two_systems_shown_can_be_chosen(store, tmp_path):
    page = report_command(store, tmp_path / "out", settings=QUICK, metrics=["chrF2"],
                          sides=("fair_one", "<b>bad</b> & co")).read_text("utf-8")  # fmt: skip
    assert "fair_one against &lt;b&gt;bad&lt;/b&gt; &amp; co" in page
    with pytest.raises(In2xError, match="no system 'best' to show; there are fair_one, good"):
        report_command(store, tmp_path / "out", settings=QUICK, sides=("best", "good"))


def test_what_only_one_text_has_is_marked():
    assert marked("神戸に住む", "東京に住む") == '<div lang="ja" class="prose"><mark>神戸</mark>に住む</div>'
    assert "<mark>" not in marked("同じ", "同じ")
    assert marked("a<b", "a") == '<div lang="en" class="prose">a<mark>&lt;b</mark></div>'


def test_segment_scores_are_sentence_chrf(store):
    import sacrebleu

    from in2x.evaluation.store import read_store

    frame = read_store(store)
    scores = segment_scores(frame, "chrF2")
    row = frame.row(5, named=True)
    expected = sacrebleu.sentence_chrf(row["hypothesis"], row["references"]).score
    assert scores[row["system"], row["segment"]] == pytest.approx(expected)
    assert segment_scores(frame, "human")["good", "s0"] == 88


def test_latex_escapes():
    assert escape(r"a_b & 100% {x} \y ~ ^") == (
        r"a\_b \& 100\% \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{}"
    )
