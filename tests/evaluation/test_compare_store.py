"""The comparison of a store's systems, on a store made by hand."""

import json

import numpy as np
import polars as pl
import pytest
import sacrebleu

from in2x.artifacts import In2xError
from in2x.evaluation.compare_store import compare_command, compare_store
from in2x.evaluation.comparison import Settings
from in2x.evaluation.store import mark_roles, read_store, stored_roles, write_store

SENTENCES = [
    "私は毎日学校へ行きます。", "神戸に住んでいます。", "何をしているのですか。", "ありがとうございました。",
    "明日は雨が降るでしょう。", "この本はとても面白い。", "駅まで歩いて十分かかる。", "彼女は歌が上手だ。",
]  # fmt: skip
QUICK = Settings(num_resamples=200, num_permutations=500)


def worse(text, amount):
    return text[: len(text) - amount] + "。"


@pytest.fixture
def frame():
    """good, fair and bad translations of 8 segments in 4 documents and 2 domains; human scores for the first 6."""
    rows = [
        {"pair": "en-ja", "domain": "news" if n < 4 else "novel", "document": f"d{n // 2}", "segment": f"s{n}",
         "system": system, "source": f"source {n}", "hypothesis": worse(text, amount), "references": [text],
         "score.human": 90.0 - 10 * amount + n if n < 6 else None, "score.empty": None}
        for system, amount in (("fair", 4), ("good", 2), ("bad", 7)) for n, text in enumerate(SENTENCES)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"score.human": pl.Float64, "score.empty": pl.Float64})


def values(result, metric):
    return {row["system"]: row["value"] for row in result["scores"] if row["metric"] == metric}


def test_scores_are_sacrebleus_and_means_of_the_store(frame):
    result = compare_store(frame, QUICK)["en-ja"]
    for system in ("fair", "good", "bad"):
        texts = frame.filter(system=system)["hypothesis"].to_list()
        assert values(result, "chrF2")[system] == pytest.approx(sacrebleu.corpus_chrf(texts, [SENTENCES]).score)
        bleu = sacrebleu.corpus_bleu(texts, [SENTENCES], tokenize="ja-mecab").score
        assert values(result, "BLEU")[system] == pytest.approx(bleu)
    assert values(result, "human") == pytest.approx({"fair": 52.5, "good": 72.5, "bad": 22.5})
    assert list(result["signatures"]) == ["BLEU", "chrF2", "human"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in result["scores"])


def test_systems_are_ranked_and_every_pair_is_tested(frame):
    result = compare_store(frame, QUICK, metrics=["BLEU", "chrF2", "TER", "human"])["en-ja"]
    for metric in ("chrF2", "TER", "human"):
        assert [row["system"] for row in result["clusters"][metric]] == ["good", "fair", "bad"]
    pairs = {(row["metric"], row["system_a"], row["system_b"]) for row in result["pairs"]}
    assert len(pairs) == 4 * 3
    row = next(
        row
        for row in result["pairs"]
        if row["metric"] == "TER" and {row["system_a"], row["system_b"]} == {"good", "bad"}
    )
    assert row["better"] == "good"


def test_a_metric_is_compared_on_the_segments_that_all_systems_have(frame):
    without = frame.with_columns(
        pl.when((pl.col("system") == "bad") & (pl.col("segment") == "s0")).then(None)
        .otherwise("score.human").name.keep()
    )  # fmt: skip
    result = compare_store(without, QUICK)["en-ja"]
    assert result["num_units"]["human"] == 5 and result["num_units"]["chrF2"] == 8
    assert values(result, "human") == pytest.approx({"fair": 53, "good": 73, "bad": 23})
    assert result["left_out"] == {"empty": "fewer than two segments that all systems have a score of"}


def test_domains_have_their_own_scores(frame):
    result = compare_store(frame, QUICK, metrics=["chrF2"])["en-ja"]
    found = {(row["domain"], row["system"]): row["value"] for row in result["domains"]}
    texts = frame.filter(system="bad", domain="novel")["hypothesis"].to_list()
    assert found["novel", "bad"] == pytest.approx(sacrebleu.corpus_chrf(texts, [SENTENCES[4:]]).score)
    assert len(found) == 6 and all(row["num_segments"] == 4 for row in result["domains"])


def test_at_document_level_documents_are_the_units(frame):
    by_segment, by_document = (
        compare_store(frame, Settings(level=level, num_resamples=200, num_permutations=500), metrics=["chrF2"])["en-ja"]
        for level in ("segment", "document")
    )
    assert (by_segment["num_units"]["chrF2"], by_document["num_units"]["chrF2"]) == (8, 4)
    assert values(by_segment, "chrF2") == values(by_document, "chrF2")
    intervals = [[(row["low"], row["high"]) for row in result["scores"]] for result in (by_segment, by_document)]
    assert intervals[0] != intervals[1]


