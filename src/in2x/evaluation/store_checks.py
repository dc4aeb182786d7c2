"""What can be wrong with a segment store, as lists of problems: each has a place (line or row) and names the mend.

Checks look at a frame with the store's columns and at `places`, the line or row that each row of it comes from.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

import polars as pl

from in2x.artifacts import In2xError

PREFIX = "score."
ROLE_PREFIX = "role."
STORED_ROLES = ("reward", "selector")
COLUMNS = {
    "pair": pl.String,
    "domain": pl.String,
    "document": pl.String,
    "segment": pl.String,
    "system": pl.String,
    "source": pl.String,
    "hypothesis": pl.String,
    "references": pl.List(pl.String),
}
NULLABLE = ("domain", "document")
NEVER_EMPTY = ("pair", "segment", "system")
KEY = ("pair", "segment", "system")
SHARED = ("source", "references", "domain", "document")  # what every system must have alike for a segment
PAIR = re.compile(r"[A-Za-z]{2,3}(_\w+)*-[A-Za-z]{2,3}([-_]\w+)*")
MAX_SHOWN = 20

_ROLES = " or ".join(f'"{role}"' for role in STORED_ROLES)

Problem = tuple[int, str]  # (line or row, from 1; message)


def refuse(origin, problems: Sequence[Problem], unit: str) -> None:
    """Raise one error that lists the problems by place, the first 20 in full.

    Raises:
        In2xError: there is at least one problem.
    """
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: problem[0])
    shown = [f"  {unit} {place}: {message}" for place, message in ordered[:MAX_SHOWN]]
    rest = [f"  and {len(ordered) - MAX_SHOWN:,} more"] if len(ordered) > MAX_SHOWN else []
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered):,} problems"
    raise In2xError("\n".join([f"{origin}: {count}", *shown, *rest]))


def type_problems(row: dict) -> list[str]:
    """Say what is wrong with the keys and types of one row: the columns, and an object `scores` of numbers."""
    unknown = sorted(set(row) - set(COLUMNS) - {"scores", "roles"})
    found = [f"unknown key {key!r}; put scores under 'scores', and leave other keys out" for key in unknown]
    missing = [key for key in COLUMNS if key not in row and key not in NULLABLE]
    found += [f"no {key!r}; {_hint(key)}" for key in missing]
    for key, value in row.items():
        if key in COLUMNS and key != "references" and not (isinstance(value, str) or value is None):
            found.append(f"{key}: expected text, got {value!r}")
    texts = [value for value in row.values() if isinstance(value, str)]
    references, scores = row.get("references", []), row.get("scores")
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        found.append(f"references: expected a list of strings, got {str(references)[:60]}; [] where there are none")
    else:
        texts += references
    if any(not _is_encodable(text) for text in texts):
        found.append("half a surrogate pair (\\ud800..\\udfff) in a text; write the whole character")
    if not isinstance(scores, dict | None):
        return [*found, f"scores: expected an object {{metric: number or null}}, got {scores!r}"]
    for metric, value in (scores or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            found.append(f"scores.{metric}: expected a number or null, got {value!r}")
        elif isinstance(value, int) and abs(value) > sys.float_info.max:
            found.append(f"scores.{metric}: a whole number of more than 308 digits; write null where there is no score")
    roles = row.get("roles")
    if not isinstance(roles, dict | None) or not all(isinstance(role, str | None) for role in (roles or {}).values()):
        found.append(f"roles: expected an object {{metric: {_ROLES} or null}}, got {roles!r}")
    return found


def column_problems(frame: pl.DataFrame) -> list[str]:
    """Say which columns of a table are missing, unknown or of another type than the store's."""
    found = [f"no column {name!r}; {_hint(name)}" for name in COLUMNS if name not in frame.columns]
    for name, dtype in frame.schema.items():
        if name.startswith(PREFIX):
            if not (dtype.is_numeric() or dtype == pl.Null):
                found.append(f"column {name!r}: expected numbers or null, got {dtype}")
        elif name.startswith(ROLE_PREFIX):
            if not _is_castable(dtype, pl.String()):
                found.append(f"column {name!r}: expected {_ROLES} or null, got {dtype}")
        elif name not in COLUMNS:
            found.append(f"unknown column {name!r}; call a score {PREFIX}<metric>, and leave other columns out")
        elif not _is_castable(dtype, COLUMNS[name]):
            found.append(f"column {name!r}: expected {COLUMNS[name]}, got {dtype}")
    return found


