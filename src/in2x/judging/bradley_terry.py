"""Bradley-Terry strengths from pairwise wins (Bradley and Terry 1952), relative to frozen anchors.

    P(i beats j) = sigmoid(strength_i - strength_j);  a tie is half a win for each

Strengths maximise the log-likelihood less ridge / 2 * sum of squares, which keeps them finite where a system won
or lost everything, and are then shifted so that the anchors' mean is 0. Newton's method; the objective is concave.

Legend: S systems, U units of resampling (documents or segments), B resamples. wins[i, j] are the wins of i over j.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

RIDGE = 0.1
MAX_NEWTON_STEPS, TOLERANCE = 100, 1e-10
CHUNK = 100  # resamples that are fitted at once


def fit(wins_SS: np.ndarray, anchors: Sequence[int], ridge: float = RIDGE) -> np.ndarray:
    """Strengths of shape S in log-odds; the mean of those of `anchors` is 0.

    Raises:
        ValueError: not a square array of finite wins >= 0, no anchors, or ridge <= 0.
    """
    wins_SS = np.asarray(wins_SS, dtype=np.float64)
    if wins_SS.ndim != 2 or wins_SS.shape[0] != wins_SS.shape[1] or not (np.isfinite(wins_SS) & (wins_SS >= 0)).all():
        raise ValueError(f"bradley_terry: expected an S x S array of finite wins >= 0, got shape {wins_SS.shape}")
    if not len(anchors) or ridge <= 0:
        raise ValueError(f"bradley_terry: expected at least one anchor and ridge > 0, got {list(anchors)} and {ridge}")
    strengths = _maximise(wins_SS[None], ridge)[0]
    return strengths - strengths[list(anchors)].mean()


def intervals(
    wins_USS: np.ndarray,
    anchors: Sequence[int],
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
    confidence: float = 0.95,
    ridge: float = RIDGE,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap intervals (low_S, high_S) of the strengths: units are drawn with replacement."""
    if num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"bradley_terry: expected resamples >= 1 and 0 < confidence < 1: {num_resamples}, {confidence}"
        )
    generator = np.random.default_rng(seed)
    num_units = len(wins_USS)
    draws = []
    for start in range(0, num_resamples, CHUNK):
        size = min(CHUNK, num_resamples - start)
        counts_BU = generator.multinomial(num_units, np.full(num_units, 1 / num_units), size=size)
        strengths_BS = _maximise(np.tensordot(counts_BU, wins_USS, axes=1), ridge)
        draws.append(strengths_BS - strengths_BS[:, list(anchors)].mean(axis=1, keepdims=True))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail], axis=0)
    return low, high


def connected(wins_SS: np.ndarray, anchors: Sequence[int]) -> np.ndarray:
    """Which systems are linked to an anchor by comparisons, a boolean array of shape S; others have no strength."""
    games = (wins_SS + wins_SS.T) > 0
    reached = np.isin(np.arange(len(games)), list(anchors))
    for _ in range(len(games)):
        reached = reached | games[reached].any(axis=0)
    return reached


def _maximise(wins_BSS: np.ndarray, ridge: float) -> np.ndarray:
    """Strengths of shape B x S, each row summing to 0, for B tables at once."""
    games_BSS = wins_BSS + wins_BSS.swapaxes(1, 2)
    strengths_BS = np.zeros(wins_BSS.shape[:2])
    for _ in range(MAX_NEWTON_STEPS):
        chance_BSS = expit(strengths_BS[:, :, None] - strengths_BS[:, None, :])
        gradient_BS = (wins_BSS - games_BSS * chance_BSS).sum(axis=2) - ridge * strengths_BS
        weight_BSS = games_BSS * chance_BSS * (1 - chance_BSS)
        diagonal_BSS = (weight_BSS.sum(axis=2) + ridge)[:, :, None] * np.eye(wins_BSS.shape[1])
        step_BS = np.linalg.solve(diagonal_BSS - weight_BSS, gradient_BS[:, :, None])[:, :, 0]
        step_BS = _shortened(step_BS, strengths_BS, gradient_BS, wins_BSS, ridge)
        strengths_BS = strengths_BS + step_BS
        if np.abs(step_BS).max() < TOLERANCE:
            break
    return strengths_BS


def _shortened(step_BS, strengths_BS, gradient_BS, wins_BSS, ridge: float) -> np.ndarray:
    """The Newton steps, each halved until its objective gains (Armijo)."""
    start_B, slope_B = _objective(strengths_BS, wins_BSS, ridge), (gradient_BS * step_BS).sum(axis=1)
    scale_B = np.ones(len(step_BS))
    for _ in range(50):
        reached_B = _objective(strengths_BS + scale_B[:, None] * step_BS, wins_BSS, ridge)
        is_long = (reached_B < start_B + 1e-4 * scale_B * slope_B) & (slope_B > TOLERANCE)
        if not is_long.any():
            break
        scale_B = np.where(is_long, scale_B / 2, scale_B)
    return scale_B[:, None] * step_BS


def _objective(strengths_BS: np.ndarray, wins_BSS: np.ndarray, ridge: float) -> np.ndarray:
    differences_BSS = strengths_BS[:, :, None] - strengths_BS[:, None, :]
    log_likelihood_B = -(wins_BSS * np.logaddexp(0, -differences_BSS)).sum(axis=(1, 2))
    return log_likelihood_B - ridge / 2 * (strengths_BS**2).sum(axis=1)
