"""What every check works on: the segments of a document, cut into sentences; and what it returns: findings.

A sentence ends at 。！？ (or the ASCII mark after a Japanese character), at the end of a line, and never inside
matched brackets or quotation marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from in2x.rewards.rules import MARKED, PROTECTED

Severity = Literal["note", "minor", "major"]
BRACKETS = dict(zip("「『（(【〈《〔［“", "」』）)】〉》〕］”", strict=True))
CLOSING = {close: open_ for open_, close in BRACKETS.items()}
QUOTES = frozenset("「『“")
KANA = "ぁ-ゖゝゞァ-ヺーヽヾ"
HAN = "々〆〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
JAPANESE = KANA + HAN  # for a character class
END = re.compile(rf"[。！？]+[。．！？!?]*|(?<=[{JAPANESE}」』）])[.．!?]+(?![A-Za-z0-9_])")
FILLER = "\ufffc"
FACE = re.compile(  # :) and (^_^), a face in brackets has a symbol that no word has
    r"[:;=]['-]?[()]+|[(（](?=[^()（）\s]{0,15}[^\w\s()（）、。・「」『』])[^()（）\s]{1,15}[)）]"
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a check fired; `start` and `end` count characters of that segment, `weight` enters the rate.

    Example: Finding("half_width_kana", "major", 0, 3, 6, "half-width kana 'ﾃｽﾄ'")
    """

    check: str
    severity: Severity
    segment: int
    start: int
    end: int
    message: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence with its end mark; `closed` is False where the line ended without one."""

    segment: int
    start: int
    end: int
    text: str
    closed: bool


def sentences(segments: Sequence[str]) -> list[Sentence]:
    """Cut the segments of a document into sentences, in order; empty lines give none.

    Raises:
        ValueError: one string instead of a list, or something that is not a string.
    """
    check_segments(segments)
    return [
        Sentence(number, start, end, segment[start:end], closed)
        for number, segment in enumerate(segments)
        for start, end, closed in _spans(segment)
    ]


def check_segments(segments: Sequence[str], sources: Sequence[str] | None = None) -> None:
    """Refuse what is not a list of strings, and sources of another number.

    Raises:
        ValueError: what came and what was expected.
    """
    for name, texts in (("segments", segments), ("sources", sources or ())):
        if isinstance(texts, str):
            raise ValueError(f"{name}: expected a list of strings, got one string")
        wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
        if wrong is not None:
            raise ValueError(f"{name}[{wrong}]: expected a string, got {type(texts[wrong]).__name__}")
    if sources is not None and len(sources) != len(segments):
        raise ValueError(f"{len(segments)} segments but {len(sources)} sources")


def blank(text: str, *patterns: re.Pattern[str]) -> str:
    """Replace every match by as many fillers (U+FFFC, no letter and no space), so that offsets stay."""
    for pattern in patterns:
        text = pattern.sub(lambda match: FILLER * len(match.group()), text)
    return text


def words(text: str) -> frozenset[str]:
    """The words of a line, for a table."""
    return frozenset(text.split())


@lru_cache(maxsize=1 << 12)
def prose(text: str) -> str:
    """The text with code, URLs, placeholders and tags blanked out; offsets stay."""
    return blank(text, CODE, PROTECTED) if "`" in text or MARKED.search(text) else text


@lru_cache(maxsize=1 << 12)
def bracket_pairs(text: str) -> tuple[tuple[int, int], ...]:
    """Positions of matched outermost brackets and quotation marks, (open, close); the unmatched are ignored."""
    if BRACKETS.keys().isdisjoint(text):
        return ()
    stack, pairs = [], []
    for position, char in enumerate(text):
        if char in BRACKETS:
            stack.append((position, char))
        elif char in CLOSING:
            depth = next((i for i in range(len(stack) - 1, -1, -1) if stack[i][1] == CLOSING[char]), None)
            if depth is not None:
                pairs.append((stack[depth][0], position))
                del stack[depth:]
    return tuple(pair for pair in sorted(pairs) if not any(a < pair[0] and pair[1] < b for a, b in pairs))


def without_quotes(text: str) -> str:
    """The text with what stands in 「」, 『』 and “” removed; the marks stay, so that they can be seen at an end."""
    for open_, close in reversed(bracket_pairs(text)):
        if text[open_] in QUOTES:
            text = text[: open_ + 1] + text[close:]
    return text


@lru_cache(maxsize=1 << 12)
def _spans(segment: str) -> tuple[tuple[int, int, bool], ...]:
    """(start, end, closed) of the sentences of one segment."""
    visible = prose(segment)
    found, offset = [], 0
    for line in segment.splitlines(keepends=True):
        shown = visible[offset : offset + len(line)]
        inside = bracket_pairs(shown) + _open_quote(shown)
        ends = [m.end() for m in END.finditer(shown) if not any(a < m.start() < b for a, b in inside)]
        starts = [0, *ends]
        for start, end in zip(starts, [*ends, len(line)], strict=True):
            text = line[start:end]
            if text.strip():
                first, last = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
                found.append((offset + first, offset + last, end in ends or _ends_in_symbol(line[first:last])))
        offset += len(line)
    return tuple(found)


def _open_quote(line: str) -> tuple[tuple[int, int], ...]:
    """Speech that goes on in the next paragraph: a quotation mark that opens the line and is not closed in it."""
    first = len(line) - len(line.lstrip())
    opens = line[first : first + 1] in QUOTES and all(first != start for start, _ in bracket_pairs(line))
    return ((first, len(line)),) if opens else ()


def _ends_in_symbol(text: str) -> bool:
    """Whether an emoji, a note, an ellipsis or 笑 stands where the end mark would."""
    return unicodedata.category(text[-1]) in ("So", "Sk") or text.endswith(("…", "♪", "笑", "笑）", "(笑)", "〜", "～"))
