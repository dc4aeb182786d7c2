"""Completions of one prompt that share it: the prompt is computed once, however many completions follow it.

All prompts and completions of a micro-batch stand in one row, so that nothing but attention knows of them, and no layer
computes padding. Each completion's positions go on where its prompt ended. Attention is computed apart, for segments
(prompts and completions) of like length together: a completion's tokens see its prompt and itself, a prompt's tokens
the prompt. So hidden states, and gradients, are those of separate rows up to rounding.

Legend: N tokens of the row, M completion tokens, S segments, Q tokens of the longest of them, K keys that they see,
H heads, R query heads that share a key-value head, D head width.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WHOLE = 64
"""Rows are filled up to a multiple: on a CPU, the products of every new shape cost time and memory of their own."""
SHORTEST = 16  # segments up to this length attend together; above it those that differ by less than a factor of 2


Segment = tuple[int, int, Sequence[int]]
"""Start and length of tokens that stand together in a row, and the places of those before them that they see."""


@dataclass(frozen=True)
class Grid:
    """Segments that attend at once. queries_SQ, keys_SK: places in the row; bias_S1QK: 0 where a token may look.

    Where a segment is shorter than the grid, its queries are computed for nothing, and its keys are hidden.
    """

    queries: Tensor
    keys: Tensor
    bias: Tensor


@dataclass(frozen=True)
class SharedRow:
    """input_ids, position_ids: 1 x N. targets_M: completion tokens, sources_M: the places they are predicted from.

    places_N: where each token stands in the queries of the grids, one grid after the other. `attended` counts the
    layers that have read all this, so that a model which doesn't is found out.
    """

    input_ids: Tensor
    position_ids: Tensor
    sources: Tensor
    targets: Tensor
    places: Tensor
    grids: list[Grid]
    attended: list[int] = field(default_factory=list)

    def to(self, device: torch.device) -> "SharedRow":
        tensors = (self.input_ids, self.position_ids, self.sources, self.targets, self.places)
        grids = [Grid(*(x.to(device) for x in (grid.queries, grid.keys, grid.bias))) for grid in self.grids]
        return SharedRow(*(x.to(device) for x in tensors), grids)


def unsupported(model: nn.Module) -> str | None:
    """Why the model's attention can't be told which tokens see one another; None where it can."""
    config = model.config.get_text_config()
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "not all of its layers have full attention"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "its attention has a sliding window"
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, and only sdpa is told which tokens see one another"
    return None


def whole(number: int) -> int:
    """How many rows are to be added."""
    return -number % WHOLE


def share_prompts(packs: list[tuple[list[int], list[list[int]]]]) -> SharedRow:
    """A row of prompts, each with its completions behind it, filled up to a multiple of WHOLE with tokens unseen."""
    tokens: list[int] = []
    positions: list[Tensor] = []
    sources: list[Tensor] = []
    targets: list[Tensor] = []
    segments: list[Segment] = []
    for prompt, completions in packs:
        first, before = len(tokens), len(prompt)
        segments.append((first, before, ()))
        tokens += prompt
        positions.append(torch.arange(before))
        for completion in filter(None, completions):
            start, length = len(tokens), len(completion)
            segments.append((start, length, range(first, first + before)))
            tokens += completion
            positions.append(torch.arange(before, before + length))
            targets.append(torch.arange(start, start + length))
            sources += [torch.tensor([first + before - 1]), targets[-1][:-1]]
    return attention_row(tokens, torch.cat(positions).tolist(), segments, torch.cat(sources), torch.cat(targets))


def attention_row(
    tokens: list[int],
    positions: list[int],
    segments: list[Segment],
    sources_M: Tensor | None = None,
    targets_M: Tensor | None = None,
) -> SharedRow:
    """A row of tokens whose segments see their own tokens and those before them, filled up to a multiple of WHOLE.

    Without targets it is for its hidden states alone.
    """
    unseen, none = [0] * whole(len(tokens)), torch.zeros(0, dtype=torch.long)
    input_ids_N = torch.tensor(tokens + unseen)
    grids, places_N = _grids(segments, len(input_ids_N))
    return SharedRow(
        input_ids_N[None],
        torch.tensor(positions + unseen)[None],
        none if sources_M is None else sources_M,
        none if targets_M is None else input_ids_N[targets_M],
        places_N,
        grids,
    )


def _grids(segments: list[Segment], num_tokens: int) -> tuple[list[Grid], Tensor]:
    """Prompts in one grid, completions by length in others; and the places of the row's tokens in all of them."""
    alike: dict[int, list[Segment]] = {}
    for segment in segments:
        _, length, before = segment
        alike.setdefault((max(length, SHORTEST) - 1).bit_length() if before else 0, []).append(segment)
    places_N, grids, offset = torch.zeros(num_tokens, dtype=torch.long), [], 0
    for key in sorted(alike):
        starts_S, lengths_S = torch.tensor([(start, length) for start, length, _ in alike[key]]).unbind(1)
        befores_S = torch.tensor([len(before) for _, _, before in alike[key]])
        own_Q, before_P = torch.arange(int(lengths_S.max())), torch.arange(int(befores_S.max()))
        queries_SQ = (starts_S[:, None] + own_Q).clamp(max=num_tokens - 1)
        keys_SP = torch.zeros(len(starts_S), len(before_P), dtype=torch.long)
        seen = [place for _, _, before in alike[key] for place in before]
        keys_SP[before_P < befores_S[:, None]] = torch.tensor(seen, dtype=torch.long)
        hidden_S1QQ = (own_Q > own_Q[:, None]).expand(len(starts_S), 1, -1, -1)
        hidden_S1QP = (before_P >= befores_S[:, None])[:, None, None].expand(-1, -1, len(own_Q), -1)
        hidden_S1QK = torch.cat([hidden_S1QQ, hidden_S1QP], -1)
        bias_S1QK = torch.zeros(hidden_S1QK.shape).masked_fill_(hidden_S1QK, float("-inf"))
        grids.append(Grid(queries_SQ, torch.cat([queries_SQ, keys_SP], 1), bias_S1QK))
        real_SQ = own_Q < lengths_S[:, None]
        places_N[queries_SQ[real_SQ]] = offset + torch.arange(real_SQ.numel()).view_as(real_SQ)[real_SQ]
        offset += real_SQ.numel()
    return grids, places_N


