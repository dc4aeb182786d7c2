"""The segment store: one row per segment and system, with its scores; the one table that evaluation reads.

    pair "en-ja", domain "news" or null, document "guardian.230737" or null, segment "guardian.230737:0",
    system "In2x", source, hypothesis (may be empty, never null), references (a list, may be empty)

A segment's id is unique within its pair, and every system of a pair has the same segments, with the same source,
references, domain and document. Scores are null where there are none. In parquet each metric is a column
`score.<metric>`; in JSON lines (plain or .gz) they are in an object: {..., "scores": {"chrF2": 41.2, "TER": null}}.

A metric that served as reward or selector of a system is marked: column `role.<metric>`, or {"roles": {"chrF2":
"selector"}}, for all rows of the system; null where the metric only judges. The metric need not be in the store.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from in2x.artifacts import In2xError, atomic
from in2x.corpus.files import check_file, read_lines
from in2x.evaluation import store_checks as checks
from in2x.evaluation.store_checks import COLUMNS, PREFIX, ROLE_PREFIX, STORED_ROLES, Problem

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
OnMissing = Literal["refuse", "intersect"]


def say(message: str) -> None:
    """Tell the user something that is no error."""
    print(f"note: {message}", file=sys.stderr)


def read_store(path: Path, *, on_missing: OnMissing = "refuse", note: Callable[[str], None] = say) -> pl.DataFrame:
    """Read and check a store; rows keep the file's order, columns come as in `COLUMNS`, then the scores.

    `on_missing` says what to do where a system lacks segments that others of its pair have: "refuse" them all, or
    "intersect": keep the segments that every system has, and tell through `note` how many were dropped.

    Raises:
        In2xError: not a store; the message lists every problem with its line or row.
    """
    path = Path(path)
    suffix = _suffix(path)
    check_file(path)
    frame = check_store(read_parquet(path), path) if suffix == ".parquet" else _read_jsonl(path)
    if frame.is_empty():
        raise In2xError(f"{path}: no rows; expected one per segment and system")
    return require_complete(frame, path, on_missing=on_missing, note=note)


def write_store(frame: pl.DataFrame, path: Path) -> None:
    """Write a store, whole or not at all. Missing segments are left for the reader to refuse.

    Raises:
        In2xError: the frame is no store, or the path has none of the three suffixes.
    """
    path = Path(path)
    suffix = _suffix(path)
    frame = check_store(frame, path)
    with atomic(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary)
        elif suffix == ".jsonl":
            temporary.write_bytes(b"".join(_json_lines(frame)))
        else:
            with temporary.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
                stream.writelines(_json_lines(frame))


def check_store(frame: pl.DataFrame, origin, places: Sequence[int] | None = None, unit: str = "row") -> pl.DataFrame:
    """Check all but completeness; returns the frame with the store's types and order of columns.

    `places` are the lines or rows (`unit`) of `origin` that the frame's rows come from, by default 1, 2, ...

    Raises:
        In2xError: columns, nulls, duplicates, contradictions or scores that are wrong, each with its place.
    """
    wrong = checks.column_problems(frame)
    if wrong:
        raise In2xError("\n".join([f"{origin}: not a segment store", *(f"  {message}" for message in wrong)]))
    scores = [name for name in frame.columns if name.startswith(PREFIX)]
    roles = [name for name in frame.columns if name.startswith(ROLE_PREFIX)]
    frame = frame.select(*COLUMNS, *scores, *roles)
    frame = frame.cast(COLUMNS | dict.fromkeys(scores, pl.Float64) | dict.fromkeys(roles, pl.String))
    places = range(1, len(frame) + 1) if places is None else places
    checks.refuse(origin, checks.value_problems(frame, places) + checks.conflicts(frame, places, unit), unit)
    return frame


def from_rows(
    rows: Iterable[tuple[int, dict]], origin, *, unit: str = "line", problems: Sequence[Problem] = ()
) -> pl.DataFrame:
    """Make a checked store of (place, row) with rows as in JSON lines; `problems` found earlier are told with the rest.

    Raises:
        In2xError: see `check_store`; also wrong types and keys.
    """
    problems, good, places = list(problems), [], []
    for place, row in rows:
        wrong = checks.type_problems(row)
        problems += [(place, message) for message in wrong]
        if not wrong:
            good.append(row)
            places.append(place)
    frame = _frame(good)
    if problems:
        problems += checks.value_problems(frame, places) + checks.conflicts(frame, places, unit)
    checks.refuse(origin, problems, unit)
    return check_store(frame, origin, places, unit)


def require_complete(
    frame: pl.DataFrame, origin, *, on_missing: OnMissing = "refuse", note: Callable[[str], None] = say
) -> pl.DataFrame:
    """Make sure that the systems of a pair have the same segments, see `read_store`.

    Raises:
        In2xError: they haven't, and `on_missing` is "refuse"; or no segment of a pair is left.
    """
    if on_missing not in ("refuse", "intersect"):
        raise ValueError(f"on_missing: expected 'refuse' or 'intersect', got {on_missing!r}")
    missing = checks.missing_segments(frame)
    if missing.is_empty():
        return frame
    if on_missing == "refuse":
        raise In2xError("\n".join(_refusal(frame, missing, origin)))
    kept, dropped = complete_segments(frame)
    for pair, number in dropped.items():
        total = frame.filter(pair=pair)["segment"].n_unique()
        if number == total:
            raise In2xError(f"{origin}: {pair}: no segment is common to all {_num_systems(frame, pair)} systems; "
                            "leave out the systems that have too few")  # fmt: skip
        note(f"{origin}: {pair}: {number:,} of {total:,} segments dropped, which not every system has")
    return kept


def complete_segments(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Keep the segments that every system of their pair has; returns them and, by pair, how many were dropped."""
    missing = checks.missing_segments(frame).select("pair", "segment").unique(maintain_order=True)
    dropped = dict(missing.group_by("pair", maintain_order=True).len().iter_rows())
    return frame.join(missing, on=("pair", "segment"), how="anti", maintain_order="left"), dropped


