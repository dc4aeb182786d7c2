"""A user's own instructions and prompts: files of `instruct.extra`, read row by row; broken rows are kept aside.

A row never raises: it has a reason and its line. A file does, with its name, the line, the column and the mend: where
it can't be read, lacks a column in every row, or has more broken rows than `max_broken_fraction`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError
from in2x.corpus.files import check_file, nearest, read_lines
from in2x.corpus.normalize import normal_key
from in2x.rewards.answers import MAX_ANSWER_CHARS
from in2x.rewards.gates import TRANSLATION_TASKS
from in2x.sections.instruct import Extra

ROLES = ("system", "user", "assistant")
RAW_CHARS = 200
ROWS = {
    "line": pl.Int64, "prompt": pl.String, "response": pl.String, "source": pl.String, "reference": pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
}  # fmt: skip
REJECTED = {"path": pl.String, "line": pl.Int64, "reason": pl.String, "raw": pl.String}


@dataclass(frozen=True)
class Read:
    """rows: the good ones, columns ROWS and `key` (of the prompt); rejected: columns REJECTED; num_read: of all."""

    rows: pl.DataFrame
    rejected: pl.DataFrame
    num_read: int


class Broken(Exception):
    """What is wrong with one row, its column first."""


def read_extra(extra: Extra) -> Read:
    """The rows of one file.

    Raises:
        In2xError: the file as a whole is unusable, or has too many broken rows.
    """
    good, rejected, found, seen = [], [], Counter(), {}
    for line, row, raw in _rows(extra.path):
        try:
            values = _values(_object(row), extra)
            same = values["prompt"], values["response"], json.dumps(values["messages"])
            if (first := seen.setdefault(same, line)) != line:
                raise Broken(f"the same as line {first}")
            good.append({"line": line} | values)
        except Broken as error:
            rejected.append((str(extra.path), line, str(error), raw[:RAW_CHARS]))
        if isinstance(row, dict):
            found.update(row.keys())
    _refuse_columns(extra, found)
    broken = [row for row in rejected if not row[2].startswith("the same as")]
    if len(broken) > extra.max_broken_fraction * (len(good) + len(rejected)) or not good:
        raise In2xError(_too_many(extra, broken, len(good) + len(rejected)))
    rows = pl.DataFrame(good, schema=ROWS).with_columns(key=normal_key(pl.col("prompt")))
    return Read(rows, pl.DataFrame(rejected, schema=REJECTED, orient="row"), len(good) + len(rejected))


def _rows(path: Path) -> Iterator[tuple[int, object, str]]:
    """Line (or row of a parquet, from 1), its object or what it is instead, and its text."""
    check_file(path)
    if path.suffix == ".parquet":
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise In2xError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from error
        for line, row in enumerate(frame.iter_rows(named=True), 1):
            yield line, row, str(row)
        return
    for line, raw, reason in read_lines(path).select("line", "raw", "reason").iter_rows():
        if reason or raw.strip():
            yield line, Broken(reason) if reason else _decoded(raw), raw


def _decoded(raw: str) -> object:
    try:
        return json.loads(raw)
    except ValueError as error:
        return Broken(f"not JSON: {error}")


def _object(row: object) -> dict:
    if isinstance(row, Broken):
        raise row
    if not isinstance(row, dict):
        raise Broken(f"expected an object of JSON, got {type(row).__name__}")
    return row


def _values(row: Mapping, extra: Extra) -> dict:
    """prompt, response, source, reference and messages of one row."""
    if extra.messages_column:
        messages = _messages(row, extra.messages_column)
        prompt = next((one["content"] for one in messages if one["role"] == "user"), "")
        return _filled(prompt, messages[-1]["content"], prompt, messages[-1]["content"], messages)
    prompt = _text(row, extra.prompt_column)
    source = _text(row, extra.source_column) if extra.source_column else prompt
    if extra.use == "sft":
        response = _text(row, extra.response_column)
        return _filled(prompt, response, source, response)
    answer = _answer(row, extra) if extra.answer_column else None
    return _filled(prompt, answer or "", source, answer)


def _filled(prompt: str, response: str, source: str, reference: str | None, messages: list | None = None) -> dict:
    values = {"prompt": prompt, "response": response, "source": source, "reference": reference}
    return values | {"messages": messages}


def _text(row: Mapping, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise Broken(f"{column}: expected text, got {'nothing' if value is None else type(value).__name__}")
    if not value.strip():
        raise Broken(f"{column}: empty")
    return value.encode("utf-8", "replace").decode()  # half a surrogate pair can't be stored


def _answer(row: Mapping, extra: Extra) -> str:
    """A text or a number; what the rules would never find is refused."""
    value = row.get(extra.answer_column)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = json.dumps(value)
    text = _text({extra.answer_column: value}, extra.answer_column)
    if len(text) > MAX_ANSWER_CHARS and extra.task not in TRANSLATION_TASKS:
        raise Broken(f"{extra.answer_column}: {len(text)} characters; an answer has {MAX_ANSWER_CHARS} at most")
    return text


def _messages(row: Mapping, column: str) -> list[dict[str, str]]:
    messages = row.get(column)
    if not isinstance(messages, list) or not messages:
        raise Broken(f"{column}: expected a list of messages, got {type(messages).__name__}")
    plain = []
    for number, message in enumerate(messages):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise Broken(f"{column}: message {number}: expected role ({', '.join(ROLES)}) and content, both text")
        plain.append({"role": role, "content": content.encode("utf-8", "replace").decode()})
    if plain[-1]["role"] != "assistant" or not plain[-1]["content"].strip():
        raise Broken(f"{column}: the last message is no answer of the assistant")
    if not any(message["role"] == "user" for message in plain):
        raise Broken(f"{column}: no message of the user")
    return plain


def _wanted(extra: Extra) -> dict[str, str]:
    """Setting -> column, of the columns that are read."""
    if extra.messages_column:
        return {"messages_column": extra.messages_column}
    wanted = {"prompt_column": extra.prompt_column}
    wanted |= {"response_column": extra.response_column} if extra.use == "sft" else {}
    optional = {"answer_column": extra.answer_column, "source_column": extra.source_column}
    return wanted | {name: column for name, column in optional.items() if column}


def _refuse_columns(extra: Extra, found: Counter) -> None:
    for setting, column in _wanted(extra).items():
        if found and column not in found:
            listed = ", ".join(map(repr, list(found)[:20]))
            raise In2xError(
                f"{extra.path}: no row has the column {column!r}; there are {listed}{nearest(column, found)}. "
                f"Name it in instruct.extra: {setting} = ..."
            )


def _too_many(extra: Extra, broken: Iterable[tuple], num_read: int) -> str:
    broken = list(broken)
    if not broken:
        return f"{extra.path}: no rows; expected one JSON object a line, or a parquet table"
    common = Counter(reason for _, _, reason, _ in broken).most_common(3)
    _, line, reason, raw = broken[0]
    return (
        f"{extra.path}: {len(broken):,} of {num_read:,} rows are broken, instruct.extra allows "
        f"{extra.max_broken_fraction:.0%} (max_broken_fraction)\n"
        + "\n".join(f"  {number:,} times: {what}" for what, number in common)
        + f"\nThe first: line {line}: {reason}: {raw!r}\nMend those rows, name other columns, or allow more"
    )
