"""Agreement of a store's metrics with its human scores, by hand and through the command."""

import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.agree_store import agree_command, agree_store
from in2x.evaluation.store import mark_roles, write_store

SENTENCES = ["私は毎日学校へ行きます。", "神戸に住んでいます。", "何をしているのですか。", "ありがとうございました。"]


@pytest.fixture
def frame():
    """Three systems, the first the best by people, chrF and `twin`; `reverse` says the opposite, nobody judged d."""
    rows = [
        {"pair": "en-ja", "domain": None, "document": None, "segment": f"s{n}", "system": system, "source": "source",
         "hypothesis": text[: len(text) - cut], "references": [text],
         "score.human": None if system == "d" else 90.0 - cut,
         "score.twin": 1.0 - cut / 10, "score.reverse": float(cut), "score.copy-rate": cut / 10, "score.sparse": None}
        for system, cut in (("a", 1), ("b", 3), ("c", 6), ("d", 2)) for n, text in enumerate(SENTENCES)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"score.sparse": pl.Float64, "score.human": pl.Float64})


def test_a_metric_that_orders_as_people_do_agrees_and_its_reverse_does_not(frame):
    result = agree_store(frame, "human", num_permutations=16)["en-ja"]
    assert result["systems"] == ["a", "b", "c"]
    found = result["metrics"]
    for metric in ("chrF2", "twin", "copy-rate"):
        assert (found[metric]["pairwise_accuracy"], found[metric]["kendall_tau"]) == (1, 1)
        assert (found[metric]["num_pairs"], found[metric]["min_segments"]) == (3, 4)
    assert found["twin"]["soft_pairwise_accuracy"] == 1
    assert (found["reverse"]["pairwise_accuracy"], found["reverse"]["kendall_tau"]) == (0, -1)
    # of 16 sign vectors one equals the observed sum and none is above it: p = 1/32 against 31/32
    assert found["reverse"]["soft_pairwise_accuracy"] == pytest.approx(1 - 30 / 32)
    assert list(found)[-1] == "reverse" and "has no score at all" in result["left_out"]["sparse"]


def test_the_command_prints_writes_and_marks_roles(frame, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_store(mark_roles(frame, {"twin": {"b": "reward"}}), tmp_path / "store.parquet")
    agree_command(tmp_path / "store.parquet", "human", tmp_path / "out.json", metrics=["twin", "reverse"])
    printed = capsys.readouterr().out
    assert next(line for line in printed.splitlines() if line.startswith("twin")).endswith("reward of b")
    found = json.loads((tmp_path / "out.json").read_text())["pairs"]["en-ja"]
    assert set(found["metrics"]) == {"twin", "reverse"}


def test_what_is_not_there_is_named(frame):
    with pytest.raises(In2xError, match="no scores 'esa'; the store has human, twin"):
        agree_store(frame, "esa")
    with pytest.raises(In2xError, match="no metric 'COMET'; there are BLEU, chrF2"):
        agree_store(frame, "human", metrics=["COMET"])
    with pytest.raises(In2xError, match="1 of 2 systems have scores 'human'; two are needed"):
        agree_store(frame.filter(pl.col("system").is_in(["a", "d"])), "human")
