"""Tests of paired differences: approximate randomisation, Wilcoxon rank clusters, Holm's correction, effect size.

Corpus scores are tested by randomisation over sufficient statistics, per-segment scores (human or metric) by
Wilcoxon's signed-rank test. A unit is a segment, or a document where statistics were summed by
`in2x.evaluation.bootstrap.by_document`.

Legend: N units, K statistics per unit, B resamples, R permutations, P pairs of systems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from in2x.evaluation.bootstrap import (
    BLOCK_CELLS,
    check_comparable,
    check_systems,
    exact_floats,
    multiplicities,
    percentiles,
    system_pairs,
)

if TYPE_CHECKING:
    from in2x.evaluation.metrics import SegmentStatistics

ENUMERABLE = 13  # differences of the signed-rank test, up to which SciPy is exact with ties too
TIE_TOLERANCE = 1e-9  # two scores nearer than this are equal: sums in another order differ by about 1e-13


@dataclass(frozen=True)
class RankedSystem:
    """One row of a ranking by mean score.

    Example: RankedSystem("In2x", 88.1, rank_best=2, rank_worst=4, cluster=2, num_wins=3, num_losses=1, num_scores=634)
    """

    system: str
    mean: float
    rank_best: int  # 1 + systems that beat it
    rank_worst: int  # number of systems - systems that it beats
    cluster: int  # 1 is the best
    num_wins: int
    num_losses: int
    num_scores: int  # that the mean is over


@dataclass(frozen=True)
class EffectSize:
    """Standardised paired difference (Cohen's d_z) with its percentile bootstrap interval.

    All three are None where it is undefined: a difference that is the same, and not 0, in every pair.
    """

    value: float | None
    low: float | None
    high: float | None
    num_pairs: int


def paired_randomisation(
    statistics_a: SegmentStatistics,
    statistics_b: SegmentStatistics,
    *,
    num_permutations: int = 10_000,
    seed: int = 12345,
) -> float:
    """Return the two-sided p-value of paired approximate randomisation (Riezler and Maxwell 2005).

    In each permutation the two outputs of every unit change places with probability 1/2. p = (c + 1) / (R + 1) with
    c the permutations whose absolute difference of corpus scores is at least the observed one.

    Raises:
        ValueError: different metrics or signatures, different numbers of segments, or different references.
    """
    check_comparable(statistics_a, statistics_b)
    metric = statistics_a.metric
    systems = {"a": {metric: statistics_a}, "b": {metric: statistics_b}}
    return paired_randomisations(systems, num_permutations=num_permutations, seed=seed)[metric, "a", "b"]


def paired_randomisations(
    systems: Mapping[str, Mapping[str, SegmentStatistics]],
    *,
    baseline: str | None = None,
    num_permutations: int = 10_000,
    seed: int = 12345,
) -> dict[tuple[str, str, str], float]:
    """Run `paired_randomisation` for many systems on the same permutations: each against `baseline`, or all pairs.

    `systems` is system -> metric -> statistics; the result is (metric, system_a, system_b) -> p-value.
    """
    check_systems(systems)
    pairs = system_pairs(list(systems), baseline)
    columns, counts_NK = _lay_side_by_side(systems)
    sums_K = counts_NK.sum(axis=0, dtype=np.float64)
    metrics = list(next(iter(systems.values())))
    values = {(system, metric): row[metric].value for system, row in systems.items() for metric in metrics}
    at_least = {(metric, a, b): 0 for metric in metrics for a, b in pairs}
    for swapped_RN in _coin_flips(len(counts_NK), num_permutations, seed):
        swapped_RK = (swapped_RN.astype(counts_NK.dtype) @ counts_NK).astype(np.float64)
        kept_RK = sums_K - swapped_RK
        for metric, a, b in at_least:
            in_a, in_b, score = columns[a, metric], columns[b, metric], systems[a][metric].score
            shuffled_a_R = score(kept_RK[:, in_a] + swapped_RK[:, in_b])
            shuffled_b_R = score(kept_RK[:, in_b] + swapped_RK[:, in_a])
            observed = abs(values[a, metric] - values[b, metric])
            at_least[metric, a, b] += int((np.abs(shuffled_a_R - shuffled_b_R) >= observed - TIE_TOLERANCE).sum())
    return {key: (count + 1) / (num_permutations + 1) for key, count in at_least.items()}


def rank_clusters(
    scores: Mapping[str, Sequence[float | None]],
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    means: str = "shared",
) -> tuple[RankedSystem, ...]:
    """Rank systems by mean score and cut the ranking into clusters with Wilcoxon's signed-rank test, as WMT does.

    `scores` is system -> one score per segment, all in the same order, None or NaN where there is none. Means are
    over the segments that all systems have ("shared"), or over each system's own ("own"; WMT's way, which may rank
    systems by which segments they were scored on). A pair is tested on the segments that both have.

    The better mean is tested one-sided at alpha / 2 (WMT25's script; WMT24's tests two-sided at alpha, which agrees
    where ranks and means point the same way). Rank ranges count wins and losses against all others, and a cluster
    ends where every system above beats every system below (WMT24's script). Unlike WMT24's, segments of all domains
    are pooled; unlike WMT25's, no score is used twice.

    Raises:
        ValueError: fewer than two systems, unequal lengths, or systems without a segment in common.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: expected a number between 0 and 1, got {alpha}")
    arrays = score_arrays(scores)
    averaged = _averaged(arrays, means)
    sign = 1 if higher_is_better else -1
    values = {system: float(array.mean()) for system, array in averaged.items()}
    order = sorted(values, key=lambda system: -sign * values[system])  # stable: equal means keep the given order
    beats = _wins(order, arrays, sign, alpha / 2)
    num_wins, num_losses = beats.sum(axis=1).tolist(), beats.sum(axis=0).tolist()
    clusters = _clusters(beats)
    return tuple(
        RankedSystem(
            system=system,
            mean=values[system],
            rank_best=1 + num_losses[i],
            rank_worst=len(order) - num_wins[i],
            cluster=clusters[i],
            num_wins=num_wins[i],
            num_losses=num_losses[i],
            num_scores=len(averaged[system]),
        )
        for i, system in enumerate(order)
    )


def signed_rank_p_value(differences: Sequence[float], alternative: str = "greater") -> float:
    """Return the p-value of Wilcoxon's signed-rank test; NaN and zero differences are dropped, none left gives 1.

    As SciPy's, by its own choice of method: exact for up to 13 differences, for up to 50 where no two are of equal
    size, else by the normal approximation.
    """
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[~np.isnan(differences) & (differences != 0)]
    if not len(differences):
        return 1.0
    if len(differences) <= ENUMERABLE and alternative == "greater":
        return _exact_signed_rank(differences)
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences, alternative=alternative).pvalue)


