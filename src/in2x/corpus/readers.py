"""Read a user's pairs or texts into one frame, keep the broken rows, and say what is wrong with a file.

`read` calls one function a kind, from the literal table `READERS`. Each returns a frame of

    line (from 1), raw (the row as it was), the fields as text, reason (null for a good row)

and `read` splits it: good rows to `rows`, the others to `broken`. A row never raises. A file does, with a
`CorpusError` that names it, what was expected and the mend: when it is missing, empty, in another encoding or
format, lacks a column, or has no good row at all.

The happy path is vectorised (a million lines of JSON take about three seconds); only a file with broken
rows of JSON is parsed again, row by row.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from in2x.corpus.files import CorpusError, check_file, nearest, read_lines

BROKEN = {"origin": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String}
RAW_CHARACTERS = 200
_OPTIONAL = ("id", "document")


@dataclass(frozen=True)
class ReadResult:
    """rows: id, source, target, maybe document (id, language, text for kind "text"); broken: as `BROKEN`."""

    rows: pl.DataFrame
    broken: pl.DataFrame


def read(source) -> ReadResult:
    """Read `source` (name, kind, path, dataset, split, columns, language: `in2x.sections.Source`).

    `columns` names the source and the target column (by default "source" and "target"; "text" for kind
    "text"); in a TSV without a header they are indices from 0. Columns `id` and `document` are taken where
    they exist. Ids begin with the name of the source; without a column `id` they end in the line.

    Raises:
        CorpusError: the source as a whole is unusable.
    """
    if source.kind not in READERS:
        raise CorpusError(f"{source.name}: unknown kind {source.kind!r}{nearest(source.kind, READERS)}")
    frame = READERS[source.kind](source)
    origin = source.dataset if source.kind == "huggingface" else _origin(source.path)
    if frame.is_empty():
        raise CorpusError(f"{origin}: empty; expected at least one row for the source {source.name!r}")
    is_good, raw = pl.col("reason").is_null(), pl.col("raw").str.slice(0, RAW_CHARACTERS)
    broken = frame.filter(~is_good).select(pl.lit(Path(origin).name).alias("origin"), "line", raw, "reason")
    if len(broken) == len(frame):
        _, line, raw, reason = broken.row(0)
        raise CorpusError(
            f"{origin}: all {len(broken)} rows are broken, expected {source.kind} rows; "
            f"line {line}: {reason}: {raw!r}. Check `kind` and `columns` of the source {source.name!r}"
        )
    rows = _with_ids(frame.filter(is_good), source.name).drop("line", "raw", "reason")
    return ReadResult(rows, broken.cast(BROKEN))


def _with_ids(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Ids unique in the run: name of the source, then the row's own id, or its line where it has none."""
    line, own = pl.col("line").cast(pl.String), pl.col("id")
    if "id" in frame.columns:
        own = pl.when(own.is_duplicated()).then(own + "#" + line).otherwise(own)
        line = pl.coalesce(own, line)
    frame = frame.with_columns(id=name + ":" + line)
    if "document" in frame.columns:
        frame = frame.with_columns(document=name + ":" + pl.col("document"))
    return frame.select("id", pl.exclude("id"))


# --- one function a kind ----------------------------------------------------------------------------------


def _read_tsv(source) -> pl.DataFrame:
    """Tab-separated, without quoting; a header, unless both columns are indices, which count from 0."""
    path, columns = Path(source.path), list(_pair_columns(source).values())
    lines = read_lines(path)
    count = pl.col("fields").list.len()
    if all(column.isdigit() for column in columns):
        places = dict(zip(("source", "target"), map(int, columns), strict=True))
        expected = max(places.values()) + 1
        wrong = count < expected
    else:
        header, lines = lines["raw"][0].split("\t"), lines.slice(1)
        for column in columns:
            _check_column(column, header, path, "" if len(header) > 1 else "; its first line has no tab")
        names = {"source": columns[0], "target": columns[1]}
        names |= {name: name for name in _OPTIONAL if name in header and name not in columns}
        places = {role: header.index(name) for role, name in names.items()}
        expected = len(header)
        wrong = count != expected  # a tab inside a text shifts what follows
    return lines.with_columns(fields=pl.col("raw").str.split("\t")).select(
        "line",
        "raw",
        reason=pl.coalesce(
            "reason",
            pl.when(pl.col("raw").str.strip_chars() == "").then(pl.lit("blank line")),
            pl.when(wrong).then(pl.format("{} fields, expected {}", count, pl.lit(expected))),
        ),
        **{role: pl.col("fields").list.get(place, null_on_oob=True) for role, place in places.items()},
    )


