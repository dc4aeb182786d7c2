"""Bootstrap resampling of corpus scores: intervals for one system, a paired test for two or many (Koehn 2004).

Segments, or whole documents (`by_document`), are drawn with replacement and the corpus metric is computed anew on
each draw from sufficient statistics. All draws of all systems and metrics are one matrix product: how often each unit
was drawn (B x N) times the statistics (N x K). Systems are always compared on the same draws: what makes a segment
hard for both cancels out.

Legend: M systems or metrics, N units (segments or documents), K statistics per unit, B resamples. `statistics` is an
`in2x.evaluation.metrics.SegmentStatistics`. Draws are sacreBLEU's: the same seed gives the same resamples.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from in2x.evaluation.metrics import SegmentStatistics

BLOCK_CELLS = 2**18  # draws held at a time
FLOAT32_INTEGERS = 2**24  # float32 adds whole numbers exactly below this


@dataclass(frozen=True)
class PairedComparison:
    """System A against B on the same segments; delta = value_a - value_b, positive when A is better."""

    metric: str
    value_a: float
    value_b: float
    delta: float
    low: float  # percentile interval of delta
    high: float
    p_value: float  # two-sided, unless another definition was asked for
    num_segments: int  # documents, where statistics were summed by document


def interval(
    statistics: SegmentStatistics, *, num_resamples: int = 1000, seed: int = 12345, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of the corpus score."""
    (scores_B,) = resampled_scores([statistics], num_resamples=num_resamples, seed=seed)
    return percentiles(scores_B, confidence)


def paired_bootstrap(
    statistics_a: SegmentStatistics,
    statistics_b: SegmentStatistics,
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
    definition: str = "two-sided",
) -> PairedComparison:
    """Compare two systems by paired bootstrap resampling; `definition` is a row of `P_VALUES`.

    Raises:
        ValueError: different metrics or signatures, different numbers of segments, or different references.
    """
    check_comparable(statistics_a, statistics_b)
    both = [statistics_a, statistics_b]
    scores_a_B, scores_b_B = resampled_scores(both, num_resamples=num_resamples, seed=seed)
    return _compare(statistics_a, statistics_b, scores_a_B - scores_b_B, confidence, definition)


def paired_bootstraps(
    systems: Mapping[str, Mapping[str, SegmentStatistics]],
    *,
    baseline: str | None = None,
    num_resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
    definition: str = "two-sided",
) -> dict[tuple[str, str, str], PairedComparison]:
    """Compare many systems by all their metrics on the same draws: each against `baseline`, or all pairs.

    `systems` is system -> metric -> statistics; the result is (metric, system_a, system_b) -> comparison, equal to
    what `paired_bootstrap` says of each pair.

    Raises:
        ValueError: fewer than two systems, an unknown baseline, or systems that are not comparable.
    """
    check_systems(systems)
    pairs = system_pairs(list(systems), baseline)
    statistics = {(system, metric): found for system, row in systems.items() for metric, found in row.items()}
    resampled = resampled_scores(list(statistics.values()), num_resamples=num_resamples, seed=seed)
    scores_B = dict(zip(statistics, resampled, strict=True))
    return {
        (metric, a, b): _compare(
            systems[a][metric], systems[b][metric], scores_B[a, metric] - scores_B[b, metric], confidence, definition
        )
        for metric in next(iter(systems.values()))
        for a, b in pairs
    }


def resampled_scores(
    statistics: Sequence[SegmentStatistics], *, num_resamples: int = 1000, seed: int = 12345
) -> np.ndarray:
    """Score M statistics of the same N units on the same B draws: an M x B array."""
    sizes = [len(one.counts_NK) for one in statistics]
    if len(set(sizes)) != 1:
        raise ValueError(f"statistics of {sorted(set(sizes))} segments; draws can only be shared among the same")
    edges = np.cumsum([one.counts_NK.shape[1] for one in statistics])[:-1]
    totals_BK = _resample(np.concatenate([one.counts_NK for one in statistics], axis=1), num_resamples, seed)
    parts = np.split(totals_BK, edges, axis=1)
    return np.stack([one.score(part) for one, part in zip(statistics, parts, strict=True)])


def by_document(statistics: SegmentStatistics, document_ids: Sequence[Hashable]) -> SegmentStatistics:
    """Sum the statistics of each document's segments: the unit of every test is then the document.

    Documents keep the order in which they first appear. The corpus score does not change.

    Raises:
        ValueError: not one id per segment, or an id that is None.
    """
    if len(document_ids) != len(statistics.counts_NK):
        raise ValueError(f"{len(document_ids)} document ids for {len(statistics.counts_NK)} segments")
    if None in document_ids:
        raise ValueError(f"segment {list(document_ids).index(None)} has no document id")
    rows = {document: row for row, document in enumerate(dict.fromkeys(document_ids))}
    counts_NK = np.zeros((len(rows), statistics.counts_NK.shape[1]), dtype=statistics.counts_NK.dtype)
    np.add.at(counts_NK, [rows[document] for document in document_ids], statistics.counts_NK)
    return replace(statistics, counts_NK=counts_NK)


