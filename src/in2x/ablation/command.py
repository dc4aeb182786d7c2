"""`in2x ablate`: run the grid, compare, write ablation.json and ablation.html, and print the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from in2x.ablation.analysis import Result, last_quarter, results
from in2x.ablation.arms import chosen
from in2x.ablation.page import render
from in2x.ablation.run import HYPOTHESES, folder_of, run_grid, seconds_of
from in2x.artifacts import atomic, versions, write_json
from in2x.evaluation.metrics import bleu_statistics, chrf_statistics
from in2x.recipe import Recipe
from in2x.report.folders import read_json_lines
from in2x.training.metrics import console, duration

MEASURES = (
    "component/adequacy", "component/naturalness", "component/length", "entropy", "completion_tokens",
    "clip_high_fraction", "dual_clip_fraction", "clip_low_fraction", "approx_kl", "ratio_effective_fraction",
)  # fmt: skip
ROLES = {"chrF2": "reward"}


def ablate(recipe: Recipe, arm_names: Sequence[str], num_seeds: int) -> Path:
    """Run what has not been run, and report on all of it; returns the page."""
    arms = chosen(arm_names)
    for done, (arm, seed, outcome) in enumerate(run_grid(recipe, arms, num_seeds), 1):
        state = "as before" if outcome.skipped else duration(outcome.seconds)
        console.print(f"{done}/{len(arms) * num_seeds} {arm} seed {seed}: {state}")
    folders = {
        arm: [folder_of(recipe, arm, seed) for seed in range(recipe.rl.seed, recipe.rl.seed + num_seeds)]
        for arm in arms
    }
    return report(recipe, folders)


def report(recipe: Recipe, folders: Mapping[str, Sequence[Path]]) -> Path:
    """Compare complete runs, arm -> folder of each seed, and write the page and the figures beside them."""
    tables = {metric: results(_statistics(folders, metric, recipe), metric) for metric in ("BLEU", "chrF2")}
    logs = {arm: [read_json_lines(folder / "metrics.jsonl") for folder in some] for arm, some in folders.items()}
    measures = {arm: _measures(logs[arm], folders[arm]) for arm in folders}
    budget = _budget(recipe, folders)
    title = f"What each ingredient is worth: {recipe.name}"
    out = recipe.folder / "ablation"
    with atomic(out / "ablation.html") as temporary:
        temporary.write_text(render(title, tables, ROLES, measures, logs, budget), encoding="utf-8")
    figures = {metric: [dataclasses.asdict(row) for row in rows] for metric, rows in tables.items()}
    write_json(
        out / "ablation.json",
        {"scores": figures, "roles": ROLES, "measures": measures, "budget": dict(budget), "versions": versions()},
    )
    for metric, rows in tables.items():
        _print(metric, rows)
    return out / "ablation.html"


def _statistics(folders: Mapping[str, Sequence[Path]], metric: str, recipe: Recipe) -> dict:
    language = recipe.corpus.pair.split("-")[1]

    def of(folder: Path):
        rows = pl.read_parquet(folder / HYPOTHESES).sort("id")
        texts = rows["hypothesis"].to_list(), rows["reference"].to_list()
        return bleu_statistics(*texts, language) if metric == "BLEU" else chrf_statistics(*texts)

    return {arm: [of(folder) for folder in some] for arm, some in folders.items()}


def _measures(logs: Sequence[Sequence[Mapping]], folders: Sequence[Path]) -> dict[str, float]:
    found = {}
    for name in MEASURES:
        values = [last_quarter(log, name) for log in logs]
        found[name.removeprefix("component/").replace("_", " ")] = sum(values) / len(values)
    return found | {"seconds": sum(map(seconds_of, folders)) / len(folders)}


def _budget(recipe: Recipe, folders: Mapping[str, Sequence[Path]]) -> list[tuple[str, str]]:
    section = recipe.rl
    updates = section.batch_completions // section.mini_batch_completions
    return [
        ("arms", ", ".join(folders)),
        ("seeds", str(len(next(iter(folders.values()))))),
        ("rollout batches", f"{section.num_batches:,}, {updates} updates each"),
        ("completions of a batch", f"{section.batch_completions:,}, {section.group_size} of each prompt"),
        ("test segments", f"{recipe.translate.num_segments:,}, greedy"),
    ]


def _print(metric: str, rows: Sequence[Result]) -> None:
    role = f" ({ROLES[metric]})" if metric in ROLES else ""
    console.print(f"\n{metric}{role}, mean over seeds, 95 % interval; difference from full, interval, p (Holm)")
    for row in rows:
        line = f"  {row.arm:22}{row.value:7.2f}  {row.low:5.1f}–{row.high:<5.1f}"
        if row.delta is not None:
            line += f"  {row.delta:+6.2f}  {row.delta_low:+.2f} to {row.delta_high:+.2f}  p {row.p_holm:.3f}"
        console.print(line)
