"""Many texts scored by their last state: what they begin with in common is computed once.

Texts sorted by their tokens stand in one row, each with only the tokens that the text before it doesn't begin with;
these see the tokens of other texts that the text shares. So the row holds the nodes of the texts' prefix tree, and
attention (in2x.model.prefixes) sees whole texts. In the last layer, all but attention is computed for the texts' last
tokens alone. States are those of separate rows up to rounding.

Legend: B texts, N tokens of the row, D width.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from in2x.model.prefixes import SharedRow, attention_row, shared_hidden_states

LAYERS = ("Qwen3DecoderLayer", "Qwen2DecoderLayer", "LlamaDecoderLayer", "MistralDecoderLayer")
"""Norm, attention, sum, norm, gated layer, sum: their last one is computed for the last tokens alone."""


@dataclass(frozen=True)
class PrefixTree:
    """texts_B: which texts these are; ends_B: places of their last tokens in the row."""

    texts: list[int]
    row: SharedRow
    ends: Tensor


def prefix_trees(ids: Sequence[list[int]], max_tokens: int) -> Iterator[PrefixTree]:
    """Trees of all texts, given as at least one token each, with about `max_tokens` tokens of a row."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    start = num_tokens = 0
    for place, text in enumerate(order):
        num_new = len(ids[text]) - (_num_shared(ids[order[place - 1]], ids[text]) if place > start else 0)
        if place > start and num_new and num_tokens + num_new > max_tokens:
            yield _tree(ids, order[start:place])
            start, num_tokens, num_new = place, 0, len(ids[text])
        num_tokens += num_new
    if order:
        yield _tree(ids, order[start:])


@torch.inference_mode()
def last_states(model: nn.Module, tree: PrefixTree) -> Tensor:
    """The model's state of each text's last token, B x D, behind its last norm.

    Raises:
        ValueError: as in2x.model.prefixes.shared_hidden_states.
    """
    device = next(model.parameters()).device
    row, ends_B = tree.row.to(device), tree.ends.to(device)
    layer = model.get_decoder().layers[-1]
    if type(layer).__name__ not in LAYERS:
        return shared_hidden_states(model, row)[ends_B]
    plain, layer.__class__ = type(layer), _for_ends(type(layer))
    try:
        return shared_hidden_states(model, row, ends=ends_B)
    finally:
        layer.__class__ = plain


def _num_shared(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _tree(ids: Sequence[list[int]], texts: list[int]) -> PrefixTree:
    tokens: list[int] = []
    positions: list[int] = []
    segments: list[tuple[int, int, list[int]]] = []
    ends: list[int] = []
    path: list[int] = []  # places of the tokens of the text before
    before: list[int] = []
    for text in texts:
        shared, start = _num_shared(before, ids[text]), len(tokens)
        before, path = ids[text], path[:shared]
        if new := before[shared:]:
            segments.append((start, len(new), path))
            tokens += new
            positions += range(shared, len(before))
            path = path + list(range(start, len(tokens)))
        ends.append(path[-1])
    return PrefixTree(texts, attention_row(tokens, positions, segments), torch.tensor(ends))


@functools.cache
def _for_ends(kind: type) -> type:
    def forward(self, hidden_states: Tensor, *, ends: Tensor, **given) -> Tensor:
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **given)
        summed = hidden_states[:, ends] + attended[:, ends]
        return summed + self.mlp(self.post_attention_layernorm(summed))

    return type(f"Last{kind.__name__}", (kind,), {"forward": forward})
