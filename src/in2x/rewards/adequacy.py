"""Adequacy against a reference, where one exists: sentence chrF2 on [0, 1].

P prompts, G group size. BLEU is left to corpus evaluation: on one sentence it is mostly smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from in2x.evaluation import chrf


def chrf_score(hypothesis: str, reference: str) -> float:
    """Score one hypothesis: sacreBLEU's sentence chrF2 divided by 100."""
    return chrf.sentence_chrf(hypothesis, reference) / 100


def chrf_scores(hypotheses_PG: Sequence[Sequence[str]], references: Sequence[str | None]) -> np.ndarray:
    """Score P groups of G hypotheses against one reference each: a P x G array on [0, 1].

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
    for p, (group, reference) in enumerate(zip(hypotheses_PG, references, strict=True)):
        if reference is not None and len(group):
            counts_GK = np.array([chrf.segment_counts(hypothesis, reference) for hypothesis in group])
            scores_PG[p] = chrf.f_scores(counts_GK) / 100
    return scores_PG
