"""Which candidates are taken: quotas by task, direction and difficulty, and one draw per cluster and epoch.

The paper (arXiv 2508.14472) clusters instructions, samples them 3:3:3:1:0 by difficulty, and takes another draw from
the clusters in every epoch. Here a cluster is a near-duplicate group of the corpus. A draw takes what was not taken
in earlier draws first: other clusters, then other members of the same clusters, and only then the same pairs again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from in2x.instruct.tasks import TASKS, Languages
from in2x.sections import DIFFICULTIES, InstructSection


class Cell(NamedTuple):
    task: str
    direction: str
    variant: str
    difficulty: str


def quotas(section: InstructSection, tasks: Mapping[str, float], number: int, languages: Languages) -> dict[Cell, int]:
    """How many of `number` instructions each cell should give; the quotas add up to `number`."""
    if not number:
        return {}
    hardness = dict(zip(DIFFICULTIES, section.difficulty_shares, strict=True))
    shares = {
        Cell(task, direction, variant, difficulty): share * part * hardness[difficulty] / sum(tasks.values())
        for task, share in tasks.items()
        for (direction, variant), part in TASKS[task].spread(languages, section.target_fraction).items()
        for difficulty in DIFFICULTIES
    }
    return {cell: quota for cell, quota in apportion(shares, number).items() if quota}


def apportion(shares: Mapping, number: int) -> dict:
    """Whole numbers in proportion to `shares` that add up to `number`, by largest remainders."""
    exact = {key: number * share / sum(shares.values()) for key, share in shares.items()}
    whole = {key: int(value) for key, value in exact.items()}
    remainders = sorted(exact, key=lambda key: whole[key] - exact[key])
    for key in remainders[: number - sum(whole.values())]:
        whole[key] += 1
    return whole


class Drawn(NamedTuple):
    rows: pl.DataFrame
    """The candidates taken, with a column `repeats`: 0 fresh, 1 another member of a used cluster, 2 a used pair."""
    missing: dict[Cell, int]


def draw(
    candidates: pl.DataFrame, wanted: Mapping[Cell, int], rng: np.random.Generator, used: pl.DataFrame | None = None
) -> Drawn:
    """Fill every cell's quota at random, never taking two instructions from one group.

    The scarcest cell chooses first. `used` holds what earlier draws took; its rows and groups are taken last.
    """
    repeats = _repeats(candidates, used)
    frames = candidates.select(*Cell._fields).with_row_index("index").partition_by(Cell._fields, as_dict=True)
    cells = {Cell(*key): frame["index"].to_numpy() for key, frame in frames.items()}
    indices = {cell: cells.get(cell, np.zeros(0, np.uint32)) for cell in wanted}
    taken: set[int] = set()
    chosen: list[int] = []
    missing = {}
    for cell in sorted(wanted, key=lambda cell: (len(indices[cell]) / wanted[cell], cell)):
        shuffled = rng.permutation(indices[cell])
        shuffled = shuffled[np.argsort(repeats[shuffled], kind="stable")]
        found = _fill(shuffled, candidates["groups"], wanted[cell], taken)
        chosen += found
        if len(found) < wanted[cell]:
            missing[cell] = wanted[cell] - len(found)
    order = rng.permutation(np.array(chosen, np.uint32))
    return Drawn(candidates[order].with_columns(repeats=pl.Series(repeats[order])), missing)


def _fill(indices: np.ndarray, groups: pl.Series, quota: int, taken: set[int]) -> list[int]:
    """The first `quota` candidates whose groups are all free; their groups become taken."""
    found = []
    for index, own in zip(indices.tolist(), groups[indices].to_list(), strict=True):
        if len(found) == quota:
            break
        if taken.isdisjoint(own):
            taken.update(own)
            found.append(index)
    return found


def _repeats(candidates: pl.DataFrame, used: pl.DataFrame | None) -> np.ndarray:
    """Of each candidate: 0 fresh, 1 of a used group, 2 of a used pair."""
    repeats = np.zeros(len(candidates), np.int8)
    if used is not None:
        for level, column in enumerate(("groups", "rows"), start=1):
            before = used[column].explode().unique().implode()
            flat = candidates.select(column).with_row_index("index").explode(column)
            repeats[flat.filter(pl.col(column).is_in(before))["index"].to_numpy()] = level
    return repeats
