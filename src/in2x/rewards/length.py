"""Length penalties: absolute, before the limit of tokens (DAPO, 2503.14476), and relative to what a source needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from in2x.rewards.groups import Group

TOLERANCE = 0.1
"""Natural logarithm of the ratio of lengths that costs nothing: a tenth longer or shorter."""

WIDTH = 0.5
"""As TOLERANCE: so far beyond it half of the penalty is due; exp(0.6) = 1.8 times as long, or 1 / 1.8."""

MIN_PAIRS_FOR_RATIO = 20


def soft_length_penalty(num_tokens: ArrayLike, max_tokens: int, buffer_tokens: int) -> np.ndarray:
    """Penalise completion lengths |y|, in tokens, of any shape; returns values in [-1, 0] of the same shape.

    With Lmax = `max_tokens` and Lc = `buffer_tokens` ("soft overlong punishment" of DAPO):

        0                        |y| <= Lmax - Lc
        ((Lmax - Lc) - |y|)/Lc   Lmax - Lc < |y| <= Lmax
        -1                       |y| > Lmax

    Raises:
        ValueError: not 0 < Lc <= Lmax, or a negative length.
    """
    if not 0 < buffer_tokens <= max_tokens:
        raise ValueError(f"expected 0 < buffer_tokens <= max_tokens, got {buffer_tokens} and {max_tokens}")
    lengths = np.asarray(num_tokens, dtype=np.float64)
    if (lengths < 0).any():
        raise ValueError(f"num_tokens: expected lengths >= 0, got {lengths.min():g}")
    return np.clip((max_tokens - buffer_tokens - lengths) / buffer_tokens, -1.0, 0.0)


def relative_length_penalty(num_chars: ArrayLike, expected_chars: float) -> np.ndarray:
    """Penalise lengths, in characters without blanks, that differ from the expected one; values in (-1, 0].

    With r = |ln(length / expected)| beyond TOLERANCE and u = r / WIDTH: -u^2 / (1 + u^2). It is 0 at the expected
    length, smooth, and the same for half as for twice the length, so that leaving something out never pays. Both
    lengths are counted with 1 more, so that an empty text has a penalty too.

    Raises:
        ValueError: an expected length that isn't positive, or a negative length.
    """
    lengths = np.asarray(num_chars, dtype=np.float64)
    if not expected_chars > 0 or (lengths < 0).any():
        raise ValueError(f"expected lengths >= 0 and an expected one > 0, got {lengths} and {expected_chars}")
    beyond = np.maximum(0.0, np.abs(np.log((lengths + 1) / (expected_chars + 1))) - TOLERANCE)
    squares = (beyond / WIDTH) ** 2
    return -squares / (1 + squares)


@dataclass(frozen=True)
class LengthRatios:
    """Expected length of a translation: exp(intercept) * (characters of the source) ** slope, by direction.

    Example: LengthRatios({"en-ja": (0.1, 0.8)}).expected("en", "ja", "What are you doing?")
    """

    by_direction: Mapping[str, tuple[float, float]]

    def expected(self, source_language: str, target_language: str, source: str) -> float | None:
        fitted = self.by_direction.get(f"{source_language}-{target_language}")
        if fitted is None:
            return None
        return math.exp(fitted[0]) * max(1, num_chars(source)) ** fitted[1]


def fit_length_ratios(pairs: Iterable[tuple[str, str]], source_language: str, target_language: str) -> LengthRatios:
    """Fit ln(target) = intercept + slope * ln(source) by least squares, for both directions.

    Raises:
        ValueError: fewer than MIN_PAIRS_FOR_RATIO pairs, or sources that are all of one length.
    """
    counted = [(num_chars(source), num_chars(target)) for source, target in pairs]
    logs = np.log(np.array([lengths for lengths in counted if min(lengths) > 0], dtype=np.float64).reshape(-1, 2))
    if len(logs) < MIN_PAIRS_FOR_RATIO or not logs.std(axis=0).all():
        raise ValueError(f"expected {MIN_PAIRS_FOR_RATIO} pairs or more, of different lengths, got {len(logs)}")
    found = {}
    for direction, x, y in (
        (f"{source_language}-{target_language}", logs[:, 0], logs[:, 1]),
        (f"{target_language}-{source_language}", logs[:, 1], logs[:, 0]),
    ):
        slope, intercept = np.polyfit(x, y, 1)
        found[direction] = float(intercept), float(slope)
    return LengthRatios(found)


def relative_row(
    group: Group, ratios: LengthRatios | None, expect_from: Literal["reference", "source"]
) -> Sequence[float] | None:
    """The relative penalties of a group; None where nothing says how long a translation should be."""
    expected = None
    if expect_from == "reference" and group.reference:
        expected = num_chars(group.reference)
    elif expect_from == "source" and ratios is not None:
        expected = ratios.expected(group.source_language, group.target_language, group.source)
    if not expected:
        return None
    return relative_length_penalty([num_chars(text) for text in group.texts], expected)


def num_chars(text: str) -> int:
    """Characters without blanks."""
    return len("".join(text.split()))
