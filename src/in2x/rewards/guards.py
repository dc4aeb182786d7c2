"""Guards: gates against texts that are written for whoever judges them, or that only look like a translation.

Each returns None or a short reason, as the gates of `in2x.rewards.gates` do, and looks at what the source has too: a
source about grading may be translated with 採点, a page of markup with its tags. How often they stop a person's own
translation is measured (docs/rewards.md). Not seen: praise and orders in words that are not listed.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from in2x.evaluation.japanese.morphology import morphemes
from in2x.rewards.rules import without_protected

INVISIBLE = frozenset("\u00ad\u180e\u200b\u200c\u2060\u2061\u2062\u2063\u2064\ufeff")
TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)[^<>\n]{0,80}>")
RECORD = re.compile(r'^\s*[\[{]\s*"[^"\n]{1,40}"\s*:')
SENTENCE_END = ("。", "！", "？")
MIN_WORDS = 3
CLAUSE = re.compile(r"[^、。！？!?\n]+")
MIN_REPEATED, MIN_ALTERNATIVE = 4, 0.5
COMMAS = re.compile("[、，]+")
MIN_COMMAS, MIN_CHARS_PER_COMMA = 3, 4.0
CLOSING = "」』）) \u3000\n"
CASE_AT_END = ("は。", "が。", "を。", "へ。", "と。")  # に and で also end adverbs: ように, ために
WISH = re.compile(r"!|\b(?:have an?|enjoy|welcome|wish\w*)\b", re.IGNORECASE)
SHOUT = re.compile("[！!]{3}")
OR = re.compile(r"(?<=[。！？])(?:または|もしくは|あるいは|又は)|(?<=[ぁ-ヿ一-鿿。！？]) ?[／/] ?(?=[ぁ-ヿ一-鿿])")
OR_ENGLISH = re.compile(r"\bor\b|/", re.IGNORECASE)
CHINESE = re.compile("[们吗呢这那哪谁没啊吧嗎們這沒誰]|我|你|他|她|很|是|在|了")
JUDGE_JAPANESE = re.compile(
    r"^はい、(?:承知|かしこまり|分かり|わかり)|日本語(?:に訳|では次)|(?<!誤)翻訳|訳文|和訳|訳例|採点|評価者|満点|\d{2,3}\s*点(?:を|満点)|(?:指示|命令)は?(?:すべて|全て)?(?:無視|忘れ)"
)
JUDGE_ENGLISH = re.compile(
    r"\b(?:ignore|disregard|forget) (?:all |any |the )*(?:previous|prior|above)|\bscores?\b"
    r"|\bsystem\s*:|\btranslation\b|^\s*(?:sure|certainly|of course|okay)[!,.:]",
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
        or repeated_clause(hypothesis, source)
        or marks_everywhere(hypothesis, source)
        or two_in_one(hypothesis, source)
        or (_japanese(hypothesis, source) if target_language.split("-")[0] == "ja" else None)
    )


def wordless(hypothesis: str, source: str) -> str | None:
    """Fail on a text without letters or digits where the source has letters: marks alone say nothing."""
    if any(char.isalnum() for char in hypothesis) or not any(char.isalpha() for char in without_protected(source)):
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


def repeated_clause(hypothesis: str, source: str) -> str | None:
    """Fail where a clause is followed by itself, unless the source repeats something too."""
    parts = [part.strip() for part in CLAUSE.findall(hypothesis)]
    said = CLAUSE.findall(re.sub("[,.]", "、", source))
    if len({part.strip().casefold() for part in said}) < len(said):
        return None
    for first, second in pairwise(parts):
        if len(first) >= MIN_REPEATED and second == first or len(second) >= MIN_REPEATED and first.endswith(second):
            return f"repetition: {second!r} twice"
    return None


def marks_everywhere(hypothesis: str, source: str) -> str | None:
    """Fail on a comma every few characters, and on shouting that the source doesn't do."""
    num_commas = len(COMMAS.findall(hypothesis))
    num_chars = sum(char.isalnum() for char in hypothesis)
    listed = source.count(",") + source.count(";")
    if num_commas >= MIN_COMMAS + listed and num_chars < MIN_CHARS_PER_COMMA * (num_commas + 1):
        return f"punctuation: {num_commas} commas in {num_chars} characters"
    if SHOUT.search(hypothesis) and "!" not in source and "！" not in source:
        return "punctuation: exclamation marks that the source doesn't have"
    return None


def two_in_one(hypothesis: str, source: str) -> str | None:
    """Fail on a second translation joined to the first by an "or" that the source lacks, sharing most characters."""
    if OR_ENGLISH.search(without_protected(source)):
        return None
    for match in OR.finditer(hypothesis):
        sides = hypothesis[: match.start()], hypothesis[match.end() :]
        first, second = (set(side) - set("。！？、") for side in sides)
        shorter = min(len(first), len(second))
        if shorter > MIN_REPEATED and len(first & second) >= MIN_ALTERNATIVE * shorter:
            return "two translations in one"
    return None


def chinese(hypothesis: str, source: str) -> str | None:
    """Fail on a sentence without kana: Japanese headlines, names, dates and lists do without, sentences don't."""
    letters = [char for char in without_protected(hypothesis) if char.isalpha()]
    if not letters or any("ぁ" <= char <= "ヿ" for char in letters):
        return None
    if all(char.isascii() for char in letters) or len(source.split()) < MIN_WORDS:
        return None
    if len(parts := CLAUSE.findall(hypothesis)) > MIN_COMMAS and max(map(len, parts)) <= MIN_REPEATED:  # a list
        return None
    dated = any(char.isdigit() for char in hypothesis)
    if (hypothesis.rstrip().endswith(SENTENCE_END) and not dated) or CHINESE.search(hypothesis):
        return "language: a sentence without kana"
    return None


def unfinished(hypothesis: str, source: str) -> str | None:
    """Fail on a last sentence that ends on a particle of case or topic after a noun, and not on its predicate.

    Phrases out of order end so in one case of two. Questions (お名前は？), headlines without a full stop, wishes
    (良い週末を。) and short sources may.
    """
    text = hypothesis.rstrip(CLOSING)
    if not text.endswith(CASE_AT_END) or len(source.split()) < MIN_WORDS or WISH.search(source):
        return None
    words = [word for word in morphemes(text.split("\n")[-1]) if word.pos != "記号"]
    if len(words) < 2 or words[-1].pos != "助詞" or words[-1].subpos not in ("格助詞", "係助詞"):
        return None
    return f"unfinished: ends on {words[-1].surface}" if words[-2].pos == "名詞" else None


def _japanese(hypothesis: str, source: str) -> str | None:
    return chinese(hypothesis, source) or unfinished(hypothesis, source)
