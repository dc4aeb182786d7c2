"""Rollouts: sample groups of completions, and collate them into the tensors that a loss reads.

Legend: P prompts, G group size, B completions, T tokens.
"""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from in2x import distributed
from in2x.decoding.generate import generate
from in2x.generators import Generator
from in2x.model.logprobs import completion_logprobs
from in2x.model.prompts import chat_prompts, chat_stops
from in2x.records import Completion
from in2x.rewards.groups import Group
from in2x.rl.entropy import high_covariance
from in2x.rl.inputs import LossInputs
from in2x.rl.sharing import shared_batches, shared_logprobs


def sample_groups(
    model,
    tokenizer,
    prompts: pl.DataFrame,
    *,
    group_size: int,
    temperature: float,
    max_completion_tokens: int,
    seed: int,
    first_key: int = 0,
    generator: Generator = generate,
) -> list[Group]:
    """Sample `group_size` completions for each row of `prompts` (columns of in2x.records.INSTRUCTIONS).

    The random numbers of row p are those of the key first_key + p: a refill goes on where the draw before it ended.
    """
    prompt_ids = chat_prompts(tokenizer, prompts["prompt"])
    completions = generator(
        model,
        tokenizer,
        prompt_ids,
        stop_ids=chat_stops(tokenizer),
        num_samples=group_size,
        seed=seed,
        temperature=temperature,
        max_completion_tokens=max_completion_tokens,
        keys=range(first_key, first_key + len(prompt_ids)),
    )
    return [
        _group(row, ids, group)
        for row, ids, group in zip(prompts.iter_rows(named=True), prompt_ids, completions, strict=True)
    ]


def _group(row: Mapping, prompt_ids: list[int], completions: list[Completion]) -> Group:
    source_language, target_language = row["direction"].split("-")
    return Group(
        row["id"],
        prompt_ids,
        row["source"],
        row["reference"],
        target_language,
        completions,
        source_language,
        row["task"],
        row["prompt"],
    )


@dataclass(frozen=True)
class Rollouts:
    """Completions with what one rollout batch fixes for all of its updates. First axis B.

    input_ids, completion_mask, old_logprobs, sampling_logprobs, ref_logprobs, high_covariance: B x T, padded on the
    right; advantages: B. ref_logprobs is None where there is no reference policy, high_covariance (the tokens of
    in2x.rl.entropy, of one mini-batch) where nothing controls them, credit (B x T, see in2x.rl.credit) where every
    token has its completion's advantage. share_prompts: rl.share_prompts.
    """

    ids: list[str]
    input_ids: torch.Tensor
    completion_mask: torch.Tensor
    old_logprobs: torch.Tensor
    sampling_logprobs: torch.Tensor
    ref_logprobs: torch.Tensor | None
    advantages: torch.Tensor
    temperature: float
    high_covariance: torch.Tensor | None = None
    share_prompts: bool = False
    credit: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def mini_batches(self, number: int, rng: np.random.Generator) -> list[torch.Tensor]:
        """Row numbers of `number` mini-batches of (almost) equal size, drawn at random."""
        return [
            torch.from_numpy(np.sort(part)) for part in np.array_split(rng.permutation(len(self)), number) if len(part)
        ]


