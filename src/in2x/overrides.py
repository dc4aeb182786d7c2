"""Overrides of a recipe from the command line: `--rl.lr=1e-5`, `--pretrain.phases.0.tokens=1000`, `--seed=3`."""

import tomllib
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from in2x.problems import Place, Problem, dotted, nearest


@dataclass(frozen=True)
class Override:
    """Example: text "--rl.lr=1e-5", place ("rl", "lr"), value 1e-05."""

    text: str
    place: Place
    value: Any


def parse(text: str) -> Override:
    """Read `--key.key=value`; the value is one of TOML, or else text, so that quotes can be left out."""
    key, _, value = text.removeprefix("--").partition("=")
    place = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    return Override(text, place, parse_value(value))


def parse_value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table.pop("value")
    return text if table or isinstance(value, date | time) else value


def apply(data: dict, overrides: list[Override]) -> list[Problem]:
    """Put the overrides into the data of a recipe; returns those that have no place there."""
    problems = []
    for override in overrides:
        message = _put(data, override.place, override.value)
        if message:
            problems.append(Problem(override.place, message))
    return problems


def _put(data: dict, place: Place, value: Any) -> str | None:
    """Set one value; returns what stood in the way. A table within a stage is made, a stage or a list is not."""
    where: Any = data
    *parents, last = place
    for depth, part in enumerate(parents):
        if isinstance(where, dict) and part not in where:
            if depth == 0:
                close = nearest(str(part), where)
                return f"the recipe has no [{part}] table" + (f"; did you mean {close!r}?" if close else " to override")
            if isinstance(place[depth + 1], int):
                return f"the recipe gives no list {dotted(place[: depth + 1])}; give the whole list"
            where[part] = {}
        message = _no_entry(where, part, place[:depth])
        if message:
            return message
        where = where[part]
    message = _no_entry(where, last, place[:-1])
    if not message:
        where[last] = value
    return message


def _no_entry(where: Any, part: str | int, above: Place) -> str | None:
    """Why nothing can stand under the key or index `part` of `where`."""
    if isinstance(where, list):
        if isinstance(part, int) and part < len(where):
            return None
        return f"{dotted(above)} is a list of {len(where)}: its entries are numbered from 0 to {len(where) - 1}"
    return None if isinstance(where, dict) else f"{dotted(above)} is not a table: it has no {part!r}"
