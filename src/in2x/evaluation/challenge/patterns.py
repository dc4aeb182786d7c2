"""Pattern matching on Japanese text: normalisation, spans, and traps that an accepted phrase covers.

A text is normalised before any match: NFKC, lower case, no whitespace, straight double quotes, one wave dash.
`fold_kana` then maps katakana to hiragana one character to one, so that spans found on the folded text are
spans of the normalised text. What is accepted is sought on folded text (ピンと and ぴんと are the same phrase);
traps are sought on unfolded text, since folding would find ベル (bell) in 食べる (eat).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

WORD_CHARACTERS = re.compile(r"[^\W\d_]")
JAPANESE = re.compile(r"[\u3041-\u309f\u30a1-\u30ff\u3400-\u9fff々〆]")
KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30fe]")
FOLD = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}
TIDY = {ord(old): new for old, new in {"“": '"', "”": '"', "〜": "~", "\ufe0f": "", "\u200b": ""}.items()}
MIN_JAPANESE_FRACTION = 0.5
MACROS = {"@pronouns": r"(?:彼(?:女|ら)?[はがのをにもと].{0,60}?){3}"}  # three third-person pronouns close together

Span = tuple[int, int]


@lru_cache(maxsize=1 << 12)
def normalise(text: str) -> str:
    """Bring a text into the form that patterns are written for; line breaks and spaces go."""
    return "".join(unicodedata.normalize("NFKC", text).translate(TIDY).lower().split())


@lru_cache(maxsize=1 << 12)
def fold_kana(text: str) -> str:
    """Map katakana to hiragana, one character to one."""
    return text.translate(FOLD)


@lru_cache(maxsize=1 << 12)
def is_japanese(text: str) -> bool:
    """Whether a text holds kana, and at least half of its letters are kana or kanji."""
    letters = WORD_CHARACTERS.findall(text)
    num_japanese = sum(bool(JAPANESE.match(letter)) for letter in letters)
    return bool(KANA.search(text)) and num_japanese >= MIN_JAPANESE_FRACTION * len(letters)


def compile_patterns(patterns: Iterable[str], *, fold: bool) -> tuple[re.Pattern[str], ...]:
    """Compile regular expressions for normalised text, or for folded text.

    Raises:
        ValueError: a pattern that is empty, does not compile, matches nothing at all, or is not normalised itself
            (a full-width bracket or question mark would become a metacharacter).
    """
    compiled = []
    for pattern in patterns:
        pattern = MACROS.get(pattern, pattern)
        if not pattern or normalise(pattern) != pattern:
            raise ValueError(f"pattern {pattern!r}: expected normalised text, {normalise(pattern)!r}")
        try:
            found = re.compile(fold_kana(pattern) if fold else pattern)
        except re.error as error:
            raise ValueError(f"pattern {pattern!r}: {error}") from None
        if found.search(""):
            raise ValueError(f"pattern {pattern!r} matches the empty text")
        compiled.append(found)
    return tuple(compiled)


def find_spans(patterns: Sequence[re.Pattern[str]], text: str) -> list[Span]:
    """All matches of all patterns, as (start, end)."""
    return [match.span() for pattern in patterns for match in pattern.finditer(text)]


def uncovered(spans: Iterable[Span], covers: Sequence[Span]) -> list[Span]:
    """The spans that lie within none of `covers`: a trap inside one accepted phrase is no trap."""
    return [span for span in spans if not any(low <= span[0] and span[1] <= high for low, high in covers)]
