"""Tests of paired differences against values worked out by hand and sacreBLEU's own randomisation test."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF
from sacrebleu.significance import PairedTest
from scipy.stats import wilcoxon

from in2x.evaluation import bootstrap, metrics, significance

CHARACTERS = list("猫犬がはを見食走好昨日今とても、。学校行雨")


def _fake(values, metric="mean") -> metrics.SegmentStatistics:
    """A metric whose corpus score is the mean of one number per segment."""
    counts_NK = np.array([[value, 1] for value in values])
    return metrics.SegmentStatistics(metric, "", counts_NK, (1,), lambda totals: totals[:, 0] / totals[:, 1])


def _texts(num_segments: int, noise: float, seed: int) -> tuple[list[str], list[str]]:
    same, own = np.random.default_rng(0), np.random.default_rng(seed)
    references = [same.choice(CHARACTERS, same.integers(6, 20)) for _ in range(num_segments)]
    hypotheses = [
        np.where(own.random(len(reference)) < noise, own.choice(CHARACTERS, len(reference)), reference)
        for reference in references
    ]
    return ["".join(text) for text in hypotheses], ["".join(text) for text in references]


def test_randomisation_of_three_clear_wins():
    # Of 8 ways to swap, two (none, all) keep the difference of 1: p = 2 / 8.
    p_value = significance.paired_randomisation(_fake([1, 1, 1]), _fake([0, 0, 0]), num_permutations=4000)
    assert p_value == pytest.approx(0.25, abs=0.03)


def test_randomisation_is_two_sided_and_counts_ties():
    # Differences 3, 1, -1: the sums of +-3 +-1 +-1 that reach |3| are 5, 3, 3, -5, -3, -3 of 8.
    a, b = _fake([3, 1, 0]), _fake([0, 0, 1])
    p_value = significance.paired_randomisation(a, b, num_permutations=4000)
    assert p_value == pytest.approx(0.75, abs=0.03)
    assert significance.paired_randomisation(b, a, num_permutations=4000) == p_value


def test_randomisation_is_never_0_and_1_for_equal_systems():
    a, b = _fake(range(10, 70)), _fake(range(60))
    assert significance.paired_randomisation(a, b, num_permutations=99) == 1 / 100
    assert significance.paired_randomisation(a, a, num_permutations=99) == 1


def test_randomisation_equals_sacrebleu():
    # Same seed, same swaps. sacreBLEU counts only larger differences; exact ties don't happen on this data.
    baseline, references = _texts(100, 0.30, seed=1)
    others = {"near": _texts(100, 0.34, seed=2)[0], "far": _texts(100, 0.45, seed=3)[0]}
    named = [("base", baseline), *others.items()]
    _, theirs = PairedTest(named, {"chrF2": CHRF()}, [references], test_type="ar", n_samples=500)()
    systems = {name: {"chrF2": metrics.chrf_statistics(texts, references)} for name, texts in named}
    ours = significance.paired_randomisations(systems, baseline="base", num_permutations=500)
    for name, result in zip(others, theirs["chrF2"][1:], strict=True):
        assert ours["chrF2", name, "base"] == pytest.approx(result.p_value, abs=1e-12)
    assert ours["chrF2", "near", "base"] > 0.05 > ours["chrF2", "far", "base"]


def test_many_systems_are_tested_as_two_are_whatever_the_block_size(monkeypatch):
    draw = np.random.default_rng(0)
    systems = {name: {"x": _fake(draw.integers(0, 9, 40)), "y": _fake(draw.integers(0, 9, 40))} for name in "abc"}
    found = significance.paired_randomisations(systems, num_permutations=100)
    assert list(found) == [(metric, *pair) for metric in "xy" for pair in ("ab", "ac", "bc")]
    monkeypatch.setattr(significance, "BLOCK_CELLS", 32 * 40)
    for (metric, a, b), p_value in found.items():
        alone = significance.paired_randomisation(systems[a][metric], systems[b][metric], num_permutations=100)
        assert alone == p_value


def test_documents_change_places_as_a_whole():
    # 60 clear wins of segments, but two documents only: half of all swaps keep the whole difference.
    a, b = _fake([1] * 60), _fake([0] * 60)
    assert significance.paired_randomisation(a, b, num_permutations=999) == 0.001
    documents = ["x"] * 30 + ["y"] * 30
    pair = [bootstrap.by_document(one, documents) for one in (a, b)]
    assert significance.paired_randomisation(*pair, num_permutations=4000) == pytest.approx(0.5, abs=0.03)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04; the last is raised to .06.
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.5, 0.6]) == [1, 1]
    assert significance.holm([0.2]) == [0.2]
    assert significance.holm([]) == []


def test_holm_is_monotone_never_smaller_and_at_most_1():
    p_values = np.random.default_rng(0).random(50) ** 2
    adjusted = np.array(significance.holm(p_values))
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    assert (adjusted >= p_values).all() and adjusted.max() == 1


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match=f"numbers from 0 to 1, got {wrong}"):
        significance.holm([0.1, wrong])


def test_signed_rank_by_hand():
    # All five differences positive: one of 2^5 signs gives so large a rank sum.
    assert significance.signed_rank_p_value([5, 1, 3, 2, 4]) == pytest.approx(1 / 32)
    assert significance.signed_rank_p_value([5, 1, 0, np.nan, 3, 2, 0, 4]) == pytest.approx(1 / 32)
    assert significance.signed_rank_p_value([-5, -1, -3, -2, -4]) == pytest.approx(1)
    assert significance.signed_rank_p_value([5, 1, 3, 2, 4], "two-sided") == pytest.approx(2 / 32)
    assert significance.signed_rank_p_value([0, 0, np.nan]) == 1


def test_clusters_of_clear_groups():
    # Two pairs that differ by noise within, by 10 between; a third group of one.
    draw = np.random.default_rng(3)
    segments = draw.normal(70, 8, 80)
    groups = {"b1": 10, "a2": 20, "c": 0, "a1": 20, "b2": 10}
    scores = {name: segments + level + draw.normal(0, 5, 80) for name, level in groups.items()}
    ranking = significance.rank_clusters(scores)
    by_name = {row.system: row for row in ranking}
    assert [row.mean for row in ranking] == sorted((np.mean(values) for values in scores.values()), reverse=True)
    assert {name: row.cluster for name, row in by_name.items()} == {"a1": 1, "a2": 1, "b1": 2, "b2": 2, "c": 3}
    ranges = {name: (row.rank_best, row.rank_worst) for name, row in by_name.items()}
    assert ranges == {"a1": (1, 2), "a2": (1, 2), "b1": (3, 4), "b2": (3, 4), "c": (5, 5)}
    assert (by_name["b1"].num_wins, by_name["b1"].num_losses, by_name["b1"].num_scores) == (1, 2, 80)


def test_a_chain_of_small_steps_is_one_cluster():
    # first beats last, but neither is apart from the middle one.
    draw = np.random.default_rng(0)
    scores = {name: draw.normal(0, 5, 60) + level for name, level in [("last", 0), ("middle", 1.5), ("first", 3)]}
    p_values = {
        pair: wilcoxon(scores[pair[0]], scores[pair[1]], alternative="greater").pvalue
        for pair in [("first", "middle"), ("middle", "last"), ("first", "last")]
    }
    assert [p < 0.025 for p in p_values.values()] == [False, False, True]
    ranking = significance.rank_clusters(scores)
    found = [(row.system, row.rank_best, row.rank_worst, row.cluster) for row in ranking]
    assert found == [("first", 1, 2, 1), ("middle", 1, 3, 1), ("last", 2, 3, 1)]


def test_alpha_is_halved_for_the_direction():
    # Six wins of six: p = 1/64 = 0.0156 one-sided; five of five: 1/32 = 0.031, which is not below 0.05 / 2.
    assert [row.cluster for row in significance.rank_clusters({"a": range(1, 7), "b": [0] * 6})] == [1, 2]
    assert [row.cluster for row in significance.rank_clusters({"a": range(1, 6), "b": [0] * 5})] == [1, 1]
    assert [row.cluster for row in significance.rank_clusters({"a": range(1, 6), "b": [0] * 5}, alpha=0.1)] == [1, 2]


def test_a_better_mean_with_worse_ranks_wins_nothing():
    # One large win outweighs 29 small losses in the mean, not in the ranks.
    scores = {"lucky": [100] + [0] * 29, "steady": [0] + [1 + i / 100 for i in range(29)]}
    first, second = significance.rank_clusters(scores)
    assert (first.system, first.num_wins, second.num_losses, second.cluster) == ("lucky", 0, 0, 1)


def test_a_cluster_ends_where_all_above_beat_all_below():
    # lucky's mean rests on one segment: steady beats last, but lucky does not.
    scores = {"lucky": [100] + [5] * 29, "steady": [7] * 30, "last": [6] * 30}
    ranking = significance.rank_clusters(scores)
    assert [(row.system, row.num_wins, row.cluster) for row in ranking] == [
        ("lucky", 0, 1),
        ("steady", 1, 1),
        ("last", 0, 1),
    ]
    # erratic fails on five segments and is better elsewhere: first beats second, but not erratic.
    scores = {"first": [10] * 30, "second": [9] * 30, "erratic": [11] * 25 + [-20] * 5}
    ranking = significance.rank_clusters(scores)
    assert [(row.system, row.num_wins, row.cluster) for row in ranking] == [
        ("first", 1, 1),
        ("second", 0, 1),
        ("erratic", 0, 1),
    ]


def test_missing_scores_are_dropped_pairwise():
    # b's 50 has no counterpart: it enters no test, and no mean over shared segments.
    a, b = [9, 8, 9, 7, 8, 9, None, 1], [1, 2, 0, 1, 2, 1, 50, float("nan")]
    ranking = significance.rank_clusters({"b": b, "a": a})
    assert ranking == significance.rank_clusters({"b": b[:6], "a": a[:6]})
    assert [(row.system, row.mean, row.cluster, row.num_scores) for row in ranking] == [
        ("a", pytest.approx(50 / 6), 1, 6),
        ("b", pytest.approx(7 / 6), 2, 6),
    ]
    own = significance.rank_clusters({"a": a, "b": b}, means="own")
    assert [(row.system, row.mean, row.num_scores) for row in own] == [("b", 57 / 7, 7), ("a", 51 / 7, 7)]
    assert [row.cluster for row in own] == [1, 1]  # b's better mean wins nothing


def test_lower_may_be_better():
    scores = {"a": [1, 2, 3, 4, 5, 6], "b": [7, 8, 9, 10, 11, 12]}
    ranking = significance.rank_clusters(scores, higher_is_better=False)
    assert [(row.system, row.mean, row.cluster) for row in ranking] == [("a", 3.5, 1), ("b", 9.5, 2)]


@pytest.mark.parametrize(
    "scores, options, message",
    [
        ({"a": [1, 2]}, {}, "at least two systems"),
        ({"a": [1, 2], "b": [1]}, {}, "'a' has 2 scores and 'b' 1"),
        ({"a": [1, None], "b": [None, 1]}, {}, "no segment is scored for all of a, b; means='own'"),
        ({"a": [1, None], "b": [None, 1]}, {"means": "own"}, "'a' and 'b' have no scored segment in common"),
        ({"a": [1, 2], "b": [None, None]}, {}, "'b' has no score at all"),
        ({"a": [1, 2], "b": [1, 3]}, {"alpha": 5}, "alpha: .* got 5"),
        ({"a": [1, 2], "b": [1, 3]}, {"means": "all"}, "expected 'shared' or 'own', got 'all'"),
    ],
)
def test_scores_that_cannot_be_ranked(scores, options, message):
    with pytest.raises(ValueError, match=message):
        significance.rank_clusters(scores, **options)


def test_effect_size_by_hand():
    # Differences 1, 2, 3: mean 2, sample standard deviation 1. The missing pairs do not count.
    found = significance.effect_size([2, 4, None, 6, 7], [1, 2, 5, 3, float("nan")])
    assert (found.value, found.num_pairs) == (pytest.approx(2), 3)
    back = significance.effect_size([1, 2, 3], [2, 4, 6])
    assert back.value == pytest.approx(-2)


def test_interval_of_the_effect_size_is_the_normal_one():
    # Standard error of d_z: sqrt(1/n + d^2 / 2n) for normal differences.
    draw = np.random.default_rng(0)
    b = draw.normal(50, 20, 600)
    found = significance.effect_size(b + draw.normal(0.5, 1, 600), b, num_resamples=2000)
    half = 1.96 * np.sqrt(1 / 600 + found.value**2 / 1200)
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.15 * half)


def test_interval_of_the_effect_size_of_three_pairs():
    # Differences 0, 0, 1. A draw with k ones has mean k / 3 and, for k = 1 and 2, standard deviation sqrt(1/3); k = 0
    # gives 0, and k = 3 has no spread and is left out. So draws are 0, 0.577 or 1.155, each in more than 2.5%.
    found = significance.effect_size([0, 0, 1], [0, 0, 0], num_resamples=400)
    assert (found.value, found.low, found.high) == pytest.approx((np.sqrt(1 / 3), 0, 2 * np.sqrt(1 / 3)))


def test_effect_size_does_not_depend_on_unit_or_offset():
    draw = np.random.default_rng(0)
    a, b = draw.normal(0, 1, 30), draw.normal(0, 1, 30)
    one, other = significance.effect_size(a, b), significance.effect_size(1e4 + 100 * a, 100 * b - 1e4)
    assert other.value != pytest.approx(one.value)  # the offset moves the mean
    same = significance.effect_size(1e6 + 100 * a, 1e6 + 100 * b)
    assert (same.value, same.low, same.high) == pytest.approx((one.value, one.low, one.high))


def test_effect_size_where_there_is_no_spread():
    assert significance.effect_size([1, 2, 3], [1, 2, 3]) == significance.EffectSize(0.0, 0.0, 0.0, 3)
    assert significance.effect_size([2, 3, 4], [1, 2, 3]) == significance.EffectSize(None, None, None, 3)
    with pytest.raises(ValueError, match="at least two paired scores, got 1"):
        significance.effect_size([1, None], [2, 3])


def test_bad_permutations():
    with pytest.raises(ValueError, match="num_permutations: expected at least 1, got 0"):
        significance.paired_randomisation(_fake([1, 2]), _fake([2, 1]), num_permutations=0)
    with pytest.raises(ValueError, match="different metrics: 'mean' and 'other'"):
        significance.paired_randomisation(_fake([1, 2]), _fake([2, 1], "other"))