def collate(
    groups: list[Group],
    advantages_PG: np.ndarray,
    trained: np.ndarray,
    policy,
    pad_token_id: int,
    temperature: float,
    micro_batch_tokens: int,
    reference: Callable[[], AbstractContextManager] | None = None,
    share_prompts: bool = False,
    credit: Mapping[tuple[int, int], np.ndarray] | None = None,
    old_from_sampler: bool = False,
) -> Rollouts:
    """Tensors of the completions that are trained on, shortest first; `trained` says so by group (P) or member (P x G).

    credit: weights of the tokens of members (p, g), 1 for those that it doesn't name; None for no such tensor.

    The old log-probabilities are the trainer's own, or those that the sampler gave (rl.old_logprobs); those of the
    frozen reference are computed where there is one: `reference()` is a context that gives its model (in2x.rl.anchors).
    """
    trained_PG = np.broadcast_to(trained[:, None] if trained.ndim == 1 else trained, advantages_PG.shape)
    members = [
        (group, completion, float(advantages_PG[p, g]), (p, g))
        for p, group in enumerate(groups)
        for g, completion in enumerate(group.completions)
        if trained_PG[p, g]
    ]
    members.sort(key=lambda member: len(member[0].prompt_ids) + len(member[1].token_ids))
    longest = max((len(group.prompt_ids) + len(c.token_ids) for group, c, *_ in members), default=1)
    input_ids_BT = torch.full((len(members), longest), pad_token_id)
    sampling_BT = torch.zeros(input_ids_BT.shape)
    mask_BT = torch.zeros(input_ids_BT.shape, dtype=torch.bool)
    credit_BT = None if credit is None else torch.ones(input_ids_BT.shape)
    for row, (group, completion, _, place) in enumerate(members):
        begin, end = len(group.prompt_ids), len(group.prompt_ids) + len(completion.token_ids)
        input_ids_BT[row, :end] = torch.tensor(group.prompt_ids + completion.token_ids)
        mask_BT[row, begin:end] = True
        sampling_BT[row, begin:end] = torch.tensor(completion.sampling_logprobs)
        if credit and place in credit:
            credit_BT[row, begin:end] = torch.from_numpy(credit[place])
    rollouts = Rollouts(
        [group.id for group, *_ in members],
        input_ids_BT,
        mask_BT,
        torch.zeros(mask_BT.shape),
        sampling_BT,
        None if reference is None else torch.zeros(mask_BT.shape),
        torch.tensor([advantage for _, _, advantage, _ in members]),
        temperature,
        share_prompts=share_prompts,
        credit=credit_BT,
    )
    if old_from_sampler:
        rollouts.old_logprobs.copy_(sampling_BT)
    else:
        _fill_logprobs(rollouts.old_logprobs, policy, rollouts, micro_batch_tokens)
    if reference is not None:
        with reference() as model:
            _fill_logprobs(rollouts.ref_logprobs, model, rollouts, micro_batch_tokens)
    return rollouts


@torch.inference_mode()
def _fill_logprobs(into_BT: torch.Tensor, model, rollouts: Rollouts, micro_batch_tokens: int) -> None:
    """Fill in what the model gives the completions' tokens; several processes do a share each, in step."""
    model.eval()
    parts = _micro_batches(rollouts, torch.arange(len(rollouts)), micro_batch_tokens)
    for place, is_own in distributed.turns(len(parts)):
        rows, extra = parts[place]
        batch = {name: tensor.to(model.device) for name, tensor in (_columns(rollouts, rows) | extra).items()}
        found_BT = _policy_logprobs(model, batch, rollouts.temperature)[0]
        if is_own:
            into_BT[rows, : found_BT.shape[1]] = found_BT.cpu()
    if distributed.world_size() > 1:
        into_BT.copy_(sum(distributed.gather(into_BT)))


def _micro_batches(rollouts: Rollouts, rows: torch.Tensor, budget: int) -> list[tuple[torch.Tensor, dict]]:
    """Row numbers of each micro-batch, and the columns that it has beside theirs: `packs` where prompts are shared."""
    if not rollouts.share_prompts:
        return [(part, {}) for part in micro_batches(rollouts, rows, budget)]
    found = shared_batches(rollouts.input_ids, rollouts.completion_mask, rows, budget)
    return [(part, {"packs": packs}) for part, packs in found]


