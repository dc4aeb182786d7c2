"""The next token of each row, and its log-probability: the likeliest, or the inverse of the distribution function.

Legend: N rows, E width of the hidden states, V vocabulary, B blocks of the vocabulary.
"""

from collections.abc import Callable

import torch

BLOCK = 64  # tokens whose probabilities are summed first
CPU_ROWS = 128  # rows whose logits are held at once on a CPU: they stay in its cache


def choose_tokens(
    head: Callable[[torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    repeats: int,
    temperature: float,
    uniforms_N: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and log-probabilities (nats) of N rows; `head` makes logits (float32) of the hidden states, N/repeats x E.

    Temperature 0 takes the likeliest token, with its probability at temperature 1. The head must be linear. Each row
    of `hidden` stands for `repeats` rows that follow one another. Only some rows' logits exist at a time.
    """
    size = len(hidden) if hidden.device.type != "cpu" else max(1, CPU_ROWS // repeats)
    hidden = hidden / temperature if temperature else hidden  # logits are linear in it
    parts = []
    for start in range(0, len(hidden), size):
        logits = head(hidden[start : start + size])
        rows = slice(start * repeats, (start + size) * repeats)
        parts.append(choose(logits, repeats, not temperature, uniforms_N[rows]))
    tokens, logprobs = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def choose(logits, repeats: int, greedy: bool, uniforms_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for logits that exist, already divided by the temperature."""
    probabilities = torch.softmax(logits, dim=-1)
    probabilities_NV = probabilities.repeat_interleave(repeats, 0) if repeats > 1 else probabilities
    chosen_N = logits.argmax(dim=-1).repeat_interleave(repeats) if greedy else _inverse(probabilities_NV, uniforms_N)
    return chosen_N, probabilities_NV.gather(1, chosen_N.unsqueeze(1)).squeeze(1).log()


def _inverse(probabilities_NV: torch.Tensor, uniforms_N: torch.Tensor) -> torch.Tensor:
    """Where the uniform number (in [0, 1)) falls in the cumulative distribution: in which block, then where in it.

    A token without probability is never chosen: a threshold stays below the sum, and the first sum above it is taken.
    """
    num_whole = probabilities_NV.shape[1] // BLOCK
    whole, rest = probabilities_NV.split([num_whole * BLOCK, probabilities_NV.shape[1] - num_whole * BLOCK], dim=1)
    sums_NB = torch.cat([whole.unflatten(1, (num_whole, BLOCK)).sum(-1), rest.sum(-1, keepdim=True)], dim=1)
    cumulative_NB = sums_NB.cumsum(-1)
    block_N1, before_N1 = first_above(cumulative_NB, uniforms_N.unsqueeze(1) * cumulative_NB[:, -1:])
    inside = block_N1 * BLOCK + torch.arange(BLOCK, device=block_N1.device)
    within = probabilities_NV.gather(1, inside.clamp(max=probabilities_NV.shape[1] - 1))
    within = torch.where(inside < probabilities_NV.shape[1], within, 0.0).cumsum(-1)
    place_N1, _ = first_above(within, uniforms_N.unsqueeze(1) * cumulative_NB[:, -1:] - before_N1)
    return (block_N1 * BLOCK + place_N1).squeeze(1)


def first_above(cumulative: torch.Tensor, threshold_N1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first place whose cumulative sum exceeds the threshold, and the sum before it."""
    below_all = torch.nextafter(cumulative[:, -1:], torch.zeros_like(threshold_N1))
    place_N1 = torch.searchsorted(cumulative, torch.minimum(threshold_N1, below_all), right=True)
    before = cumulative.gather(1, (place_N1 - 1).clamp(min=0))
    return place_N1, torch.where(place_N1 > 0, before, 0.0)
