"""Accuracies and correlations counted by hand, and intervals with known width."""

import math

import numpy as np
import pytest

from in2x.rewards.validation import correlation, pair_accuracy, ranked_pairs


def test_accuracy_counts_wins_and_half_of_the_ties_and_leaves_missing_scores_out():
    better, worse = [2.0, 1.0, 0.0, 5.0, math.nan, 1.0], [1.0, 1.0, 3.0, 4.0, 1.0, math.nan]
    found = pair_accuracy(better, worse, list("abcdef"))
    assert (found.num_pairs, found.num_missing, found.num_units) == (4, 2, 4)
    assert found.accuracy == pytest.approx(2.5 / 4) and found.ties == pytest.approx(0.25)


def test_rounding_is_a_tie():
    assert pair_accuracy([0.1 + 0.2], [0.3], ["a"]).ties == 1
    assert pair_accuracy([0.3001], [0.3], ["a"]).accuracy == 1


def test_the_interval_of_independent_pairs_is_that_of_a_share():
    won = np.arange(400) % 4 > 0
    found = pair_accuracy(won.astype(float), np.full(400, 0.5), list(range(400)), num_resamples=4000)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.accuracy == 0.75
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.008)


def test_pairs_of_one_document_are_drawn_together():
    won = np.repeat([1.0, 0.0], 50)
    alone = pair_accuracy(won, np.full(100, 0.5), list(range(100)))
    together = pair_accuracy(won, np.full(100, 0.5), ["a"] * 50 + ["b"] * 50)
    assert together.accuracy == alone.accuracy == 0.5 and together.num_units == 2
    assert (together.low, together.high) == (0, 1) and alone.high - alone.low < 0.25


def test_documents_weigh_as_their_pairs():
    found = pair_accuracy([1.0] * 9 + [0.0], [0.5] * 10, ["a"] * 9 + ["b"])
    assert found.accuracy == pytest.approx(0.9)


def test_adding_a_constant_and_scaling_change_nothing_and_swapping_mirrors():
    rng = np.random.default_rng(0)
    better, worse, units = rng.normal(size=50), rng.normal(size=50), list(range(50))
    found = pair_accuracy(better, worse, units)
    assert pair_accuracy(3 * better + 7, 3 * worse + 7, units) == found
    swapped = pair_accuracy(worse, better, units)
    assert swapped.accuracy == pytest.approx(1 - found.accuracy) and swapped.low == pytest.approx(1 - found.high)


def test_correlation_is_of_ranks_with_ties_at_their_mean():
    found = correlation([1.0, 2.0, 3.0, 1000.0, math.nan], [1.0, 2.0, 2.0, 3.0, 0.0], list("abcde"))
    # ranks 1 2 3 4 and 1 2.5 2.5 4: covariance 4.5, variances 5 and 4.5
    assert found.num == 4 and found.spearman == pytest.approx(4.5 / math.sqrt(5 * 4.5))
    assert found.pearson == pytest.approx(np.corrcoef([1, 2, 3, 1000], [1, 2, 2, 3])[0, 1])
    assert found.spearman_low <= found.spearman <= found.spearman_high


def test_correlation_of_noise_has_zero_in_its_interval_and_of_itself_is_one():
    rng = np.random.default_rng(1)
    a, b, units = rng.normal(size=200), rng.normal(size=200), [n // 4 for n in range(200)]
    found = correlation(a, b, units)
    assert found.spearman_low < 0 < found.spearman_high
    itself = correlation(a, a, units)
    assert (itself.spearman, itself.spearman_low) == pytest.approx((1, 1))


def test_pairs_are_of_one_item_and_far_enough_apart_with_the_better_one_first():
    pairs = ranked_pairs(["a", "b", "a", "a", "b"], [10, 50, 35, 20, 50], min_gap=15)
    assert pairs == [(2, 0), (2, 3)]
    assert ranked_pairs(["a", "a"], [5, 5], min_gap=0) == []


def test_nothing_left_is_none_and_misuse_is_refused():
    assert pair_accuracy([math.nan], [1.0], ["a"]) is None
    assert correlation([1.0, 1.0, 1.0], [1, 2, 3], "abc") is None and correlation([1.0], [1.0], "a") is None
    with pytest.raises(ValueError, match="2 preferred, 1 other texts, 2 units"):
        pair_accuracy([1, 2], [1], "ab")
    with pytest.raises(ValueError, match="2 scores, 1 human scores, 2 units"):
        correlation([1, 2], [1], "ab")