def micro_batches(rollouts: Rollouts, rows: torch.Tensor, micro_batch_tokens: int) -> list[torch.Tensor]:
    """Split row numbers, sorted by length, so that a padded micro-batch has at most micro_batch_tokens.

    Raises:
        ValueError: the rows are not sorted by length.
    """
    lengths = _lengths(rollouts, rows).tolist()
    if lengths != sorted(lengths):
        raise ValueError("rows: expected the shortest first")
    parts, start = [], 0
    for place, longest in enumerate(lengths):
        if place > start and (place - start + 1) * longest > micro_batch_tokens:
            parts.append(rows[start:place])
            start = place
    return [*parts, rows[start:]] if len(rows) else []


def with_high_covariance(rollouts: Rollouts, rows: torch.Tensor, settings, generator: torch.Generator) -> Rollouts:
    """The rollouts with the tokens marked that entropy control is for, in the rows of one mini-batch."""
    marked = high_covariance(
        settings, rollouts.old_logprobs[rows], rollouts.advantages[rows], rollouts.completion_mask[rows], generator
    )
    if marked is None:
        return rollouts
    whole = torch.zeros_like(rollouts.completion_mask)
    whole[rows] = marked
    return dataclasses.replace(rollouts, high_covariance=whole)


def loss_batches(
    rollouts: Rollouts, rows: torch.Tensor, micro_batch_tokens: int, max_completion_tokens: int
) -> list[dict]:
    """Micro-batches for the loop, each with the whole mini-batch's counts."""
    counts = {
        "num_completions": len(rows),
        "num_tokens": int(rollouts.completion_mask[rows].sum()),
        "max_completion_tokens": max_completion_tokens,
        "temperature": rollouts.temperature,
    }
    parts = _micro_batches(rollouts, rows, micro_batch_tokens)
    return [_columns(rollouts, part) | extra | counts for part, extra in parts]


def policy_loss(algorithm, settings):
    """The algorithm's loss as the loop calls it: recompute the policy's log-probabilities, then the objective."""

    def loss(model, batch: dict):
        logprobs_BT, entropy_BT = _policy_logprobs(model, batch, batch["temperature"])
        output = algorithm.loss(
            LossInputs(
                logprobs_BT=logprobs_BT,
                old_logprobs_BT=batch["old_logprobs"],
                completion_mask_BT=batch["completion_mask"],
                advantages_B=batch["advantages"],
                entropy_BT=entropy_BT,
                ref_logprobs_BT=batch.get("ref_logprobs"),
                high_covariance_BT=batch.get("high_covariance"),
                credit_BT=batch.get("credit"),
                sampling_logprobs_BT=batch["sampling_logprobs"],
                num_completions=batch["num_completions"],
                num_tokens=batch["num_tokens"],
                max_completion_tokens=batch["max_completion_tokens"],
            ),
            settings,
        )
        share = len(batch["advantages"]) / batch["num_completions"]  # the shares of a step's micro-batches add up to 1
        return output.loss, dict(output.metrics) | {"loss": (float(output.loss.detach()), share)}

    return loss


def _policy_logprobs(model, batch: dict, temperature: float):
    if "packs" in batch:
        return shared_logprobs(model, batch, temperature)
    positions_BT = torch.arange(batch["input_ids"].shape[1]).expand(batch["input_ids"].shape)
    return completion_logprobs(
        model, batch["input_ids"], positions_BT.to(batch["input_ids"].device), batch["completion_mask"], temperature
    )


def _columns(rollouts: Rollouts, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """The tensors of some rows, without the columns that are padding in all of them."""
    width = int(_lengths(rollouts, rows).max())
    names = ["input_ids", "completion_mask", "old_logprobs", "sampling_logprobs"]
    names += [name for name in ("ref_logprobs", "high_covariance", "credit") if getattr(rollouts, name) is not None]
    tensors = {name: getattr(rollouts, name)[rows, :width] for name in names}
    return tensors | {"advantages": rollouts.advantages[rows]}


def _lengths(rollouts: Rollouts, rows: torch.Tensor) -> torch.Tensor:
    """Tokens of prompt and completion: the position after the last completion token."""
    mask = rollouts.completion_mask[rows]
    return mask.shape[1] - mask.flip(1).int().argmax(dim=1)
