"""What `in2x import` and `in2x score` do: make a segment store, score it, and show a summary.

On a terminal the summary is a table; elsewhere it is the same as plain text, complete however wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, write_json
from in2x.corpus.files import check_file
from in2x.evaluation import importers, importers_wmt, store
from in2x.evaluation.scores import SCORES, SystemScore, score_store

NO_VALUE = "-"
Roles = Mapping[str, Mapping[str, str]]  # metric -> system -> "reward" or "selector"
ARROWS = {True: "↑", False: "↓", None: ""}  # which way is better


def import_command(
    source: Path,
    out: Path,
    *,
    pair: str | None = None,
    systems: Sequence[str] = (),
    references: Sequence[Path] = (),
    documents: Path | None = None,
    segments: Path | None = None,
    scores: Path | None = None,
    reference_system: str | None = None,
    on_missing: store.OnMissing = "refuse",
    roles: Roles | None = None,
) -> None:
    """Import `source` to the store `out`: the folder of a run, WMT's JSON lines, or else parallel text files.

    `systems` are paths of text files, each named by its file's stem, or "name=path". `roles`, metric -> system ->
    "reward" or "selector", are kept in the store.

    Raises:
        In2xError: what can't be imported, options that don't belong to what `source` is, or systems that lack segments.
    """
    given = {
        "--pair": pair, "--system": systems, "--reference": references, "--documents": documents,
        "--segments": segments, "--scores": scores,
    }  # fmt: skip
    if not source.is_dir():
        check_file(source)
    if source.is_dir():
        _refuse_options(given, (), f"{source} is a folder, read as a run of this project")
        frame = importers.import_run(source)
    elif ".jsonl" in source.suffixes:
        _refuse_options(given, ("--pair", "--segments", "--scores"), f"{source} is read as WMT's JSON lines")
        frame = importers_wmt.import_wmt(source, pair=pair, segments=segments, scores=scores)
    else:
        _refuse_options(given, ("--pair", "--system", "--reference", "--documents"), f"{source} is read as plain text")
        if not pair:
            raise In2xError(f"{source}: say which languages these are, such as --pair en-ja")
        named = system_files(systems)
        frame = importers.import_plain(source, named, references, pair=pair, documents=documents)
    if reference_system:
        frame = importers.use_as_reference(frame, reference_system)
    frame = store.require_complete(frame, source, on_missing=on_missing)
    frame = store.mark_roles(frame, roles or {})
    store.write_store(frame, out)
    print_overview(frame)
    print(out)


def score_command(
    path: Path,
    names: Sequence[str] = (),
    out: Path | None = None,
    *,
    on_missing: store.OnMissing = "refuse",
    roles: Roles | None = None,
) -> None:
    """Score a store by the named scores, or all; writes it to `out`, by default in place, and a summary beside it.

    The summary, "<store>.summary.json", has every system's score with its signature and number of segments.

    Raises:
        In2xError: no store, scores that it can't have, or the store would lose segments in place.
    """
    if on_missing == "intersect" and out in (None, path):
        raise In2xError(f"{path} would lose the segments that not every system has; write to another file with --out")
    out = out or path
    frame, found = score_store(store.mark_roles(store.read_store(path, on_missing=on_missing), roles or {}), names)
    store.write_store(frame, out)
    summary = out.with_name(f"{out.name.removesuffix('.gz').rsplit('.', 1)[0]}.summary.json")
    write_json(summary, [asdict(score) for score in found])
    print_scores(found)
    print(out)
    print(summary)


def system_files(arguments: Sequence[str]) -> dict[str, Path]:
    """Name the files of systems: "B=out/x.txt" is B, "out/x.txt" is x.

    Raises:
        In2xError: two files of one name.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        name, separator, path = argument.partition("=")
        if not separator or Path(argument).exists():
            path, name = argument, Path(argument).name.removesuffix(".gz").rsplit(".", 1)[0]
        if name in found:
            raise In2xError(f"two systems are called {name!r}: {found[name]} and {path}; say --system OTHER={path}")
        found[name] = Path(path)
    return found


def print_overview(frame: pl.DataFrame) -> None:
    """Show what a store holds: segments, empty hypotheses, documents, domains, references; mean scores of segments."""
    means = [pl.col(name).mean() for name in frame.columns if name.startswith(store.PREFIX)]
    averages = frame.group_by("pair", "system", maintain_order=True).agg(means).drop("pair", "system")
    table = pl.concat([store.overview(frame), averages], how="horizontal")
    headers = [name.removeprefix("num_").removeprefix(store.PREFIX) for name in table.columns]
    show("segment store", headers, [[_shown(value) for value in row] for row in table.iter_rows()])
    for metric, roles in store.stored_roles(frame).items():
        print(f"{metric} is no judge: {', '.join(f'{role} of {system}' for system, role in roles.items())}")


def print_scores(found: Sequence[SystemScore]) -> None:
    """Show a table per pair, systems by scores; then what each score is, of how many segments, and its signature."""
    by_pair: dict[str, dict[str, list[SystemScore]]] = {}
    for score in found:
        by_pair.setdefault(score.pair, {}).setdefault(score.system, []).append(score)
    for pair, rows in by_pair.items():
        first = next(iter(rows.values()))
        headers = [f"{score.metric}{ARROWS[SCORES[score.metric].higher_is_better]}" for score in first]
        show(pair, ["system", *headers], [[system, *map(_score, scores)] for system, scores in rows.items()])
        for score in first:
            segments = f"{score.num_segments:,} of {score.num_given:,} segments"
            signature = f"; {score.signature}" if score.signature else ""
            print(f"{score.metric}: {SCORES[score.metric].description}; {segments}{signature}")


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: elsewhere than on a terminal, as plain columns of any width.

    On a terminal rich draws it, in several parts where it is too wide, each with the first column.
    """
    from rich.cells import cell_len
    from rich.console import Console

    console = Console()
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    if not console.is_terminal:
        print(title)
        for row in (headers, *rows):
            cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())
        return
    for part in _parts(widths, console.width):
        console.print(_rich_table(title, [columns[0], *(columns[n] for n in part)]), highlight=False)


def _parts(widths: Sequence[int], available: int) -> list[list[int]]:
    """The columns after the first, in groups that fit beside it; a cell takes three more for its frame."""
    parts: list[list[int]] = [[]]
    taken = first = widths[0] + 4
    for n, width in enumerate(widths[1:], 1):
        if parts[-1] and taken + width + 3 > available:
            parts.append([])
            taken = first
        parts[-1].append(n)
        taken += width + 3
    return parts


def _rich_table(title: str, columns: Sequence[Sequence[str]]):
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for header, *cells in columns:
        justify = "right" if all(map(_is_number, cells)) else "left"
        table.add_column(Text(header), justify=justify, overflow="fold")
    for row in zip(*(cells for _, *cells in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _refuse_options(given: dict[str, object], allowed: Sequence[str], what: str) -> None:
    wrong = [name for name, value in given.items() if value and name not in allowed]
    if wrong:
        others = f"; it takes {', '.join(allowed)}" if allowed else ""
        raise In2xError(f"{what}, which takes no {', '.join(wrong)}{others}")


def _score(score: SystemScore) -> str:
    digits = 2 if score.metric == "TER" or SCORES[score.metric].high == 100 else 3
    return NO_VALUE if score.value is None else f"{score.value:.{digits}f}"


def _shown(value) -> str:
    if value is None:
        return NO_VALUE
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return text == NO_VALUE or text.replace(".", "").replace("-", "").isdigit()
