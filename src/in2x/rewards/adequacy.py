"""Adequacy against a reference, where one exists: sentence chrF on [0, 1].

`beta` is the weight of recall. Alone, no beta serves as a reward (docs/results.md): recall counted double, as in chrF2,
pays for padding, and with beta 1 a policy that is unsure of the rest writes less and less. So the score is chrF2 times
a length factor, BLEU's brevity penalty taken in both directions: the best length is the reference's.

P prompts, G group size. On one sentence BLEU is mostly smoothing: it is an option, not the default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from in2x.evaluation import chrf


def length_factor(hypothesis: str, reference: str) -> float:
    """exp(1 - longer / shorter) of the two lengths, in characters without blanks: 1 where they are equal."""
    shorter, longer = sorted(max(1, len("".join(text.split()))) for text in (hypothesis, reference))
    return math.exp(1 - longer / shorter)


def chrf_scores(
    hypotheses_PG: Sequence[Sequence[str]], references: Sequence[str | None], beta: float = 2.0
) -> np.ndarray:
    """chrF x length factor of P groups of G hypotheses against one reference each: P x G, on [0, 1].

    A prompt without a reference (None) gets a row of NaN: `compose` reads it as "not measured here".

    Raises:
        ValueError: the number of groups and references differ, or groups differ in size.
    """
    if len(hypotheses_PG) != len(references):
        raise ValueError(f"{len(hypotheses_PG)} groups of hypotheses but {len(references)} references")
    sizes = {len(group) for group in hypotheses_PG}
    if len(sizes) > 1:
        raise ValueError(f"every group must have the same size, got sizes {sorted(sizes)}")
    scores_PG = np.full((len(hypotheses_PG), sizes.pop() if sizes else 0), np.nan)
    measured = [p for p, reference in enumerate(references) if reference is not None]
    pairs = [(hypothesis, references[p]) for p in measured for hypothesis in hypotheses_PG[p]]
    if pairs:
        scores_N = chrf.f_scores(chrf.corpus_counts(*map(list, zip(*pairs, strict=True))), beta) / 100
        scores_PG[measured] = (scores_N * [length_factor(*pair) for pair in pairs]).reshape(len(measured), -1)
    return scores_PG


def bleu_scores(hypotheses: Sequence[str], reference: str, target_language: str) -> np.ndarray:
    """Sentence BLEU of G hypotheses against one reference, on [0, 1], cut by the target language's tokenizer.

    Raises:
        RuntimeError: the tokenizer is not installed.
    """
    from in2x.evaluation.sentence_bleu import pairwise_bleu

    return pairwise_bleu(list(hypotheses), [reference], target_language)[:, 0] / 100
