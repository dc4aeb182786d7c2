"""Every rollout on disk, a table for each rollout batch, and a way to look at them.

ROLLOUTS (rl/rollouts/batch-00001.parquet), one completion a row: batch (1-based), prompt_id, source, reference,
sample (0-based, within the group), text, num_tokens, finished, reward (null where it could not be given), advantage,
informative (whether the group taught anything), failed_gate (null where all passed), unscorable (why the group could
not be rewarded, null where it could), spread (of the group, about 1 for a usual one: in2x.rl.spread), and a column
"component.<name>" for each raw component of the reward (null where a gate failed, or it could not be measured).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, read_json

COMPONENT = "component."


def rollout_table(drawn, advantages_PG: np.ndarray, batch: int) -> pl.DataFrame:
    """The rollouts of one batch (1-based); `drawn` as in in2x.rl.draw."""
    found = drawn.scored
    rows = [
        {
            "batch": batch,
            "prompt_id": group.id,
            "source": group.source,
            "reference": group.reference,
            "sample": g,
            "text": completion.text,
            "num_tokens": len(completion.token_ids),
            "finished": completion.finished,
            "reward": None if found.unscorable_PG[p, g] else float(found.rewards_PG[p, g]),
            "advantage": float(advantages_PG[p, g]),
            "informative": bool(drawn.informative_P[p]),
            "failed_gate": found.failures_PG[p][g],
            "unscorable": found.unscorable_P[p],
            "spread": float(drawn.spread_P[p]),
        }
        | {
            COMPONENT + name: float(values[p, g]) if np.isfinite(values[p, g]) else None
            for name, values in found.components_PG.items()
        }
        for p, group in enumerate(drawn.groups)
        for g, completion in enumerate(group.completions)
    ]
    floats = dict.fromkeys(("reward", *(COMPONENT + name for name in found.components_PG)), pl.Float64)
    texts = dict.fromkeys(("reference", "failed_gate", "unscorable"), pl.String)
    return pl.DataFrame(rows, schema_overrides=texts | floats, infer_schema_length=None)


def batch_file(folder: Path, batch: int) -> Path:
    """Where the rl stage in `folder` keeps the rollouts of a batch (1-based)."""
    return folder / "rollouts" / f"batch-{batch:05}.parquet"


def read_rollouts(run: Path, step: int | None = None) -> pl.DataFrame:
    """The rollouts that optimizer step `step` (1-based) of a run was made with; without it, those of the last batch.

    Raises:
        In2xError: the run has no rollouts, or none of that step.
    """
    folder = run if (run / "rollouts").is_dir() else run / "rl"
    files = sorted((folder / "rollouts").glob("batch-*.parquet"))
    if not files:
        raise In2xError(f"{run}: no rollouts are here; give the folder of a run whose rl stage has begun")
    if step is None:
        return pl.read_parquet(files[-1])
    section = read_json(folder / "manifest.json")["section"]
    steps_per_batch = section["batch_completions"] // section["mini_batch_completions"]
    file = batch_file(folder, -(-step // steps_per_batch))
    if not file.exists():
        raise In2xError(f"{folder}: step {step} has no rollouts; there are steps 1 to {len(files) * steps_per_batch}")
    return pl.read_parquet(file)


def print_rollouts(rollouts: pl.DataFrame, num_prompts: int, console) -> None:
    """Print the first prompts' groups: each completion, best first, with advantage, reward and components."""
    from rich.table import Table

    names = [name for name in rollouts.columns if name.startswith(COMPONENT)]
    groups = rollouts.partition_by("prompt_id", maintain_order=True)
    told = sum(bool(group["informative"][0]) for group in groups)
    console.print(f"batch {rollouts['batch'][0]}: {len(groups)} prompts, {told} of them with contrast, "
                  f"{len(rollouts)} rollouts, mean reward {rollouts['reward'].mean():.3f}")  # fmt: skip
    for group in groups[:num_prompts]:
        first = group.row(0, named=True)
        table = Table(title=f"{first['prompt_id']}: {first['source']}", title_justify="left",
                      caption=f"reference: {first['reference']}", caption_justify="left")  # fmt: skip
        table.add_column("completion", overflow="fold")
        for name in ("advantage", "reward", *(name.removeprefix(COMPONENT) for name in names)):
            table.add_column(name, justify="right", no_wrap=True)
        for row in group.sort("advantage", descending=True, maintain_order=True).iter_rows(named=True):
            table.add_row(*_cells(row, names))
        console.print(table, markup=False)


def _cells(row: Mapping, names: list[str]) -> list:
    from rich.text import Text

    failed = f"  [{row['failed_gate']}]" if row["failed_gate"] else ""
    values = [row["advantage"], row["reward"], *(row[name] for name in names)]
    return [Text(row["text"] + failed), *("-" if value is None else f"{value:.2f}" for value in values)]


def examples(rollouts: pl.DataFrame, number: int = 8) -> list[dict]:
    """The first groups of a batch, for the results of the stage."""
    groups = rollouts.partition_by("prompt_id", maintain_order=True)[:number]
    return [
        {"source": group["source"][0], "reference": group["reference"][0], "rollouts": _members(group)}
        for group in groups
    ]


def _members(group: pl.DataFrame) -> list[dict]:
    components = group.select(pl.col(f"^{COMPONENT}.*$").name.map(lambda name: name.removeprefix(COMPONENT)))
    return [
        row | {"components": {name: value for name, value in values.items() if value is not None}}
        for row, values in zip(
            group.select("text", "reward", "failed_gate").to_dicts(), components.to_dicts(), strict=True
        )
    ]
