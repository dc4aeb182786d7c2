"""What `in2x challenge` does: write the sources for a system to translate, or score what it made of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from in2x.artifacts import In2xError, atomic, write_json
from in2x.evaluation.challenge.items import CATEGORIES
from in2x.evaluation.challenge.prompts import sources
from in2x.evaluation.challenge.score import ChallengeResult, GroupScore, Rate, id_problem, score_challenge

TEXT_SUFFIXES = (".txt", ".tsv")
HEADERS = ("", "n", "accepted %", "trap %", "neither %", "points %")


def challenge_command(hypotheses_path: Path | None, out: Path | None, categories: Sequence[str] = ()) -> None:
    """Without hypotheses write the sources to `out`; with them print a table and write the result as JSON to `out`.

    Without `out`, sources or JSON go to standard output, and the table to standard error.

    Raises:
        In2xError: a file that can't be read, ids that are missing, unknown or given twice, no such category.
    """
    wrong = [category for category in categories if category not in CATEGORIES]
    if wrong:
        raise In2xError(f"--category {wrong[0]}: expected one of {', '.join(CATEGORIES)}")
    chosen = list(categories) or None
    if hypotheses_path is None:
        _write_sources(out, chosen)
        return
    hypotheses = read_hypotheses(hypotheses_path)
    if problem := id_problem(hypotheses, chosen):
        raise In2xError(f"{hypotheses_path}: {problem}; `in2x challenge --out FILE` writes the sources with their ids")
    result = score_challenge(hypotheses, chosen)
    print_table(result, to_stderr=out is None)
    if out is None:
        print(json.dumps(result.as_dict(), ensure_ascii=False, indent=1))
    else:
        write_json(out, result.as_dict())


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read id -> translation from JSON lines ({"id", "hypothesis"}) or from text (id, tab, translation).

    Raises:
        In2xError: no such file, another suffix, not UTF-8, a line that can't be read, or an id given twice.
    """
    if path.suffix not in (".jsonl", *TEXT_SUFFIXES):
        raise In2xError(f"{path}: expected a file ending in .jsonl, {' or '.join(TEXT_SUFFIXES)}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise In2xError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise In2xError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    read = _read_json_line if path.suffix == ".jsonl" else _read_text_line
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        id_, text = read(line.rstrip("\r"), f"{path}:{number}")
        if id_ in found:
            raise In2xError(f"{path}:{number}: id {id_} for the second time; keep one line per id")
        found[id_] = text
    return found


def print_table(result: ChallengeResult, *, to_stderr: bool = False) -> None:
    """Show the rates per category and kind, with their 95% intervals."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"challenge set {result.data}", title_justify="left")
    for number, header in enumerate(HEADERS):
        table.add_column(header, justify="right" if number else "left", no_wrap=True)
    for row in _rows(result):
        table.add_row(*row)
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = 120
    console.print(table, markup=False, highlight=False)
    empty = sum(verdict.reason == "empty" for verdict in result.verdicts)
    if empty:
        console.print(f"{empty} hypotheses are empty", highlight=False)


def _rows(result: ChallengeResult) -> Iterator[tuple[str, ...]]:
    for category, score in result.categories.items():
        yield _row(category, score)
        for name, part in result.kinds.items():
            if name.startswith(f"{category}/"):
                yield _row(f"  {name.partition('/')[2]}", part)


def _row(name: str, score: GroupScore) -> tuple[str, ...]:
    return (name, str(score.num_translations), *map(_shown, (score.accepted, score.trap, score.neither, score.points)))


def _shown(rate: Rate) -> str:
    return f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]"


def _write_sources(out: Path | None, categories: list[str] | None) -> None:
    found = sources(categories)
    json_lines = [json.dumps(asdict(source), ensure_ascii=False) for source in found]
    if out is None:
        sys.stdout.write("\n".join(json_lines) + "\n")
        return
    if out.suffix not in (".jsonl", *TEXT_SUFFIXES):
        raise In2xError(f"{out}: expected a name ending in .jsonl, {' or '.join(TEXT_SUFFIXES)}")
    text_lines = [f"{source.id}\t{source.instruction}\t{source.source}" for source in found]
    lines = json_lines if out.suffix == ".jsonl" else text_lines
    with atomic(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{out}: {len(found)} texts to translate")


def _read_json_line(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise In2xError(f"{where}: not valid JSON ({error})") from None
    for key in ("id", "hypothesis"):
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, str):
            raise In2xError(
                f'{where}: {key}: expected a string, got {json.dumps(value)}; write {{"id": ..., "hypothesis": ...}}'
            )
    return row["id"], row["hypothesis"]


def _read_text_line(line: str, where: str) -> tuple[str, str]:
    id_, tab, text = line.partition("\t")
    if not tab:
        raise In2xError(f"{where}: expected an id, a tab and a translation, got {line[:60]!r}")
    return id_.strip(), text
