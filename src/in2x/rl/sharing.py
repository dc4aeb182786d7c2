"""Completions of a micro-batch that share their prompt's computation (rl.share_prompts, in2x.model.prefixes).

A pack is a prompt and the completions that follow it. What the loss reads stays B x T, a completion a row.

Legend: B completions, T tokens.
"""

from collections.abc import Callable
from itertools import groupby

import torch

from in2x.artifacts import In2xError
from in2x.model.logprobs import shared_completion_logprobs
from in2x.model.prefixes import share_prompts, unsupported


def shares_prompts(model, wanted: bool | None, tell: Callable[[str], None]) -> bool:
    """rl.share_prompts for this model, before any rollout; left out (None), it is on where the model allows it.

    Where it doesn't, `tell` gets a line that says why.

    Raises:
        In2xError: it is wanted, and the model's attention can't be told who sees whom; says why.
    """
    why = None if wanted is False else unsupported(model)
    if why and wanted:
        raise In2xError(f"rl.share_prompts: this model's completions can't share a prompt, as {why}; set it to false")
    if why:
        tell(f"rl.share_prompts: off, as {why}; each completion is computed with a prompt of its own")
    return wanted is not False and why is None


def shared_batches(
    input_ids_BT: torch.Tensor, completion_mask_BT: torch.Tensor, rows: torch.Tensor, micro_batch_tokens: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Micro-batches of at most micro_batch_tokens, each prompt once: (rows, packs).

    `rows` are row numbers of B x T; those of a pack stand together. `packs` numbers the pack of each, from 0. A prompt
    with one completion that is longer than the budget is computed alone.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for row in rows.tolist():
        mask_T = completion_mask_BT[row]
        prompt = tuple(input_ids_BT[row, : int(mask_T.int().argmax())].tolist())
        waiting.setdefault(prompt, []).append((row, int(mask_T.sum())))
    parts = _filled([(len(prompt), members) for prompt, members in waiting.items()], micro_batch_tokens)
    return [
        (
            torch.tensor([row for members in part for row in members]),
            torch.tensor([number for number, members in enumerate(part) for _ in members]),
        )
        for part in parts
    ]


def _filled(packs: list[tuple[int, list[tuple[int, int]]]], budget: int) -> list[list[list[int]]]:
    """The rows of each pack of each micro-batch: as few as the budget allows, filled evenly.

    packs: (tokens of a prompt, its rows with the tokens of each completion).
    """
    fewest = _filled_up_to(budget, packs)
    total = sum(prompt_tokens + sum(tokens for _, tokens in members) for prompt_tokens, members in packs)
    limit = total / max(1, len(fewest))
    while limit < budget:
        if len(parts := _filled_up_to(limit, packs)) == len(fewest):
            return parts
        limit *= 1.02
    return fewest


def _filled_up_to(limit: float, packs: list[tuple[int, list[tuple[int, int]]]]) -> list[list[list[int]]]:
    """One after the other; a prompt whose completions don't all fit stands in two of them."""
    parts: list[list[list[int]]] = []
    used = limit
    for prompt_tokens, members in packs:
        opened = False
        for row, tokens in members:
            wanted = tokens if opened else prompt_tokens + tokens
            if used + wanted > limit:
                parts.append([])
                used, opened, wanted = 0, False, prompt_tokens + tokens
            if not opened:
                parts[-1].append([])
            parts[-1][-1].append(row)
            used, opened = used + wanted, True
    return parts


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
    where = mask_BT.nonzero(as_tuple=True)  # row after row, so in the order of the completions
    return tuple(
        torch.zeros(mask_BT.shape, dtype=values.dtype, device=values.device).index_put(where, values)
        for values in shared_completion_logprobs(model, share_prompts(packed).to(mask_BT.device), temperature)
    )
