"""Guards: gates against texts that are written for whoever judges them, or that only look like a translation.

Each returns None or a short reason, as the gates of `in2x.rewards.gates` do, and looks at what the source has too: a
source about grading may be translated with 採点, a page of markup with its tags. How often they stop a person's own
translation is measured (docs/rewards.md). Not seen: praise and orders in words that are not listed.
"""

from __future__ import annotations

import re
import unicodedata

from in2x.rewards.rules import PROTECTED

INVISIBLE = frozenset("\u00ad\u180e\u200b\u200c\u2060\u2061\u2062\u2063\u2064\ufeff")
TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)[^<>\n]{0,80}>")
RECORD = re.compile(r'^\s*[\[{]\s*"[^"\n]{1,40}"\s*:')
SENTENCE_END = ("。", "！", "？")
MIN_WORDS = 3
CHINESE = re.compile("[们吗呢这那哪谁没啊吧嗎們這沒誰]|我|你|他|她|很|是|在|了")
JUDGE_JAPANESE = re.compile(
    r"(?<!誤)翻訳|訳文|和訳|訳例|採点|評価者|満点|\d{2,3}\s*点(?:を|満点)|(?:指示|命令)は?(?:すべて|全て)?(?:無視|忘れ)"
)
JUDGE_ENGLISH = re.compile(
    r"\b(?:ignore|disregard|forget) (?:all |any |the )*(?:previous|prior|above)|\bscores?\b"
    r"|\bsystem\s*:|\btranslation\b",
    re.IGNORECASE,
)
ABOUT_JUDGING = re.compile(
    r"translat|interpret|render|version|scor|grad|mark|point|evaluat|rat(?:e|ing)|instruct|order|command|ignor|perfect|"
    r"full|system|[翻和]訳|訳文|採点|評価|満点|[0-9０-９]点|翻译|译文|评分|分数",
    re.IGNORECASE,
)


def guard(hypothesis: str, source: str, target_language: str) -> str | None:
    """Run all guards; returns the first reason, or None when all are passed."""
    return (
        wordless(hypothesis, source)
        or invisible(hypothesis, source)
        or invented_markup(hypothesis, source)
        or judge_talk(hypothesis, source)
        or (chinese(hypothesis, source) if target_language.split("-")[0] == "ja" else None)
    )


def wordless(hypothesis: str, source: str) -> str | None:
    """Fail on a text without letters or digits where the source has letters: marks alone say nothing."""
    if any(char.isalnum() for char in hypothesis) or not any(char.isalpha() for char in PROTECTED.sub(" ", source)):
        return None
    if any(unicodedata.category(char) in ("So", "Sk") for char in hypothesis):  # an emoji may answer one word
        return None
    return "wordless: neither letters nor digits"


def invisible(hypothesis: str, source: str) -> str | None:
    """Fail on characters without width that the source doesn't have: they hide repetition and copies from rules."""
    found = INVISIBLE.intersection(hypothesis) - INVISIBLE.intersection(source)
    return f"invisible: U+{ord(min(found)):04X}" if found else None


def invented_markup(hypothesis: str, source: str) -> str | None:
    """Fail on tags whose names the source doesn't have, and on a record ({"key": ...) that is not of the source."""
    names = {name.lower() for name in TAG.findall(source)}
    for name in TAG.findall(hypothesis):
        if name.lower() not in names and f"<{name}" not in source:
            return f"markup: <{name}> is not of the source"
    if RECORD.match(hypothesis) and not RECORD.match(source):
        return "markup: a record in place of a text"
    return None


def judge_talk(hypothesis: str, source: str) -> str | None:
    """Fail on words about translating, scoring and instructions, unless the source is about such things."""
    if ABOUT_JUDGING.search(source):
        return None
    match = JUDGE_JAPANESE.search(hypothesis) or JUDGE_ENGLISH.search(hypothesis)
    return f"judge: {match.group()!r}" if match else None


def chinese(hypothesis: str, source: str) -> str | None:
    """Fail on a sentence without kana: Japanese headlines and names do without, sentences don't."""
    letters = [char for char in PROTECTED.sub(" ", hypothesis) if char.isalpha()]
    if not letters or any("ぁ" <= char <= "ヿ" for char in letters):
        return None
    if all(char.isascii() for char in letters) or len(source.split()) < MIN_WORDS:
        return None
    if hypothesis.rstrip().endswith(SENTENCE_END) or CHINESE.search(hypothesis):
        return "language: a sentence without kana"
    return None
