"""Differences between arms: paired in segments and seeds, by hand where that is possible."""

import math

import numpy as np
import pytest

from in2x.ablation.analysis import last_quarter, mean_series, results
from in2x.evaluation.metrics import SegmentStatistics


def mean_statistics(values) -> SegmentStatistics:
    """A corpus score that is the plain mean of one number for each segment."""
    counts = np.stack([np.asarray(values, dtype=float), np.ones(len(values))], axis=1)
    return SegmentStatistics("mean", "mean", counts, (), lambda totals: totals[:, 0] / totals[:, 1])


def test_scores_and_differences_by_hand():
    rng = np.random.default_rng(0)
    base = rng.normal(50, 5, size=200)
    full = [mean_statistics(base), mean_statistics(base + 1)]
    worse = [mean_statistics(base - 2), mean_statistics(base - 1)]  # each seed 2 below its own
    same, arm = results({"full": full, "token": worse}, "mean")
    assert same.by_seed == pytest.approx((base.mean(), base.mean() + 1)) and same.delta is None
    assert same.value == pytest.approx(base.mean() + 0.5) and same.low < same.value < same.high
    assert arm.delta == pytest.approx(-2)
    assert (arm.delta_low, arm.delta_high) == pytest.approx((-2, -2))  # pairing takes segments and seeds out
    assert arm.p_value == pytest.approx(2 / 1001) and arm.p_holm == pytest.approx(2 / 1001)


def test_the_spread_of_seeds_widens_the_interval():
    rng = np.random.default_rng(1)
    base = rng.normal(50, 1, size=400)
    full = [mean_statistics(base)] * 3
    near = [mean_statistics(base + shift) for shift in (0.9, 1.0, 1.1)]
    far = [mean_statistics(base + shift) for shift in (-4.0, 1.0, 6.0)]
    _, steady, wild = results({"full": full, "token": near, "sequence": far}, "mean")
    assert steady.delta == pytest.approx(wild.delta) == pytest.approx(1)
    assert steady.p_holm < 0.05 < wild.p_holm
    assert wild.delta_low < 0 < wild.delta_high and steady.delta_low > 0.85


def test_equal_arms_are_not_told_apart():
    base = mean_statistics(np.arange(20.0))
    _, arm = results({"full": [base, base], "token": [base, base]}, "mean")
    assert (arm.delta, arm.delta_low, arm.delta_high, arm.p_value) == (0, 0, 0, 1)


def test_holm_is_over_the_arms():
    rng = np.random.default_rng(2)
    base = rng.normal(0, 1, size=100)
    arms = {
        name: [mean_statistics(base + 0.08 * rng.normal(size=100) + 0.02)] for name in ("token", "sequence", "grpo")
    }
    rows = results({"full": [mean_statistics(base)]} | arms, "mean")[1:]
    least = min(rows, key=lambda row: row.p_value)
    assert least.p_holm == pytest.approx(min(1, 3 * least.p_value))


def test_uneven_arms_are_refused():
    one = mean_statistics([1.0, 2.0])
    with pytest.raises(ValueError, match="as many seeds"):
        results({"full": [one, one], "token": [one]}, "mean")
    with pytest.raises(ValueError, match="full"):
        results({"token": [one]}, "mean")


def test_last_quarter_and_mean_series():
    log = [{"step": step, "reward": float(step)} for step in range(1, 9)]
    assert last_quarter(log, "reward") == 7.5
    assert math.isnan(last_quarter(log, "entropy"))
    other = [{"step": step, "reward": 0.0} for step in range(2, 12)]
    steps, means = mean_series([log, other], "reward")
    assert steps == list(range(2, 9)) and means == [step / 2 for step in steps]
