"""People's preferences from files: JSON lines with the texts "chosen" and "rejected"."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError

COLUMNS = ("source", "chosen", "rejected", "kind")
NUM_SHOWN = 5


def read_preferences(path: Path) -> pl.DataFrame:
    """The pairs of one file, columns COLUMNS; their kind is "human:<name of the file>".

    Each line is an object with "chosen" and "rejected", and "source" where there is one; other keys are ignored.

    Raises:
        In2xError: no such file, or lines that are no pair, each with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise In2xError(f"{path}: preferences can't be read: {error}") from error
    rows, problems = [], []
    kind = f"human:{path.name.split('.')[0]}"
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _row(line)
            if isinstance(row, str):
                problems.append(f"  line {number}: {row}")
            else:
                rows.append((*row, kind))
    if problems:
        more = f"\n  and {len(problems) - NUM_SHOWN} more" if len(problems) > NUM_SHOWN else ""
        raise In2xError(f"{path}: {len(problems)} lines are no preference\n" + "\n".join(problems[:NUM_SHOWN]) + more)
    if not rows:
        raise In2xError(f'{path}: no preferences; expected lines such as {{"chosen": "...", "rejected": "..."}}')
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def _row(line: str) -> tuple[str, str, str] | str:
    """(source, chosen, rejected), or what is wrong."""
    try:
        value = json.loads(line)
    except ValueError as error:
        return f"not JSON ({error})"
    if not isinstance(value, dict):
        return f"expected an object, got {line[:60]}"
    found = []
    for name in ("chosen", "rejected"):
        text = value.get(name)
        if not isinstance(text, str) or not text.strip():
            return f"{name}: expected a text, got {text!r}"
        found.append(text)
    if found[0] == found[1]:
        return "chosen and rejected are the same"
    source = value.get("source") or ""
    return (source, *found) if isinstance(source, str) else f"source: expected a text, got {source!r}"
