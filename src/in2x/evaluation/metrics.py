"""Corpus BLEU and chrF2 through sacreBLEU (Post 2018), each with its signature and a bootstrap interval.

BLEU depends on how the text is cut into words: Japanese is cut by MeCab (`ja-mecab`), Chinese by character
(`zh`), Korean by `ko-mecab`, everything else by `13a`. The signature records which, with the versions.

Legend: N segments, K sufficient statistics per segment, B totals to be scored (one per resample).
sacreBLEU's per-segment statistics are not part of its public interface; `_bleu_counts` and `_score_bleu` are
the only places that touch them (checked with 2.6.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from in2x.evaluation import bootstrap, chrf

TOKENIZERS = {"ja": "ja-mecab", "zh": "zh", "ko": "ko-mecab"}
DEFAULT_TOKENIZER = "13a"


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


def chrf_statistics(hypotheses: Sequence[str], references: Sequence[str]) -> SegmentStatistics:
    """Count chrF2's statistics per segment (K = 18, see `in2x.evaluation.chrf`)."""
    _check(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    return SegmentStatistics(
        metric="chrF2",
        signature=_chrf_signature(),
        counts_NK=np.array([chrf.segment_counts(*pair) for pair in pairs], dtype=np.int64),
        reference_columns=tuple(range(1, chrf.NUM_COUNTS, 3)),
        score=chrf.f_scores,
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
    """Build sacreBLEU's metric; a missing tokenizer is reported with the extra that brings it."""
    from sacrebleu.metrics import BLEU

    tokenizer = tokenizer_for(target_language)
    try:
        return BLEU(tokenize=tokenizer)
    except RuntimeError as error:
        extra = tokenizer.split("-")[0]
        raise RuntimeError(
            f"BLEU for {target_language!r} needs the {tokenizer} tokenizer: pip install 'sacrebleu[{extra}]'"
        ) from error


def _chrf_signature() -> str:
    from sacrebleu.metrics import CHRF

    metric = CHRF(char_order=chrf.MAX_ORDER, beta=chrf.BETA)
    metric.num_refs = 1
    return str(metric.get_signature())


def _bleu_counts(metric, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    return np.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.int64)


def _score_bleu(metric, totals_BK: np.ndarray) -> np.ndarray:
    rows = np.asarray(totals_BK).astype(np.int64).tolist()
    return np.array([metric._compute_score_from_stats(row).score for row in rows])