def multiplicities(num_units: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield, block by block, how often each of N units is drawn in each of B resamples: (rows of B) x N counts."""
    if num_resamples < 1:
        raise ValueError(f"num_resamples: expected at least 1, got {num_resamples}")
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // num_units)
    for start in range(0, num_resamples, block):
        num_rows = min(block, num_resamples - start)
        draws = generator.integers(num_units, size=(num_rows, num_units))
        draws += np.arange(num_rows)[:, None] * num_units
        yield np.bincount(draws.reshape(-1), minlength=draws.size).reshape(draws.shape)


def exact_floats(counts_NK: np.ndarray) -> np.ndarray:
    """Cast counts for a matrix product: to float32 where no sum of N rows can be rounded, else to float64."""
    counts_NK = np.asarray(counts_NK)
    largest = np.abs(counts_NK).max(initial=0) * len(counts_NK)
    exact = largest < FLOAT32_INTEGERS and bool((counts_NK == np.floor(counts_NK)).all())
    return counts_NK.astype(np.float32 if exact else np.float64)


def percentiles(values_B: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the interval that holds the middle `confidence` (0..1) of the values."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values_B, [tail, 1 - tail])
    return float(low), float(high)


def system_pairs(systems: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """List the pairs to compare: every other system against the baseline, or each pair once."""
    if baseline is None:
        return list(combinations(systems, 2))
    if baseline not in systems:
        raise ValueError(f"baseline {baseline!r} is not among the systems: {', '.join(systems)}")
    return [(system, baseline) for system in systems if system != baseline]


def check_systems(systems: Mapping[str, Mapping[str, SegmentStatistics]]) -> None:
    """Refuse systems that differ in metrics, signatures, segments or references."""
    if len(systems) < 2:
        raise ValueError(f"expected at least two systems to compare, got {list(systems)}")
    (first, expected), *others = systems.items()
    for system, found in others:
        if list(found) != list(expected):
            raise ValueError(f"system {system!r} has metrics {list(found)}, but {first!r} has {list(expected)}")
        for metric in expected:
            try:
                check_comparable(expected[metric], found[metric])
            except ValueError as error:
                raise ValueError(f"{first!r} and {system!r}, {metric}: {error}") from None


def check_comparable(statistics_a: SegmentStatistics, statistics_b: SegmentStatistics) -> None:
    """Refuse two systems' statistics that a paired test must not compare."""
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


def _compare(statistics_a, statistics_b, deltas_B: np.ndarray, confidence: float, definition: str) -> PairedComparison:
    if definition not in P_VALUES:
        raise ValueError(f"definition: expected one of {', '.join(P_VALUES)}, got {definition!r}")
    value_a, value_b = statistics_a.value, statistics_b.value
    low, high = percentiles(deltas_B, confidence)
    return PairedComparison(
        metric=statistics_a.metric,
        value_a=value_a,
        value_b=value_b,
        delta=value_a - value_b,
        low=low,
        high=high,
        p_value=P_VALUES[definition](deltas_B, value_a - value_b),
        num_segments=len(statistics_a.counts_NK),
    )


def _two_sided(deltas_B: np.ndarray, delta: float) -> float:
    """Count the draws in which the better system stays ahead (Koehn 2004), two-sided and never 0.

    p = min(1, 2 (1 + draws in which the better system is not ahead) / (1 + B)), so that p < 0.05 and a 95% interval
    without zero say the same, up to one draw. Equal systems get p = 1.
    """
    if delta == 0:
        return 1.0
    not_ahead = int((np.sign(delta) * deltas_B <= 0).sum())
    return min(1.0, 2 * (1 + not_ahead) / (1 + len(deltas_B)))


def _sacrebleu(deltas_B: np.ndarray, delta: float) -> float:
    """Shift the draws' absolute differences to mean 0 and count those above the observed one, as sacreBLEU does.

    p = (1 + count) / (1 + B); where one system is clearly ahead this is one-sided, about half of `_two_sided`.
    """
    differences_B = np.abs(deltas_B)
    above = int((differences_B - differences_B.mean() > abs(delta)).sum())
    return (1 + above) / (1 + len(deltas_B))


P_VALUES = {"two-sided": _two_sided, "sacrebleu": _sacrebleu}


def _resample(counts_NK: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Sum N rows drawn with replacement, B times: B x K float64 totals, exact where the counts are whole numbers."""
    counts_NK = exact_floats(counts_NK)
    blocks = multiplicities(len(counts_NK), num_resamples, seed)
    return np.concatenate([block.astype(counts_NK.dtype) @ counts_NK for block in blocks]).astype(np.float64)