def _exact_signed_rank(differences: np.ndarray) -> float:
    """P(sum of the positive ranks >= the observed one) when each of the 2^n choices of signs is as likely.

    Ties share their mean rank; doubled, ranks are whole, and the sums' distribution is a product of (1 + x^rank).
    """
    sizes = np.abs(differences)
    doubled = 2 * (sizes[:, None] > sizes).sum(axis=1) + (sizes[:, None] == sizes).sum(axis=1) + 1
    ways = np.zeros(1 + doubled.sum())
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[:-rank]
    return float(ways[doubled[differences > 0].sum() :].sum() / 2.0 ** len(doubled))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for testing all of them (Holm 1979); compared with alpha, they bound the chance of any error.

    The i-th smallest of m is multiplied by m - i (i from 0), raised to its predecessor's if that is larger, and
    clipped to 1.

    Raises:
        ValueError: a value outside 0..1.
    """
    wrong = next((p for p in p_values if not 0 <= p <= 1), None)
    if wrong is not None:
        raise ValueError(f"p_values: expected numbers from 0 to 1, got {wrong}")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for i, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - i) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def effect_size(
    scores_a: Sequence[float | None],
    scores_b: Sequence[float | None],
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
) -> EffectSize:
    """Return mean(a - b) / std(a - b) over paired segments: Cohen's d_z, with the sample standard deviation.

    Segments that either system has no score for are dropped.

    Raises:
        ValueError: unequal lengths, or fewer than two pairs.
    """
    arrays = score_arrays({"a": scores_a, "b": scores_b})
    differences_N = arrays["a"] - arrays["b"]
    differences_NP = differences_N[~np.isnan(differences_N), None]
    return effect_sizes(differences_NP, num_resamples=num_resamples, seed=seed, confidence=confidence)[0]


def effect_sizes(
    differences_NP: np.ndarray, *, num_resamples: int = 1000, seed: int = 12345, confidence: float = 0.95
) -> list[EffectSize]:
    """Return the effect size of each of P columns of paired differences, all on the same resamples."""
    num_pairs = len(differences_NP)
    if num_pairs < 2:
        raise ValueError(f"an effect size needs at least two paired scores, got {num_pairs}")
    means_P = differences_NP.mean(axis=0)
    centred_NP = differences_NP - means_P
    blocks = multiplicities(num_pairs, num_resamples, seed)
    moments = np.concatenate([block.astype(np.float64) @ np.hstack([centred_NP, centred_NP**2]) for block in blocks])
    shifts_BP, squares_BP = np.split(moments / num_pairs, 2, axis=1)
    variances_BP = np.maximum(squares_BP - shifts_BP**2, 0)
    values_P = _standardised(means_P, (centred_NP**2).mean(axis=0), num_pairs)
    values_BP = _standardised(means_P + shifts_BP, variances_BP, num_pairs)
    return [
        _effect_size(value, values_B, confidence, num_pairs)
        for value, values_B in zip(values_P, values_BP.T, strict=True)
    ]


def score_arrays(scores: Mapping[str, Sequence[float | None]]) -> dict[str, np.ndarray]:
    """Read system -> scores as float64 arrays of one length, NaN where a score is missing."""
    if len(scores) < 2:
        raise ValueError(f"expected at least two systems, got {list(scores)}")
    arrays = {system: np.array(list(values), dtype=np.float64) for system, values in scores.items()}
    (first, expected), *others = arrays.items()
    for system, array_N in others:
        if len(array_N) != len(expected):
            raise ValueError(
                f"{first!r} has {len(expected)} scores and {system!r} {len(array_N)}; a pair needs the same"
            )
    empty = next((system for system, array_N in arrays.items() if np.isnan(array_N).all()), None)
    if empty is not None:
        raise ValueError(f"{empty!r} has no score at all")
    return arrays


def _lay_side_by_side(systems) -> tuple[dict[tuple[str, str], slice], np.ndarray]:
    """Put all statistics into one N x K matrix; returns the columns of each (system, metric), and the matrix."""
    columns, parts, width = {}, [], 0
    for system, row in systems.items():
        for metric, statistics in row.items():
            parts.append(statistics.counts_NK)
            columns[system, metric] = slice(width, width := width + parts[-1].shape[1])
    return columns, exact_floats(np.concatenate(parts, axis=1))


def _coin_flips(num_units: int, num_permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Yield, block by block, R x N booleans; blocks of 32 rows keep the stream that one large draw would give."""
    if num_permutations < 1:
        raise ValueError(f"num_permutations: expected at least 1, got {num_permutations}")
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // num_units // 32) * 32
    for start in range(0, num_permutations, block):
        yield generator.integers(2, size=(min(block, num_permutations - start), num_units), dtype=bool)


