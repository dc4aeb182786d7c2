"""Minimum-Bayes-risk selection (Kumar and Byrne 2004; sampling form: Eikema and Aziz 2020, 2005.10283).

The candidate with the highest expected utility under the model's own samples is chosen:

    argmax_h  sum_r weight_r utility(h, r),   weights normalised to 1

Complexity: at most H * R utilities for H distinct candidates and R distinct pseudo-references (H^2 when the
candidates serve as both), asked for in one call so that the utility can be vectorised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Utility = Callable[[list[str], list[str]], np.ndarray]  # H hypotheses, R references -> H x R, higher is better
TIE_TOLERANCE = 1e-9  # relative; below it a difference is the rounding of a sum, not a preference


@dataclass(frozen=True)
class MbrChoice:
    """The chosen candidate; `expected_utilities` follows the candidates as given, with duplicates."""

    index: int
    expected_utility: float
    expected_utilities: np.ndarray


def select(
    candidates: Sequence[str],
    utility: Utility,
    pseudo_references: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> MbrChoice:
    """Choose the candidate of highest expected utility; among ties, the first as given.

    Without `pseudo_references` the candidates play that part, each one also its own. `weights` (one per
    pseudo-reference, >= 0, default 1) carry model probabilities or the trust in each system of an ensemble;
    equal strings are merged and their weights added, so repeating a sample costs nothing and counts.

    Raises:
        ValueError: no candidates or pseudo-references, bad weights, or a utility that is not a finite H x R.
    """
    pseudo_references = candidates if pseudo_references is None else pseudo_references
    for name, texts in (("candidates", candidates), ("pseudo_references", pseudo_references)):
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"mbr: {name} must be a non-empty list of strings, got {texts!r}")
    hypotheses = list(dict.fromkeys(candidates))
    references, weights_R = _merge(pseudo_references, weights)
    utilities_HR = np.asarray(utility(hypotheses, references), dtype=np.float64)
    if utilities_HR.shape != (len(hypotheses), len(references)) or not np.isfinite(utilities_HR).all():
        raise ValueError(
            f"mbr: expected finite utilities of shape {(len(hypotheses), len(references))}, "
            f"got shape {utilities_HR.shape}, {int((~np.isfinite(utilities_HR)).sum())} not finite"
        )
    row_of = {text: row for row, text in enumerate(hypotheses)}
    expected = (utilities_HR @ weights_R)[[row_of[text] for text in candidates]]
    best = expected.max()
    index = int(np.argmax(expected >= best - TIE_TOLERANCE * abs(best)))
    return MbrChoice(index, float(expected[index]), expected)


def _merge(texts: Sequence[str], weights: Sequence[float] | None) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts in order of appearance and their summed weights, normalised to 1."""
    raw = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=np.float64)
    if raw.shape != (len(texts),):
        raise ValueError(f"mbr: expected {len(texts)} weights, one per pseudo-reference, got shape {raw.shape}")
    if not np.isfinite(raw).all() or (raw < 0).any() or raw.sum() <= 0:
        raise ValueError("mbr: weights must be finite, non-negative and not all zero")
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    merged = np.bincount([row_of[text] for text in texts], weights=raw)
    return list(row_of), merged / raw.sum()
