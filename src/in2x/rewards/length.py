"""Soft length penalty: long completions are discouraged before they hit the hard limit (DAPO, 2503.14476)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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
