"""AutoRank: hand-computed values, invariants, the frozen pool, and WMT25's published tables to the last digit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation import autorank
from in2x.evaluation.autorank_files import pools, read_rows

WMT25 = Path(__file__).parents[2].parent / "shared" / "data" / "wmt25"
METRICS = ["CometKiwi-XL", "GEMBA-ESA-CMDA", "GEMBA-ESA-GPT4.1", "MetricX-24-Hybrid-XL", "XCOMET-XL"]


def _pool(scores_MSN, document_of_N, in_pool_S=None, **changes) -> autorank.Pool:
    scores_MSN = np.array(scores_MSN, dtype=float)
    num_metrics, num_systems, _ = scores_MSN.shape
    num_documents = max(document_of_N) + 1
    values = {
        "pair": "en-ja_JP",
        "systems": tuple("abcdefgh"[:num_systems]),
        "metrics": tuple(f"metric {index}" for index in range(num_metrics)),
        "rule": "",
        "documents": tuple(f"document {index}" for index in range(num_documents)),
        "domains": ("news",) * num_documents,
        "document_of_N": np.array(document_of_N),
        "scores_MSN": scores_MSN,
        "in_pool_S": np.array([True] * num_systems if in_pool_S is None else in_pool_S),
    }
    return autorank.Pool(**values | changes)


def test_three_systems_by_hand():
    # metric 0: median 20, 25th percentile 15, max 40, so z = -0.4, 0, 0.8
    # metric 1: median .5, 25th percentile .45, max .6, so z = 0, 2/3, -2/3
    # mean z = -1/5, 1/3, 1/15: from best 1/3 to worst -1/5 is 8/15, and 1/3 - 1/15 is half of it
    means_MS = np.array([[10, 20, 40], [0.5, 0.6, 0.4]])
    scaled_MS = autorank.robust_scale(means_MS, np.arange(3))
    np.testing.assert_allclose(scaled_MS, [[-0.4, 0, 0.8], [0, 2 / 3, -2 / 3]], atol=1e-12)
    np.testing.assert_allclose(autorank.autorank(means_MS), [3, 1, 2])


def test_a_metric_whose_maximum_is_its_lower_quartile_is_divided_by_1():
    # metric 0: z = -2, 0, 0, 0, 0; metric 1: median 2, spread 4 - 1, so z = 2/3, -2/3, -1/3, 0, 1/3
    means_MS = np.array([[1, 3, 3, 3, 3], [4, 0, 1, 2, 3]], dtype=float)
    np.testing.assert_allclose(autorank.autorank(means_MS), [5, 3.4, 2.6, 1.8, 1])


def test_equal_systems_are_all_first():
    autoranks_S = autorank.autorank(np.array([[2.0, 2.0, 2.0], [5.0, 5.0, 5.0]]))
    assert autoranks_S.tolist() == [1, 1, 1]
    assert autorank.ranks(autoranks_S, np.arange(3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("num_systems", [2, 3, 4, 5, 6, 9, 43])
def test_percentiles_are_numpys_linear_ones(num_systems):
    x_MS = np.random.default_rng(num_systems).normal(size=(4, num_systems))
    spread = x_MS.max(axis=1) - np.percentile(x_MS, 25, axis=1)
    expected = (x_MS - np.median(x_MS, axis=1, keepdims=True)) / spread[:, None]
    np.testing.assert_allclose(autorank.robust_scale(x_MS, np.arange(num_systems)), expected, rtol=1e-12, atol=1e-12)


def test_unit_and_offset_of_a_metric_change_nothing_its_direction_does():
    x_MS = np.random.default_rng(0).normal(size=(3, 7))
    expected = autorank.autorank(x_MS)
    np.testing.assert_allclose(autorank.autorank(x_MS * [[100], [0.01], [7]] + [[5], [-3], [0]]), expected)
    assert not np.allclose(autorank.autorank(x_MS * [[-1], [1], [1]]), expected)


def test_order_of_systems_and_metrics_changes_nothing_and_batches_are_independent():
    x_BMS = np.random.default_rng(1).normal(size=(5, 3, 7))
    each = np.stack([autorank.autorank(x_MS) for x_MS in x_BMS])
    np.testing.assert_allclose(autorank.autorank(x_BMS), each)
    order = np.array([3, 0, 6, 2, 5, 1, 4])
    np.testing.assert_allclose(autorank.autorank(x_BMS[:, ::-1, order]), each[:, order])


def test_ranks_by_hand_among_all_and_among_some():
    autoranks_S = np.array([1.0, 3.5, 2.0, 2.0 + 1e-12, 9.0])
    assert autorank.ranks(autoranks_S, np.arange(5)).tolist() == [1, 4, 2, 2, 5]
    assert autorank.ranks(autoranks_S, np.array([1, 4])).tolist() == [1, 1, 1, 1, 2]


def test_the_mean_is_flat_over_segments_and_leaves_missing_scores_out():
    nan = float("nan")
    pool = _pool([[[1, 2, 3, 10], [nan, 4, nan, 8]]], document_of_N=[0, 0, 0, 1])
    assert autorank.system_means(pool).tolist() == [[4.0, 6.0]]
    sums_MSD, counts_MSD = autorank.document_totals(pool)
    assert sums_MSD.tolist() == [[[6, 10], [4, 8]]]
    assert counts_MSD.tolist() == [[[3, 1], [1, 1]]]


def test_inserted_systems_do_not_move_the_frozen_pool():
    x_MS = np.array([[10, 20, 40, 65, 0], [0.5, 0.6, 0.4, 0.8, 0.2]])
    # on the scale of the first three: z = (65 - 20) / 25 = 1.8 and (.8 - .5) / .15 = 2, so 1.9; -0.8 and -2, so -1.4
    # AutoRank 1 + 2 (1/3 - 1.9) / (8/15) = -4.875 and 1 + 2 (1/3 + 1.4) / (8/15) = 7.5
    np.testing.assert_allclose(autorank.autorank(x_MS, np.arange(3)), [3, 1, 2, -4.875, 7.5])
    taking_part = autorank.autorank(x_MS)
    assert (taking_part[3], taking_part[4]) == (1, 5)


@pytest.mark.parametrize(
    ("pair", "counted"),
    [
        ("en-ja_JP", ["CometKiwi-XL", "GEMBA-ESA-CMDA", "XCOMET-XL"]),
        ("en-lt_LT", ["GEMBA-ESA-CMDA", "XCOMET-XL"]),
        ("en-bho_IN", ["chrF++"]),
        ("ja-en_US", ["CometKiwi-XL", "GEMBA-ESA-CMDA", "XCOMET-XL", "chrF++"]),
    ],
)
def test_which_metrics_count(pair, counted):
    metrics, rule = autorank.counted_metrics(pair, {"chrF++", "XCOMET-XL", "CometKiwi-XL", "GEMBA-ESA-CMDA"})
    assert list(metrics) == counted
    assert rule


def test_no_metric_left_is_refused():
    with pytest.raises(In2xError, match="en-mas_KE.*chrF.*alone.*XCOMET-XL"):
        autorank.counted_metrics("en-mas_KE", {"XCOMET-XL"})


def test_the_pairs_of_wmt25_are_known_once_each():
    kinds = [autorank.WITH_REFERENCE, autorank.WITHOUT_REFERENCE, autorank.CHRF_ONLY]
    assert [len(kind) for kind in kinds] == [13, 16, 2]
    assert len(frozenset.union(*kinds)) == 31


def test_the_hash_names_the_pool_and_nothing_else():
    scores = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]
    pool = _pool(scores, [0, 0, 1])
    same = replace(
        pool, systems=("c", "a", "b"), scores_MSN=pool.scores_MSN[:, [2, 0, 1]], rule="another way to say it"
    )
    assert autorank.pool_hash(same) == autorank.pool_hash(pool)
    with_own = _pool([[*scores[0], [0, 0, 0]]], [0, 0, 1], in_pool_S=[True, True, True, False])
    assert autorank.pool_hash(with_own) == autorank.pool_hash(pool)
    changed = [
        replace(pool, scores_MSN=pool.scores_MSN + [[[0, 0, 1e-9]]]),
        replace(pool, scores_MSN=np.where(pool.scores_MSN == 5, np.nan, pool.scores_MSN)),
        replace(pool, systems=("a", "b", "d")),
        replace(pool, metrics=("another",)),
        replace(pool, documents=("document 0", "another")),
        replace(pool, domains=("news", "social")),
        replace(pool, document_of_N=np.array([0, 1, 1])),
        replace(pool, pair="ja-zh_CN"),
        replace(pool, in_pool_S=np.array([True, True, False])),
    ]
    hashes = {autorank.pool_hash(other) for other in changed}
    assert len(hashes) == len(changed)
    assert autorank.pool_hash(pool) not in hashes


def test_the_hash_takes_minus_zero_for_zero():
    zero, minus = (_pool([[[value, 1.0], [2.0, 3.0]]], [0, 1]) for value in (0.0, -0.0))
    assert autorank.pool_hash(zero) == autorank.pool_hash(minus)


def test_printed_digits():
    assert [autorank.printed_digits(metric) for metric in METRICS] == [3, 1, 1, 1, 3]


@pytest.mark.parametrize(("pair", "num_systems"), [("en-ja_JP", 43), ("ja-zh_CN", 41)])
def test_every_printed_digit_of_the_published_table(pair, num_systems):
    scores, table = WMT25 / f"automatic_scores.{pair}.jsonl.gz", WMT25 / f"published.{pair}.json"
    if not scores.exists():
        pytest.skip(f"{scores} is not there")
    pool = pools(read_rows(scores))[pair]
    assert list(pool.metrics) == METRICS
    means_MS = autorank.system_means(pool)
    autoranks_S = autorank.autorank(means_MS)
    ours = {}
    for position, system in enumerate(pool.systems):
        means = dict(zip(METRICS, means_MS[:, position].tolist(), strict=True))
        ours[system] = {"autorank": round(float(autoranks_S[position]), 1)} | {
            metric: round(mean, autorank.printed_digits(metric)) for metric, mean in means.items()
        }
    published = json.loads(table.read_text())
    assert len(published) == num_systems
    assert ours == published
