"""How well a metric agrees with human judgement on which of two systems is better.

Soft pairwise accuracy (Thompson, Mathur, Deutsch and Khayrallah 2024; used by the WMT24 metrics task) compares how
*sure* the two are: for each pair of systems a permutation test over segments gives the p-value that the first is
better, once from the human's and once from the metric's scores; the measure is 1 minus the mean absolute difference.
Plain pairwise accuracy and Kendall's tau-b look at the signs of the differences alone.

Ties are handled explicitly. In the permutation test a permutation that equals the observed difference counts half, so
two systems with equal scores get p = 0.5 and the order of the systems does not matter (the WMT24 script counts it in
full, and gives such a pair 1 in either order). In pairwise accuracy a tie agrees with a tie and with nothing else
(acc_eq of Deutsch, Foster and Freitag 2023). Tau-b leaves ties out of the numerator and corrects for them.

Legend: S systems, P = S (S - 1) / 2 pairs, N segments, R permutations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from in2x.evaluation.significance import score_arrays

BLOCK_ROWS = 256
TIE_TOLERANCE = 1e-9  # relative to the sum of all absolute differences of a pair


@dataclass(frozen=True)
class Agreement:
    """A metric against human scores, on the segments that have both."""

    soft_pairwise_accuracy: float  # 0..1, higher is better
    pairwise_accuracy: float  # share of pairs of systems with the same sign, tie = tie
    kendall_tau: float | None  # tau-b, -1..1; None where one side ties every pair
    num_systems: int
    num_pairs: int
    num_human_ties: int  # pairs of systems with equal human scores
    num_metric_ties: int
    min_segments: int  # of all pairs: segments with all four scores


def agreement(
    metric: Mapping[str, Sequence[float | None]],
    human: Mapping[str, Sequence[float | None]],
    *,
    num_permutations: int = 1000,
    seed: int = 12345,
) -> Agreement:
    """Compare a metric with human scores; both are system -> one score per segment, in the same order.

    Higher must be better on both sides: negate an error rate. Missing scores (None or NaN) are dropped pairwise: two
    systems are compared on the segments for which both have both scores.

    Raises:
        ValueError: different systems or numbers of segments, or two systems without a segment in common.
    """
    if set(metric) != set(human):
        odd = sorted(set(metric) ^ set(human))
        raise ValueError(f"metric and human scores are of different systems; only one side has {', '.join(odd)}")
    systems = list(human)
    metric_NP, human_NP, shared_NP = _paired_differences(metric, human, systems)
    p_metric_P = permutation_p_values(metric_NP, num_permutations=num_permutations, seed=seed)
    p_human_P = permutation_p_values(human_NP, num_permutations=num_permutations, seed=seed)
    signs_metric_P, signs_human_P = _signs(metric_NP), _signs(human_NP)
    return Agreement(
        soft_pairwise_accuracy=float(1 - np.abs(p_metric_P - p_human_P).mean()),
        pairwise_accuracy=float((signs_metric_P == signs_human_P).mean()),
        kendall_tau=kendall_tau_b(signs_metric_P, signs_human_P),
        num_systems=len(systems),
        num_pairs=len(signs_human_P),
        num_human_ties=int((signs_human_P == 0).sum()),
        num_metric_ties=int((signs_metric_P == 0).sum()),
        min_segments=int(shared_NP.sum(axis=0).min()),
    )


def permutation_p_values(differences_NP: np.ndarray, *, num_permutations: int = 1000, seed: int = 12345) -> np.ndarray:
    """Return, for each of P columns of paired differences a - b, the one-sided p-value that a is better.

    In each permutation every difference changes its sign with probability 1/2; p is the share of permutations whose
    sum exceeds the observed one, an equal sum counting half. Permutations come in pairs of opposite signs, so that
    swapping a and b turns p into 1 - p exactly. All 2^N are taken where they are no more than asked for. A
    difference of 0 changes nothing: it may stand for a segment that the pair has no scores for.

    Raises:
        ValueError: an odd number of permutations, or fewer than 2.
    """
    if num_permutations < 2 or num_permutations % 2:
        raise ValueError(f"num_permutations: expected an even number of at least 2, got {num_permutations}")
    differences_NP = np.asarray(differences_NP, dtype=np.float64)
    observed_P, slack_P = differences_NP.sum(axis=0), TIE_TOLERANCE * np.abs(differences_NP).sum(axis=0)
    signs_RN = _sign_vectors(len(differences_NP), num_permutations // 2, seed)
    above_P = np.zeros(differences_NP.shape[1])
    for start in range(0, len(signs_RN), BLOCK_ROWS):
        sums_RP = signs_RN[start : start + BLOCK_ROWS].astype(np.float64) @ differences_NP
        for sums in (sums_RP, -sums_RP):
            ties_RP = np.abs(sums - observed_P) <= slack_P
            above_P += np.where(ties_RP, 0.5, sums > observed_P).sum(axis=0)
    return above_P / (2 * len(signs_RN))


def kendall_tau_b(signs_a_P: np.ndarray, signs_b_P: np.ndarray) -> float | None:
    """Return Kendall's tau-b from the signs (-1, 0, 1) of all pairs; None where one side has ties only."""
    untied = float((signs_a_P != 0).sum()) * float((signs_b_P != 0).sum())
    return float((signs_a_P * signs_b_P).sum() / np.sqrt(untied)) if untied else None


def _paired_differences(metric, human, systems: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N x P differences by metric and by human, 0 where a score is missing, and where none is."""
    metric_arrays, human_arrays = score_arrays(metric), score_arrays(human)
    sizes = [len(arrays[systems[0]]) for arrays in (metric_arrays, human_arrays)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{sizes[0]} metric scores but {sizes[1]} human scores for each system")
    pairs = list(combinations(systems, 2))
    columns = [np.stack([arrays[a] - arrays[b] for a, b in pairs], axis=1) for arrays in (metric_arrays, human_arrays)]
    shared_NP = ~np.isnan(columns[0]) & ~np.isnan(columns[1])
    apart = np.flatnonzero(~shared_NP.any(axis=0))
    if len(apart):
        raise ValueError(f"{' and '.join(map(repr, pairs[apart[0]]))} have no scored segment in common")
    metric_NP, human_NP = (np.where(shared_NP, differences, 0.0) for differences in columns)
    return metric_NP, human_NP, shared_NP


def _signs(differences_NP: np.ndarray) -> np.ndarray:
    """Return the sign of each column's sum, 0 where it is within rounding of 0."""
    sums_P = differences_NP.sum(axis=0)
    return np.where(np.abs(sums_P) <= TIE_TOLERANCE * np.abs(differences_NP).sum(axis=0), 0, np.sign(sums_P))


def _sign_vectors(num_segments: int, num_vectors: int, seed: int) -> np.ndarray:
    """Return int8 rows of +1 and -1: drawn, or where they are few enough, one of each pair of opposites."""
    if num_segments <= 40 and 2 ** (num_segments - 1) <= num_vectors:
        rows = np.arange(2 ** (num_segments - 1))[:, None]
        bits = rows >> np.arange(num_segments) & 1
    else:
        bits = np.random.default_rng(seed).integers(2, size=(num_vectors, num_segments), dtype=np.int8)
    return (2 * bits - 1).astype(np.int8)
