"""The instruct stage: translation pairs become the instructions of SFT and the prompts of RL.

1. Grade the training pairs by difficulty and read the register off the target.
2. Set a random part of the near-duplicate groups apart, and draw the RL prompts from it.
3. Make every instruction that the other groups allow, and draw an epoch after the other from them.
4. Where the recipe asks for it, add arithmetic and the user's own files (in2x.instruct.mixture).

Writes sft.parquet and rl.parquet (in2x.records.INSTRUCTIONS) and card.md; with files, what was kept aside of them goes
to rejected.parquet. No group is in both tables, whatever the task or the direction. What the corpus could not give is
reported as `shortfall`, and not made up from other cells.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, atomic, read_json
from in2x.corpus.domains import register
from in2x.instruct.card import card
from in2x.instruct.difficulty import difficulty
from in2x.instruct.draw import Cell, Drawn, draw, quotas
from in2x.instruct.mixture import Mixed, mixed, numbers
from in2x.instruct.tasks import TASKS, Languages
from in2x.records import INSTRUCTIONS
from in2x.sections import InstructSection
from in2x.sections.instruct import MADE_TASKS

EXAMPLES_PER_TASK = 2
MAX_EXAMPLE_CHARS = 160


def run(section: InstructSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    known = (*TASKS, *MADE_TASKS)
    unknown = sorted(set(section.tasks) - set(known))
    if unknown:
        raise In2xError(f"instruct.tasks: unknown task {unknown[0]!r}; there are {', '.join(known)}")
    languages = Languages(*read_json(inputs["corpus"] / "manifest.json")["section"]["pair"].split("-"))
    corpus = pl.read_parquet(inputs["corpus"] / "pairs.parquet")
    pairs = graded(corpus.filter(split="train"), languages)
    if pairs.is_empty():
        raise In2xError(f"{inputs['corpus']}: no training pairs to make instructions of")
    rl, epochs = select(section, pairs, languages)
    tables = {"sft": _table(epochs, pairs), "rl": _table([rl], pairs)}
    beside = mixed(section, languages, corpus["group"].max() + 1, tables)
    tables = {name: _joined(table, getattr(beside, name)) for name, table in tables.items()}
    if section.extra:
        tables["rejected"] = beside.rejected
    for name, table in tables.items():
        with atomic(folder / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)
    results = _results(tables, rl, epochs, beside)
    with atomic(folder / "card.md") as temporary:
        temporary.write_text(card(results), encoding="utf-8")
    return results


def graded(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Pairs in an order that depends on their ids alone, with the columns row, register and difficulty."""
    pairs = pairs.sort("origin", pl.col("id").str.len_bytes(), "id")  # tatoeba:999 before tatoeba:1000
    kind = register(pl.col("target")) if languages.target == "ja" else pl.lit("unknown")
    return pairs.with_row_index("row").with_columns(
        register=kind, difficulty=difficulty(pairs, (languages.source, languages.target))
    )


def select(section: InstructSection, pairs: pl.DataFrame, languages: Languages) -> tuple[Drawn, list[Drawn]]:
    """Draw the RL prompts, then every epoch of SFT, as far as they are made of pairs."""
    rng = np.random.default_rng(section.seed)
    in_rl, in_sft = numbers(section, "rl"), numbers(section, "sft")
    reserved = _reserve(section, pairs, rng)
    pool = _candidates(in_rl.tasks, pairs.filter(pl.col("group").is_in(reserved.implode())), languages)
    rl = draw(pool, quotas(section, in_rl.tasks, in_rl.pairs, languages), rng)
    rl_groups = rl.rows["groups"].explode().implode()
    candidates = _candidates(in_sft.tasks, pairs.filter(~pl.col("group").is_in(rl_groups)), languages)
    wanted = quotas(section, in_sft.tasks, in_sft.pairs, languages)
    epochs: list[Drawn] = []
    for _ in range(section.num_epochs):
        used = pl.concat([drawn.rows for drawn in epochs]) if epochs else None
        epochs.append(draw(candidates, wanted, rng, used))
    return rl, epochs


