"""Rules that need no model: numbers, protected spans (URLs, placeholders, markup) and repetition.

Fidelity scores run from 0 (nothing kept) to 1 (everything kept, nothing invented; also when there is nothing
to keep). The penalty runs from -1 to 0. What each rule cannot see is said in its docstring.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from functools import lru_cache

PROTECTED = re.compile(
    r"""https?://[A-Za-z0-9\-._~:/?\#\[\]@!$&'()*+,;=%]+       # URL, ends at the first Japanese character
      | (?<![\w.@])[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+  # e-mail address
      | (?<![A-Za-z0-9@/])@[A-Za-z0-9_]{2,}                    # @handle
      | \{\{[^{}]+\}\} | \$?\{[A-Za-z0-9_.:]*\}                # {{x}} {x} {} ${x}
      | (?<![\d%])%(?:\(\w+\)|\d+\$)?[sdif@](?![A-Za-z])       # %s %d %(name)s %1$s
      | </?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>               # <b> </b> <br/>
      | &(?:[A-Za-z]+|\#\d+);                                  # &nbsp; &#39;
    """,
    re.VERBOSE | re.ASCII,
)
MARKED = re.compile(r"[@{%<&]|://")  # one of these is in every protected span
FULL_WIDTH = {full: full - 0xFEE0 for full in range(0xFF01, 0xFF5F)}  # full-width ASCII, digits included

DIGITS = {char: value for value, char in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
SMALL_UNITS = {"十": 10, "百": 100, "千": 1000}
LARGE_UNITS = {"万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925}  # year 1 of an era is this + 1
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SCALE_SIGNS = {"k": 10**3, "bn": 10**9}  # only right after digits; "5k" may also be five kilometres
# fmt: off
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}
WORDS = TENS | {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "dozen": 12,
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "a": 1, "an": 1, "once": 1, "twice": 2, "both": 2,
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6, "july": 7, "august": 8,
    "september": 9, "october": 10, "november": 11, "december": 12, "jan": 1, "feb": 2, "mar": 3, "apr": 4,
    "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10, "nov": 11, "dec": 12,
}
# fmt: on

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d+(?:\.\d+)?)"
_UNIT = "[" + "".join(SMALL_UNITS | LARGE_UNITS) + "]"
_KANJI = "[" + "".join(DIGITS | SMALL_UNITS | LARGE_UNITS) + "]"
_SCALE = "(?a:" + "|".join(SCALES) + ")"  # ASCII, or ſ would pass for s
_WORD = rf"(?a:(?:(?:{'|'.join(TENS)})[ -])?(?:{'|'.join(sorted(WORDS, key=len, reverse=True))}))"
_FIRST = "[" + "".join(DIGITS | SMALL_UNITS | LARGE_UNITS) + r"元午令平昭\dA-Za-z]"  # that a number begins with
NUMBERS = re.compile(
    rf"""(?={_FIRST})(?P<noon>午後)?(?P<era>{"|".join(ERAS)})?
         (?:(?P<digits>{_NUMBER}(?:{_UNIT}+{_NUMBER}?)*)
            (?:[ -]?(?P<scale>(?a:{"|".join(SCALES | SCALE_SIGNS)}))s?\b)?
            (?P<pm>(?=(?::\d\d)?\ ?p\.?m\b))?
          | (?P<kanji>{_KANJI}+|元(?=年)))
       | \b(?P<word>{_WORD}\b(?:[ -]{_SCALE}\b(?:[ ](?:and[ ])?{_WORD}\b)?)*|{_SCALE}\b)""",
    re.VERBOSE | re.IGNORECASE,
)


def number_fidelity(source: str, hypothesis: str) -> float:
    """Score how well numbers survive: (kept + justified) / (numbers written in digits on both sides), 0..1.

    A source number in digits is kept when the hypothesis has its value in any notation; a hypothesis number
    in digits is justified when the source has it. Read: full-width and other Unicode digits, thousands
    separators, kanji numerals (二十五, 二〇二五), mixed forms (1億2,000万), English words, months and scales
    (1.5 million), p.m./午後 as either clock, Japanese eras as either year. Numerals in kanji or words only
    justify, they are never demanded: most of them are idiom (一緒, 十分, "one of them"). Not read: decimal
    commas, number words of languages other than English and Japanese.
    """
    source_numbers, hypothesis_numbers = _numbers(source), _numbers(hypothesis)
    wanted = [readings for readings, in_digits in source_numbers if in_digits]
    written = [readings for readings, in_digits in hypothesis_numbers if in_digits]
    if not wanted and not written:
        return 1.0
    kept = _num_found(wanted, [readings for readings, _ in hypothesis_numbers])
    justified = _num_found(written, [readings for readings, _ in source_numbers])
    return (kept + justified) / (len(wanted) + len(written))


def markup_fidelity(source: str, hypothesis: str) -> float:
    """Score how well protected spans survive: F1 of the two multisets of spans, 0..1.

    Protected are URLs, e-mail addresses, @handles, placeholders ({name}, {{name}}, ${name}, %s, %1$s), tags
    and entities. Each must reappear verbatim; order is free, since Japanese reorders clauses.
    """
    wanted, found = Counter(protected_spans(source)), Counter(protected_spans(hypothesis))
    if not wanted and not found:
        return 1.0
    return 2 * (wanted & found).total() / (wanted.total() + found.total())


def repetition_penalty(text: str, order: int = 8, allowance: float = 0.1) -> float:
    """Penalise repeated character n-grams: -max(0, share - allowance) / (1 - allowance), -1..0.

    The share is that of `order`-grams (whitespace removed) seen before in the text. Ordinary prose repeats
    names and set phrases, which the allowance covers; a text shorter than two n-grams has nothing to repeat.
    """
    if order < 1 or not 0 <= allowance < 1:
        raise ValueError(f"expected order >= 1 and 0 <= allowance < 1, got {order} and {allowance}")
    chars = "".join(text.split())
    num_ngrams = len(chars) - order + 1
    if num_ngrams < 2:
        return 0.0
    repeated = 1 - len({chars[i : i + order] for i in range(num_ngrams)}) / num_ngrams
    return -max(0.0, repeated - allowance) / (1 - allowance)


def without_protected(text: str) -> str:
    """The text with a blank in place of each protected span."""
    return PROTECTED.sub(" ", text) if MARKED.search(text) else text


def protected_spans(text: str) -> list[str]:
    """List the spans that a translation must keep verbatim; punctuation after a URL is not part of it."""
    if not MARKED.search(text):
        return []
    spans = (match.group() for match in PROTECTED.finditer(text))
    return [span.rstrip(".,;:!?)]'") if span.startswith("http") else span for span in spans]


def kanji_number(numeral: str) -> str:
    """The value of a kanji numeral in digits: 二十五 is "25", 二〇二五 "2025"."""
    if any(char in SMALL_UNITS or char in LARGE_UNITS for char in numeral):
        return str(_value(numeral))
    return "".join(str(DIGITS[char]) for char in numeral)


@lru_cache(maxsize=1 << 12)
def _numbers(text: str) -> tuple[tuple[frozenset[Decimal], bool], ...]:
    """Read every number of a text: (the values it may stand for, whether it is written in digits)."""
    text = without_protected(text).translate(FULL_WIDTH)
    text = re.sub(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))", "", text)  # 1 234 567 with fixed spaces
    return tuple((_readings(match), match["digits"] is not None) for match in NUMBERS.finditer(text))


def _readings(match: re.Match[str]) -> frozenset[Decimal]:
    if match["word"]:
        return _word_values(match["word"].lower())
    digits = match["digits"]
    value = _value(digits or match["kanji"])
    readings = {value}
    if match["scale"]:
        scale = match["scale"].lower()
        readings = {value * (SCALES | SCALE_SIGNS)[scale]} | ({value} if scale == "k" else set())
    if (match["noon"] or match["pm"] is not None) and value < 12:
        readings.add(value + 12)
    if match["era"]:
        readings.add(value + ERAS[match["era"]])
    if digits and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", digits):  # 1.234: a decimal, or a thousand in German
        readings.add(Decimal(digits.replace(".", "")))
    return frozenset(readings)


def _value(numeral: str) -> Decimal:
    """Evaluate digits, kanji or both: units below 万 add up to a section, 万/億/兆 multiply the section."""
    if numeral == "元":  # the first year of an era
        return Decimal(1)
    total, section, current = Decimal(0), Decimal(0), None
    for token in re.findall(rf"{_NUMBER}|.", numeral):
        if token in SMALL_UNITS:
            section += (1 if current is None else current) * SMALL_UNITS[token]
            current = None
        elif token in LARGE_UNITS:
            amount = section + (current or 0)
            total += (amount or 1) * LARGE_UNITS[token]
            section, current = Decimal(0), None
        elif token in DIGITS:
            current = (current or 0) * 10 + DIGITS[token]
        else:
            current = Decimal(token.replace(",", "") if token.count(".") < 2 else token.replace(".", ""))
    return total + section + (current or 0)


def _word_values(phrase: str) -> frozenset[Decimal]:
    """Evaluate English number words: "twenty-five" 25, "two hundred and fifty thousand" 250000."""
    total, current = 0, 0
    for word in re.split("[ -](?:and )?", phrase):
        if word == "hundred":
            current = (current or 1) * 100
        elif word in SCALES:
            total, current = total + (current or 1) * SCALES[word], 0
        else:
            current += WORDS[word]
    return frozenset({Decimal(total + current)})


def _num_found(wanted: list[frozenset[Decimal]], available: list[frozenset[Decimal]]) -> int:
    """Count the wanted numbers that can be matched, each available number once."""
    remaining = list(available)
    num_found = 0
    for readings in wanted:
        match = next((i for i, other in enumerate(remaining) if readings & other), None)
        if match is not None:
            del remaining[match]
            num_found += 1
    return num_found
