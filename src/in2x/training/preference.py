"""The reward stage: train the preference model of naturalness on natural against unnatural translations.

Writes naturalness/ (the model), pairs.parquet (what it was trained and tested on), and its accuracy on held-out pairs
by kind of rejected text, beside that of two rules that know nothing: the shorter and the longer text.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x.artifacts import In2xError, read_json, write_parquet
from in2x.decoding.generate import generate
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.model.prompts import chat_prompts, chat_stops
from in2x.rewards import naturalness
from in2x.sections import RewardSection
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.schedule import learning_rate

SHUFFLED_EVERY = 4  # one pair in four has a person's sentence out of order as its rejected text


def run(section: RewardSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer = load_tokenizer(inputs["sft"] / "model")
    pairs_file = folder / "pairs.parquet"
    direction = read_json(inputs["corpus"] / "manifest.json")["section"]["pair"]
    if not pairs_file.exists():
        pairs = preference_pairs(
            section,
            direction,
            pl.read_parquet(inputs["instruct"] / "sft.parquet"),
            on_device(load_model(inputs["sft"] / "model")),
            tokenizer,
        )
        write_parquet(pairs, pairs_file)
    pairs = pl.read_parquet(pairs_file)
    num_held_out = round(section.held_out_fraction * len(pairs))
    held_out, train = pairs.head(num_held_out), pairs.tail(len(pairs) - num_held_out)
    if min(len(held_out), len(train)) < 2:
        raise In2xError(f"reward: {len(pairs)} preference pairs are too few; raise reward.num_pairs")
    model = naturalness.load(inputs["sft"] / "model", from_language_model=True)
    model.config.pad_token_id = tokenizer.pad_token_id
    model = _train(model, tokenizer, train, section, folder)
    save_model(model, tokenizer, folder / "naturalness")
    margins = np.subtract(
        *(naturalness.naturalness(model, tokenizer, held_out[side].to_list()) for side in ("chosen", "rejected"))
    )
    return {
        "num_pairs": len(pairs),
        "accuracy": _accuracies(held_out.with_columns(margin=pl.Series(margins))),
        "examples": held_out.with_columns(margin=pl.Series(margins)).head(12).to_dicts(),
    }


def preference_pairs(
    section: RewardSection, direction: str, instructions: pl.DataFrame, model, tokenizer
) -> pl.DataFrame:
    """Preference pairs in `direction`, which is into the target language, in random order.

    Columns: source, chosen, rejected, kind ("sampled" or "shuffled").

    The prompts are translations into the target language that the supervised model was trained on, so that RL's
    prompts stay unseen. A sample that equals the reference is no pair and is left out.
    """
    prompts = instructions.filter(task="translate", direction=direction).unique("id", maintain_order=True)
    prompts = prompts.sample(min(section.num_pairs, len(prompts)), seed=section.seed, shuffle=True)
    with progress_bar("reward/samples", len(prompts)) as bar:
        completions = generate(
            model,
            tokenizer,
            chat_prompts(tokenizer, prompts["prompt"]),
            stop_ids=chat_stops(tokenizer),
            max_completion_tokens=section.max_completion_tokens,
            seed=section.seed,
            temperature=section.sampling_temperature,
            advance=bar.advance,
        )
    rng = np.random.default_rng(section.seed)
    rows = []
    for number, (source, reference, (completion,)) in enumerate(
        zip(prompts["source"], prompts["response"], completions, strict=True)
    ):
        kind = "shuffled" if number % SHUFFLED_EVERY == 0 else "sampled"
        rejected = naturalness.shuffled_phrases(reference, rng) if kind == "shuffled" else completion.text
        if rejected and rejected != reference:
            rows.append((source, reference, rejected, kind))
    return pl.DataFrame(rows, schema=["source", "chosen", "rejected", "kind"], orient="row")


def _train(model, tokenizer, pairs: pl.DataFrame, section: RewardSection, folder: Path):
    batches = [
        order[start : start + section.step_pairs]
        for epoch in range(section.num_epochs)
        for order in [np.random.default_rng([section.seed, epoch]).permutation(len(pairs))]
        for start in range(0, len(pairs), section.step_pairs)
    ]
    loop = Loop(
        model,
        section,
        learning_rate(section, len(batches)),
        len(batches),
        folder,
    )
    started, done = time.monotonic(), loop.step
    with loop.signals(), progress_bar("reward", len(batches), loop.step) as bar:
        for rows in batches[loop.step :]:
            batch = pairs[rows]
            encoded = naturalness.encode(tokenizer, batch["chosen"].to_list() + batch["rejected"].to_list())
            measured = loop.optimizer_step(
                [encoded | {"num_pairs": len(batch)}],
                naturalness.bradley_terry_loss,
                ids=lambda batch=batch: batch["source"].to_list(),
            )
            rate = (loop.step - done) * section.step_pairs / (time.monotonic() - started)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} pairs/s")
            loop.after_step(pairs_per_second=rate, **measured)
    return loop.model


def _accuracies(pairs: pl.DataFrame) -> dict[str, float]:
    """Share of held-out pairs whose chosen text scores higher: all, by kind, and for the rules that know nothing."""
    lengths = pairs["chosen"].str.len_chars().cast(pl.Int64) - pairs["rejected"].str.len_chars().cast(pl.Int64)
    by_kind = {
        f"held_out_{kind}": float((rows["margin"] > 0).mean())
        for (kind,), rows in pairs.group_by("kind", maintain_order=True)
    }
    return (
        {"held_out": float((pairs["margin"] > 0).mean())}
        | by_kind
        | {
            "always_the_shorter": float((lengths < 0).mean()),
            "always_the_longer": float((lengths > 0).mean()),
        }
    )