def value_problems(frame: pl.DataFrame, places: Sequence[int]) -> list[Problem]:
    """Find nulls, empty names, malformed pairs and scores that are no finite numbers."""
    found: list[Problem] = []

    def add(is_wrong: pl.Series, message: str) -> None:
        found.extend((places[row], message) for row in is_wrong.fill_null(False).arg_true())

    for name in COLUMNS:
        if name not in NULLABLE:
            add(frame[name].is_null(), f"{name}: null; {_hint(name)}")
    for name in NEVER_EMPTY:
        add(frame[name] == "", f"{name}: empty; give it a name")
    add(frame["references"].list.eval(pl.element().is_null()).list.any(), "references: holds a null; leave it out")
    is_pair = frame["pair"].str.contains(f"^(?:{PAIR.pattern})?$").fill_null(True)
    for row in (~is_pair).arg_true():
        found.append((places[row], f"pair: expected a form such as 'en-ja', got {frame['pair'][row]!r}"))
    for name in (column for column in frame.columns if column.startswith(PREFIX)):
        for row in (~frame[name].is_finite()).fill_null(False).arg_true():
            found.append((places[row], f"{name}: {frame[name][row]}; write null where there is no score"))
    for name in (column for column in frame.columns if column.startswith(ROLE_PREFIX)):
        for row in (~frame[name].is_in(STORED_ROLES)).fill_null(False).arg_true():
            found.append((places[row], f"{name}: expected {_ROLES} or null, got {frame[name][row]!r}"))
    return found


def conflicts(frame: pl.DataFrame, places: Sequence[int], unit: str) -> list[Problem]:
    """Find rows given twice, and rows that disagree with an earlier one on what a segment is."""
    numbered = frame.with_columns(place=pl.Series(places, dtype=pl.Int64))
    first = numbered.with_columns(earlier=pl.col("place").first().over(KEY))
    found = [
        (row["place"], f"{row['pair']}, segment {row['segment']!r}, system {row['system']!r} is already at "
                       f"{unit} {row['earlier']}; keep one of them")
        for row in first.filter(pl.col("place") != pl.col("earlier")).iter_rows(named=True)
    ]  # fmt: skip
    for name in SHARED:
        expected = pl.col(name, "place").first().over("pair", "segment")
        against = numbered.select("pair", "segment", "place", name, *[expected.name.prefix("first_")])
        differs = against.filter(pl.col(name).ne_missing(pl.col(f"first_{name}")))
        found += [
            (row["place"], f"{row['pair']}, segment {row['segment']!r}: {name} unlike that of {unit} "
                           f"{row['first_place']}; every system must have been given the same segment")
            for row in differs.iter_rows(named=True)
        ]  # fmt: skip
    return found + _role_conflicts(numbered, unit)


def _role_conflicts(numbered: pl.DataFrame, unit: str) -> list[Problem]:
    """Find rows that give a metric another role for their system than an earlier row; null says nothing."""
    found = []
    for name in (column for column in numbered.columns if column.startswith(ROLE_PREFIX)):
        said = numbered.drop_nulls(name)
        first = said.select("system", "place", name, *[
            pl.col(column).first().over("pair", "system").name.prefix("first_") for column in ("place", name)
        ])  # fmt: skip
        found += [
            (row["place"], f"{name}: {row[name]} of {row['system']!r}, but {row[f'first_{name}']} at {unit} "
                           f"{row['first_place']}; a metric has one role for a system")
            for row in first.filter(pl.col(name) != pl.col(f"first_{name}")).iter_rows(named=True)
        ]  # fmt: skip
    return found


def missing_segments(frame: pl.DataFrame) -> pl.DataFrame:
    """Segments that a system lacks and another system of its pair has: columns pair, system, segment."""
    segments = frame.select("pair", "segment").unique(maintain_order=True)
    systems = frame.select("pair", "system").unique(maintain_order=True)
    wanted = systems.join(segments, on="pair", maintain_order="left_right")
    return wanted.join(frame.select(KEY), on=KEY, how="anti", maintain_order="left")


def _is_castable(dtype: pl.DataType, wanted: pl.DataType) -> bool:
    if isinstance(wanted, pl.List):
        return isinstance(dtype, pl.List) and (dtype.inner in (pl.String, pl.Null))
    return dtype in (pl.String, pl.Null, pl.Categorical) or isinstance(dtype, pl.Enum)


def _is_encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _hint(name: str) -> str:
    hints = {"hypothesis": "an empty string where the system gave nothing", "references": "[] where there are none"}
    return f"write {hints[name]}" if name in hints else "add it"


def listed(names: Iterable[str], most: int = 10) -> str:
    """Name the first few and count the rest: "a, b, c and 40 more"."""
    names = list(names)
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
