"""Prompts of the rubric judge, and how their answers are read.

Three requests: principles for a source (no translation is shown), one translation, all translations of a source; or
for a prompt and texts written for it, in the other wording. The generated principles come from a model that has read
hostile text: they are data like the texts themselves.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from in2x.judging.fence import fenced
from in2x.judging.parsing import answer_id, read_item, read_object
from in2x.judging.rubric_wordings import TRANSLATION, Wording
from in2x.judging.segments import Message, language_names

VERSION = "rubric-1"
VALUES = {"yes": 1.0, "partial": 0.5, "no": 0.0}
MAX_GENERATED, MAX_PRINCIPLE_CHARS = 5, 300
LABELS = string.ascii_uppercase
MAX_GROUP = 16


def build_principles(pair: str, source: str, nonce: str, wording: Wording = TRANSLATION) -> list[Message]:
    """Ask for principles for one source; no translation is shown."""
    names = dict(zip(("source", "target"), language_names(pair), strict=True))
    task = wording.generate_task.format(id=answer_id(nonce), **names)
    return fenced(wording.generate_instructions.format(**names), {wording.given: source}, task, nonce)


def parse_principles(text: str, nonce: str) -> tuple[str, ...] | None:
    """One to five distinct principles, one line each; None where there are none, or one is no short sentence."""
    answer = read_object(text, ("principles",), nonce)
    items = answer["principles"] if answer else None
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        return None
    lines = tuple(dict.fromkeys(" ".join(item.split()) for item in items))[:MAX_GENERATED]
    return lines if all(0 < len(line) <= MAX_PRINCIPLE_CHARS for line in lines) else None


def fixed_principles(pair: str, wording: Wording = TRANSLATION) -> tuple[str, ...]:
    target = language_names(pair)[1]
    return tuple(principle.format(target=target) for principle in wording.fixed)


def build_single(
    pair: str, source: str, hypothesis: str, principles: Sequence[str], nonce: str, wording: Wording = TRANSLATION
) -> list[Message]:
    """Ask about one translation."""
    names = dict(zip(("source", "target"), language_names(pair), strict=True))
    data = {"principles": list(principles), wording.given: source, wording.one: hypothesis}
    task = wording.single_task.format(n=len(principles), id=answer_id(nonce))
    return fenced(wording.judge_instructions.format(**names), data, task, nonce)


def parse_single(text: str, num_principles: int, nonce: str) -> tuple[str, ...] | None:
    """One answer per principle: yes, partial or no; None unless all are there and can be read."""
    answer = read_object(text, ("answers",), nonce)
    return _items(answer["answers"], num_principles) if answer else None


def build_group(
    pair: str,
    source: str,
    hypotheses: Sequence[str],
    principles: Sequence[str],
    nonce: str,
    wording: Wording = TRANSLATION,
) -> list[Message]:
    """Ask about all translations at once, labelled A, B, ... in the order given.

    Raises:
        ValueError: more translations than labels.
    """
    if not 1 <= len(hypotheses) <= MAX_GROUP:
        raise ValueError(f"rubric: expected 1 to {MAX_GROUP} translations in a group, got {len(hypotheses)}")
    names = dict(zip(("source", "target"), language_names(pair), strict=True))
    labels = LABELS[: len(hypotheses)]
    shown = [{"label": label, "text": text} for label, text in zip(labels, hypotheses, strict=True)]
    data = {"principles": list(principles), wording.given: source, wording.many: shown}
    task = wording.group_task.format(
        g=len(labels),
        n=len(principles),
        id=answer_id(nonce),
        labels=", ".join(f'"{label}": ["..."]' for label in labels),
        names=", ".join(labels),
    )
    return fenced(wording.judge_instructions.format(**names), data, task, nonce)


def parse_group(text: str, group_size: int, num_principles: int, nonce: str) -> list[tuple[str, ...]] | None:
    """The answers for each translation, in the order of the labels; None unless all are there and can be read."""
    answer = read_object(text, ("answers",), nonce)
    answers = answer["answers"] if answer else None
    if not isinstance(answers, dict) or set(answers) != set(LABELS[:group_size]):
        return None
    items = [_items(answers[label], num_principles) for label in LABELS[:group_size]]
    return None if None in items else items


def share(items: Sequence[str]) -> float:
    """The reward: the share of principles satisfied, a partial answer being half of one."""
    return sum(VALUES[item] for item in items) / len(items)


def _items(values: object, num_principles: int) -> tuple[str, ...] | None:
    if isinstance(values, dict):  # {"1": "yes", ...}
        wanted = [str(number + 1) for number in range(num_principles)]
        values = [values[name] for name in wanted] if set(values) == set(wanted) else None
    if not isinstance(values, list) or len(values) != num_principles:
        return None
    items = tuple(read_item(value) for value in values)
    return None if None in items else items
