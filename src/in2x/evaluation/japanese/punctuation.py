"""Punctuation: marks of English in Japanese text, and marks left out, doubled or unbalanced."""

from __future__ import annotations

import re
from collections.abc import Sequence

from in2x.evaluation.japanese.document import (
    BRACKETS,
    CLOSING,
    FACE,
    JAPANESE,
    QUOTES,
    Finding,
    Sentence,
    blank,
    check_segments,
    prose,
    sentences,
)  # fmt: skip
from in2x.evaluation.japanese.register import classify

_J = f"[{JAPANESE}]"
ASCII_MARK = re.compile(rf"(?<={_J})(?:[,!?]+(?![\w!?])|[,!?](?={_J})|\.(?![.\w])|\.(?={_J}))")
DOUBLED = re.compile(r"(?<!。)。。(?!。)|(?<!、)、、(?!、)|、。|。、|[！？]。")
WESTERN_QUOTES = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|(?<![A-Za-z0-9’'])'[^'\n]*'(?![A-Za-z])|‘[^’\n]*’")
LATIN_ELLIPSIS = re.compile(rf"(?<=[{JAPANESE}、])(?:\.\.+|。。。+|・・+|､､+)")
LATIN_DASH = re.compile(rf"(?<={_J})\s?(?:--+|(?<!—)—(?!—)|–)\s?(?={_J})")
SPACE = re.compile(rf"(?<=[ぁ-ゖ、。]) +(?=[{JAPANESE}、。])|(?<={_J}) +(?=[ぁ-ゖ、。])")
NUMBER_BEFORE = re.compile(r"(?:(?<![0-9０-９])[0-9０-９]{1,2}|(?<![A-Za-z])[A-Za-z])$")  # 1) of a list
MARKS = frozenset(BRACKETS) | frozenset(CLOSING)
MIN_PROSE_CHARS = 8


def ascii_marks(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find , . ! ? of ASCII after a Japanese character."""
    return _matches("ascii_mark", ASCII_MARK, segments, sources, "ASCII {!r} after Japanese")


def doubled_marks(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find 。。 and 、、, and two different marks where one belongs; three or more 。 are an ellipsis."""
    return _matches("doubled_mark", DOUBLED, segments, sources, "doubled {!r}")


def latin_quotes(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find Japanese text in Western quotation marks, where 「」 belong."""
    found = _matches("latin_quotes", WESTERN_QUOTES, segments, sources, "Western quotation marks {!r}")
    return [finding for finding in found if re.search(_J, finding.message)]


def latin_ellipses(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find ..., 。。。 and ・・・ where …… belongs; a single … is common and passes."""
    return _matches("latin_ellipsis", LATIN_ELLIPSIS, segments, sources, "{!r} for ……")


def latin_dashes(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find --, a single — and – between Japanese, where ―― belongs."""
    return _matches("latin_dash", LATIN_DASH, segments, sources, "{!r} for ――")


def inner_spaces(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find spaces between Japanese characters in a sentence, one of them hiragana: names and headings have spaces."""
    check_segments(segments, sources)
    return [
        Finding(
            "inner_space",
            "minor",
            s.segment,
            s.start + m.start(),
            s.start + m.end(),
            "space between Japanese characters",
        )
        for s in sentences(segments)
        if s.closed
        for m in SPACE.finditer(prose(s.text))
    ]


def missing_stops(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find sentences of prose that lack their 。: a predicate at the end of a line, and no mark after it.

    A line is prose when an earlier sentence of it has its mark. The last line of a segment also is when the source
    ends in a full stop or a colon, or, without sources, when most of the document's other segments end in a mark.
    """
    check_segments(segments, sources)
    found = sentences(segments)
    last = {sentence.segment: sentence for sentence in found}
    ended = sum(sentence.closed for sentence in last.values())
    results = []
    for before, sentence in zip([None, *found], found, strict=False):
        if sentence.closed or len(sentence.text) < MIN_PROSE_CHARS or not re.search(f"{_J}$", sentence.text):
            continue
        prose_line = _same_line(before, sentence, segments)
        if not prose_line and last[sentence.segment] is sentence:
            if sources is not None:
                prose_line = bool(re.search(r"[A-Za-z0-9)\"'”’`][.:;][\"'”’)]*\s*$", sources[sentence.segment]))
            else:
                prose_line = 2 * ended > len(last) - 1 > 1
        if prose_line and classify(sentence.text) != "none":
            place = sentence.end
            results.append(
                Finding("missing_stop", "minor", sentence.segment, place - 1, place, "no 。 after a sentence")
            )
    return results


def unbalanced_brackets(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find brackets and quotation marks without their partner.

    A quotation may span segments, other brackets may not. Half-width and full-width parentheses match each other.
    """
    check_segments(segments, sources)
    stack: list[tuple[str, int, int]] = []
    found = []
    for number, segment in enumerate(segments):
        if MARKS.isdisjoint(segment):
            continue
        shown = blank(prose(segment), FACE).replace("(", "（").replace(")", "）")
        for place, char in enumerate(shown):
            if char in BRACKETS and char != "“":
                stack.append((char, number, place))
            elif char in CLOSING and char != "”":
                depth = next((i for i in range(len(stack) - 1, -1, -1) if stack[i][0] == CLOSING[char]), None)
                if depth is not None:
                    found += [_unbalanced(*item) for item in stack[depth + 1 :]]
                    del stack[depth:]
                elif char != "）" or not NUMBER_BEFORE.search(shown[:place]):
                    found.append(_unbalanced(char, number, place))
        found += [_unbalanced(*item) for item in stack if item[0] not in QUOTES]
        stack = [item for item in stack if item[0] in QUOTES]
    return found + [_unbalanced(*item) for item in stack]


def _unbalanced(char: str, segment: int, place: int) -> Finding:
    return Finding("unbalanced_bracket", "major", segment, place, place + 1, f"{char} without its partner")


def _same_line(before: Sentence | None, sentence: Sentence, segments: Sequence[str]) -> bool:
    """Whether a sentence with its end mark stands before this one in the same line."""
    if before is None or before.segment != sentence.segment:
        return False
    return before.text.endswith("。") and "\n" not in segments[sentence.segment][before.end : sentence.start]


def _matches(check, pattern: re.Pattern[str], segments, sources, message: str) -> list[Finding]:
    """One minor finding per match outside code and URLs; `message` has a place for what matched."""
    check_segments(segments, sources)
    return [
        Finding(check, "minor", number, *match.span(), message.format(match.group()))
        for number, segment in enumerate(segments)
        for match in pattern.finditer(prose(segment))
    ]