def add_scores(
    frame: pl.DataFrame, metric: str, values: Sequence[float | None], *, replace: bool = False
) -> pl.DataFrame:
    """Add a metric's scores, one per row in the frame's order, None where there is none.

    Raises:
        ValueError: another number of values, NaN or infinity, or the metric is there already and `replace` is not set.
    """
    name = PREFIX + metric
    if not metric or metric != metric.strip():
        raise ValueError(f"metric: expected a name, got {metric!r}")
    if name in frame.columns and not replace:
        raise ValueError(f"the store has scores of {metric!r} already; say replace=True to overwrite them")
    if len(values) != len(frame):
        raise ValueError(f"{metric}: {len(values)} values for {len(frame)} rows")
    scores = pl.Series(name, values, dtype=pl.Float64, strict=True)
    wrong = (~scores.is_finite()).fill_null(False).arg_true()
    if len(wrong):
        raise ValueError(f"{metric}: value {wrong[0]} is {scores[wrong[0]]}; give None where there is no score")
    return frame.with_columns(scores)


def mark_roles(frame: pl.DataFrame, roles: Mapping[str, Mapping[str, str]]) -> pl.DataFrame:
    """Mark metrics that were more than a judge: `roles` is metric -> system -> "reward" or "selector".

    Raises:
        In2xError: no such system, or another role.
    """
    known = systems(frame)
    for metric, by_system in roles.items():
        for system, role in by_system.items():
            if system not in known:
                raise In2xError(f"{metric} as {role} of {system!r}: no such system; there are {', '.join(known)}")
            if role not in STORED_ROLES:
                raise In2xError(f"{metric} as {role!r} of {system!r}: expected {' or '.join(STORED_ROLES)}")
        name = ROLE_PREFIX + metric
        before = pl.col(name) if name in frame.columns else pl.lit(None, pl.String)
        given = pl.col("system").replace_strict(by_system, default=None, return_dtype=pl.String)
        frame = frame.with_columns(pl.coalesce(given, before).alias(name))
    return frame


def stored_roles(frame: pl.DataFrame) -> dict[str, dict[str, str]]:
    """metric -> system -> role of the metrics that are marked for some system."""
    found: dict[str, dict[str, str]] = {}
    for name in (column for column in frame.columns if column.startswith(ROLE_PREFIX)):
        for system, role in frame.select("system", name).drop_nulls(name).unique(maintain_order=True).iter_rows():
            found.setdefault(name.removeprefix(ROLE_PREFIX), {})[system] = role
    return found


def systems(frame: pl.DataFrame) -> list[str]:
    """Name the systems, in order of appearance."""
    return frame["system"].unique(maintain_order=True).to_list()


def metrics(frame: pl.DataFrame) -> list[str]:
    """Name the metrics that the store has scores of."""
    return [name.removeprefix(PREFIX) for name in frame.columns if name.startswith(PREFIX)]


