"""The verdict on one translation.

*accepted*; *trap*: a known mistake is there; *neither*: a rendering that no pattern knows, another text, or none.
A trap counts unless it lies wholly inside one accepted phrase; then it outranks whatever is accepted beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from in2x.evaluation.challenge import registers
from in2x.evaluation.challenge.items import Passage, Phrase, Register, RegisterItem
from in2x.evaluation.challenge.patterns import (
    compile_patterns,
    find_spans,
    fold_kana,
    is_japanese,
    normalise,
    uncovered,
)

Outcome = Literal["accepted", "trap", "neither"]
PASSAGE_THRESHOLD = 0.8  # share of points
LENGTH_FACTOR, LENGTH_MARGIN = 3, 30  # longer than this times the example plus a margin: not a translation alone


def judge_phrase(item: Phrase, text: str) -> tuple[Outcome, str]:
    """Judge a translation of an idiom or a piece of slang: (outcome, what was found or what is missing)."""
    body = normalise(text)
    if problem := _not_japanese(body):
        return "neither", problem
    accepted = find_spans(_folded(item.accepted), fold_kana(body))
    if traps := uncovered(find_spans(_exact(item.traps), body), accepted):
        return "trap", body[slice(*traps[0])]
    if problem := _too_long(body, item.example):
        return "neither", problem
    if not accepted:
        return "neither", "no accepted rendering"
    if not find_spans(_folded(item.context), fold_kana(body)):
        return "neither", "not a translation of this sentence"
    return "accepted", body[slice(*accepted[0])]


def judge_register(item: RegisterItem, text: str, register: Register) -> tuple[Outcome, str]:
    """Judge a translation in one register; a trap is the wrong register, or keigo that honours the wrong side."""
    body = normalise(text)
    if problem := _not_japanese(body) or _too_long(body, getattr(item, register)):
        return "neither", problem
    if missing := _missing(item.content, body):
        return "neither", f"content missing: {missing[0]}"
    problem = registers.register_problem(text, register)
    if problem := problem or registers.find_form(_folded(item.forbidden.get(register, ())), text):
        return "trap", problem
    forms = _folded(item.accepted.get(register, ()))
    if not forms or registers.find_form(forms, text):
        return "accepted", register
    if registers.is_honorific(text):
        return "neither", "no known form for this scene"
    return "trap", "no honorific or humble form"


def judge_passage(item: Passage, text: str) -> tuple[Outcome, float, str]:
    """Judge a translation of a passage: (outcome, points found minus traps as a share of the points, reason).

    Accepted from `PASSAGE_THRESHOLD`, without any trap.
    """
    body = normalise(text)
    if problem := _not_japanese(body) or _too_long(body, item.example):
        return "neither", 0.0, problem
    missing = _missing(item.required, body)
    traps = [match.group() for pattern in _exact(item.traps) if (match := pattern.search(body))]
    points = max(0.0, 1 - (len(missing) + len(traps)) / len(item.required))
    if traps:
        return "trap", points, traps[0]
    reason = f"missing: {missing[0]}" if missing else "all points"
    return ("accepted" if points >= PASSAGE_THRESHOLD else "neither"), points, reason


@cache
def _folded(patterns: tuple[str, ...]):
    return compile_patterns(patterns, fold=True)


@cache
def _exact(patterns: tuple[str, ...]):
    return compile_patterns(patterns, fold=False)


def _missing(patterns: tuple[str, ...], body: str) -> list[str]:
    folded = fold_kana(body)
    return [text for text, pattern in zip(patterns, _folded(patterns), strict=True) if not pattern.search(folded)]


def _not_japanese(body: str) -> str | None:
    if not body:
        return "empty"
    return None if is_japanese(body) else "not Japanese"


def _too_long(body: str, example: str) -> str | None:
    limit = LENGTH_FACTOR * len(normalise(example)) + LENGTH_MARGIN
    return f"{len(body)} characters, more than a translation has ({limit})" if len(body) > limit else None
