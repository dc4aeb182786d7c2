"""How far a preference model can be trusted: calibration, and what length alone explains.

Legend: N pairs; a margin is the score of the chosen text less that of the rejected one, in log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NUM_BINS = 10


def reliability(margins_N: np.ndarray, num_bins: int = NUM_BINS) -> list[dict[str, float]]:
    """Pairs in bins of equal width by confidence, 0.5..1: mean confidence, share that was right, number.

    Confidence is sigmoid(|margin|), the model's own probability that the text which it prefers is the chosen one.
    """
    margins_N = np.asarray(margins_N, dtype=np.float64)
    confidences_N = 1 / (1 + np.exp(-np.abs(margins_N)))
    bins_N = np.minimum(((confidences_N - 0.5) * 2 * num_bins).astype(int), num_bins - 1)
    return [
        {
            "confidence": float(confidences_N[bins_N == b].mean()),
            "accuracy": float((margins_N[bins_N == b] > 0).mean()),
            "num_pairs": int((bins_N == b).sum()),
        }
        for b in range(num_bins)
        if (bins_N == b).any()
    ]


def expected_calibration_error(margins_N: np.ndarray, num_bins: int = NUM_BINS) -> float:
    """Mean of |confidence - accuracy| over the bins, weighted by pairs (Naeini et al. 2015); 0 is perfect."""
    bins = reliability(margins_N, num_bins)
    total = sum(row["num_pairs"] for row in bins)
    return sum(row["num_pairs"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / total if total else 0.0


def length_slope(scores_N: np.ndarray, texts: Sequence[str]) -> float:
    """Slope of the score over ln(1 + characters), by least squares; 0 where all texts are of one length."""
    logs_N = log_lengths(texts)
    spread = float(((logs_N - logs_N.mean()) ** 2).sum()) if len(logs_N) else 0.0
    if spread == 0.0:
        return 0.0
    return float(((logs_N - logs_N.mean()) * (scores_N - np.mean(scores_N))).sum() / spread)


def length_correlation(values_N: np.ndarray, lengths_N: np.ndarray) -> float:
    """Pearson's correlation; NaN where one of them is constant."""
    if len(values_N) < 2 or np.std(values_N) == 0 or np.std(lengths_N) == 0:
        return float("nan")
    return float(np.corrcoef(values_N, lengths_N)[0, 1])


def length_matched(chosen: Sequence[str], rejected: Sequence[str], most: float = 0.1) -> np.ndarray:
    """Which pairs have lengths that differ by `most` or less in ln: what is right there owes nothing to length."""
    return np.abs(log_lengths(chosen) - log_lengths(rejected)) <= most


def log_lengths(texts: Sequence[str]) -> np.ndarray:
    return np.log1p([len(text) for text in texts])