def languages(pair: str) -> tuple[str, str]:
    """Source and target language of a pair: "en-ja" is ("en", "ja"), "en-zh-Hant" is ("en", "zh-Hant")."""
    source, _, target = pair.partition("-")
    if not source or not target:
        raise ValueError(f"pair: expected a form such as 'en-ja', got {pair!r}")
    return source, target


def overview(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per pair and system: num_segments, num_empty (hypotheses), num_documents, num_references (segments)."""
    return frame.group_by("pair", "system", maintain_order=True).agg(
        num_segments=pl.len(),
        num_empty=(pl.col("hypothesis").str.strip_chars() == "").sum(),
        num_documents=pl.col("document").drop_nulls().n_unique(),
        num_domains=pl.col("domain").drop_nulls().n_unique(),
        num_references=(pl.col("references").list.len() > 0).sum(),
    )


def _suffix(path: Path) -> str:
    found = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    if found is None:
        raise In2xError(f"{path}: a segment store is named {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return found


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a table, not checked in any way.

    Raises:
        In2xError: the file is not parquet.
    """
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        first_line = str(error).splitlines()[0]
        raise In2xError(f"{path}: not a readable parquet file ({first_line}); write it again") from error


def _read_jsonl(path: Path) -> pl.DataFrame:
    problems: list[Problem] = []
    return from_rows(list(json_rows(path, problems)), path, problems=problems)


def json_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, dict]]:
    """Yield (line, object) of a file of JSON lines, plain or gzipped; what is no object is added to `problems`.

    Raises:
        In2xError: no such file, empty, or not UTF-8 as a whole.
    """
    for line, raw, reason in read_lines(path).iter_rows():
        if reason:
            problems.append((line, f"{reason}, unlike other lines of this file; write the line anew in UTF-8"))
        elif raw.strip():
            try:
                value = json.loads(raw)
            except json.JSONDecodeError as error:
                problems.append((line, f"not JSON ({error.msg} at character {error.pos + 1})"))
                continue
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets as deep
                problems.append((line, f"not readable as JSON ({error})"))
                continue
            if isinstance(value, dict):
                yield line, value
            else:
                problems.append((line, f"expected a JSON object, got {raw[:60]}"))


def _frame(rows: list[dict]) -> pl.DataFrame:
    names = dict.fromkeys(metric for row in rows for metric in (row.get("scores") or {}))
    data = {name: [row.get(name) for row in rows] for name in COLUMNS}
    data |= {PREFIX + metric: [_float((row.get("scores") or {}).get(metric)) for row in rows] for metric in names}
    roles = dict.fromkeys(metric for row in rows for metric in (row.get("roles") or {}))
    data |= {ROLE_PREFIX + metric: [(row.get("roles") or {}).get(metric) for row in rows] for metric in roles}
    schema = COLUMNS | {PREFIX + metric: pl.Float64 for metric in names}
    return pl.DataFrame(data, schema=schema | {ROLE_PREFIX + metric: pl.String for metric in roles})


def _float(score: float | None) -> float | None:
    return None if score is None else float(score)


def _json_lines(frame: pl.DataFrame) -> Iterator[bytes]:
    names = metrics(frame)
    for row in frame.iter_rows(named=True):
        value = {name: row[name] for name in COLUMNS}
        if names:
            value["scores"] = {metric: row[PREFIX + metric] for metric in names}
        roles = {name.removeprefix(ROLE_PREFIX): row[name] for name in row if name.startswith(ROLE_PREFIX)}
        if any(roles.values()):
            value["roles"] = {metric: role for metric, role in roles.items() if role}
        yield json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _refusal(frame: pl.DataFrame, missing: pl.DataFrame, origin) -> Iterator[str]:
    for (pair,), rows in missing.group_by("pair", maintain_order=True):
        total = frame.filter(pair=pair)["segment"].n_unique()
        by_system = rows.group_by("system", maintain_order=True).agg("segment")
        yield f"{origin}: {pair}: {len(by_system)} of {_num_systems(frame, pair)} systems lack segments of others"
        for system, segments in by_system.iter_rows():
            yield f"  {system} lacks {len(segments):,} of {total:,}: {checks.listed(segments)}"
        common = total - rows["segment"].n_unique()
        yield f"  {common:,} segments are common to all systems"
    yield ("Systems can't be compared on different segments. Add the rows (an empty hypothesis where a system gave "
           "nothing), or keep the common segments only: --on-missing=intersect of import and score")  # fmt: skip


def _num_systems(frame: pl.DataFrame, pair: str) -> int:
    return frame.filter(pair=pair)["system"].n_unique()
