"""A browser of rollouts without a script: steps that fold open one at a time, in each some groups, best rollout first.

It is bounded: some steps, some groups of each, and long texts cut. `in2x rollouts` shows everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from in2x.report.markup import DASH, Html, element, fixed, fold, join, note, prose, table, words

if TYPE_CHECKING:
    import polars as pl

MAX_STEPS, MAX_GROUPS, MAX_MEMBERS, MAX_TEXT = 8, 4, 16, 600
MAX_BYTES = 600_000
COMPONENT = "component."


def browser(folder: Path | None, steps_per_batch: int) -> Html | None:
    """Return the steps of an rl stage's folder, or None where it kept no rollouts."""
    files = sorted((folder / "rollouts").glob("batch-*.parquet")) if folder else []
    tables = [(number, table) for number, table in _tables(files) if len(table)]
    if not tables:
        return None
    steps, room = [], MAX_BYTES
    for number, rollouts in tables:
        last = number * steps_per_batch
        shown = _step(rollouts, last - steps_per_batch + 1, last, room)
        room -= len(shown.encode())
        steps.append(shown)
    return join([
        element("h3", "Rollouts"),
        note(f"{len(steps)} of {len(files):,} batches, in each up to {MAX_GROUPS} groups, from the one whose rewards "
             "were furthest apart to the one where they were closest. All of them: in2x rollouts RUN --step N."),
        *steps,
    ])  # fmt: skip


def _tables(files: Sequence[Path]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Batches (1-based) evenly spread over the run, the first and the last among them; damaged files are left out."""
    import polars as pl

    for file in spaced(files, MAX_STEPS):
        try:
            yield int(file.stem.removeprefix("batch-")), pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError, ValueError):
            continue


def spaced(items: Sequence, number: int) -> list:
    """Up to `number` of the items, evenly spaced, with both ends."""
    if len(items) <= number:
        return list(items)
    return [items[round(place * (len(items) - 1) / (number - 1))] for place in range(number)]


def _step(rollouts: pl.DataFrame, first: int, last: int, room: int) -> Html:
    groups = rollouts.partition_by("prompt_id", maintain_order=True)
    if "spread" in rollouts.columns:
        groups = sorted(groups, key=lambda group: -(group["spread"][0] or 0.0))
    told = sum(bool(group["informative"][0]) for group in groups)
    span = f"Step {first}" if first == last else f"Steps {first}–{last}"
    mean = fixed(rollouts["reward"].mean(), 3)
    summary = f"{span}: {len(groups)} groups, {told} of them with contrast, mean reward {mean}"
    shown = []
    for group in spaced(groups, MAX_GROUPS):
        drawn = _group(group)
        room -= len(drawn.encode())
        if room < 0:
            shown.append(note("What is missing here would have made the page too large."))
            break
        shown.append(drawn)
    return element("details", element("summary", summary), *shown, class_="fold", name="rl-steps")


def _group(group: pl.DataFrame) -> Html:
    first = group.row(0, named=True)
    names = [name for name in group.columns if name.startswith(COMPONENT) and group[name].null_count() < len(group)]
    best = group.sort("advantage", descending=True, maintain_order=True).head(MAX_MEMBERS)
    head = ["Rollout", "Advantage", "Reward", *(words(name.removeprefix(COMPONENT)) for name in names)]
    rows = [_row(row, names) for row in best.iter_rows(named=True)]
    texts = [element("dt", "Prompt"), element("dd", first["prompt_id"])]
    texts += [element("dt", "Source"), element("dd", prose(_cut(first["source"])))]
    texts += [element("dt", "Reference"), element("dd", prose(_cut(first["reference"])))]
    state = _state(first)
    texts += [element("dt", "Group"), element("dd", state)] if state else []
    shown = table(head, rows, range(1, len(head)), "Rollouts, best first")
    return fold(
        element("span", _cut(first["source"], 160), class_="quote"),
        element("dl", *texts, class_="stages"),
        element("div", shown, class_="texts rollouts"),
    )


def _row(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    marks = [row["failed_gate"], None if row["finished"] else "cut at the length limit"]
    marked = [element("small", mark) for mark in marks if mark]
    numbers = [fixed(row[name], 2) if row[name] is not None else DASH for name in names]
    reward = fixed(row["reward"], 2, signed=True) if row["reward"] is not None else DASH
    advantage = element("strong", fixed(row["advantage"], 2, signed=True))
    return [join([prose(_cut(row["text"])), *marked]), advantage, reward, *numbers]


def _state(row: Mapping[str, Any]) -> str:
    told = []
    if row.get("spread") is not None:
        told.append(f"spread {row['spread']:.2f} of a usual group's")
    if row.get("unscorable"):
        told.append(f"could not be rewarded: {row['unscorable']}")
    elif not row["informative"]:
        told.append("taught nothing, and was dropped")
    return "; ".join(told)


def _cut(text: str | None, limit: int = MAX_TEXT) -> str:
    text = text or ""
    return text if len(text) <= limit else text[:limit] + f"… (+{len(text) - limit:,} characters)"