def _averaged(arrays: Mapping[str, np.ndarray], means: str) -> dict[str, np.ndarray]:
    """Return the scores that each system's mean is over."""
    if means not in ("shared", "own"):
        raise ValueError(f"means: expected 'shared' or 'own', got {means!r}")
    scored = {system: ~np.isnan(array_N) for system, array_N in arrays.items()}
    shared_N = np.logical_and.reduce(list(scored.values()))
    if means == "shared" and not shared_N.any():
        raise ValueError(f"no segment is scored for all of {', '.join(arrays)}; means='own' averages each system's own")
    return {system: arrays[system][shared_N if means == "shared" else scored[system]] for system in arrays}


def _wins(order: Sequence[str], arrays: Mapping[str, np.ndarray], sign: int, alpha: float) -> np.ndarray:
    """Test each system against those ranked below: `[i, j]` is whether i is significantly better than j."""
    beats = np.zeros((len(order), len(order)), dtype=bool)
    for i, j in combinations(range(len(order)), 2):
        differences = sign * (arrays[order[i]] - arrays[order[j]])
        if np.isnan(differences).all():
            raise ValueError(f"{order[i]!r} and {order[j]!r} have no scored segment in common")
        beats[i, j] = signed_rank_p_value(differences) < alpha
    return beats


def _clusters(beats: np.ndarray) -> list[int]:
    """Number the clusters of a ranking, best first; `beats[i, j]`: i is ahead of j and significantly better."""
    num_systems = len(beats)
    ends = [beats[: i + 1, i + 1 :].all() for i in range(num_systems - 1)]
    return (1 + np.concatenate([[0], np.cumsum(ends)]).astype(int)).tolist()


def _standardised(means: np.ndarray, variances: np.ndarray, num_pairs: int) -> np.ndarray:
    """Divide means by sample standard deviations; 0 / 0 is 0, anything else / 0 is NaN."""
    deviations = np.sqrt(variances * num_pairs / (num_pairs - 1))
    constant = deviations <= TIE_TOLERANCE
    undefined = np.where(np.abs(means) <= TIE_TOLERANCE, 0.0, np.nan)
    return np.where(constant, undefined, means / np.where(constant, 1, deviations))


def _effect_size(value: float, values_B: np.ndarray, confidence: float, num_pairs: int) -> EffectSize:
    values_B = values_B[~np.isnan(values_B)]
    if np.isnan(value) or not len(values_B):
        return EffectSize(None, None, None, num_pairs)
    return EffectSize(float(value), *percentiles(values_B, confidence), num_pairs)
