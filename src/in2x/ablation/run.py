"""Run the grid: each arm with each seed from one SFT model, on the same prompts and budget, then the test set.

Every run is a folder of its own, <run>/ablation/<arm>/seed-<n>: an interrupted grid goes on where it was, and a
changed setting runs again only what it touches.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from in2x import artifacts, stages
from in2x.ablation.arms import section_of
from in2x.artifacts import In2xError, write_parquet
from in2x.recipe import Recipe

HYPOTHESES = "hypotheses.parquet"


def run_grid(recipe: Recipe, arms: Sequence[str], num_seeds: int) -> Iterator[tuple[str, int, stages.Outcome]]:
    """Run what is not complete yet; yields (arm, seed, outcome) as each is done. The first seed is the recipe's."""
    for stage in ("rl", "translate"):
        if getattr(recipe, stage) is None:
            raise In2xError(f"an ablation needs the section [{stage}] of the recipe, which has none")
    seeds = range(recipe.rl.seed, recipe.rl.seed + num_seeds)
    sections = {(arm, seed): section_of(arm, recipe.rl, seed) for seed in seeds for arm in arms}
    for (arm, seed), section in sections.items():
        yield arm, seed, _run_one(recipe.model_copy(update={"rl": section}), folder_of(recipe, arm, seed))


def folder_of(recipe: Recipe, arm: str, seed: int) -> Path:
    return recipe.folder / "ablation" / arm / f"seed-{seed}"


def _run_one(recipe: Recipe, folder: Path) -> stages.Outcome:
    prints = stages.fingerprints(recipe)
    inputs = stages.inputs_of(recipe, "rl", prints)
    outcome = stages.run_in(folder, recipe, "rl", inputs, prints)
    for left in ("checkpoint", "checkpoints"):
        shutil.rmtree(folder / left, ignore_errors=True)
    if not (folder / HYPOTHESES).exists() or not outcome.skipped:
        _translate(recipe, folder, inputs)
    return outcome


def _translate(recipe: Recipe, folder: Path, inputs: Mapping[str, Path]) -> None:
    """Greedy translations of the test set: id, source, reference, hypothesis."""
    from in2x.decoding.translate import held_out_segments, translate_greedy
    from in2x.model.loading import load_model, load_tokenizer, on_device

    section = recipe.translate
    test, (_, language) = held_out_segments(inputs["corpus"], "test", section.num_segments)
    hypotheses = translate_greedy(
        on_device(load_model(folder / "model")),
        load_tokenizer(folder / "model"),
        test["source"].to_list(),
        language,
        max_completion_tokens=section.max_completion_tokens,
        batch_size=section.batch_size,
    )
    table = test.select("id", "source", reference="target").with_columns(hypothesis=pl.Series(hypotheses))
    write_parquet(table, folder / HYPOTHESES)


def seconds_of(folder: Path) -> float:
    return float(artifacts.manifest(folder)["seconds"])
