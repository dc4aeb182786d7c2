"""Reading a judge's answer: one JSON object, however it is wrapped; what can't be read for certain is None.

The object must hold the id that the request asked for, a part of its nonce: an answer that the judge merely quotes from
the hostile text does not have it. Read are: code fences, text before and after, full-width digits and punctuation,
typographic quotes, a comma too many, thinking before the answer. Refused are: no object with the id and the keys that
were asked for, two that differ, a key given twice, NaN, numbers out of range. None is never turned into 0.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

Itemised = Literal["yes", "partial", "no"]

MAX_ANSWER_CHARS = 20_000  # after thinking
ID_CHARS = 6
_OBJECT_START = re.compile(r'\{\s*"')
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_FULL_WIDTH = str.maketrans("｛｝［］：，＂“”„‟．－　０１２３４５６７８９", '{}[]:,""""".- 0123456789')
_NUMBER = re.compile(r"([+-]?\d{1,6}(?:\.\d{1,6})?)\s*(?:点|分|points?|%|(?:/|out of|of)\s*100)?[.。]?", re.IGNORECASE)
_BARE_SCORE = re.compile(r"(?:(?:final |overall )?score|スコア|点数|評価|得点)?\s*[:=は]?\s*(.{1,16})", re.IGNORECASE)
_KANJI_DIGITS = {kanji: value for value, kanji in enumerate("〇一二三四五六七八九")}
_KANJI_TENS = re.compile("([二三四五六七八九])?十([一二三四五六七八九])?")
_ITEMS: dict[str, Itemised] = {
    word: item
    for item, words in {
        "yes": "yes y true 1 はい 満たす 満たしている ○ 〇 ◯ ✓ ✔",
        "partial": "partial partially partly 0.5 一部 部分的 部分的に △",
        "no": "no n false 0 いいえ 満たさない 満たしていない × ✗ ✘",
    }.items()
    for word in words.split()
}


def answer_id(nonce: str) -> str:
    """What the answer to a request has to hold under "id": the nonce's first digits."""
    return nonce[:ID_CHARS]


def read_object(text: str, keys: Sequence[str], nonce: str) -> dict | None:
    """The one JSON object of an answer with the id and all the `keys`; None if there is none, or two that differ."""
    text = _without_thinking(text)
    if len(text) > MAX_ANSWER_CHARS:
        return None
    commas = _TRAILING_COMMA.sub(r"\1", text)
    for attempt in (text, commas, _TRAILING_COMMA.sub(r"\1", text.translate(_FULL_WIDTH))):
        found = [value for value in _objects(attempt) if _has_id(value, nonce) and all(key in value for key in keys)]
        if found:
            return found[0] if all(value == found[0] for value in found) else None
    return None


def read_number(value: object, low: float = 0, high: float = 100) -> float | None:
    """A finite number within [low, high] from 85, 85.5, "85", "８５点", "85/100", "八十五"; else None."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).strip()
        match = _NUMBER.fullmatch(text)
        value = float(match[1]) if match else _kanji_number(text.removesuffix("点"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and low <= value <= high else None


def read_bare_score(text: str) -> float | None:
    """The score of an answer that is nothing else: "Score: 85", "８５点", "85/100"; else None."""
    lines = unicodedata.normalize("NFKC", _without_thinking(text)).strip().strip("*` ").splitlines()
    match = _BARE_SCORE.fullmatch(lines[0]) if len(lines) == 1 else None
    return read_number(match[1]) if match else None


def read_item(value: object) -> Itemised | None:
    """yes, partial or no, from the words, marks and numbers that judges use for them, English or Japanese."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return {1: "yes", 0.5: "partial", 0: "no"}.get(value)
    if not isinstance(value, str):
        return None
    return _ITEMS.get(unicodedata.normalize("NFKC", value).strip(" .。!\"'").lower())


def _without_thinking(text: str) -> str:
    """What follows a thinking block; nothing where that was not closed."""
    if not text.lstrip().startswith("<think>"):
        return text
    return text.rpartition("</think>")[2] if "</think>" in text else ""


def _has_id(value: dict, nonce: str) -> bool:
    return str(value.get("id", "")).strip().lower() == answer_id(nonce)


def _objects(text: str) -> Iterator[dict]:
    """JSON objects from left to right, none within another."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refuse)
    end = 0
    while start := _OBJECT_START.search(text, end):
        try:
            value, end = decoder.raw_decode(text, start.start())
        except ValueError:
            end = start.start() + 1
        except RecursionError:  # nested a thousand times: no answer
            return
        else:
            yield value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _kanji_number(text: str) -> int | None:
    """0 to 100 in kanji: 百, 八十五, 九五."""
    if text in ("百", "一百"):
        return 100
    if text and len(text) <= 2 and all(char in _KANJI_DIGITS for char in text):
        return int("".join(str(_KANJI_DIGITS[char]) for char in text))
    match = _KANJI_TENS.fullmatch(text)
    return 10 * _KANJI_DIGITS[match[1] or "一"] + _KANJI_DIGITS[match[2] or "〇"] if match else None
