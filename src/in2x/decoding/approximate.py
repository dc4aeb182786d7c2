"""MBR with fewer utilities: approximations of `in2x.decoding.mbr.select`, for utilities that are dear.

| function | utilities for H candidates, R pseudo-references | gives up |
|---|---|---|
| select (exact) | H R | nothing |
| select_aggregated | none; chrF against one mean reference, time linear in H + R | the mean over references |
| select_coarse_to_fine | keep R, after the above | candidates that the mean reference ranks below `keep` |
| select_pruned | H R at most; less, the more R there are | candidates that lose on a sample of the pseudo-references |

How often they choose as exact MBR does, on the outputs of WMT23's 16 systems (English to Japanese, 2,074 segments;
`benchmarks/mbr_agreement.py`), for the utilities chrF and BLEU, with points of the utility lost on average:

| method | utilities asked for | chrF agrees, lost | BLEU agrees, lost |
|---|---|---|---|
| aggregated (always chrF) | 0 % | 90.6 %, 0.08 | 65.8 %, 0.85 |
| coarse to fine, keep 4 | 27 % | 99.6 %, 0.01 | 96.3 %, 0.06 |
| coarse to fine, keep 8 | 54 % | 100 %, 0.00 | 99.7 %, 0.00 |
| pruned | 86 % | 97.9 %, 0.03 | 98.2 %, 0.02 |
| pruned, num_first 4, confidence 0.9 | 56 % | 76.8 %, 0.64 | 77.9 %, 0.64 |

chrF itself needs none of them: the exact matrix costs little more than counting the n-grams does.

Legend: H distinct candidates, S pseudo-references as given, with duplicates, D distinct ones, A candidates still alive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from in2x.decoding.mbr import MbrChoice, choose, distinct, merge, select
from in2x.decoding.utilities import Grid, TableUtility, Utility, tables
from in2x.evaluation.chrf import BETA, aggregate_chrf


def select_aggregated(
    candidates: Sequence[str],
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    *,
    beta: float = BETA,
    word_order: int = 0,
) -> MbrChoice:
    """Choose by chrF against the mean of the pseudo-references (Vamvas and Sennrich 2024, 2402.04251)."""
    hypotheses = distinct("candidates", candidates)
    references, weights_R = merge(candidates if pseudo_references is None else pseudo_references, weights)
    return choose(candidates, hypotheses, aggregate_chrf(hypotheses, references, weights_R, beta, word_order))


def shortlist(
    candidates: Sequence[str],
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    *,
    keep: int = 20,
    beta: float = BETA,
) -> list[int]:
    """Return the indices of the `keep` distinct candidates that score best against the mean reference, in order."""
    if keep < 1:
        raise ValueError(f"mbr: keep: expected at least 1, got {keep}")
    coarse = select_aggregated(candidates, pseudo_references, weights, beta=beta).expected_utilities
    ranked = dict.fromkeys(candidates[i] for i in np.argsort(-coarse, kind="stable"))
    kept = set(list(ranked)[:keep])
    return [i for i, text in enumerate(candidates) if text in kept]


def select_coarse_to_fine(
    candidates: Sequence[str],
    utility: Utility | TableUtility,
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    source: str | None = None,
    *,
    keep: int = 20,
    beta: float = BETA,
) -> MbrChoice:
    """Choose exactly among the `keep` candidates nearest to the mean reference (aggregate-to-fine, 2402.04251).

    The others' expected utilities are NaN. All pseudo-references still count.
    """
    kept = shortlist(candidates, pseudo_references, weights, keep=keep, beta=beta)
    references = candidates if pseudo_references is None else pseudo_references
    choice = select([candidates[i] for i in kept], utility, references, weights, source)
    expected = np.full(len(candidates), np.nan)
    expected[kept] = choice.expected_utilities
    return MbrChoice(kept[choice.index], choice.expected_utility, expected)


def select_pruned(
    candidates: Sequence[str],
    utility: Utility | TableUtility,
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    source: str | None = None,
    *,
    num_first: int = 8,
    confidence: float = 0.99,
    num_resamples: int = 500,
    seed: int = 0,
) -> MbrChoice:
    """Choose with confidence-based pruning (Cheng and Vlachos 2023, 2311.14919).

    Pseudo-references are taken in random order: `num_first` of them, then twice as many, and so on. After each step a
    candidate is dropped unless it does at least as well as the best one in more than 1 - `confidence` of the bootstrap
    resamples of the pseudo-references seen so far. The dropped ones' expected utilities are NaN; when only one is
    left, its own is the mean over the pseudo-references seen.
    """
    if num_first < 1 or num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            "mbr: expected num_first and num_resamples of at least 1 and confidence between 0 and 1, "
            f"got {num_first}, {num_resamples} and {confidence}"
        )
    generator = np.random.default_rng(seed)
    hypotheses = distinct("candidates", candidates)
    texts, column_S, weights_S = _shuffled(
        candidates if pseudo_references is None else pseudo_references, weights, generator
    )
    utilities_HD = np.full((len(hypotheses), len(texts)), np.nan)
    alive = np.arange(len(hypotheses))
    num_scored = 0
    for num_seen in _doubling(num_first, column_S.size):
        num_texts = column_S[:num_seen].max() + 1
        grid = Grid(source, [hypotheses[row] for row in alive], texts[num_scored:num_texts])
        if grid.references:
            utilities_HD[alive, num_scored:num_texts] = tables(utility, [grid])[0]
        num_scored = num_texts
        utilities_AS = utilities_HD[np.ix_(alive, column_S[:num_seen])]
        expected_H = np.full(len(hypotheses), np.nan)
        expected_H[alive] = utilities_AS @ weights_S[:num_seen] / weights_S[:num_seen].sum()
        if num_seen < column_S.size:
            alive = alive[_contenders(utilities_AS, weights_S[:num_seen], confidence, num_resamples, generator)]
        if alive.size == 1:
            break
    dropped = np.setdiff1d(np.arange(len(hypotheses)), alive)
    expected_H[dropped] = np.nan
    return choose(candidates, hypotheses, expected_H)


def _shuffled(
    pseudo_references: Sequence[str], weights: Sequence[float] | None, generator: np.random.Generator
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return, in random order, the distinct texts, and each pseudo-reference's place in them and its weight (> 0)."""
    merge(pseudo_references, weights)  # checks both
    raw_S = np.ones(len(pseudo_references)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = generator.permutation(np.flatnonzero(raw_S > 0))
    texts = list(dict.fromkeys(pseudo_references[i] for i in order))
    column_of = {text: column for column, text in enumerate(texts)}
    return texts, np.array([column_of[pseudo_references[i]] for i in order]), raw_S[order]


def _doubling(first: int, last: int) -> Iterator[int]:
    """Yield first, 2 first, 4 first, ... and last."""
    while first < last:
        yield first
        first *= 2
    yield last


def _contenders(
    utilities_AS: np.ndarray,
    weights_S: np.ndarray,
    confidence: float,
    num_resamples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the rows that are as good as the best one in more than 1 - confidence of the resamples."""
    num_samples = weights_S.size
    drawn_BS = generator.multinomial(num_samples, np.full(num_samples, 1 / num_samples), size=num_resamples) * weights_S
    expected_AB = utilities_AS @ drawn_BS.T / drawn_BS.sum(axis=1)
    best = np.argmax(utilities_AS @ weights_S)
    win_fractions = (expected_AB >= expected_AB[best]).mean(axis=1)
    return np.flatnonzero(win_fractions > 1 - confidence)
