"""chrF2 (Popovic 2015): character n-gram F-score, sentence by sentence, in bulk, and all pairs at once.

Numbers are those of sacreBLEU 2.x with its default settings (character order 6, beta 2, whitespace removed,
case kept, effective order), bit for bit. `word_order` 2 makes it chrF++ (Popovic 2017). Scores run from 0 to 100.

Legend: H hypotheses, R references, N segments, K = 3 (6 + word_order) counts: for each order the triple (n-grams of
the hypothesis, n-grams of the reference, n-grams in common), as sacreBLEU lays them out, orders of characters first.
These counts add up over segments, so they are the sufficient statistics of corpus chrF.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from in2x.evaluation import ngrams

MAX_ORDER = 6
BETA = 2
NUM_COUNTS = 3 * MAX_ORDER
CHUNK_CHARACTERS = 1 << 15  # segments counted together: more of them sort out of cache, fewer cost more calls


@lru_cache(maxsize=256)
def char_ngrams(text: str) -> tuple[Counter[str], ...]:
    """Count the character n-grams of orders 1..6 without whitespace; the cached result is read-only."""
    chars = "".join(text.split())
    return tuple(Counter(chars[i : i + n] for i in range(len(chars) - n + 1)) for n in range(1, MAX_ORDER + 1))


def segment_counts(hypothesis: str, reference: str) -> list[int]:
    """Return the K counts of one segment; orders that the reference is too short for count nothing.

    For more than a few segments `corpus_counts` is many times as fast.
    """
    counts = []
    for hyp_ngrams, ref_ngrams in zip(char_ngrams(hypothesis), char_ngrams(reference), strict=True):
        matches = sum(min(count, ref_ngrams[ngram]) for ngram, count in hyp_ngrams.items() if ngram in ref_ngrams)
        counts += [hyp_ngrams.total() if ref_ngrams else 0, ref_ngrams.total(), matches]
    return counts


def corpus_counts(hypotheses: Sequence[str], references: Sequence[str], word_order: int = 0) -> np.ndarray:
    """Return the K counts of N segments, one reference each: N x K, row by row those of `segment_counts`.

    Raises:
        ValueError: the numbers of hypotheses and references differ.
    """
    ngrams.check_lists(hypotheses, references)
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses but {len(references)} references")
    counts_NK = np.zeros((len(hypotheses), 3 * (MAX_ORDER + word_order)), dtype=np.int64)
    for chunk in _chunks(hypotheses, references):
        texts = [text for pair in zip(hypotheses[chunk], references[chunk], strict=True) for text in pair]
        layers = [
            (ngrams.totals(symbols.lengths_N, order), ngrams.aligned_matches(symbols, order))
            for symbols, order in _layers(texts, word_order)
        ]
        totals = np.concatenate([totals for totals, _ in layers], axis=1)
        counts_NK[chunk, 0::3] = totals[0::2] * (totals[1::2] > 0)
        counts_NK[chunk, 1::3] = totals[1::2]
        counts_NK[chunk, 2::3] = np.concatenate([matches for _, matches in layers], axis=1)
    return counts_NK


def f_scores(counts_K: np.ndarray, beta: float = BETA, word_order: int = 0) -> np.ndarray:
    """Turn counts of shape (..., K) into chrF of shape (...); recall weighs `beta` times as much as precision.

    Raises:
        ValueError: the last axis does not hold K counts.
    """
    counts_K = np.asarray(counts_K, dtype=np.float64)
    num_counts = 3 * (MAX_ORDER + word_order)
    if counts_K.ndim == 0 or counts_K.shape[-1] != num_counts:
        raise ValueError(f"chrF needs {num_counts} counts on the last axis, got shape {counts_K.shape}")
    return _f_scores(
        ((counts_K[..., k], counts_K[..., k + 1], counts_K[..., k + 2]) for k in range(0, num_counts, 3)), beta
    )


def sentence_chrf(hypothesis: str, reference: str, beta: float = BETA) -> float:
    """Score one hypothesis against one reference, 0..100."""
    return float(f_scores(np.array(segment_counts(hypothesis, reference)), beta))


def pairwise_chrf(
    hypotheses: Sequence[str], references: Sequence[str], beta: float = BETA, word_order: int = 0
) -> np.ndarray:
    """Score every hypothesis against every reference: an H x R array, 0..100, equal to `sentence_chrf`.

    One matrix product per order (see `in2x.evaluation.ngrams`). Equal strings are scored once.
    """
    pairs = ngrams.pairs(hypotheses, references)

    def counts() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for symbols, max_order in _layers(pairs.texts, word_order):
            totals_NO = ngrams.totals(symbols.lengths_N, max_order)
            matches = ngrams.pairwise_matches(symbols, max_order, pairs.hyp_rows, pairs.ref_rows)
            for totals_N, matches_HR in zip(totals_NO.T, matches, strict=True):
                yield totals_N[pairs.hyp_rows][:, None], totals_N[pairs.ref_rows], matches_HR

    return pairs.expand(_f_scores(counts(), beta))


def aggregate_chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    weights: Sequence[float],
    beta: float = BETA,
    word_order: int = 0,
) -> np.ndarray:
    """Score every hypothesis against the mean reference: H scores, 0..100.

    The mean reference is a bag of n-grams whose counts are the references' counts averaged by `weights` (DeNero et al.
    2009; for chrF: Vamvas and Sennrich 2024, 2402.04251). It approximates the mean of `pairwise_chrf` over references
    in time linear in H + R. `weights` sum to 1.
    """
    pairs = ngrams.pairs(hypotheses, references)
    num_texts = len(pairs.texts)
    given_rows = np.arange(num_texts)[pairs.ref_rows][pairs.ref_places]
    weights_N = np.bincount(given_rows, weights=weights, minlength=num_texts)

    def counts() -> Iterator[tuple[np.ndarray, float, np.ndarray]]:
        for symbols, max_order in _layers(pairs.texts, word_order):
            totals_NO = ngrams.totals(symbols.lengths_N, max_order)
            matches_NO = ngrams.mean_matches(symbols, max_order, weights_N)
            for totals_N, matches_N in zip(totals_NO.T, matches_NO.T, strict=True):
                yield totals_N[pairs.hyp_rows], totals_N @ weights_N, matches_N[pairs.hyp_rows]

    return _f_scores(counts(), beta)[pairs.hyp_places]


def _f_scores(counts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], beta: float) -> np.ndarray:
    """Turn the triples of all orders, which broadcast to one shape, into scores of that shape.

    Precision and recall are averaged over the orders that both sides are long enough for (sacreBLEU's
    effective order), then combined: (1 + beta^2) P R / (beta^2 P + R). No common n-gram, or none at all: 0.
    """
    precision = recall = num_orders = 0.0
    for num_hyp, num_ref, num_match in counts:
        precision = precision + num_match / np.where(num_hyp > 0, num_hyp, 1)
        recall = recall + num_match / np.where(num_ref > 0, num_ref, 1)
        num_orders = num_orders + ((num_hyp > 0) & (num_ref > 0))
    num_orders = np.maximum(num_orders, 1)
    precision, recall = precision / num_orders, recall / num_orders
    denominator = beta**2 * precision + recall
    return 100 * ((1 + beta**2) * precision * recall / np.where(denominator > 0, denominator, 1.0))


def _layers(texts: Sequence[str], word_order: int) -> Iterator[tuple[ngrams.Symbols, int]]:
    """Yield the texts as characters and, for chrF++, as words, each with its highest order."""
    yield ngrams.characters(texts), MAX_ORDER
    if word_order:
        yield ngrams.tokens([list(_words(text)) for text in texts]), word_order


def _words(text: str) -> Iterator[str]:
    """Split at whitespace, then one punctuation mark off a word's end or, if none is there, off its start."""
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            yield from (word[:-1], word[-1])
        elif len(word) > 1 and word[0] in string.punctuation:
            yield from (word[0], word[1:])
        else:
            yield word


def _chunks(hypotheses: Sequence[str], references: Sequence[str]) -> Iterator[slice]:
    """Cut N segments into runs of about CHUNK_CHARACTERS, at least one segment each."""
    first = num_characters = 0
    for i, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True)):
        num_characters += len(hypothesis) + len(reference)
        if num_characters >= CHUNK_CHARACTERS:
            yield slice(first, i + 1)
            first, num_characters = i + 1, 0
    if first < len(hypotheses):
        yield slice(first, len(hypotheses))
