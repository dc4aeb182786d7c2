"""How well a score agrees with people: pair accuracy and correlation, with bootstrap intervals.

A *pair* is two texts of which people prefer the first. Its *unit* is what is drawn in the bootstrap: the document, or
the segment where no document is known. Pairs of a unit are alike, so that drawing pairs would give intervals that are
too narrow.

Legend: N pairs or texts, U units, B resamples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

NUM_RESAMPLES, SEED, CONFIDENCE = 2000, 12345, 0.95
TIE = 1e-9  # relative: differences below it are rounding


@dataclass(frozen=True)
class PairAccuracy:
    """accuracy: share of pairs in which the preferred text scores higher, ties counting half; low, high: interval."""

    num_pairs: int
    num_units: int
    num_missing: int
    accuracy: float
    low: float
    high: float
    ties: float


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation, and Pearson's, of a score with a person's; intervals over units."""

    num: int
    spearman: float
    spearman_low: float
    spearman_high: float
    pearson: float


def pair_accuracy(
    better_N: Sequence[float],
    worse_N: Sequence[float],
    units_N: Sequence[Hashable],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
) -> PairAccuracy | None:
    """Compare the scores of preferred and other texts; pairs with a NaN are counted as missing. None: no pair is left.

    The interval is the percentile bootstrap over units, the accuracy of a resample the ratio of its sums.

    Raises:
        ValueError: lists of different lengths.
    """
    better_N, worse_N = np.asarray(better_N, dtype=float), np.asarray(worse_N, dtype=float)
    if not len(better_N) == len(worse_N) == len(units_N):
        raise ValueError(f"{len(better_N)} preferred, {len(worse_N)} other texts, {len(units_N)} units")
    there_N = np.isfinite(better_N) & np.isfinite(worse_N)
    if not there_N.any():
        return None
    difference_N = (better_N - worse_N)[there_N]
    tied_N = np.abs(difference_N) <= TIE * np.maximum(1.0, np.abs(better_N[there_N]))
    won_N = np.where(tied_N, 0.5, difference_N > 0)
    places_N, num_units = _places([unit for unit, there in zip(units_N, there_N, strict=True) if there])
    won_U, pairs_U = np.bincount(places_N, weights=won_N), np.bincount(places_N)
    draws_BU = _draws(num_units, num_resamples, seed)
    low, high = _percentiles((draws_BU @ won_U) / (draws_BU @ pairs_U))
    return PairAccuracy(
        int(there_N.sum()), num_units, int((~there_N).sum()), float(won_N.mean()), low, high, float(tied_N.mean())
    )


def correlation(
    scores_N: Sequence[float],
    human_N: Sequence[float],
    units_N: Sequence[Hashable],
    *,
    num_resamples: int = 300,
    seed: int = SEED,
) -> Correlation | None:
    """Correlate a score with a person's over all texts; None where either is constant or nothing is left.

    Over texts of different sources a correlation also rewards knowing which sources are hard; pairs don't.

    Raises:
        ValueError: lists of different lengths.
    """
    scores_N, human_N = np.asarray(scores_N, dtype=float), np.asarray(human_N, dtype=float)
    if not len(scores_N) == len(human_N) == len(units_N):
        raise ValueError(f"{len(scores_N)} scores, {len(human_N)} human scores, {len(units_N)} units")
    there_N = np.isfinite(scores_N) & np.isfinite(human_N)
    scores_N, human_N = scores_N[there_N], human_N[there_N]
    if len(scores_N) < 3 or not scores_N.std() > 0 or not human_N.std() > 0:
        return None
    places_N, num_units = _places([unit for unit, there in zip(units_N, there_N, strict=True) if there])
    rows_of = [np.flatnonzero(places_N == unit) for unit in range(num_units)]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(num_resamples):
        rows = np.concatenate([rows_of[unit] for unit in rng.integers(num_units, size=num_units)])
        drawn.append(_spearman(scores_N[rows], human_N[rows]))
    low, high = _percentiles(np.array(drawn))
    pearson = float(np.corrcoef(scores_N, human_N)[0, 1])
    return Correlation(len(scores_N), _spearman(scores_N, human_N), low, high, pearson)


def ranked_pairs(items_N: Sequence[Hashable], human_N: Sequence[float], min_gap: float) -> list[tuple[int, int]]:
    """(better, worse) row numbers of all pairs of texts of one item whose human scores are `min_gap` or more apart."""
    by_item: dict[Hashable, list[int]] = {}
    for row, item in enumerate(items_N):
        by_item.setdefault(item, []).append(row)
    return [
        (a, b) if human_N[a] > human_N[b] else (b, a)
        for rows in by_item.values()
        for a, b in combinations(rows, 2)
        if abs(human_N[a] - human_N[b]) >= max(min_gap, TIE)
    ]


def _places(units: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    """The number of each element's unit, in order of appearance, and how many there are."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(unit, len(numbers)) for unit in units]), len(numbers)


def _draws(num_units: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each unit is drawn in each resample, B x U."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_units, np.full(num_units, 1 / num_units), size=num_resamples)


def _percentiles(values_B: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values_B, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def _spearman(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Pearson's correlation of the ranks, ties at their mean rank; NaN where one side is constant."""
    from scipy.stats import rankdata

    ranks_a, ranks_b = rankdata(a_N), rankdata(b_N)
    if not ranks_a.std() > 0 or not ranks_b.std() > 0:
        return float("nan")
    return float(np.corrcoef(ranks_a, ranks_b)[0, 1])
