"""Corpus BLEU, chrF and TER through sacreBLEU (Post 2018), each with its signature; intervals by bootstrap.

BLEU depends on how the text is cut into words: Japanese is cut by MeCab (`ja-mecab`), Chinese by character
(`zh`), Korean by `ko-mecab`, everything else by `13a`. The signature records which, with the versions.

Legend: N segments, K sufficient statistics per segment, B totals to be scored (one per resample).
sacreBLEU's per-segment statistics are not part of its public interface; `_bleu_counts` and
`multi_reference_statistics` are the only places that touch them (checked with 2.6.0).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from in2x.evaluation import bootstrap, chrf, ngrams

TOKENIZERS = {"ja": "ja-mecab", "zh": "zh", "ko": "ko-mecab"}
DEFAULT_TOKENIZER = "13a"
CHUNK_SEGMENTS = 2048  # counted together


@dataclass(frozen=True)
class Score:
    """One corpus score with what is needed to reproduce and to trust it.

    Example: Score("BLEU", 31.2, "nrefs:1|case:mixed|eff:no|tok:ja-mecab-...", 29.8, 32.7, num_segments=998)
    """

    metric: str
    value: float  # 0..100
    signature: str
    low: float | None  # percentile bootstrap interval, 95%; None when it was not asked for
    high: float | None
    num_segments: int


@dataclass(frozen=True)
class SegmentStatistics:
    """Sufficient statistics of a corpus metric: `score` of a sum of rows is the metric on those segments."""

    metric: str
    signature: str
    counts_NK: np.ndarray
    reference_columns: tuple[int, ...]  # the columns that depend on the reference alone
    score: Callable[[np.ndarray], np.ndarray]  # totals (B, K) -> values (B,), 0..100

    @property
    def value(self) -> float:
        """The corpus score of all segments."""
        return float(self.score(self.counts_NK.sum(axis=0, keepdims=True))[0])


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    target_language: str,
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
) -> Score:
    """Score a corpus with BLEU (Papineni et al. 2002), one reference per segment.

    `num_resamples` = 0 leaves the interval out.

    Raises:
        ValueError: no segments, unequal numbers of them, or something that is not a string.
        RuntimeError: the language's tokenizer is not installed.
    """
    return _to_score(bleu_statistics(hypotheses, references, target_language), num_resamples, seed)


def corpus_chrf(
    hypotheses: Sequence[str], references: Sequence[str], *, num_resamples: int = 1000, seed: int = 12345
) -> Score:
    """Score a corpus with chrF2 (Popovic 2015), one reference per segment; needs no tokenizer."""
    return _to_score(chrf_statistics(hypotheses, references), num_resamples, seed)


def chrf_value(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 of a corpus, 0 to 100, where an interval is not needed."""
    return chrf_statistics(hypotheses, references).value


def bleu_statistics(hypotheses: Sequence[str], references: Sequence[str], target_language: str) -> SegmentStatistics:
    """Count BLEU's statistics per segment: both lengths, then matches and totals for n = 1..4 (K = 10)."""
    _check(hypotheses, references)
    metric = _bleu(target_language)
    counts_NK = _bleu_counts(metric, hypotheses, references)
    return SegmentStatistics(
        metric="BLEU",
        signature=str(metric.get_signature()),
        counts_NK=counts_NK,
        reference_columns=(1,),
        score=lambda totals_BK: _score_bleu(metric, totals_BK),
    )


def chrf_statistics(hypotheses: Sequence[str], references: Sequence[str], word_order: int = 0) -> SegmentStatistics:
    """Count chrF2's statistics per segment (K = 18, see `in2x.evaluation.chrf`); `word_order` 2 is chrF++ (K = 24)."""
    _check(hypotheses, references)
    counts_NK = chrf.corpus_counts(hypotheses, references, word_order)
    return SegmentStatistics(
        metric="chrF++" if word_order else "chrF2",
        signature=_chrf_signature(word_order),
        counts_NK=counts_NK,
        reference_columns=tuple(range(1, counts_NK.shape[1], 3)),
        score=functools.partial(chrf.f_scores, word_order=word_order),
    )


