"""Stability of ranks: probabilities with known answers, views against rankings of their own, WMT25's In2x."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from in2x.evaluation import stability
from in2x.evaluation.autorank import Pool, autorank, document_totals, ranks, system_means
from in2x.evaluation.autorank_files import pools, read_rows

WMT25 = Path(__file__).parents[2].parent / "shared" / "data" / "wmt25"
UNCONSTRAINED = (  # WMT25's systems_metadata.json
    "AyaExpanse-32B Claude-4 CommandA CommandA-MT DeepSeek-V3 EuroLLM-22B GPT-4.1 GemTrans Gemini-2.5-Pro Gemma-3-27B "
    "IR-MultiagentMT In2x Kaze-MT Llama-4-Maverick Mistral-Medium ONLINE-B ONLINE-G ONLINE-W Qwen3-235B SH "
    "TowerPlus-72B TranssionTranslate UvA-MT bb88"
)


def _pool(scores_MSN, document_of_N, domains=None, in_pool_S=None) -> Pool:
    scores_MSN = np.array(scores_MSN, dtype=float)
    num_metrics, num_systems, _ = scores_MSN.shape
    num_documents = max(document_of_N) + 1
    return Pool(
        pair="en-ja_JP",
        systems=tuple("abcdefghijkl"[:num_systems]),
        metrics=tuple(f"m{index}" for index in range(num_metrics)),
        rule="",
        documents=tuple(f"d{index:02}" for index in range(num_documents)),
        domains=tuple(domains or ["news"] * num_documents),
        document_of_N=np.array(document_of_N),
        scores_MSN=scores_MSN,
        in_pool_S=np.array([True] * num_systems if in_pool_S is None else in_pool_S),
    )


def _random_pool(seed=0, num_metrics=3, num_systems=6, num_documents=8, **changes) -> Pool:
    generator = np.random.default_rng(seed)
    document_of_N = np.repeat(np.arange(num_documents), generator.integers(1, 5, size=num_documents))
    return _pool(generator.normal(size=(num_metrics, num_systems, len(document_of_N))), document_of_N, **changes)


def _overall(pool, num_resamples=4000, groups=None, seed=1):
    return stability.overall(pool, groups or {"pool": pool.pool}, num_resamples, seed)


def test_the_probability_of_being_first_by_hand():
    # a leads by 1 on two documents and trails by 1.5 on the third: it is first if the third is drawn at most once of
    # three times, with probability (2/3)^3 + 3 (1/3) (2/3)^2 = 20/27
    placing = _overall(_pool([[[1, 1, 0], [0, 0, 1.5]]], [0, 1, 2])).placings["pool"]
    assert placing.rank_S.tolist() == [1, 2]
    np.testing.assert_allclose(placing.first_probability_S, [20 / 27, 7 / 27], atol=0.025)  # 3.5 standard errors
    np.testing.assert_allclose(placing.rank_probability_S, [20 / 27, 20 / 27], atol=0.025)


def test_documents_are_drawn_not_segments():
    # a leads by 1 on each of 100 segments of one document and trails by 1,000 on the only one of the other: it is
    # first where the long document alone is drawn, with probability 1/4; of segments, with (100/101)^101, over 1/3
    pool = _pool([[[1] * 100 + [0], [0] * 100 + [1000]]], [0] * 100 + [1])
    np.testing.assert_allclose(_overall(pool).placings["pool"].first_probability_S, [0.25, 0.75], atol=0.025)


def test_systems_and_metrics_see_the_same_draws():
    pool = _random_pool()
    twins = replace(pool, scores_MSN=np.repeat(pool.scores_MSN[:, :1], 6, axis=1) + np.arange(6)[:, None])
    view = _overall(twins, 200)  # each system is the one before plus 1, on every draw
    assert view.placings["pool"].rank_probability_S.tolist() == [1.0] * 6
    np.testing.assert_allclose(view.low_S, view.autorank_S)
    np.testing.assert_allclose(view.high_S, [6, 5, 4, 3, 2, 1])


def test_equal_systems_are_first_together():
    scores_SN = np.random.default_rng(0).normal(size=(1, 9))
    pool = _pool([np.concatenate([scores_SN, scores_SN, scores_SN - 1])], [0, 1, 2, 3, 4, 4, 5, 6, 7])
    placing = _overall(pool, 300).placings["pool"]
    assert placing.rank_S.tolist() == [1, 1, 3]
    assert placing.first_probability_S.tolist() == [1, 1, 0]


def test_resampled_means_are_flat_means_of_whole_documents():
    pool = _pool([[[1, 2, 3, 10], [0, 0, 0, 4]]], [0, 0, 0, 1])
    means_BMS = stability.resampled_means(*document_totals(pool), 500, seed=0)
    possible = {(2.0, 0.0): 0.25, (4.0, 1.0): 0.5, (10.0, 4.0): 0.25}
    drawn = [tuple(means) for means in means_BMS[:, 0].tolist()]
    assert set(drawn) == set(possible)
    for means, probability in possible.items():
        assert drawn.count(means) / 500 == pytest.approx(probability, abs=0.08)


def test_intervals_by_hand():
    # two documents: a alone first, b alone first, or (both drawn) a first, with probabilities 1/4, 1/4, 1/2
    view = _overall(_pool([[[3, 0], [0, 2]]], [0, 1]))
    placing = view.placings["pool"]
    assert (placing.low_S.tolist(), placing.high_S.tolist()) == ([1, 1], [2, 2])
    assert (view.low_S.tolist(), view.high_S.tolist()) == ([1, 1], [2, 2])


def test_a_draw_without_a_score_of_some_system_is_left_out():
    pool = _pool([[[1, 2], [float("nan"), 3]]], [0, 1])
    view = _overall(pool, 400)
    assert 250 < view.num_resamples < 350  # three of four draws contain the second document
    assert np.isfinite([view.low_S, view.high_S]).all()


def test_the_seed_decides():
    pool = _random_pool()
    first, again, other = (_overall(pool, 50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.low_S, again.low_S)
    assert not np.array_equal(first.low_S, other.low_S)


def test_without_resamples_only_ranks_are_known():
    pool = _random_pool()
    view = _overall(pool, 0)
    np.testing.assert_allclose(view.autorank_S, autorank(system_means(pool)))
    placing = view.placings["pool"]
    assert sorted(placing.rank_S.tolist()) == [1, 2, 3, 4, 5, 6]
    assert [view.low_S, view.high_S, placing.low_S, placing.first_probability_S] == [None] * 4


def test_ranks_within_a_group_keep_the_pools_scale():
    pool = _random_pool()
    group = np.array([1, 4, 5])
    view = _overall(pool, 300, {"pool": pool.pool, "some": group})
    expected = autorank(system_means(pool))[group].argsort().argsort() + 1
    placing = view.placings["some"]
    assert placing.num_systems == 3
    assert placing.rank_S[group].tolist() == expected.tolist()
    assert placing.first_probability_S[group].sum() == pytest.approx(1)
    assert (placing.first_probability_S[group] >= view.placings["pool"].first_probability_S[group]).all()


def test_leaving_a_metric_out_is_ranking_without_it():
    pool = _random_pool()
    views = stability.without_each_metric(pool, {"pool": pool.pool}, 100, seed=3)
    assert list(views) == ["m0", "m1", "m2"]
    for index, metric in enumerate(pool.metrics):
        kept = [other for other in range(3) if other != index]
        small = replace(pool, metrics=tuple(f"m{k}" for k in kept), scores_MSN=pool.scores_MSN[kept])
        expected = _overall(small, 100, seed=3)
        np.testing.assert_allclose(views[metric].autorank_S, expected.autorank_S)
        np.testing.assert_allclose(views[metric].low_S, expected.low_S)
        placing = views[metric].placings["pool"]
        np.testing.assert_allclose(placing.rank_probability_S, expected.placings["pool"].rank_probability_S)


def test_a_single_metric_is_never_left_out():
    pool = _random_pool(num_metrics=1)
    assert stability.without_each_metric(pool, {"pool": pool.pool}, 10, seed=0) == {}


def test_a_domain_is_ranked_as_if_it_were_all():
    pool = _random_pool(domains=["news", "social", "news", "social", "news", "news", "social", "news"])
    views = stability.by_domain(pool, {"pool": pool.pool}, 100, seed=3)
    assert list(views) == ["news", "social"]
    of_social = np.isin(pool.document_of_N, [1, 3, 6])
    position = {1: 0, 3: 1, 6: 2}
    social = _pool(pool.scores_MSN[..., of_social], [position[d] for d in pool.document_of_N[of_social]])
    expected = _overall(social, 100, seed=3)
    np.testing.assert_allclose(views["social"].autorank_S, expected.autorank_S)
    np.testing.assert_allclose(views["social"].high_S, expected.high_S)
    assert (views["social"].num_documents, views["social"].num_segments) == (3, int(of_social.sum()))


def test_a_domain_without_scores_of_a_system_is_not_ranked():
    pool = _pool([[[1, 2], [float("nan"), 3]]], [0, 1], domains=["news", "social"])
    views = stability.by_domain(pool, {"pool": pool.pool}, 10, seed=0)
    assert views["news"] is None
    assert views["social"].autorank_S.tolist() == [2, 1]


def test_random_halves_of_the_pool_against_all_halves():
    pool = _random_pool(seed=5, num_systems=5)
    means_MS = system_means(pool)
    autorank_S = autorank(means_MS)
    subsets = stability.pool_subsets(pool, autorank_S, means_MS, 3000, seed=0)
    assert (subsets.num_subsets, subsets.num_kept) == (3000, 3)
    shifts = [[] for _ in range(5)]
    for kept in combinations(range(5), 3):
        found = ranks(autorank(means_MS[:, kept]), np.arange(3))
        expected = ranks(autorank_S[list(kept)], np.arange(3))
        for system, shift in zip(kept, found - expected, strict=True):
            shifts[system].append(shift)
    same = [np.mean(np.array(shift) == 0) for shift in shifts]
    assert min(same) < 1  # the case is one in which the pool matters
    np.testing.assert_allclose(subsets.same_rank_S, same, atol=0.045)
    assert subsets.shift_low_S.tolist() == [min(shift) for shift in shifts]
    assert subsets.shift_high_S.tolist() == [max(shift) for shift in shifts]


def test_with_one_metric_the_pool_does_not_matter():
    pool = _random_pool(num_metrics=1, num_systems=7)
    means_MS = system_means(pool)
    subsets = stability.pool_subsets(pool, autorank(means_MS), means_MS, 100, seed=0)
    assert subsets.same_rank_S.tolist() == [1.0] * 7


def test_an_inserted_system_takes_part_in_every_half():
    pool = _random_pool(num_metrics=1, num_systems=5, in_pool_S=[True, True, False, True, True])
    means_MS = system_means(pool)
    means_MS[0, 2] = 99
    subsets = stability.pool_subsets(pool, autorank(means_MS, pool.pool), means_MS, 50, seed=0)
    assert subsets.num_kept == 2
    assert subsets.same_rank_S[2] == 1


def test_an_inserted_system_moves_nothing_of_the_pool():
    pool = _random_pool(num_systems=5, in_pool_S=[True, True, False, True, True])
    pool.scores_MSN[0, 2] += 50  # it would change the scale of one metric
    kept = {"systems": ("a", "b", "d", "e"), "scores_MSN": pool.scores_MSN[:, pool.pool], "in_pool_S": np.full(4, True)}
    view, alone = _overall(pool, 200), _overall(replace(pool, **kept), 200)
    np.testing.assert_allclose(view.autorank_S[pool.pool], alone.autorank_S)
    np.testing.assert_allclose(view.low_S[pool.pool], alone.low_S)
    placing, expected = view.placings["pool"], alone.placings["pool"]
    np.testing.assert_allclose(placing.rank_probability_S[pool.pool], expected.rank_probability_S)
    assert placing.num_systems == 4


def test_misuse_is_refused():
    pool = _random_pool()
    with pytest.raises(ValueError, match="num_resamples: expected 0 or more, got -1"):
        _overall(pool, -1)
    with pytest.raises(ValueError, match="num_subsets: expected at least 1, got 0"):
        stability.pool_subsets(pool, np.zeros(6), system_means(pool), 0, seed=0)


def test_in2x_in_wmt25_is_second_and_first_of_the_unconstrained_in_about_72_percent():
    scores = WMT25 / "automatic_scores.en-ja_JP.jsonl.gz"
    if not scores.exists():
        pytest.skip(f"{scores} is not there")
    pool = pools(read_rows(scores))["en-ja_JP"]
    in2x = pool.systems.index("In2x")
    unconstrained = np.array([p for p, system in enumerate(pool.systems) if system in UNCONSTRAINED.split()])
    groups = {"pool": pool.pool, "unconstrained": unconstrained}
    view = stability.overall(pool, groups, 2000, seed=12345)
    among_all, among_some = view.placings["pool"], view.placings["unconstrained"]
    assert (among_all.num_systems, among_all.rank_S[in2x]) == (43, 2)
    assert (among_some.num_systems, among_some.rank_S[in2x]) == (23, 1)
    assert among_some.first_probability_S[in2x] == pytest.approx(0.72, abs=0.03)
    assert among_all.first_probability_S[in2x] < 0.01
    without = stability.without_each_metric(pool, groups, 10, seed=0)
    found = {metric: int(other.placings["pool"].rank_S[in2x]) for metric, other in without.items()}
    assert found.pop("CometKiwi-XL") == 7
    assert set(found.values()) == {2, 3}
