"""Minimum-Bayes-risk selection (Kumar and Byrne 2004; sampling form: Eikema and Aziz 2020, 2005.10283).

The candidate with the highest expected utility under the model's own samples is chosen:

    argmax_h  sum_r weight_r utility(h, r),   weights normalised to 1

Complexity: at most H * R utilities for H distinct candidates and R distinct pseudo-references (H^2 when the
candidates serve as both), asked for in one call so that the utility can be vectorised. `in2x.decoding.approximate`
asks for fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from in2x.decoding.utilities import Grid, TableUtility, Utility, tables

TIE_TOLERANCE = 1e-9  # relative; below it a difference is the rounding of a sum, not a preference


@dataclass(frozen=True)
class MbrChoice:
    """The chosen candidate; `expected_utilities` follows the candidates as given, with duplicates."""

    index: int
    expected_utility: float
    expected_utilities: np.ndarray


def select(
    candidates: Sequence[str],
    utility: Utility | TableUtility,
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    source: str | None = None,
) -> MbrChoice:
    """Choose the candidate of highest expected utility; among ties, the first as given.

    Without `pseudo_references` the candidates play that part, each one also its own. `weights` (one per
    pseudo-reference, >= 0, default 1) carry model probabilities or the trust in each system of an ensemble;
    equal strings are merged and their weights added, so repeating a sample costs nothing and counts.
    `source` is for utilities that read it.

    Raises:
        ValueError: no candidates or pseudo-references, bad weights, or a utility that is not a finite H x R.
    """
    return select_all([candidates], utility, [pseudo_references], [weights], [source])[0]


def select_all(
    candidate_lists: Sequence[Sequence[str]],
    utility: Utility | TableUtility,
    pseudo_reference_lists: Sequence[Sequence[str] | None] | None = None,
    weight_lists: Sequence[Sequence[float] | None] | None = None,
    sources: Sequence[str | None] | None = None,
) -> list[MbrChoice]:
    """`select` for every segment; a utility that has `tables` is asked once for all of them."""
    nothing = [None] * len(candidate_lists)
    columns = [nothing if column is None else column for column in (pseudo_reference_lists, weight_lists, sources)]
    for name, column in zip(("pseudo_reference_lists", "weight_lists", "sources"), columns, strict=True):
        if len(column) != len(candidate_lists):
            raise ValueError(f"mbr: {len(candidate_lists)} lists of candidates but {len(column)} {name}")
    problems = [_problem(*row) for row in zip(range(len(nothing)), candidate_lists, *columns, strict=True)]
    tables_HR = tables(utility, [grid for grid, _ in problems])
    return [
        choose(candidates, grid.hypotheses, table_HR @ weights_R)
        for candidates, (grid, weights_R), table_HR in zip(candidate_lists, problems, tables_HR, strict=True)
    ]


def _problem(number: int, candidates, pseudo_references, weights, source) -> tuple[Grid, np.ndarray]:
    """Return what is to be scored for one segment, and the weights of its pseudo-references."""
    try:
        hypotheses = distinct("candidates", candidates)
        references, weights_R = merge(candidates if pseudo_references is None else pseudo_references, weights)
    except ValueError as error:
        raise ValueError(f"segment {number}: {error}") from error
    return Grid(source, hypotheses, references), weights_R


def choose(candidates: Sequence[str], hypotheses: Sequence[str], expected_H: np.ndarray) -> MbrChoice:
    """Choose the best of the distinct hypotheses, reported as one of the candidates; NaN is never chosen."""
    row_of = {text: row for row, text in enumerate(hypotheses)}
    expected = np.asarray(expected_H)[[row_of[text] for text in candidates]]
    best = np.nanmax(expected)
    index = int(np.argmax(expected >= best - TIE_TOLERANCE * abs(best)))
    return MbrChoice(index, float(expected[index]), expected)


def distinct(name: str, texts: Sequence[str]) -> list[str]:
    """Return the distinct texts in order of appearance."""
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"mbr: {name} must be a non-empty list of strings, got {texts!r}")
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise ValueError(f"mbr: {name}[{wrong}] must be a string, got {type(texts[wrong]).__name__}")
    return list(dict.fromkeys(texts))


def merge(pseudo_references: Sequence[str], weights: Sequence[float] | None) -> tuple[list[str], np.ndarray]:
    """Return the distinct pseudo-references in order of appearance and their summed weights, normalised to 1."""
    texts = distinct("pseudo_references", pseudo_references)
    raw = np.ones(len(pseudo_references)) if weights is None else np.asarray(weights, dtype=np.float64)
    if raw.shape != (len(pseudo_references),):
        raise ValueError(
            f"mbr: expected {len(pseudo_references)} weights, one per pseudo-reference, got shape {raw.shape}"
        )
    if not np.isfinite(raw).all() or (raw < 0).any() or raw.sum() <= 0:
        raise ValueError("mbr: weights must be finite, non-negative and not all zero")
    row_of = {text: row for row, text in enumerate(texts)}
    merged = np.bincount([row_of[text] for text in pseudo_references], weights=raw)
    return texts, merged / raw.sum()