def ter_statistics(hypotheses: Sequence[str], references: Sequence[str], target_language: str) -> SegmentStatistics:
    """Count TER's statistics per segment: edits, words of the reference (K = 2; Snover et al. 2006).

    Lower is better, and more edits than words give more than 100. Japanese and Chinese are normalized with Asian
    support, which cuts kanji into characters; everything else is cut at blanks, as is sacreBLEU's default.
    """
    _check(hypotheses, references)
    return multi_reference_statistics("TER", hypotheses, [[text] for text in references], target_language)


def multi_reference_statistics(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], target_language: str
) -> SegmentStatistics:
    """Count the statistics of "BLEU", "chrF2", "chrF++" or "TER" with one or more references for each segment.

    As in sacreBLEU, BLEU takes n-grams of all references and the closest length, chrF the reference of the highest
    score, TER the fewest edits and the mean length. Numbers of references may vary; the signature then says so.

    Raises:
        ValueError: a segment without reference, unequal numbers of segments, or an unknown metric.
        RuntimeError: the language's tokenizer is not installed.
    """
    metric, score = _sacrebleu(name, target_language)
    without = next((i for i, texts in enumerate(references) if not len(texts)), None)
    if without is not None:
        raise ValueError(f"references[{without}]: expected at least one reference, got none")
    _check(hypotheses, [texts[0] for texts in references])
    num_references = max(map(len, references))
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(num_references)]
    counts_NK = np.array(metric._extract_corpus_statistics(hypotheses, streams), dtype=np.float64)
    step = 3 if name.startswith("chrF") else counts_NK.shape[1]
    return SegmentStatistics(
        metric=name,
        signature=str(metric.get_signature()),
        counts_NK=counts_NK,
        reference_columns=tuple(range(1, counts_NK.shape[1], step)) if num_references == 1 else (),
        score=score,
    )


def tokenizer_for(target_language: str) -> str:
    """Name sacreBLEU's tokenizer for a BCP 47 tag: its primary language decides ("ja-JP" -> "ja-mecab")."""
    primary = target_language.replace("_", "-").split("-")[0].lower()
    if not primary:
        raise ValueError(f"target_language: expected a BCP 47 tag such as 'ja', got {target_language!r}")
    return TOKENIZERS.get(primary, DEFAULT_TOKENIZER)


def _to_score(statistics: SegmentStatistics, num_resamples: int, seed: int) -> Score:
    interval = (None, None)
    if num_resamples:
        interval = bootstrap.interval(statistics, num_resamples=num_resamples, seed=seed)
    return Score(statistics.metric, statistics.value, statistics.signature, *interval, len(statistics.counts_NK))


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    for name, texts in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(texts, str):
            raise ValueError(f"{name}: expected a list of strings, got one string")
        wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
        if wrong is not None:
            raise ValueError(f"{name}[{wrong}]: expected a string, got {type(texts[wrong]).__name__}")
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses but {len(references)} references")
    if not len(hypotheses):
        raise ValueError("no segments to score")


def _bleu(target_language: str):
    """sacreBLEU's metric; a missing tokenizer is reported with the extra that brings it.

    A tokenizer is built once: it remembers the texts that it has cut, so systems share the work on their references.
    """
    tokenizer = tokenizer_for(target_language)
    try:
        return _bleu_with(tokenizer)
    except RuntimeError as error:
        extra = tokenizer.split("-")[0]
        raise RuntimeError(
            f"BLEU for {target_language!r} needs the {tokenizer} tokenizer: pip install 'sacrebleu[{extra}]'"
        ) from error


@functools.cache
def _bleu_with(tokenizer: str):
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer)


def _sacrebleu(name: str, target_language: str):
    """Build sacreBLEU's metric of a name, and the function from totals (B, K) to scores (B,)."""
    from sacrebleu.metrics import CHRF, TER

    score = score_function(name)
    if name == "BLEU":
        return _bleu(target_language), score
    if name == "TER":
        is_asian = tokenizer_for(target_language) in ("ja-mecab", "zh")
        return TER(normalized=is_asian, asian_support=is_asian), score
    return CHRF(char_order=chrf.MAX_ORDER, word_order=2 if name == "chrF++" else 0, beta=chrf.BETA), score


