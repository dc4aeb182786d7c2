"""What is wrong with a recipe, in words: pydantic's errors with the nearest right name, all of them at once."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import isclass
from typing import get_args

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:g}",
    "less_than": "a number below {lt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}


@dataclass(frozen=True)
class Problem:
    """Example: place ("rl", "lrr"), message "unknown key; did you mean 'rl.lr'?"."""

    place: Place
    message: str


def dotted(place: Sequence[str | int]) -> str:
    return ".".join(map(str, place))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """The nearest of the known words, or all of them, for the end of a message."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else f"known are {', '.join(known)}"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    found = difflib.get_close_matches(word, list(known), 1, cutoff)
    return found[0] if found else None


def problems_of(error: ValidationError, model: type[BaseModel], data: dict) -> list[Problem]:
    """One problem for each place; what a wrong part makes wrong with the whole is left out."""
    found: dict[Place, list[str]] = {}
    for item in error.errors(include_url=False):
        place = _place(item, data)
        found.setdefault(place, []).append(_message(item, place, model))
    outer = {place[:depth] for place in found for depth in range(len(place))}
    return [Problem(place, _join(messages)) for place, messages in found.items() if place not in outer]


def _place(item: dict, data) -> Place:
    """The keys and indices of an error that stand in the data: a union adds the names of its types, which don't."""
    place = []
    for part in item["loc"]:
        in_table = isinstance(data, dict) and part in data
        if in_table or (isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)):
            place.append(part)
            data = data[part]
    if item["type"] == "missing":
        place.append(item["loc"][-1])
    return tuple(place)


def _message(item: dict, place: Place, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(place, model)
    if kind == "missing":
        return "missing"
    if kind == "value_error":
        return str(context["error"])
    if kind in EXPECTED:
        return f"expected {EXPECTED[kind].format(**context)}, got {_shown(item['input'])}"
    return f"{item['msg']}, got {_shown(item['input'])}"


def _join(messages: list[str]) -> str:
    """The alternatives of a union share what was got: "expected a path or a list, got 5"."""
    first, *others = dict.fromkeys(messages)
    for other in others:
        expected, _, got = other.removeprefix("expected ").rpartition(", got ")
        first = first.replace(f", got {got}", f" or {expected}, got {got}")
    return first


def unknown_key(place: Place, model: type[BaseModel]) -> str:
    """Name the nearest key beside it, or the sections that have a key of this name, or all keys that there are."""
    *parents, key = place
    section = section_at(model, parents)
    known = list(section.model_fields)
    close = nearest(str(key), known)
    if close:
        return f"unknown key; did you mean {dotted([*parents, close])!r}?"
    homes = [name for name, field in model.model_fields.items() if _has_key(field.annotation, key)]
    if homes:
        return f"unknown key; there is {' and '.join(repr(f'{home}.{key}') for home in homes)}"
    return f"unknown key; known are {', '.join(known)}"


def section_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel]:
    """The model of the table at `place`."""
    for part in place:
        if part in model.model_fields:
            model = section_in(model.model_fields[part].annotation) or model
    return model


def section_in(annotation) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Phase, ...]` or `Selection | None`."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(section_in, get_args(annotation)) if found), None)


def _has_key(annotation, key) -> bool:
    section = section_in(annotation)
    return section is not None and key in section.model_fields


def _shown(value) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
