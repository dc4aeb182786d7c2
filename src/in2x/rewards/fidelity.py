"""Rules that compare a translation with its source, or with what its prompt asks for: dates, terms, words left over.

All run from 0 to 1, higher is better. What each can't see is said in its docstring.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from in2x.evaluation.japanese.document import CODE, JAPANESE
from in2x.rewards.groups import Group, Span
from in2x.rewards.rules import ERAS, FULL_WIDTH, PROTECTED, kanji_number, without_protected

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
MONTHS = {name[:size]: n for n, name in enumerate(_MONTHS, 1) for size in (3, 4, len(name))}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS = {name: n for n, name in enumerate(_DAYS)} | {name[:3]: n for n, name in enumerate(_DAYS)}
_MONTH = (
    "(?:" + "|".join(sorted({*_MONTHS, *(name[:3] for name in _MONTHS), "sept"}, key=len, reverse=True)) + r")\b\.?"
)
_YEAR = r"(?:1[0-9]|20|21)\d\d"
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
DATE = re.compile(
    rf"""\b(?P<y1>{_YEAR})[-/.](?P<m1>1[0-2]|0?[1-9])[-/.](?P<d1>{_DAY})\b                      # 2020-03-05
      | \b(?P<a>\d\d?)/(?P<b>\d\d?)/(?P<y2>{_YEAR})\b                                           # 3/5/2020, both ways
      | \b(?P<n1>{_MONTH})\s*(?P<d2>{_DAY})(?:st|nd|rd|th)?\b(?!:)(?:,?\s*(?P<y3>{_YEAR})\b)?     # March 5, 2020
      | \b(?P<d3>{_DAY})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<n2>{_MONTH})(?:,?\s*(?P<y4>{_YEAR})\b)?  # 5 March 2020
      | (?:(?P<era>{"|".join(ERAS)})?(?P<y5>\d{{1,4}}|元)年)?(?P<m2>1[0-2]|0?[1-9])月(?P<d4>{_DAY})日   # 2020年3月5日
    """,
    re.VERBOSE | re.IGNORECASE,
)
DATED = re.compile(r"[\d日曜]|[（(][月火水木金土][)）]|星期|周|礼拜|day", re.IGNORECASE)  # in every text with a date
WEEKDAY_EN = re.compile(r"\b(" + "|".join(_DAYS) + r")s?\b", re.IGNORECASE)
WEEKDAY_JA = re.compile(r"([月火水木金土日])曜|[（(]([月火水木金土日])[)）]|(?:星期|周|礼拜)([一二三四五六日天])")
KANJI_DATE_PART = re.compile(r"[〇一二三四五六七八九十百千]+(?=年|月[〇一二三四五六七八九十\d]+日|日)")
KANJI_DAYS = {char: n for n, char in enumerate("月火水木金土日")}
CHINESE_DAYS = {char: n for n, char in enumerate("一二三四五六日")} | {"天": 6}

TERM = re.compile(r"^Translate into [^\n(]+\((?P<term>[^\n=]+?) = (?P<translation>[^\n]+?)\):\n")
_LETTER = rf"(?:(?![{JAPANESE}])[^\W\d_])"
WORD = re.compile(rf"[{JAPANESE}]+|{_LETTER}(?:{_LETTER}|['’-](?={_LETTER}))*")
NAME_LIKE = re.compile(r"\S*[A-ZÀ-ÖØ-ÞΑ-ΩА-Я]\S*")  # a capital anywhere: a name, an acronym, a product
IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[_.][A-Za-z0-9]+)+(?:\(\))?|[a-z]+[A-Z]\w*|\w+\(\)|--?[a-z][\w-]+")
MIN_WORD = 3


def date_fidelity(source: str, hypothesis: str) -> float:
    """Score how well dates and days of the week survive: (kept + justified) / (in the source + in the hypothesis).

    Read are year-month-day with -, / or ., English month names with a day, 3月5日 (also in kanji) with a year or an
    era, and the names of weekdays in English, Japanese and Chinese. 3/5/2020 may be either; a date without a year
    agrees with any year. Not read: days in words ("the fifth"), relative days (tomorrow), other languages' month names.
    1 where neither side has a date.
    """
    wanted, written = _dates(source), _dates(hypothesis)
    if not wanted and not written:
        return 1.0
    return (_num_matched(wanted, written) + _num_matched(written, wanted)) / (len(wanted) + len(written))


def requested_terms(group: Group) -> list[tuple[str, str]]:
    """The terms of the prompt's glossary, (term, translation), as in2x.instruct.prompts writes it."""
    match = TERM.match(group.prompt)
    return [(match["term"], match["translation"])] if match else []


def term_fidelity(group: Group, text: str) -> float:
    """Share of the terms asked for whose translation is in the text; case and full width don't count."""
    terms = requested_terms(group)
    written = _folded(text)
    return sum(_folded(translation) in written for _, translation in terms) / len(terms)


