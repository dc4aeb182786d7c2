"""Completions of a micro-batch that share their prompt's computation (rl.share_prompts, in2x.model.prefixes).

A pack is a prompt and the completions that follow it in one row. What the loss reads stays B x T, a completion a row.

Legend: B completions, T tokens.
"""

from dataclasses import fields
from itertools import groupby

import torch

from in2x.artifacts import In2xError
from in2x.model.logprobs import shared_completion_logprobs
from in2x.model.prefixes import SharedRows, share_prompts, unsupported


def refuse_unshareable(model, share: bool) -> None:
    """Refuse rl.share_prompts, before any rollout, for a model whose attention can't take a mask of ours.

    Raises:
        In2xError: it can't; says why.
    """
    if share and (why := unsupported(model)):
        raise In2xError(f"rl.share_prompts: this model's completions can't share a prompt, as {why}; set it to false")


def shared_batches(
    input_ids_BT: torch.Tensor, completion_mask_BT: torch.Tensor, rows: torch.Tensor, micro_batch_tokens: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Micro-batches of at most micro_batch_tokens computed, prompts once and padding included: (rows, packs).

    `rows` are row numbers of B x T; those of a pack stand together. `packs` numbers the pack of each, from 0. A prompt
    with one completion that is longer than the budget is computed alone.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for row in rows.tolist():
        mask_T = completion_mask_BT[row]
        prompt = tuple(input_ids_BT[row, : int(mask_T.int().argmax())].tolist())
        waiting.setdefault(prompt, []).append((row, int(mask_T.sum())))
    packs = [pack for prompt, members in waiting.items() for pack in _packs(len(prompt), members, micro_batch_tokens)]
    packs.sort(key=lambda pack: pack[0])
    parts: list[list[list[int]]] = []
    for size, members in packs:
        if parts and (len(parts[-1]) + 1) * size <= micro_batch_tokens:
            parts[-1].append(members)
        else:
            parts.append([members])
    return [
        (
            torch.tensor([row for members in part for row in members]),
            torch.tensor([number for number, members in enumerate(part) for _ in members]),
        )
        for part in parts
    ]


def _packs(prompt_tokens: int, members: list[tuple[int, int]], budget: int) -> list[tuple[int, list[int]]]:
    """(tokens, rows) of as few packs as the budget allows, filled evenly; members: (row, tokens of its completion)."""
    room = max(budget - prompt_tokens, 1)
    number = -(-sum(tokens for _, tokens in members) // room)
    share = -(-sum(tokens for _, tokens in members) // number)
    packs: list[tuple[int, list[int]]] = []
    for row, tokens in members:
        size, pack = packs[-1] if packs else (budget, [])
        if packs and size - prompt_tokens < share and size + tokens <= budget:
            packs[-1] = (size + tokens, [*pack, row])
        else:
            packs.append((prompt_tokens + tokens, [row]))
    return packs


def shared_logprobs(model, batch: dict, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of a micro-batch, B x T as completion_logprobs gives them.

    batch: input_ids, completion_mask, and packs, whose completions stand one after the other.
    """
    input_ids_BT, mask_BT = batch["input_ids"], batch["completion_mask"]
    completions = [ids[mask].tolist() for ids, mask in zip(input_ids_BT, mask_BT, strict=True)]
    packed = []
    for _, members in groupby(range(len(completions)), key=batch["packs"].tolist().__getitem__):
        places = list(members)
        prompt = input_ids_BT[places[0], : int(mask_BT[places[0]].int().argmax())].tolist()
        packed.append((prompt, [completions[place] for place in places]))
    made = share_prompts(packed, 0)  # nothing looks at padding: any token will do
    shared = SharedRows(**{field.name: getattr(made, field.name).to(mask_BT.device) for field in fields(made)})
    chosen = shared.segments > 0  # row after row, so in the order of the completions
    where = mask_BT.nonzero(as_tuple=True)
    return tuple(
        torch.zeros(mask_BT.shape, dtype=values.dtype, device=values.device).index_put(where, values[chosen])
        for values in shared_completion_logprobs(model, shared, temperature)
    )
