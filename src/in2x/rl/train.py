"""The rl stage: trajectory-corrected GRPO (arXiv 2508.14472), or another row of in2x.rl.algorithms, on rollouts.

One rollout batch, as in the paper's algorithm box:
    1. sample G completions of P prompts at the current temperature;
    2. reward them: gates, then components standardised in each group;
    3. advantages within the groups; a group without contrast teaches nothing and is dropped;
    4. the trainer's own log-probabilities, before the first update;
    5. one optimizer step for each mini-batch: truly off-policy from the second on.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x.artifacts import In2xError, write_parquet
from in2x.decoding.translate import dev_chrf
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.rewards import naturalness
from in2x.rewards.translation import TranslationReward
from in2x.rl.advantages import informative_groups
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossSettings
from in2x.rl.measures import importance_spread
from in2x.rl.rollout_log import COMPONENT, batch_file, read_rollouts, rollout_table
from in2x.rl.rollouts import collate, loss_batches, policy_loss, sample_groups, with_high_covariance
from in2x.sections import RlSection
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.schedule import learning_rate

NUM_EXAMPLES = 8


def run(section: RlSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer, policy = load_tokenizer(inputs["sft"] / "model"), load_model(inputs["sft"] / "model")
    prompts = _prompts(inputs["instruct"] / "rl.parquet", section)
    reward = TranslationReward(
        section.reward_weights,
        on_device(naturalness.load(inputs["reward"] / "naturalness")),
        tokenizer,
        section.max_completion_tokens,
        section.length_buffer_tokens,
        section.chrf_beta,
    )
    settings = loss_settings(section)
    reference = (
        on_device(load_model(inputs["sft"] / "model")).requires_grad_(False) if settings.kl_coefficient else None
    )
    steps_per_batch = section.batch_completions // section.mini_batch_completions
    num_steps = section.num_batches * steps_per_batch
    loop = Loop(
        policy,
        section,
        learning_rate(section, num_steps),
        num_steps,
        folder,
    )
    keep_at = {
        round((place + 1) * section.num_batches / section.keep_checkpoints) for place in range(section.keep_checkpoints)
    }
    done = loop.step // steps_per_batch
    with loop.signals(), progress_bar("rl", section.num_batches, done) as bar:
        for batch in range(done, section.num_batches):
            measured, rollouts = rollout_batch(loop, tokenizer, reward, prompts, section, batch, reference)
            write_parquet(rollouts, batch_file(folder, batch + 1))
            if section.dev_every_batches and (batch + 1) % section.dev_every_batches == 0:
                measured["dev_chrf"] = dev_chrf(
                    loop.model, tokenizer, inputs["corpus"], section.num_dev, section.max_completion_tokens
                )
            if batch + 1 in keep_at:
                save_model(loop.model, tokenizer, folder / "checkpoints" / f"batch-{batch + 1:05}")
            bar.advance(note=f"reward {measured['reward']:.3f}  tokens {measured['completion_tokens']:.0f}")
            loop.after_step(**measured)
    save_model(loop.model, tokenizer, folder / "model")
    return {
        "algorithm": section.algorithm,
        "num_steps": loop.step,
        "num_batches": section.num_batches,
        "num_rollouts": section.num_batches * section.batch_completions,
        "num_prompts": len(prompts),
        "examples": _examples(read_rollouts(folder)),
    }


def rollout_batch(
    loop: Loop,
    tokenizer,
    reward: TranslationReward,
    prompts: pl.DataFrame,
    section: RlSection,
    batch: int,
    reference=None,
) -> tuple[dict, pl.DataFrame]:
    """Sample, reward, and take the mini-batch updates of one rollout batch; returns what is logged, and a table."""
    progress = batch / max(1, section.num_batches - 1)
    temperature = section.start_temperature + progress * (section.end_temperature - section.start_temperature)
    groups = sample_groups(
        loop.model,
        tokenizer,
        _slice(prompts, section, batch),
        group_size=section.group_size,
        temperature=temperature,
        max_completion_tokens=section.max_completion_tokens,
        seed=section.seed * 1_000_003 + batch,
    )
    rewarded = reward(groups)
    rewards_PG = torch.from_numpy(rewarded.composed.rewards_PG).float()
    algorithm, settings = ALGORITHMS[section.algorithm], loss_settings(section)
    informative_P = informative_groups(rewards_PG, floor=section.min_group_std)
    advantages_PG = algorithm.advantage(rewards_PG, informative_P=informative_P)
    with loop.precision():  # as in the updates, or the ratios would start away from 1
        rollouts = collate(
            groups,
            advantages_PG.numpy(),
            informative_P.numpy(),
            loop.model,
            tokenizer.pad_token_id,
            temperature,
            section.micro_batch_tokens,
            reference,
        )
    loss = policy_loss(algorithm, settings)
    rng = np.random.default_rng([section.seed, batch])
    generator = torch.Generator().manual_seed(section.seed * 1_000_003 + batch)
    number = section.batch_completions // section.mini_batch_completions
    updates = [
        loop.optimizer_step(
            loss_batches(
                with_high_covariance(rollouts, rows, settings, generator),
                rows,
                section.micro_batch_tokens,
                section.max_completion_tokens,
            ),
            loss,
            ids=lambda rows=rows: [rollouts.ids[row] for row in rows],
        )
        for rows in rollouts.mini_batches(number, rng)
    ]
    loop.step += number - len(updates)  # mini-batches that had no informative group
    measured = {name: float(np.mean([update[name] for update in updates])) for name in (updates[0] if updates else ())}
    measured |= importance_spread(measured)
    measured |= _measures(groups, rewarded, informative_P, section, temperature)
    return measured, rollout_table(groups, rewarded, advantages_PG.numpy(), informative_P.numpy(), batch + 1)


def loss_settings(section: RlSection) -> LossSettings:
    """The algorithm's published settings, with what the recipe sets.

    Raises:
        In2xError: the recipe sets something that nothing reads beside its other settings.
    """
    algorithm = ALGORITHMS[section.algorithm]
    chosen = {field.name: getattr(section, field.name) for field in dataclasses.fields(LossSettings)}
    for name, why in algorithm.unread(**chosen).items():
        raise In2xError(f"rl.{name}: {why}; take it out, or change what it depends on")
    return algorithm.settings(**chosen)


def _prompts(path: Path, section: RlSection) -> pl.DataFrame:
    prompts = pl.read_parquet(path).filter(pl.col("direction").is_in(section.directions))
    if prompts.is_empty():
        raise In2xError(f"{path}: no prompts in the directions {list(section.directions)} (rl.directions)")
    return prompts.sample(fraction=1.0, shuffle=True, seed=section.seed)


def _slice(prompts: pl.DataFrame, section: RlSection, batch: int) -> pl.DataFrame:
    """The prompts of one rollout batch: one after the other, from the start again when they have run out."""
    number = section.batch_completions // section.group_size
    return prompts[[(batch * number + place) % len(prompts) for place in range(number)]]


def _measures(groups, rewarded, informative_P, section: RlSection, temperature: float) -> dict[str, float]:
    means = rewarded.composed.component_means
    lengths = [len(completion.token_ids) for group in groups for completion in group.completions]
    failures = [reason for row in rewarded.failures_PG for reason in row if reason]
    gates = [reason.split(":")[0] for reason in failures]
    by_gate = {f"gate/{gate}": gates.count(gate) / len(lengths) for gate in sorted(set(gates))}
    return {
        "reward": sum(
            weight * means[name]
            for name, weight in section.reward_weights.items()
            if weight and np.isfinite(means[name])
        ),
        **{f"component/{name}": value for name, value in means.items() if np.isfinite(value)},
        "gate_pass_fraction": rewarded.composed.passed_fraction,
        **by_gate,
        "informative_fraction": float(informative_P.float().mean()),
        "completion_tokens": float(np.mean(lengths)),
        "temperature": temperature,
    }


def _examples(rollouts: pl.DataFrame) -> list[dict]:
    """The first groups of a batch, for the report."""
    groups = rollouts.partition_by("prompt_id", maintain_order=True)[:NUM_EXAMPLES]
    return [
        {"source": group["source"][0], "reference": group["reference"][0], "rollouts": _rollouts(group)}
        for group in groups
    ]


def _rollouts(group: pl.DataFrame) -> list[dict]:
    components = group.select(pl.col(f"^{COMPONENT}.*$").name.map(lambda name: name.removeprefix(COMPONENT)))
    return [
        row | {"components": {name: value for name, value in values.items() if value is not None}}
        for row, values in zip(
            group.select("text", "reward", "failed_gate").to_dicts(), components.to_dicts(), strict=True
        )
    ]
