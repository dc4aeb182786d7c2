"""Sentence BLEU (Papineni et al. 2002) of all pairs at once, with effective order (Chen and Cherry 2014, "exp").

Numbers are those of sacreBLEU's `BLEU(effective_order=True).sentence_score` to 1e-9, with the target language's
tokenizer. On one sentence BLEU is mostly smoothing: a utility for MBR, not a score to report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from in2x.evaluation import ngrams
from in2x.evaluation.metrics import bleu_scores, tokenizer_for

MAX_ORDER = 4


def pairwise_bleu(hypotheses: Sequence[str], references: Sequence[str], target_language: str) -> np.ndarray:
    """Score every hypothesis against every reference: an H x R array, 0..100.

    Every distinct text is tokenized once; one matrix product per order counts the matches of all pairs.

    Raises:
        RuntimeError: the language's tokenizer is not installed.
    """
    pairs = ngrams.pairs(hypotheses, references)
    tokenize = _tokenizer(target_language)
    symbols = ngrams.tokens([tokenize(text.rstrip()).split() for text in pairs.texts])
    totals_NO = ngrams.totals(symbols.lengths_N, MAX_ORDER)
    counts_HRK = np.zeros((*pairs.shape, 2 + 2 * MAX_ORDER))
    counts_HRK[..., 0] = symbols.lengths_N[pairs.hyp_rows][:, None]
    counts_HRK[..., 1] = symbols.lengths_N[pairs.ref_rows]
    for order, matches_HR in enumerate(ngrams.pairwise_matches(symbols, MAX_ORDER, pairs.hyp_rows, pairs.ref_rows)):
        counts_HRK[..., 2 + order] = matches_HR
    counts_HRK[..., 2 + MAX_ORDER :] = totals_NO[pairs.hyp_rows][:, None]
    return pairs.expand(bleu_scores(counts_HRK, effective_order=True))


@lru_cache(maxsize=8)
def _tokenizer(target_language: str) -> Callable[[str], str]:
    """Build sacreBLEU's tokenizer; a missing one is reported with the extra that brings it."""
    from sacrebleu.metrics import BLEU

    name = tokenizer_for(target_language)
    try:
        return BLEU(tokenize=name, effective_order=True).tokenizer
    except RuntimeError as error:
        extra = name.split("-")[0]
        raise RuntimeError(
            f"BLEU for {target_language!r} needs the {name} tokenizer: pip install 'sacrebleu[{extra}]'"
        ) from error