def score_function(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function from totals (B, K) to scores (B,) of "BLEU", "chrF2", "chrF++" or "TER"."""
    functions = {"BLEU": bleu_scores, "chrF2": chrf.f_scores, "TER": _ter_scores}
    functions["chrF++"] = functools.partial(chrf.f_scores, word_order=2)
    if name not in functions:
        raise ValueError(f"metric: expected BLEU, chrF2, chrF++ or TER, got {name!r}")
    return functions[name]


def _ter_scores(totals_BK: np.ndarray) -> np.ndarray:
    """Edits over reference words, times 100; without any reference word 100 where there are edits, else 0."""
    num_edits, num_words = np.asarray(totals_BK, dtype=np.float64).T
    return 100 * np.where(num_words > 0, num_edits / np.where(num_words > 0, num_words, 1), num_edits > 0)


def _chrf_signature(word_order: int) -> str:
    from sacrebleu.metrics import CHRF

    metric = CHRF(char_order=chrf.MAX_ORDER, word_order=word_order, beta=chrf.BETA)
    metric.num_refs = 1
    return str(metric.get_signature())


def _bleu_counts(metric, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Cut the texts as sacreBLEU does and count n-grams in bulk: N x 10, row by row sacreBLEU's statistics."""
    metric.num_refs = 1  # for the signature
    pairs = list(zip(hypotheses, references, strict=True))
    counts = []
    for start in range(0, len(pairs), CHUNK_SEGMENTS):
        texts = [text for pair in pairs[start : start + CHUNK_SEGMENTS] for text in pair]
        symbols = ngrams.tokens([metric._preprocess_segment(text).split() for text in texts])
        matches, totals = ngrams.aligned_matches(symbols, 4), ngrams.totals(symbols.lengths_N[0::2], 4)
        counts.append(np.concatenate([symbols.lengths_N.reshape(-1, 2), matches, totals], axis=1))
    return np.concatenate(counts)


def _score_bleu(metric, totals_BK: np.ndarray) -> np.ndarray:
    return bleu_scores(totals_BK, effective_order=metric.effective_order)


def bleu_scores(totals_BK: np.ndarray, *, effective_order: bool = False) -> np.ndarray:
    """Turn BLEU's statistics of shape (..., 10) into scores of shape (...), 0..100, equal to sacreBLEU's to 1e-9.

    The n-th order without a match counts 1 / 2^n matches (sacreBLEU's default smoothing, "exp"). A text too short
    for 4-grams scores 0, or with `effective_order`, meant for single segments, is judged by the orders it has.

    Raises:
        ValueError: the last axis does not hold 10 counts.
    """
    totals_BK = np.asarray(totals_BK, dtype=np.float64)
    if totals_BK.ndim == 0 or totals_BK.shape[-1] != 10:
        raise ValueError(f"BLEU needs 10 counts on the last axis, got shape {totals_BK.shape}")
    num_hyp, num_ref = totals_BK[..., 0], totals_BK[..., 1]
    matches, possible = totals_BK[..., 2:6], totals_BK[..., 6:10]
    counted = np.logical_and.accumulate(possible > 0, axis=-1)
    halvings = np.cumsum(counted & (matches == 0), axis=-1)
    smoothed = np.where(matches > 0, matches, 0.5**halvings)
    logs = np.log(np.where(counted, 100 * smoothed / np.maximum(possible, 1), 1))
    num_orders = counted.sum(axis=-1)
    brevity = np.exp(np.minimum(0, 1 - num_ref / np.maximum(num_hyp, 1)))
    scores = brevity * np.exp(logs.sum(axis=-1) / np.maximum(num_orders, 1))
    return np.where(matches.any(axis=-1) & (effective_order | (num_orders == 4)), scores, 0.0)
