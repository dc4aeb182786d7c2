"""Span-level credit: the places that a component found fault with take the blame, and none of the praise.

Pure functions from spans of characters to weights of tokens with a mean of 1, so that a completion's advantage is moved
among its tokens, and neither grows nor shrinks in sum. Our own; a token that two spans share has the larger severity.

Legend: N tokens of one completion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from in2x.rewards.groups import Span

REPLACEMENT = "\ufffd"  # what a decoder writes for the bytes of an unfinished character


def token_offsets(tokenizer, token_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Characters (start, end) of the decoded text that each of N tokens writes; O(N^2), for completions.

    Tokens that end within a character all get the whole of it; special tokens write nothing.
    """
    texts = [tokenizer.decode(token_ids[:number], skip_special_tokens=True) for number in range(len(token_ids) + 1)]
    ends = [len(text.rstrip(REPLACEMENT)) for text in texts]
    offsets = []
    for number in range(1, len(texts)):
        start, end = ends[number - 1], ends[number]
        if texts[number].endswith(REPLACEMENT):
            end = next((later for later in ends[number:] if later > start), len(texts[-1]))
        offsets.append((start, end))
    return offsets


def token_severities(spans: Sequence[Span], offsets: Sequence[tuple[int, int]]) -> np.ndarray:
    """The largest severity of the spans that overlap each of N tokens, 0 where none does."""
    return np.array(
        [
            max((s.severity for s in spans if s.start < end and start < s.end and start < end), default=0.0)
            for start, end in offsets
        ]
    )


def token_weights(severities_N: np.ndarray, advantage: float, share: float) -> np.ndarray:
    """Weights of N tokens, mean 1, for one completion's advantage.

    A share, on [0, 1], of the blame (advantage < 0) goes to the tokens of the spans, by severity, the rest to all
    tokens alike. Of praise (advantage > 0) these tokens lose that share, times their severity, to the others. Without
    spans, or with spans all over, every weight is 1.

    Raises:
        ValueError: share or a severity is not on [0, 1].
    """
    if not 0 <= share <= 1 or (severities_N.size and not 0 <= severities_N.min() <= severities_N.max() <= 1):
        raise ValueError(f"expected share and severities on [0, 1], got {share} and {severities_N}")
    aimed_N = severities_N if advantage < 0 else 1 - share * severities_N
    if not severities_N.any() or not aimed_N.sum() > 0:
        return np.ones(len(severities_N))
    weights_N = aimed_N / aimed_N.mean()
    return (1 - share) + share * weights_N if advantage < 0 else weights_N
