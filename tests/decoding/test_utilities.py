"""Utilities by name, and metrics of others as utilities: batches, pooling, scattering."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from in2x.artifacts import In2xError
from in2x.decoding.mbr import select_all
from in2x.decoding.utilities import UTILITIES, Grid, RowUtility, make_utility, tables

HYPOTHESES, REFERENCES = ["the cat sat down.", "a cat", "dogs run"], ["the cat sat, down", "a cat"]
FOREIGN = {
    "chrf": CHRF(beta=3),
    "chrf++": CHRF(beta=3, word_order=2),
    "bleu": BLEU(tokenize="13a", effective_order=True),
}


@pytest.mark.parametrize("name", UTILITIES)
def test_by_name(name):
    table = make_utility(name, beta=3, target_language="en")(HYPOTHESES, REFERENCES)
    if name == "exact":
        expected = [[0, 0], [0, 1], [0, 0]]
    else:
        expected = [[FOREIGN[name].sentence_score(h, [r]).score for r in REFERENCES] for h in HYPOTHESES]
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-9)


def test_unknown_name_and_missing_language():
    with pytest.raises(In2xError, match=r"expected one of chrf, chrf\+\+, bleu, exact, got 'comet'"):
        make_utility("comet")
    with pytest.raises(In2xError, match="give the target language"):
        make_utility("bleu")


def _score(rows):
    """A score that tells all three texts apart."""
    return [100 * len(source or "") + 10 * len(hypothesis) + len(reference) for source, hypothesis, reference in rows]


def test_rows_are_pooled_over_segments_scored_once_and_put_back():
    batches = []

    def spy(rows):
        batches.append(list(rows))
        return _score(rows)

    grids = [Grid("s", ["a", "bb"], ["c", "dd", "eee"]), Grid("s", ["bb"], ["dd", "f"]), Grid("tt", ["bb"], ["dd"])]
    found = RowUtility(spy, batch_size=3).tables(grids)
    assert [table.tolist() for table in found] == [
        [[111, 112, 113], [121, 122, 123]],
        [[122, 121]],
        [[222]],
    ]
    rows = [row for batch in batches for row in batch]
    assert len(rows) == len(set(rows)) == 8  # 6 + 2 + 1, one of them twice
    assert [len(batch) for batch in batches] == [3, 3, 2]
    lengths = [sum(map(len, row)) for row in rows]
    assert lengths == sorted(lengths, reverse=True)


def test_one_segment_without_source():
    assert RowUtility(_score)(["a", "bb"], ["c"]).tolist() == [[11], [21]]


def test_select_all_asks_once_for_all_segments_with_their_sources():
    batches = []

    def prefer(rows):
        batches.append(rows)
        return [float(hypothesis == source) for source, hypothesis, _ in rows]

    choices = select_all([["x", "y"], ["x", "y"]], RowUtility(prefer), sources=["y", "x"])
    assert [choice.index for choice in choices] == [1, 0]
    assert len(batches) == 1 and len(batches[0]) == 8


@pytest.mark.parametrize("scores", [[1.0], [[1.0], [2.0]], 3.0])
def test_wrong_number_of_scores(scores):
    with pytest.raises(ValueError, match="expected 2 scores, one per row"):
        RowUtility(lambda rows: scores)(["a", "b"], ["c"])


def test_a_score_that_is_not_finite_names_the_segment():
    utility = RowUtility(lambda rows: [float("nan") if row[1] == "bad" else 1.0 for row in rows])
    with pytest.raises(ValueError, match=r"segment 1: expected finite utilities of shape \(2, 1\).* 1 not finite"):
        tables(utility, [Grid(None, ["a"], ["b"]), Grid(None, ["a", "bad"], ["b"])])


def test_tables_are_as_many_as_segments():
    class Short:
        def tables(self, grids):
            return []

    with pytest.raises(ValueError, match="expected 1 tables of utilities, got 0"):
        tables(Short(), [Grid(None, ["a"], ["b"])])


def test_batch_size_must_be_positive():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        RowUtility(_score, batch_size=0)
