"""Completions of one prompt that share it: the prompt is computed once, however many completions follow it.

A row holds the prompt and then its completions. Each completion's positions go on where the prompt ended, and each of
its tokens sees the prompt and its own completion only, by a mask of T x T; so the hidden states, and the gradients,
are those of separate rows up to rounding.

Legend: B rows, T tokens of a row, N completions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SharedRows:
    """input_ids_BT, position_ids_BT; segments_BT: 0 the prompt, 1, 2, ... the completions, -1 padding.

    sources_BT: where a token is predicted from: the token before it, or the prompt's last for a completion's first.
    """

    input_ids: Tensor
    position_ids: Tensor
    segments: Tensor
    sources: Tensor


def unsupported(model: nn.Module) -> str | None:
    """Why the model's attention can't take a mask of our own; None where it can."""
    config = model.config.get_text_config()
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "not all of its layers have full attention"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "its attention has a sliding window"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"its attention is {config._attn_implementation}, which takes no mask of T x T"
    return None


def share_prompts(rows: list[tuple[list[int], list[list[int]]]], pad_token_id: int) -> SharedRows:
    """Rows of a prompt and its completions, padded on the right."""
    shape = (len(rows), max(len(prompt) + sum(map(len, completions)) for prompt, completions in rows))
    made = SharedRows(
        torch.full(shape, pad_token_id),
        torch.zeros(shape, dtype=torch.long),
        torch.full(shape, -1),
        torch.zeros(shape, dtype=torch.long),
    )
    for row, (prompt, completions) in enumerate(rows):
        _place(made, row, 0, prompt, 0, 0)
        start = len(prompt)
        for number, completion in enumerate(completions, 1):
            _place(made, row, start, completion, number, len(prompt))
            made.sources[row, start] = len(prompt) - 1
            start += len(completion)
    return made


def _place(made: SharedRows, row: int, start: int, tokens: list[int], number: int, first_position: int) -> None:
    where = slice(start, start + len(tokens))
    made.input_ids[row, where] = torch.tensor(tokens)
    made.position_ids[row, where] = first_position + torch.arange(len(tokens))
    made.segments[row, where] = number
    made.sources[row, where] = torch.arange(start - 1, start - 1 + len(tokens)).clamp(min=0)


def visible(segments_BT: Tensor) -> Tensor:
    """B x 1 x T x T, True where the row's token may look: no later than itself, at the prompt or its own segment."""
    length = segments_BT.shape[1]
    causal_TT = torch.ones(length, length, dtype=torch.bool, device=segments_BT.device).tril()
    same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
    at_prompt_BTT = (segments_BT == 0)[:, None, :]
    return ((same_BTT | at_prompt_BTT) & causal_TT)[:, None]
