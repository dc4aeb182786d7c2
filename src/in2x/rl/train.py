"""The rl stage: trajectory-corrected GRPO (arXiv 2508.14472), or another row of in2x.rl.algorithms, on rollouts.

One rollout batch, as in the paper's algorithm box:
    1. sample G completions of P prompts at the current temperature;
    2. reward them: gates, then components standardised in each group;
    3. advantages within the groups; a group without contrast teaches nothing: it is dropped, and a fresh prompt drawn;
    4. the trainer's own log-probabilities, before the first update, unless rl.old_logprobs takes the sampler's; the
       window is now fixed, and written to disk;
    5. one optimizer step for each mini-batch: truly off-policy from the second on.

A run stops and continues at any step, also between two updates of a batch, as if it had never stopped: docs/rl.md.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x import distributed
from in2x.artifacts import In2xError, write_parquet
from in2x.decoding.translate import dev_chrf
from in2x.generators import Generator, make_generator
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.rewards.build import build_reward
from in2x.rewards.translation import TranslationReward
from in2x.rl.alarms import Alarmed, alarms, evidence
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.anchors import SftAnchor, reference_of, sft_anchor
from in2x.rl.checks import refuse_long_prompts, unread
from in2x.rl.credit import credit, credit_measures
from in2x.rl.draw import advantages, draw, temperature
from in2x.rl.entropy import next_coefficient
from in2x.rl.history import History
from in2x.rl.inputs import LossSettings
from in2x.rl.prompts import Prompts, load_prompts, relearn
from in2x.rl.rollout_log import batch_file, examples, read_rollouts, rollout_table
from in2x.rl.rollouts import collate, loss_batches, policy_loss, sample_groups, with_high_covariance
from in2x.rl.sharing import shares_prompts
from in2x.rl.watch import batch_measures, stability, update_means
from in2x.rl.window import Window, Windows, rest
from in2x.sections import RlSection
from in2x.training.checkpoints import last
from in2x.training.loop import Loop
from in2x.training.measures import measures_in_chat
from in2x.training.metrics import console, progress_bar
from in2x.training.schedule import learning_rate


@dataclass(frozen=True)
class Run:
    """What the batches of a run share; history and windows are its memory on disk."""

    section: RlSection
    folder: Path
    loop: Loop
    tokenizer: object
    prompts: Prompts
    reward: TranslationReward
    reference: Callable | None
    sft: SftAnchor | None
    history: History
    windows: Windows
    generator: Generator
    share_prompts: bool

    @property
    def updates_per_batch(self) -> int:
        return self.section.batch_completions // self.section.mini_batch_completions


def run(section: RlSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    this = start(section, folder, inputs)
    try:
        return train(this, inputs)
    finally:
        this.reward.close()


def train(this: Run, inputs: Mapping[str, Path]) -> dict:
    """Take the batches that are left, save the model; returns the results of the stage."""
    section, folder = this.section, this.folder
    loop, done = this.loop, this.loop.step // this.updates_per_batch
    places = range(1, section.keep_checkpoints + 1)
    keep_at = {round(place * section.num_batches / section.keep_checkpoints) for place in places}
    with loop.signals(), progress_bar("rl", section.num_batches, done) as bar:
        for batch in range(done, section.num_batches):
            measured = rollout_batch(this, batch)
            if section.dev_every_batches and (batch + 1) % section.dev_every_batches == 0:
                with loop.averaged() as model:
                    measured["dev_chrf"] = dev_chrf(
                        model, this.tokenizer, inputs["corpus"], section.num_dev, section.max_completion_tokens
                    )
            if batch + 1 in keep_at:
                with loop.averaged() as model:
                    save_model(model, this.tokenizer, folder / "checkpoints" / f"batch-{batch + 1:05}")
            bar.advance(note=f"reward {measured['reward']:.3f}  tokens {measured['completion_tokens']:.0f}")
            finish_batch(this, batch, measured)
    save_model(loop.model, this.tokenizer, folder / "model")
    distributed.on_main(lambda: shutil.rmtree(folder / "windows", ignore_errors=True))
    batches = this.history.batches
    return {
        "algorithm": section.algorithm,
        "num_steps": loop.step,
        "num_batches": section.num_batches,
        "num_rollouts": sum(measured["drawn_prompts"] for measured in batches) * section.group_size,
        "num_prompts": len(this.prompts.table),
        "num_batches_with_alarms": sum("alarms" in measured for measured in batches),
        "examples": examples(read_rollouts(folder)),
        "measures": measures_in_chat(loop.model, this.tokenizer, inputs["corpus"], section.measures, section.seed),
    }


def start(section: RlSection, folder: Path, inputs: Mapping[str, Path]) -> Run:
    """Load what the run needs, and continue from its last checkpoint where there is one."""
    torch.manual_seed(section.seed)
    settings = loss_settings(section)
    tokenizer, policy = load_tokenizer(inputs["sft"] / "model"), load_model(inputs["sft"] / "model")
    prompts = load_prompts(inputs["instruct"] / "rl.parquet", section)
    refuse_long_prompts(prompts.table, tokenizer, policy.config, section)
    share_prompts = shares_prompts(policy, section.share_prompts, say)
    reward = build_reward(section, tokenizer, inputs)
    per_batch = section.batch_completions // section.mini_batch_completions
    num_steps = section.num_batches * per_batch
    loop = Loop(policy, section, learning_rate(section, num_steps), num_steps, folder, tokenizer)

    def load_reference():
        return on_device(load_model(inputs["sft"] / "model")).requires_grad_(False)

    reference = reference_of(loop.model, load_reference) if settings.kl_coefficient else None
    sft = sft_anchor(inputs["instruct"] / "sft.parquet", tokenizer, section)
    history = History(folder, loop.step)
    prompts.num_drawn = sum(measured["drawn_prompts"] for measured in history.batches)
    relearn(prompts, folder, loop.step // per_batch)
    windows = Windows(folder, loop.step // per_batch)
    generator = make_generator(section.generator, folder / "generator")
    return Run(
        section, folder, loop, tokenizer, prompts, reward, reference, sft, history, windows, generator, share_prompts
    )


def rollout_batch(this: Run, batch: int) -> dict:
    """Make the window of a batch (0-based), or go on inside it, and take its updates; returns what was measured."""
    inside = this.loop.step > batch * this.updates_per_batch
    window = this.windows.load(batch, inside)
    if window is None:
        window = make_window(this, batch)
    else:
        this.prompts.num_drawn += window.measured["drawn_prompts"]
    this.prompts.learn(pl.read_parquet(batch_file(this.folder, batch + 1)))
    take_updates(this, window)
    measured = update_means(this.history.updates(batch + 1)) | window.measured
    return measured | stability(this.history.batches, measured)


def make_window(this: Run, batch: int) -> Window:
    """Phases 1 to 4: rollouts, rewards, advantages, and old log-probabilities."""
    section, loop, now = this.section, this.loop, temperature(this.section, batch)
    sample = partial(
        sample_groups,
        loop.model,
        this.tokenizer,
        group_size=section.group_size,
        temperature=now,
        max_completion_tokens=section.max_completion_tokens,
        seed=section.seed * 1_000_003 + batch,
        generator=this.generator,
    )
    drawn = draw(
        lambda prompts, first_key: sample(prompts, first_key=first_key), this.reward, this.prompts, section, batch
    )
    advantages_PG = advantages(drawn, section)
    weights = credit(drawn, advantages_PG, this.tokenizer, section.span_credit) if section.span_credit else None
    with loop.precision():  # as in the updates, or the ratios would start away from 1
        rollouts = collate(
            drawn.groups,
            advantages_PG,
            drawn.trained_PG,
            loop.model,
            this.tokenizer.pad_token_id,
            now,
            section.micro_batch_tokens,
            this.reference,
            this.share_prompts,
            weights,
            section.old_logprobs == "sampler",
        )
    write_parquet(rollout_table(drawn, advantages_PG, batch + 1), batch_file(this.folder, batch + 1))
    measured = batch_measures(drawn, section, now) | ({} if weights is None else credit_measures(drawn, weights))
    window = Window(batch, rollouts, measured)
    this.windows.save(window)
    return window


def take_updates(this: Run, window: Window) -> None:
    """Phase 5: the optimizer steps of a window that have not been taken yet."""
    section, loop, history = this.section, this.loop, this.history
    algorithm, settings = ALGORITHMS[section.algorithm], loss_settings(section)
    number, batch, ids = this.updates_per_batch, window.batch, window.rollouts.ids
    parts = window.rollouts.mini_batches(number, np.random.default_rng([section.seed, batch]))
    for place in range(loop.step - batch * number, len(parts)):
        rest(loop, this.windows, batch)
        rows, generator = parts[place], torch.Generator().manual_seed(_seed(section.seed, batch, place))
        coefficient = next_coefficient(section, settings, *history.last_entropy())
        marked = with_high_covariance(window.rollouts, rows, settings, generator)
        micro_batches = loss_batches(marked, rows, section.micro_batch_tokens, section.max_completion_tokens)
        loss = policy_loss(algorithm, dataclasses.replace(settings, entropy_coefficient=coefficient))
        if this.sft:
            micro_batches, loss = micro_batches + this.sft.batches(loop.step), this.sft.beside(loss)
        update = loop.optimizer_step(micro_batches, loss, ids=lambda rows=rows: [ids[row] for row in rows])
        if section.entropy_target is not None:
            update["entropy_coefficient"] = coefficient
        history.add_update(loop.step, batch + 1, coefficient, update)
    loop.step = (batch + 1) * number  # mini-batches without an informative group count, but take no step


def finish_batch(this: Run, batch: int, measured: dict) -> None:
    """Look for alarms; log the batch; stop where an alarm or a signal asks for it.

    Raises:
        Alarmed: a measure is beyond a bound that stops the run; what was logged and the rollouts say why.
    """
    found = alarms([*this.history.batches, measured], this.section)
    if found:
        measured["alarms"] = [f"{alarm.name}: {alarm.message}" for alarm in found]
    this.history.add_batch(this.loop.step, batch + 1, measured)
    where = evidence(batch_file(this.folder, batch + 1), last(this.folder)) if found else ""
    for alarm in found:
        say(f"rl: batch {batch + 1}: {alarm.message}; {where}")
    if stops := [alarm for alarm in found if alarm.stops]:
        if this.loop.log:
            this.loop.log.write(this.loop.step, **measured)
        raise Alarmed(
            f"step {this.loop.step}, batch {batch + 1}: {'; '.join(alarm.message for alarm in stops)}; {where}"
        )
    try:
        this.loop.after_step(**measured)
    finally:
        this.windows.noted(batch + 1)


def say(line: str) -> None:
    if distributed.is_main():
        console.print(f"  {line}", markup=False)


def loss_settings(section: RlSection) -> LossSettings:
    """The algorithm's published settings, with what the recipe sets.

    Raises:
        In2xError: the recipe sets something that nothing reads beside its other settings.
    """
    for name, why in unread(section).items():
        raise In2xError(f"rl.{name}: {why}; take it out, or change what it depends on")
    return ALGORITHMS[section.algorithm].settings(
        **{field.name: getattr(section, field.name) for field in dataclasses.fields(LossSettings)}
    )


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
