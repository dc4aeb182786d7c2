"""Credit by token (rl.span_credit): which tokens of a completion its advantage pushes.

Advantage, ratio and clip stay the completion's; what flows back through each token's log-probability is multiplied by
its weight (in2x.rewards.credit), whose mean over the completion is 1.

Legend: P groups, G group size, N tokens of one completion.
"""

import numpy as np

from in2x.rewards.credit import token_offsets, token_severities, token_weights
from in2x.rl.draw import Drawn


def credit(drawn: Drawn, advantages_PG: np.ndarray, tokenizer, share: float) -> dict[tuple[int, int], np.ndarray]:
    """Weights of the N tokens of each completion that takes part and has spans, by place (p, g)."""
    found = {}
    for (p, g), spans in drawn.scored.spans.items():
        if drawn.trained_PG[p, g]:
            severities_N = token_severities(spans, _offsets(tokenizer, drawn.groups[p].completions[g].token_ids))
            found[p, g] = token_weights(severities_N, float(advantages_PG[p, g]), share)
    return found


def credit_measures(drawn: Drawn, found: dict[tuple[int, int], np.ndarray]) -> dict[str, float]:
    """span_fraction: share of the completions in which fault was found; credit_moved: of those that take part and have
    spans, the mean share of the advantage that is at other tokens than it would be without.
    """
    number = sum(len(group.completions) for group in drawn.groups)
    moved = [np.abs(weights_N - 1).mean() / 2 for weights_N in found.values()]
    return {"span_fraction": len(drawn.scored.spans) / number} | (
        {"credit_moved": float(np.mean(moved))} if moved else {}
    )


def _offsets(tokenizer, token_ids: list[int]) -> list[tuple[int, int]]:
    """Characters of the completion's text that each token writes; the text has no blanks at its beginning."""
    whole = tokenizer.decode(token_ids, skip_special_tokens=True)
    blanks = len(whole) - len(whole.lstrip())
    return [(start - blanks, end - blanks) for start, end in token_offsets(tokenizer, token_ids)]