def _read_jsonl(source) -> pl.DataFrame:
    """One JSON object a line; the columns may also lie in an object `translation`, as on the hub."""
    return _jsonl(Path(source.path), _pair_columns(source))


def _read_parquet(source) -> pl.DataFrame:
    path = Path(source.path)
    return _from_frame(_parquet(path), _pair_columns(source), path)


def _parquet(path: Path) -> pl.DataFrame:
    check_file(path)
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise CorpusError(f"{path}: not a readable parquet file ({_first_line(error)})") from error


def _read_moses(source) -> pl.DataFrame:
    """Two files with the same number of lines: line n of the first is translated by line n of the second.

    Raises:
        CorpusError: the counts differ. Which lines are missing can't be known, so no pair can be trusted.
    """
    paths = [Path(path) for path in source.path]
    sides = [read_lines(path) for path in paths]
    if len(sides[0]) != len(sides[1]):
        raise CorpusError(
            f"{paths[0]} has {len(sides[0])} lines, {paths[1]} has {len(sides[1])}; expected equally many. "
            "Get both again from one release, or align them anew"
        )
    return sides[0].select(
        "line",
        raw=pl.format("{}\t{}", "raw", sides[1]["raw"]),
        reason=pl.coalesce("reason", sides[1]["reason"]),
        source="raw",
        target=sides[1]["raw"],
    )


def _read_huggingface(source) -> pl.DataFrame:
    """A dataset of the hub, "owner/name" or "owner/name:configuration"; the split is "train" unless given."""
    try:
        import datasets
    except ImportError as error:
        mend = "the package `datasets` is missing: pip install 'in2x[hub]'"
        raise CorpusError(f"{source.dataset}: {mend}") from error
    name, _, configuration = source.dataset.partition(":")
    split = source.split or "train"
    try:
        frame = datasets.load_dataset(name, configuration or None, split=split).to_polars()
    except Exception as error:  # the hub client's errors have no common base; only context is added
        where = f"{source.dataset}, split {split!r}"
        raise CorpusError(f"{where}: could not be loaded: {_first_line(error)}") from error
    return _from_frame(frame, _pair_columns(source), source.dataset)


def _read_text(source) -> pl.DataFrame:
    """Monolingual: a document a line (blank ones are skipped); or objects of JSON, or parquet, with a text field."""
    path, columns = Path(source.path), {"text": (source.columns or ("text",))[0]}
    if path.suffix == ".parquet":
        frame = _from_frame(_parquet(path), columns, path)
    elif ".jsonl" in path.suffixes:
        frame = _jsonl(path, columns)
    else:
        frame = read_lines(path).filter(pl.col("raw").str.strip_chars() != "").with_columns(text="raw")
    frame = frame.with_columns(language=pl.lit(source.language))
    return frame.drop("document", strict=False).select("language", pl.exclude("language"))


READERS = {
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
    "moses": _read_moses,
    "huggingface": _read_huggingface,
    "text": _read_text,
}


# --- columns ----------------------------------------------------------------------------------------------


def _pair_columns(source) -> dict[str, str]:
    """What the user calls the source and the target column, by our name."""
    columns = tuple(source.columns or ("source", "target"))
    if len(columns) != 2:
        raise CorpusError(f"{source.name}: `columns` has {len(columns)} names; expected source and target")
    return dict(zip(("source", "target"), columns, strict=True))


def _check_column(column: str, found, origin, hint: str = "") -> None:
    if column not in found:
        listed = ", ".join(map(repr, list(found)[:20]))
        raise CorpusError(f"{origin}: no column {column!r}; it has {listed}{nearest(column, found)}{hint}")


