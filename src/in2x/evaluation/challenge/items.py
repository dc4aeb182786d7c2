"""The items of the challenge set, as they lie in the JSONL files beside this module.

idioms.jsonl and slang.jsonl hold phrases, register.jsonl one sentence in three registers, literary.jsonl passages.
Lists of strings are regular expressions (see `in2x.evaluation.challenge.patterns`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Register = Literal["plain", "polite", "keigo"]
REGISTERS: tuple[Register, ...] = get_args(Register)
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Phrase:
    """An idiom or a piece of slang in a sentence.

    Example: Phrase("idiom-018", "equivalent", "You're graduating? Time flies.", "time flies", "time passes quickly",
    accepted=("光陰(矢|や)",), context=("卒業",), traps=("時間は飛",),
    example="もう卒業？光陰矢の如しだね。", trap_example="卒業ですか？時間は飛びます。")
    """

    id: str
    kind: str
    source: str
    expression: str
    sense: str
    accepted: tuple[str, ...]  # any of them renders the sense
    context: tuple[str, ...]  # any of them shows that this very sentence was translated
    traps: tuple[str, ...]  # any of them is the literal mistake
    example: str
    trap_example: str
    also: tuple[str, ...] = ()  # further good translations


@dataclass(frozen=True)
class RegisterItem:
    """One sentence to be said in three registers; `scene` is who speaks keigo to whom, about whom."""

    id: str
    kind: str  # respectful, humble or courteous: what keigo asks for here
    style: str  # of plain form: casual or written
    source: str
    scene: str
    plain: str
    polite: str
    keigo: str
    content: tuple[str, ...]  # all of them must be there in any register
    accepted: dict[Register, tuple[str, ...]]  # any of them must be there
    forbidden: dict[Register, tuple[str, ...]]  # none of them may
    trap_example: str  # keigo in the wrong direction
    also: dict[Register, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage:
    """A literary passage; every pattern of `required` is one content point."""

    id: str
    kind: str
    source: str
    required: tuple[str, ...]
    traps: tuple[str, ...]
    example: str
    trap_example: str
    also: tuple[str, ...] = ()


Item = Phrase | RegisterItem | Passage
CATEGORIES: dict[str, tuple[str, type]] = {
    "idioms": ("idioms.jsonl", Phrase),
    "slang": ("slang.jsonl", Phrase),
    "register": ("register.jsonl", RegisterItem),
    "literary": ("literary.jsonl", Passage),
}


@cache
def load(category: str) -> tuple[Item, ...]:
    """Read the items of one category, in the order of the file.

    Raises:
        ValueError: no such category, or a line that is not such an item, with file and line.
    """
    if category not in CATEGORIES:
        raise ValueError(f"category {category!r}: expected one of {', '.join(CATEGORIES)}")
    name, kind = CATEGORIES[category]
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return tuple(_parse(line, kind, f"{name}:{number}") for number, line in enumerate(lines, 1))


def items(categories: Iterable[str] | None = None) -> list[tuple[str, Item]]:
    """All items with their category, or those of some categories.

    Raises:
        ValueError: no such category.
    """
    chosen = list(CATEGORIES if categories is None else categories)
    return [(category, item) for category in dict.fromkeys(chosen) for item in load(category)]


@cache
def data_hash() -> str:
    """SHA-256 of the data files, 16 hexadecimal digits: results compare only where it is the same."""
    digest = hashlib.sha256()
    for name, _ in CATEGORIES.values():
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()[:16]


def _parse(line: str, kind: type, where: str) -> Item:
    values = json.loads(line)
    expected = {part.name for part in fields(kind)}
    required = {part.name for part in fields(kind) if part.default is MISSING and part.default_factory is MISSING}
    if not required <= set(values) <= expected:
        raise ValueError(f"{where}: missing {sorted(required - set(values))}, unknown {sorted(set(values) - expected)}")
    return kind(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value):
    if isinstance(value, dict):
        return {name: tuple(patterns) for name, patterns in value.items()}
    return tuple(value) if isinstance(value, list) else value
