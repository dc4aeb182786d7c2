"""What stands beside the instructions made of pairs: arithmetic, and a user's own files; by default nothing.

Rows are those of in2x.records.INSTRUCTIONS, and `messages` where a file has conversations. Their groups are numbered
after the corpus's; a prompt that RL has, spelled the same but for case, width and punctuation, is not in SFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError
from in2x.corpus.normalize import normal_key
from in2x.instruct.arithmetic import ANSWER, Problem, make_problems
from in2x.instruct.draw import apportion
from in2x.instruct.extra import REJECTED, ROWS, Read, read_extra
from in2x.instruct.tasks import RL_TASKS, TASKS, Languages
from in2x.records import INSTRUCTIONS
from in2x.sections import DIFFICULTIES, InstructSection

ARITHMETIC_DRAW, EXTRA_DRAW = 0xA1, 0xE7  # tell these random numbers from the others of a seed
UNGRADED = "ungraded"
"""Difficulty of rows that nobody has graded."""


@dataclass(frozen=True)
class Numbers:
    """How many instructions come from where: the shares of tasks made of pairs, then counts."""

    tasks: dict[str, float]
    pairs: int
    arithmetic: int
    extra: dict[int, int]


@dataclass
class Mixed:
    """Rows of SFT and of RL beside those of pairs, what was kept aside, and results for the manifest."""

    sft: pl.DataFrame | None = None
    rl: pl.DataFrame | None = None
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED))
    shortfall: dict[str, dict[str, int]] = field(default_factory=dict)
    files: list[dict] = field(default_factory=list)


def numbers(section: InstructSection, use: str) -> Numbers:
    """Of an epoch of SFT, or of RL.

    Raises:
        In2xError: the files ask for more than num_sft or num_rl.
    """
    total = section.num_sft if use == "sft" else section.num_rl
    extra = {place: one.count or round(one.share * total) for place, one in enumerate(section.extra) if one.use == use}
    left = total - sum(extra.values())
    if left < 0:
        raise In2xError(
            f"instruct.extra: its files ask for {total - left:,} rows for {use}, more than instruct.num_{use}, "
            f"{total:,}: raise that, or lower count or share"
        )
    made = section.tasks.get("arithmetic", 0.0)
    tasks = {name: share for name, share in section.tasks.items() if name in TASKS}
    if use == "rl":
        plain = {"translate": sum(tasks.values())} if tasks else {}
        tasks = {name: tasks[name] for name in RL_TASKS if name in tasks} or plain
    arithmetic = round(left * made / (made + sum(tasks.values()))) if made else 0
    if not tasks and not made and left:
        raise In2xError("instruct.tasks: empty, and instruct.extra does not give all that is asked for")
    return Numbers(tasks, left - arithmetic, arithmetic, extra)


def mixed(
    section: InstructSection, languages: Languages, num_groups: int, of_pairs: Mapping[str, pl.DataFrame]
) -> Mixed:
    """Make what the section asks for beside `of_pairs`, the tables "sft" and "rl"; groups count from `num_groups`."""
    found, parts = Mixed(), {"sft": [], "rl": []}
    if "arithmetic" in section.tasks:
        made = _arithmetic(section, languages, found)
        for use, table in made.items():
            parts[use].append(table.with_columns(group=pl.col("group") + num_groups))
        num_groups += sum(map(len, made.values()))
    if section.extra:
        before = {use: [of_pairs[use]["prompt"], *(part["prompt"] for part in parts[use])] for use in parts}
        for use, table in _files(section, before, num_groups, found).items():
            parts[use].append(table)
    found.sft, found.rl = (pl.concat(parts[use], how="diagonal") if parts[use] else None for use in ("sft", "rl"))
    return found


def _arithmetic(section: InstructSection, languages: Languages, found: Mixed) -> dict[str, pl.DataFrame]:
    """RL's problems first, then those of each epoch; a problem is made once."""
    shares = {languages.target: section.target_fraction, languages.source: 1 - section.target_fraction}
    for language, share in shares.items():
        if share and language not in ANSWER:
            raise In2xError(
                f"instruct.tasks: arithmetic is written in {' and '.join(ANSWER)}, and {share:.0%} of it would have to "
                f"be in {language!r} (instruct.target_fraction): take it out, or give a file in instruct.extra"
            )
    hardness = dict(zip(DIFFICULTIES, section.difficulty_shares, strict=True))
    cells = {(name, level): share * part for name, share in shares.items() for level, part in hardness.items()}
    rng, made, tables = np.random.default_rng([section.seed, ARITHMETIC_DRAW]), set(), {"rl": [], "sft": []}
    draws = [("rl", 0), *(("sft", epoch) for epoch in range(section.num_epochs))]
    for use, epoch in draws:
        number = numbers(section, use).arithmetic
        wanted = {cell: quota for cell, quota in apportion(cells, number).items() if quota}
        problems, missing = make_problems(wanted, rng, made)
        first = len(made) - len(problems)
        tables[use] += [_row(problem, epoch, first + place) for place, problem in enumerate(problems)]
        if missing:
            name = "rl" if use == "rl" else f"sft epoch {epoch}"
            found.shortfall[name] = {f"arithmetic {' '.join(cell)}": count for cell, count in missing.items()}
    return {use: _table(rows) for use, rows in tables.items()}