def translated_share(group: Group, text: str) -> float:
    """1 less the share of the text's letters that are words of the source, left as they were.

    See `untranslated_spans` for what is allowed to stay. Words that both languages share (French "table" in English)
    can't be told: between languages of one script only runs of four source words and more are counted.
    """
    letters = sum(char.isalpha() for char in text)
    left = sum(char.isalpha() for span in untranslated_spans(group, text) for char in text[span.start : span.end])
    return 1 - left / letters if letters else 1.0


def untranslated_spans(group: Group, text: str) -> list[Span]:
    """Words of the source in the text that are no name (a capital), code, identifier, URL, placeholder or tag."""
    from in2x.rewards.gates import scripts_differ

    hidden = _blanked(text)
    source_words = _words(group.source)
    found = [match for match in WORD.finditer(hidden) if len(match.group()) >= MIN_WORD or not match.group().isascii()]
    if scripts_differ(group.source, group.target_language):
        known = set(source_words)
        left = [m for m in found if m.group().casefold() in known or _is_part(m.group(), group.source)]
        left = [m for m in left if not NAME_LIKE.fullmatch(m.group())]
        left = [m for m in left if not _in_target_script(m.group(), group.target_language)]
    else:
        left = _copied_runs([*WORD.finditer(hidden)], source_words)
    return [Span(m.start(), m.end(), 1.0, f"untranslated {m.group()!r}") for m in left]


@lru_cache(maxsize=1 << 10)
def _words(source: str) -> list[str]:
    return [match.group().casefold() for match in WORD.finditer(_blanked(source))]


@lru_cache(maxsize=1 << 12)
def _in_target_script(word: str, target_language: str) -> bool:
    from in2x.rewards.gates import wrong_language

    return wrong_language(word, target_language) is None


def _copied_runs(found: list[re.Match], source_words: list[str], length: int = 4) -> list[re.Match]:
    """The words of the text that stand in a run of `length` words that the source has too."""
    runs = {tuple(source_words[at : at + length]) for at in range(len(source_words) - length + 1)}
    words = [match.group().casefold() for match in found]
    inside = {
        place
        for at in range(len(words) - length + 1)
        if tuple(words[at : at + length]) in runs
        for place in range(at, at + length)
    }
    return [found[place] for place in sorted(inside)]


def _is_part(word: str, source: str) -> bool:
    """Whether a run of kana and kanji, which no blank parts into words, stands in the source."""
    return re.match(f"[{JAPANESE}]", word) is not None and word in source


def _blanked(text: str) -> str:
    """The text with protected spans, code and identifiers blanked out; offsets stay."""
    for pattern in (CODE, PROTECTED, IDENTIFIER):
        text = pattern.sub(lambda match: " " * len(match.group()), text)
    return text


@lru_cache(maxsize=1 << 12)
def _dates(text: str) -> tuple[frozenset[tuple], ...]:
    """Each date as the set of its readings: (year or None, month, day), or ("weekday", 0..6)."""
    text = without_protected(text).translate(FULL_WIDTH)
    if not DATED.search(text):
        return ()
    text = KANJI_DATE_PART.sub(lambda match: kanji_number(match.group()), text)
    found = [_readings(match) for match in DATE.finditer(text)]
    found += [frozenset({("weekday", WEEKDAYS[match[1].lower()])}) for match in WEEKDAY_EN.finditer(text)]
    for match in WEEKDAY_JA.finditer(text):
        day = CHINESE_DAYS[match[3]] if match[3] else KANJI_DAYS[match[1] or match[2]]
        found.append(frozenset({("weekday", day)}))
    return tuple(found)


def _readings(match: re.Match) -> frozenset[tuple]:
    year = next((match[name] for name in ("y1", "y2", "y3", "y4", "y5") if match[name]), None)
    years = {None if year is None else 1 if year == "元" else int(year)}
    if match["era"]:
        years = {ERAS[match["era"]] + number for number in years}
    if match["a"]:
        a, b = int(match["a"]), int(match["b"])
        days = {(month, day) for month, day in ((a, b), (b, a)) if 1 <= month <= 12 and 1 <= day <= 31}
    else:
        name = match["n1"] or match["n2"]
        month = MONTHS[name.lower().rstrip(".")] if name else int(match["m1"] or match["m2"])
        days = {(month, int(next(match[d] for d in ("d1", "d2", "d3", "d4") if match[d])))}
    return frozenset((year, month, day) for year in years for month, day in days)


def _num_matched(wanted: Sequence[frozenset], available: Sequence[frozenset]) -> int:
    """Count the wanted dates that are among the available ones, each of those once."""
    rest, number = list(available), 0
    for readings in wanted:
        place = next((n for n, other in enumerate(rest) if _agree(readings, other)), None)
        if place is not None:
            del rest[place]
            number += 1
    return number


def _agree(one: frozenset, other: frozenset) -> bool:
    return any(
        a == b or (a[0] is None or b[0] is None) and len(a) == len(b) == 3 and a[1:] == b[1:]
        for a in one
        for b in other
    )


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
