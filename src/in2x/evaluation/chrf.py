"""chrF2 (Popovic 2015): character n-gram F-score, sentence by sentence and all pairs at once.

Numbers are those of sacreBLEU 2.x with its default settings (character order 6, beta 2, whitespace removed,
case kept, effective order), bit for bit. Scores run from 0 to 100.

Legend: H hypotheses, R references, N texts, V distinct n-grams of one order, K = 18 counts: for each order
1..6 the triple (n-grams of the hypothesis, n-grams of the reference, n-grams in common), as sacreBLEU lays
them out. These counts add up over segments, so they are the sufficient statistics of corpus chrF.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

MAX_ORDER = 6
BETA = 2
NUM_COUNTS = 3 * MAX_ORDER


@lru_cache(maxsize=256)
def char_ngrams(text: str) -> tuple[Counter[str], ...]:
    """Count the character n-grams of orders 1..6 without whitespace; the cached result is read-only."""
    chars = "".join(text.split())
    return tuple(Counter(chars[i : i + n] for i in range(len(chars) - n + 1)) for n in range(1, MAX_ORDER + 1))


def segment_counts(hypothesis: str, reference: str) -> list[int]:
    """Return the K counts of one segment; orders that the reference is too short for count nothing."""
    counts = []
    for hyp_ngrams, ref_ngrams in zip(char_ngrams(hypothesis), char_ngrams(reference), strict=True):
        matches = sum(min(count, ref_ngrams[ngram]) for ngram, count in hyp_ngrams.items() if ngram in ref_ngrams)
        counts += [hyp_ngrams.total() if ref_ngrams else 0, ref_ngrams.total(), matches]
    return counts


def f_scores(counts_K: np.ndarray, beta: float = BETA) -> np.ndarray:
    """Turn counts of shape (..., K) into chrF of shape (...); recall weighs `beta` times as much as precision.

    Precision and recall are averaged over the orders that both sides are long enough for (sacreBLEU's
    effective order), then combined: (1 + beta^2) P R / (beta^2 P + R). No common n-gram, or none at all: 0.

    Raises:
        ValueError: the last axis does not hold K counts.
    """
    counts_K = np.asarray(counts_K, dtype=np.float64)
    if counts_K.ndim == 0 or counts_K.shape[-1] != NUM_COUNTS:
        raise ValueError(f"chrF needs {NUM_COUNTS} counts on the last axis, got shape {counts_K.shape}")
    num_hyp, num_ref, num_match = (counts_K[..., i::3] for i in range(3))
    effective = (num_hyp > 0) & (num_ref > 0)
    num_orders = np.maximum(effective.sum(axis=-1), 1)
    precision = np.where(effective, num_match / np.maximum(num_hyp, 1), 0.0).sum(axis=-1) / num_orders
    recall = np.where(effective, num_match / np.maximum(num_ref, 1), 0.0).sum(axis=-1) / num_orders
    denominator = beta**2 * precision + recall
    scores = (1 + beta**2) * precision * recall / np.where(denominator > 0, denominator, 1.0)
    return 100 * scores


def sentence_chrf(hypothesis: str, reference: str, beta: float = BETA) -> float:
    """Score one hypothesis against one reference, 0..100."""
    return float(f_scores(np.array(segment_counts(hypothesis, reference)), beta))


def pairwise_chrf(hypotheses: Sequence[str], references: Sequence[str], beta: float = BETA) -> np.ndarray:
    """Score every hypothesis against every reference: an H x R array, 0..100, equal to `sentence_chrf`.

    The clipped count sum_v min(a_v, b_v) is the dot product of indicators summed over levels,
    sum_k [a >= k] . [b >= k], so each order costs a few matrix products. Memory O((H + R) V) per order.
    """
    for name, texts in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(texts, str):
            raise TypeError(f"pairwise_chrf: {name} must be a sequence of strings, got one string")
    rows = {text: row for row, text in enumerate(dict.fromkeys([*hypotheses, *references]))}
    hyp_rows = np.array([rows[text] for text in hypotheses], dtype=np.intp)
    ref_rows = np.array([rows[text] for text in references], dtype=np.intp)
    counts_HRK = np.zeros((len(hypotheses), len(references), NUM_COUNTS))
    for order, counts_NV in enumerate(_counts_by_order(list(rows))):
        totals_N = counts_NV.sum(axis=1)
        counts_HRK[..., 3 * order] = totals_N[hyp_rows][:, None]
        counts_HRK[..., 3 * order + 1] = totals_N[ref_rows][None, :]
        counts_HRK[..., 3 * order + 2] = _clipped_matches(counts_NV[hyp_rows], counts_NV[ref_rows])
    return f_scores(counts_HRK, beta)


def _counts_by_order(texts: Sequence[str]):
    """Yield, for orders 1..6, the N x V counts of each text's n-grams.

    Texts are laid end to end as code points. An n-gram's identity is the pair (identity of its first n - 1
    characters, last character), renumbered densely at each order: exact, no hash can collide.
    """
    stripped = ["".join(text.split()) for text in texts]
    lengths_N = np.array([len(text) for text in stripped], dtype=np.intp)
    codes = np.frombuffer("".join(stripped).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    row_of = np.repeat(np.arange(len(texts)), lengths_N)
    left_in_row = np.repeat(np.cumsum(lengths_N), lengths_N) - np.arange(codes.size)
    num_chars, chars = _renumber(codes)
    num_ngrams, ngrams, starts = num_chars, chars, np.arange(codes.size)
    for order in range(1, MAX_ORDER + 1):
        if order > 1:
            fits = left_in_row[starts] >= order
            starts = starts[fits]
            num_ngrams, ngrams = _renumber(ngrams[fits] * num_chars + chars[starts + order - 1])
        cells = np.bincount(row_of[starts] * num_ngrams + ngrams, minlength=len(texts) * num_ngrams)
        yield cells.reshape(len(texts), num_ngrams)


def _renumber(keys: np.ndarray) -> tuple[int, np.ndarray]:
    """Replace keys by dense ids 0..V-1; returns (V, ids)."""
    distinct, ids = np.unique(keys, return_inverse=True)
    return distinct.size, ids.reshape(-1).astype(np.int64)


def _clipped_matches(counts_HV: np.ndarray, counts_RV: np.ndarray) -> np.ndarray:
    """Return sum_v min(counts_HV, counts_RV) for every pair, H x R; float32 is exact below 2^24 n-grams."""
    matches_HR = np.zeros((len(counts_HV), len(counts_RV)), dtype=np.float32)
    level = 1
    while True:
        shared = (counts_HV >= level).any(axis=0) & (counts_RV >= level).any(axis=0)
        if not shared.any():
            return matches_HR
        counts_HV, counts_RV = counts_HV[:, shared], counts_RV[:, shared]
        matches_HR += (counts_HV >= level).astype(np.float32) @ (counts_RV >= level).astype(np.float32).T
        level += 1