def _row(problem: Problem, epoch: int, number: int) -> dict:
    direction = f"{problem.language}-{problem.language}"
    return {
        "id": f"{problem.kind}-{number}/arithmetic/{direction}", "epoch": epoch, "task": "arithmetic",
        "direction": direction, "difficulty": problem.difficulty, "prompt": problem.prompt,
        "response": problem.response, "source": problem.text, "reference": str(problem.answer), "group": number,
    }  # fmt: skip


def _table(rows: list[dict]) -> pl.DataFrame:
    types = {"epoch": pl.Int64, "group": pl.Int64}
    return pl.DataFrame(rows, schema={name: types.get(name, pl.String) for name in INSTRUCTIONS})


def _files(
    section: InstructSection, before: Mapping[str, list[pl.Series]], num_groups: int, found: Mixed
) -> dict[str, pl.DataFrame]:
    """The rows of the files: RL's are drawn first, of prompts that SFT has not; then SFT's, of what RL left."""
    keys = {use: set(_keys(pl.concat(prompts))) for use, prompts in before.items()}
    groups: dict[str, int] = {}
    tables: dict[str, list[pl.DataFrame]] = {"rl": [], "sft": []}
    names, rejected = _names([extra.path for extra in section.extra]), []
    for use in ("rl", "sft"):
        for place, number in numbers(section, use).extra.items():
            extra = section.extra[place]
            read = read_extra(extra)
            taken = keys["sft"] | keys["rl"] if use == "rl" else keys["rl"]
            free = read.rows.filter(~pl.col("key").is_in(list(taken)))
            if use == "rl":
                free = free.unique("key", keep="first", maintain_order=True)
            epochs = 1 if use == "rl" else section.num_epochs
            rows = _drawn(free, number, epochs, np.random.default_rng([section.seed, EXTRA_DRAW, place]))
            keys[use] |= set(rows["key"])
            tables[use].append(_instructions(rows, extra, names[extra.path], groups, num_groups))
            rejected.append(read.rejected)
            _note(found, extra, read, len(free), min(number, len(free)), number)
    found.rejected = pl.concat(rejected).unique(maintain_order=True)
    return {use: pl.concat(parts, how="diagonal") for use, parts in tables.items() if parts}


def _keys(prompts: pl.Series) -> pl.Series:
    return prompts.to_frame("prompt").select(normal_key(pl.col("prompt"))).to_series()


def _drawn(free: pl.DataFrame, number: int, num_epochs: int, rng: np.random.Generator) -> pl.DataFrame:
    """`number` rows for each epoch, or all there are; later epochs take first what none has taken yet."""
    order, number = rng.permutation(len(free)), min(number, len(free))
    parts = [
        free[np.take(order, range(epoch * number, (epoch + 1) * number), mode="wrap")].with_columns(
            epoch=pl.lit(epoch, pl.Int64)
        )
        for epoch in range(num_epochs)
        if number
    ]
    return pl.concat(parts) if parts else free.clear().with_columns(epoch=pl.lit(0, pl.Int64))


def _instructions(rows: pl.DataFrame, extra, name: str, groups: dict[str, int], num_groups: int) -> pl.DataFrame:
    """Rows of INSTRUCTIONS; prompts with one key are one group."""
    for key in rows["key"]:
        groups.setdefault(key, num_groups + len(groups))
    table = rows.with_columns(
        id=pl.format("{}:{}/{}/{}", pl.lit(name), "line", pl.lit(extra.task), pl.lit(extra.direction)),
        task=pl.lit(extra.task), direction=pl.lit(extra.direction), difficulty=pl.lit(UNGRADED),
        group=pl.Series([groups[key] for key in rows["key"]], dtype=pl.Int64),
    )  # fmt: skip
    return table.select(*INSTRUCTIONS, *(["messages"] if extra.messages_column else []))


def _names(paths: list[Path]) -> dict[Path, str]:
    """A name for each path: the file's own, or with its folders where several files have it."""
    own = {path: path.name for path in paths}
    shared = [name for name in own.values() if list(own.values()).count(name) > 1]
    return {path: path.as_posix().replace("/", "|") if name in shared else name for path, name in own.items()}


def _note(found: Mixed, extra, read: Read, num_free: int, num_drawn: int, wanted: int) -> None:
    if num_drawn < wanted:
        cells = found.shortfall.setdefault("rl" if extra.use == "rl" else "sft, each epoch", {})
        cells[f"{extra.task} {extra.direction} of {extra.path.name}"] = wanted - num_drawn
    found.files.append({
        "path": str(extra.path), "use": extra.use, "task": extra.task, "direction": extra.direction,
        "rows": read.num_read, "kept_aside": len(read.rejected), "prompt_taken": len(read.rows) - num_free,
        "drawn": num_drawn,
    })  # fmt: skip


assert set(ROWS) - {"line", "messages"} <= set(INSTRUCTIONS)