def _reserve(section: InstructSection, pairs: pl.DataFrame, rng: np.random.Generator) -> pl.Series:
    """Groups that RL may draw from: as large a part of them as RL's part of all instructions.

    SFT may take those that RL leaves. Without the bound RL would empty a small corpus before SFT began.
    """
    groups = pairs["group"].unique().sort()
    in_rl, in_sft = numbers(section, "rl").pairs, numbers(section, "sft").pairs
    fraction = in_rl / max(1, in_rl + section.num_epochs * in_sft)
    return groups[rng.permutation(len(groups))[: round(fraction * len(groups))]]


def _candidates(tasks: Mapping[str, float], pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    if not tasks:
        return TASKS["translate"].candidates(pairs.clear(), languages)
    return pl.concat([TASKS[task].candidates(pairs, languages) for task in tasks])


def _table(draws: list[Drawn], pairs: pl.DataFrame) -> pl.DataFrame:
    """Rows of INSTRUCTIONS; an id names all pairs that an instruction is made of, `group` the first one's group."""
    rows = pl.concat([
        drawn.rows.with_columns(epoch=pl.lit(epoch, pl.Int64)) for epoch, drawn in enumerate(draws)
    ])  # fmt: skip
    ids = pairs["id"]
    names = ["+".join(ids[row] for row in used) for used in rows["rows"].to_list()]
    return rows.with_columns(
        id=pl.format("{}/{}/{}", pl.Series(names, dtype=pl.String), "task", "direction"),
        response="reference", group=pl.col("groups").list.first(),
    ).select(INSTRUCTIONS)  # fmt: skip


def _joined(of_pairs: pl.DataFrame, beside: pl.DataFrame | None) -> pl.DataFrame:
    """The rows of pairs, then those beside them; `messages` is a column where a file has conversations."""
    return of_pairs if beside is None else pl.concat([of_pairs, beside], how="diagonal")


def _results(tables: Mapping[str, pl.DataFrame], rl: Drawn, epochs: list[Drawn], beside: Mixed) -> dict:
    sft = tables["sft"]
    later = [drawn.rows["repeats"] for drawn in epochs[1:]]
    repeats = pl.concat(later) if later else pl.Series([], dtype=pl.Int8)
    draws = {"rl": rl} | {f"sft epoch {epoch}": drawn for epoch, drawn in enumerate(epochs)}
    shortfall = {name: _named(drawn.missing) for name, drawn in draws.items() if drawn.missing}
    for name, cells in beside.shortfall.items():
        shortfall[name] = shortfall.get(name, {}) | cells
    return {
        "tasks": _count(sft["task"]),
        "difficulty": _count(sft["difficulty"]),
        "directions": _count(sft["direction"]),
        "num_sft": [len(sft.filter(epoch=epoch)) for epoch in range(len(epochs))],
        "num_rl": len(tables["rl"]),
        "rl_tasks": _count(tables["rl"]["task"]),
        "rl_directions": _count(tables["rl"]["direction"]),
        "epoch_overlap_fraction": round((repeats == 2).mean() or 0.0, 4),
        "epoch_cluster_overlap_fraction": round((repeats >= 1).mean() or 0.0, 4),
        "shortfall": shortfall,
        "examples": _examples(sft),
    } | ({"files": beside.files} if beside.files else {})


def _named(missing: Mapping[Cell, int]) -> dict[str, int]:
    return {" ".join(part for part in cell if part): number for cell, number in sorted(missing.items())}


def _count(column: pl.Series) -> dict[str, int]:
    return dict(column.value_counts(sort=True).iter_rows())


def _examples(sft: pl.DataFrame) -> list[dict[str, str]]:
    """A few short instructions of each task, that ask for different things where there are some."""
    short = sft.filter(pl.col("prompt").str.len_chars() <= MAX_EXAMPLE_CHARS)
    asked = pl.col("prompt").str.extract(r"^([^(\n]*)")
    first = short.filter(pl.struct("task", "direction", asked).is_first_distinct())
    more = short.filter(~pl.col("id").is_in(first["id"].implode()))
    both = pl.concat([first, more]).group_by("task", maintain_order=True).head(EXAMPLES_PER_TASK)
    return both.sort("task").select("task", "prompt", "response").to_dicts()