def test_a_reward_is_no_headline(frame):
    result = compare_store(frame, QUICK, roles={"chrF2": {"good": "reward"}})["en-ja"]
    assert "chrF2" not in result["headline_metrics"] and "BLEU" in result["headline_metrics"]
    assert result["excluded"] == {"chrF2": "reward of good"}


def test_roles_are_kept_in_the_store_and_read_from_it(frame, tmp_path):
    path = tmp_path / "store.jsonl"
    write_store(mark_roles(frame, {"chrF2": {"good": "selector"}, "other": {"bad": "reward"}}), path)
    stored = read_store(path)
    assert stored_roles(stored) == {"chrF2": {"good": "selector"}, "other": {"bad": "reward"}}
    result = compare_store(stored, QUICK, roles={"human": {"fair": "reward"}})["en-ja"]
    assert result["excluded"] == {"chrF2": "selector of good", "human": "reward of fair"}
    assert result["headline_metrics"] == ["BLEU"]


def test_a_role_for_what_is_not_there_is_refused(frame):
    with pytest.raises(In2xError, match="a role for the metric 'chrf', which is not measured"):
        compare_store(frame, QUICK, roles={"chrf": {"good": "reward"}})
    with pytest.raises(In2xError, match="chrF2 as reward of 'best': no such system"):
        compare_store(frame, QUICK, roles={"chrF2": {"best": "reward"}})


def test_what_has_no_better_side_ranks_no_one_and_fewer_copies_are_better(frame):
    rate = pl.when(pl.col("system") == "good").then(0.0).otherwise(1.0)
    scored = frame.with_columns(rate.alias("score.copy-rate"), rate.alias("score.length-ratio"))
    result = compare_store(scored, QUICK, metrics=["copy-rate", "length-ratio"])["en-ja"]
    assert result["clusters"]["copy-rate"][0]["system"] == "good" and list(result["signatures"]) == ["copy-rate"]
    assert {row["better"] for row in result["pairs"]} == {"good", None}
    assert "neither high nor low is better" in result["left_out"]["length-ratio"]
    assert result["lower_is_better"] == ["copy-rate"]


def test_chrf_with_words_is_the_corpus_score_too(frame):
    result = compare_store(frame, QUICK, metrics=["chrF++"])["en-ja"]
    texts = frame.filter(system="bad")["hypothesis"].to_list()
    assert values(result, "chrF++")["bad"] == pytest.approx(
        sacrebleu.corpus_chrf(texts, [SENTENCES], word_order=2).score
    )


def test_several_references_are_read(frame):
    both = frame.with_columns(references=pl.concat_list("references", pl.lit(SENTENCES[0])))
    result = compare_store(both, QUICK, metrics=["chrF2"])["en-ja"]
    texts = frame.filter(system="fair")["hypothesis"].to_list()
    expected = sacrebleu.corpus_chrf(texts, [SENTENCES, SENTENCES[:1] * 8]).score
    assert values(result, "chrF2")["fair"] == pytest.approx(expected)


def test_pairs_of_languages_are_kept_apart(frame):
    both = pl.concat([frame, frame.with_columns(pair=pl.lit("zh-ja"), hypothesis=pl.lit("雨。"))])
    result = compare_store(both, QUICK, metrics=["chrF2"])
    assert list(result) == ["en-ja", "zh-ja"]
    assert len(set(values(result["zh-ja"], "chrF2").values())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["COMET"]}, "no metric 'COMET'; there are BLEU, chrF2, chrF\\+\\+, TER, human, empty"),
        ({"settings": Settings(baseline="best")}, "no system 'best' to be the baseline"),
    ],
)
def test_what_is_not_there_is_named(frame, options, message):
    with pytest.raises(In2xError, match=message):
        compare_store(frame, **options)


def test_one_system_or_no_documents_can_not_be_compared(frame):
    with pytest.raises(In2xError, match="there is one system, 'bad'"):
        compare_store(frame.filter(system="bad"))
    with pytest.raises(In2xError, match="belong to no document"):
        compare_store(frame.with_columns(document=pl.lit(None, pl.String)), Settings(level="document"))


def test_the_command_writes_json_and_prints_the_table(frame, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "store.parquet"
    write_store(frame, path)
    compare_command(path, tmp_path / "comparison.json", QUICK, metrics=["chrF2", "human"])
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert found["en-ja"]["systems"] == ["fair", "good", "bad"]
    assert all(np.isfinite(row["value"]) for row in found["en-ja"]["scores"])
    shown = capsys.readouterr().out
    assert "good" in shown and "of 6 comparisons differ" in shown