def shared_hidden_states(model: nn.Module, shared: SharedRow, **given) -> Tensor:
    """Last hidden states of the row, N x width; `given` is handed on to the layers.

    Raises:
        ValueError: the model's attention can't be told which tokens see one another, or doesn't read it.
    """
    if why := unsupported(model):
        raise ValueError(f"completions of this model can't share a prompt: {why}")
    _teach_sdpa()
    hidden_1NE = model.get_decoder()(
        input_ids=shared.input_ids,
        position_ids=shared.position_ids,
        attention_mask=_unread(shared.input_ids.device),
        use_cache=False,
        shared_prompts=shared,
        **given,
    ).last_hidden_state
    num_layers = model.config.get_text_config().num_hidden_layers
    if len(shared.attended) < num_layers:
        raise ValueError(
            f"completions of this model can't share a prompt: {len(shared.attended)} of its {num_layers} layers have "
            "read which tokens see one another"
        )
    return hidden_1NE[0]


def _unread(device: torch.device) -> Tensor:
    """In place of a mask of N x N, which transformers would make of the positions, and nobody here reads."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


@functools.cache
def _teach_sdpa() -> None:
    """Have transformers' "sdpa" attend within segments where a SharedRow comes along; all else stays its own.

    It comes with the call, so that activations computed anew in the backward pass are the same.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.modeling_utils import AttentionInterface

    @functools.wraps(sdpa_attention_forward)
    def attention(module, query, key, value, attention_mask, *given, shared_prompts=None, **named):
        if shared_prompts is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, *given, **named)
        shared_prompts.attended.append(module.layer_idx)
        return attend(query, key, value, shared_prompts, named.get("scaling"))[None], None

    AttentionInterface.register("sdpa", attention)


def attend(query_1HND: Tensor, key_1HND: Tensor, value_1HND: Tensor, shared: SharedRow, scale: float | None) -> Tensor:
    """Attention within the segments and to their prompts: N x heads x D."""
    (_, num_heads, num_tokens, width), heads = query_1HND.shape, key_1HND.shape[1]
    query_NX, key_NX, value_NX = (x[0].transpose(0, 1).flatten(1) for x in (query_1HND, key_1HND, value_1HND))
    found = []
    for grid in shared.grids:
        size, length = grid.queries.shape
        query = query_NX.index_select(0, grid.queries.flatten()).view(size, length, heads, -1, width)
        query = query.permute(0, 2, 3, 1, 4).flatten(
            2, 3
        )  # S x H x RQ x D: no key is repeated for the heads sharing it
        key, value = (
            x.index_select(0, grid.keys.flatten()).view(size, -1, heads, width).transpose(1, 2)
            for x in (key_NX, value_NX)
        )
        bias = grid.bias.to(query.dtype).repeat(1, 1, num_heads // heads, 1)
        made = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
        made = made.unflatten(2, (-1, length)).permute(0, 3, 1, 2, 4)  # S x Q x H x R x D
        found.append(made.reshape(size * length, -1))
    return torch.cat(found).index_select(0, shared.places).view(num_tokens, num_heads, width)
