"""What a system is given: the source texts with their ids, and an instruction for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from in2x.evaluation.challenge.items import REGISTERS, Item, RegisterItem, items

INSTRUCTION = "Translate into natural Japanese."
PLAIN_INSTRUCTIONS = {
    "casual": "Translate into casual Japanese in plain form, as to a close friend.",
    "written": "Translate into written Japanese in plain form (da/dearu).",
}
POLITE_INSTRUCTION = "Translate into polite Japanese (desu/masu), without honorific or humble verbs."
KEIGO_INSTRUCTION = "Translate into Japanese keigo that honours the right side. The scene: {scene}."


@dataclass(frozen=True)
class Source:
    """One text to translate.

    Example: Source("register-036.plain", "register", "plain", "Translate into casual ...", "I will come to ...")
    """

    id: str
    category: str
    kind: str
    instruction: str
    source: str


def sources(categories: Iterable[str] | None = None) -> list[Source]:
    """All texts to translate, in a fixed order; a register item gives three.

    Raises:
        ValueError: a category that there is none of.
    """
    return [source for category, item in items(categories) for source in _sources(category, item)]


def _sources(category: str, item: Item) -> list[Source]:
    if not isinstance(item, RegisterItem):
        return [Source(item.id, category, item.kind, INSTRUCTION, item.source)]
    instructions = {
        "plain": PLAIN_INSTRUCTIONS[item.style],
        "polite": POLITE_INSTRUCTION,
        "keigo": KEIGO_INSTRUCTION.format(scene=item.scene),
    }
    return [Source(f"{item.id}.{name}", category, name, instructions[name], item.source) for name in REGISTERS]