def _from_frame(frame: pl.DataFrame, columns: dict[str, str], origin) -> pl.DataFrame:
    """Columns of a table, plain or inside a struct `translation`; a null text is a broken row.

    `columns` maps our name to the user's.
    """
    schema = frame.schema
    nested = schema["translation"] if isinstance(schema.get("translation"), pl.Struct) else pl.Struct({})
    inner = {field.name: field.dtype for field in nested.fields}
    texts = {}
    for role, column in columns.items():
        _check_column(column, schema | inner, origin)
        dtype = schema.get(column, inner.get(column))
        if dtype not in (pl.String, pl.Categorical, pl.Enum):
            raise CorpusError(f"{origin}: column {column!r} holds {dtype}, expected text")
        value = pl.col(column) if column in schema else pl.col("translation").struct.field(column)
        texts[role] = value.cast(pl.String)
    optional = [name for name in _OPTIONAL if name in schema and name not in columns.values()]
    return (
        frame.select(**texts, **{name: pl.col(name).cast(pl.String) for name in optional})
        .with_row_index("line", 1)
        .with_columns(
            pl.col("line").cast(pl.Int64),
            raw=pl.concat_str([pl.col(role).fill_null("null") for role in columns], separator="\t"),
            reason=_missing(columns),
        )
    )


def _missing(columns: dict[str, str]) -> pl.Expr:
    """Reason for rows in which a column is null; `columns` maps our name to the user's."""
    return pl.coalesce(pl.when(pl.col(role).is_null()).then(pl.lit(f"no {name!r}")) for role, name in columns.items())


def _jsonl(path: Path, columns: dict[str, str]) -> pl.DataFrame:
    """Fields of JSON objects, one a line, as text; `columns` maps our name to the user's."""
    lines = read_lines(path).filter(pl.col("raw").str.strip_chars() != "")
    first = next((row for row in map(_object, lines["raw"].head(1000)) if row), {})
    inner = first.get("translation") if isinstance(first.get("translation"), dict) else {}
    nested = {name for name in columns.values() if name in inner and name not in first}
    keys = {role: ("translation", name) if name in nested else (name,) for role, name in columns.items()}
    keys |= {name: (name,) for name in _OPTIONAL if name not in columns.values()}
    fields = _decode(lines["raw"], keys)
    if fields is None:
        schema = dict.fromkeys((*keys, "bad"), pl.String)
        fields = pl.DataFrame([_fields(raw, keys) for raw in lines["raw"]], schema=schema, orient="row")
    absent = [name for name in fields.columns if name != "bad" and fields[name].is_null().all()]
    for role in columns if first else ():  # a column that only some rows lack breaks those rows
        if role in absent and columns[role] not in first:
            _check_column(columns[role], {**first, **inner}, path)
    frame = lines.hstack(fields).with_columns(reason=pl.coalesce("reason", "bad", _missing(columns)))
    return frame.drop("bad", *(name for name in absent if name in _OPTIONAL))


def _decode(raw: pl.Series, keys: dict[str, tuple[str, ...]]) -> pl.DataFrame | None:
    """All lines at once; None where a line is no JSON object or a value isn't text."""
    inner = {key[1]: pl.String for key in keys.values() if len(key) == 2}
    schema = {key[0]: pl.String for key in keys.values() if len(key) == 1}
    schema |= {"translation": pl.Struct(inner)} if inner else {}
    try:
        decoded = raw.str.json_decode(pl.Struct(schema))
    except pl.exceptions.PolarsError:
        return None
    if len(decoded) != len(raw):  # two objects on one line
        return None
    row = pl.col(raw.name)
    fields = {}
    for name, key in keys.items():
        value = row.struct.field(key[0])
        fields[name] = value.struct.field(key[1]) if len(key) == 2 else value
    return decoded.to_frame().select(**fields, bad=pl.lit(None, pl.String))


def _object(raw: str) -> dict | None:
    try:
        row = json.loads(raw)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _fields(raw: str, keys: dict[str, tuple[str, ...]]) -> list[str | None]:
    """Fields of one line, then the reason why it is broken, or None."""
    row = _object(raw)
    if row is None:
        return [None] * len(keys) + ["not a JSON object"]
    values = []
    for key in keys.values():
        value = row
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            value = json.dumps(value)
        if isinstance(value, dict | list):
            if key[-1] not in _OPTIONAL:
                return [None] * len(keys) + [f"{key[-1]!r} is a {type(value).__name__}, expected text"]
            value = None
        # Half a surrogate pair can't be stored.
        values.append(value and value.encode("utf-8", "replace").decode())
    return [*values, None]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _origin(path) -> str:
    return " + ".join(map(str, path)) if isinstance(path, tuple | list) else str(path)
