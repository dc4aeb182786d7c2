"""Bootstrap resampling of corpus scores: intervals for one system, a paired test for two (Koehn 2004).

Segments are drawn with replacement and the corpus metric is computed anew on each draw from per-segment
sufficient statistics, so 1000 resamples cost 1000 weighted sums, not 1000 evaluations. Two systems are always
compared on the same draws: what makes a segment hard for both cancels out.

Legend: N segments, K statistics per segment, B resamples. `statistics` is an
`in2x.evaluation.metrics.SegmentStatistics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from in2x.evaluation.metrics import SegmentStatistics


@dataclass(frozen=True)
class PairedComparison:
    """System A against B on the same segments; delta = value_a - value_b, positive when A is better."""

    metric: str
    value_a: float
    value_b: float
    delta: float
    low: float  # percentile interval of delta
    high: float
    p_value: float  # two-sided
    num_segments: int


def interval(
    statistics: SegmentStatistics, *, num_resamples: int = 1000, seed: int = 12345, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of the corpus score."""
    totals_BK = _resample(statistics.counts_NK, num_resamples, seed)
    return _percentiles(statistics.score(totals_BK), confidence)


def paired_bootstrap(
    statistics_a: SegmentStatistics,
    statistics_b: SegmentStatistics,
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two systems by paired bootstrap resampling (Koehn 2004).

    Koehn counts the draws in which the better system stays ahead. Here the count is two-sided and never 0:
    p = min(1, 2 (1 + draws in which the better system is not ahead) / (1 + B)), so that p < 0.05 and a 95%
    interval without zero say the same, up to one draw. Equal systems get p = 1.

    Raises:
        ValueError: different metrics or signatures, different numbers of segments, or different references.
    """
    _check_comparable(statistics_a, statistics_b)
    num_columns = statistics_a.counts_NK.shape[1]
    both = np.concatenate([statistics_a.counts_NK, statistics_b.counts_NK], axis=1)
    totals = _resample(both, num_resamples, seed)
    deltas_B = statistics_a.score(totals[:, :num_columns]) - statistics_b.score(totals[:, num_columns:])
    value_a, value_b = statistics_a.value, statistics_b.value
    low, high = _percentiles(deltas_B, confidence)
    return PairedComparison(
        metric=statistics_a.metric,
        value_a=value_a,
        value_b=value_b,
        delta=value_a - value_b,
        low=low,
        high=high,
        p_value=_p_value(deltas_B, value_a - value_b),
        num_segments=len(both),
    )


def _p_value(deltas_B: np.ndarray, delta: float) -> float:
    if delta == 0:
        return 1.0
    not_ahead = int((np.sign(delta) * deltas_B <= 0).sum())
    return min(1.0, 2 * (1 + not_ahead) / (1 + len(deltas_B)))


def _resample(counts_NK: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Sum N rows drawn with replacement, B times: B x K float64 totals (exact, they are integers)."""
    if num_resamples < 1:
        raise ValueError(f"num_resamples: expected at least 1, got {num_resamples}")
    generator = np.random.default_rng(seed)
    num_segments = len(counts_NK)
    counts_NK = np.asarray(counts_NK, dtype=np.float64)
    draws = (generator.integers(num_segments, size=num_segments) for _ in range(num_resamples))
    return np.stack([np.bincount(draw, minlength=num_segments) @ counts_NK for draw in draws])


def _percentiles(values_B: np.ndarray, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values_B, [tail, 1 - tail])
    return float(low), float(high)


def _check_comparable(statistics_a: SegmentStatistics, statistics_b: SegmentStatistics) -> None:
    for field in ("metric", "signature"):
        a, b = getattr(statistics_a, field), getattr(statistics_b, field)
        if a != b:
            raise ValueError(f"systems scored with different {field}s: {a!r} and {b!r}")
    shape_a, shape_b = statistics_a.counts_NK.shape, statistics_b.counts_NK.shape
    if shape_a != shape_b:
        raise ValueError(f"systems scored on {shape_a[0]} and {shape_b[0]} segments; a paired test needs the same")
    columns = list(statistics_a.reference_columns)
    differs = (statistics_a.counts_NK[:, columns] != statistics_b.counts_NK[:, columns]).any(axis=1)
    if differs.any():
        raise ValueError(f"segment {int(differs.argmax())}: the two systems were scored against different references")
