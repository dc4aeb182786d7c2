"""Rules for problems that have one answer (mathematics, STEM, logic): a number, a choice or a short text.

The final answer is what stands in \\boxed{...}, or else after "Answer:" (答え:, 答案:) or "####" on a line. Several of
them must agree: a completion that names two different answers has none. Numbers are compared as exact fractions and
are read by hand, nothing is evaluated.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
ANSWER_LINE = re.compile(
    r"^[\s*#>_]*(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?|答え|解答|答案|最終的な答え)\s*(?:[*_]*\s*[:：][*_]*|は|[*_]+)\s*"
    r"(?P<answer>\S.*?)\s*$|^\s*####\s*(?P<hashes>\S.*?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
CHOICE = re.compile(r"[（(\[]?\s*(?:choice|option|選択肢)?\s*([A-Ja-jア-オ])\s*[)）\].。:：]?(?:\s.*)?", re.DOTALL)
CHOICE_REFERENCE = re.compile(r"[（(]?([A-Jア-オ])[)）]?")
FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([^{}]+)\}\s*\{\s*([^{}]+)\}")
SCIENTIFIC = re.compile(r"(.+?)\s*(?:\\times|×|\*|x)\s*10\s*\^\s*\{?\s*(-?\d{1,3})\s*\}?")
PLAIN_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[+-]?\d{1,3})?|[+-]?\.\d+(?:e[+-]?\d{1,3})?")
UNIT = re.compile(r"(?<=\d)\s*(?:\\?%|％|[a-zA-Z°℃円個人本枚年月日時分秒歳\\][^\d]*)$")
MAX_NUMBER_CHARS = 60
MAX_ANSWER_CHARS = 500


def final_answer(text: str) -> str | None:
    """The one final answer of a completion; None where there is none, or where several differ."""
    found = _boxed(text) or [match["answer"] or match["hashes"] for match in ANSWER_LINE.finditer(text)]
    distinct = {_normalise(answer): answer for answer in found if answer.strip()}
    if len(distinct) > 1:
        numbers = {parse_number(answer) for answer in distinct.values()}
        if len(numbers) > 1 or None in numbers:
            return None
    return next(iter(distinct.values()))[:MAX_ANSWER_CHARS] if distinct else None


def correct(text: str, reference: str) -> float:
    """1 where the final answer is the reference's, else 0.

    A reference that is one letter A-J (ア-オ), in brackets or not, is a choice; one that reads as a number is compared
    by value, exactly; any other as text, without regard to case, blanks, full width and the last stop.
    """
    answer = final_answer(text)
    return 0.0 if answer is None else float(same_answer(answer, reference))


def well_formed(text: str) -> float:
    """1 where the completion has one final answer that can be told, else 0."""
    return float(final_answer(text) is not None)


def same_answer(answer: str, reference: str) -> bool:
    """Whether two answers are the same, see `correct`."""
    choice = CHOICE_REFERENCE.fullmatch(unicodedata.normalize("NFKC", reference).strip())
    if choice:
        given = CHOICE.fullmatch(_text_of(unicodedata.normalize("NFKC", answer).strip()))
        return given is not None and given[1].upper() == choice[1]
    wanted = parse_number(reference)
    if wanted is not None:
        return parse_number(answer) == wanted
    return _normalise(answer) == _normalise(reference)


def parse_number(text: str) -> Fraction | None:
    """Read an integer, decimal, fraction (3/4, \\frac{3}{4}, 1 1/2), per cent, or a power of ten; None for all else.

    A unit after the number is dropped, a currency sign before it too; 50% is 1/2. Powers of ten have three digits at
    most, so that no number is too large to hold.
    """
    plain = unicodedata.normalize("NFKC", text).strip().strip("$").strip()
    plain = plain.replace("−", "-").replace("\\,", "").replace("\\!", "").replace("{,}", ",")
    plain = re.sub(r"^[¥€£]\s*|\\(?:text|mathrm)\s*\{[^{}]*\}|[.。]$", "", plain).strip()
    if len(plain) > MAX_NUMBER_CHARS:
        return None
    percent = bool(re.search(r"\d\s*\\?%$", plain))
    value = _rational(UNIT.sub("", plain) if not re.fullmatch(r"[\d.]+e[+-]?\d+", plain, re.IGNORECASE) else plain)
    return value / 100 if value is not None and percent else value


def _rational(text: str) -> Fraction | None:
    text = text.strip()
    sign = -1 if text.startswith("-") and FRACTION.search(text) else 1
    fraction = FRACTION.fullmatch(text.removeprefix("-") if sign < 0 else text)
    if fraction:
        return _divided(sign, _decimal(fraction[1]), _decimal(fraction[2]))
    scientific = SCIENTIFIC.fullmatch(text)
    if scientific:
        mantissa = _decimal(scientific[1])
        return None if mantissa is None else mantissa * Fraction(10) ** int(scientific[2])
    mixed = re.fullmatch(r"(-?)(?:(\d+)\s+)?([\d.,]+)\s*/\s*(-?[\d.,]+)", text)
    if mixed:
        part = _divided(1, _decimal(mixed[3]), _decimal(mixed[4]))
        return None if part is None else (int(mixed[2] or 0) + part) * (-1 if mixed[1] else 1)
    return _decimal(text)


def _decimal(text: str) -> Fraction | None:
    text = text.strip()
    return Fraction(text.replace(",", "").lower()) if PLAIN_NUMBER.fullmatch(text.lower()) else None


def _divided(sign: int, above: Fraction | None, below: Fraction | None) -> Fraction | None:
    return sign * above / below if above is not None and below else None


def _boxed(text: str) -> list[str]:
    """What stands in each \\boxed{...} with balanced braces."""
    found = []
    for match in BOXED.finditer(text):
        depth = 1
        for place in range(match.end(), min(len(text), match.end() + MAX_ANSWER_CHARS)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                found.append(text[match.end() : place])
                break
    return found


def _text_of(answer: str) -> str:
    r"""The content of \text{...} and of Markdown's stars."""
    return re.sub(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}", r"\1", answer).strip("*_$ ")


def _normalise(answer: str) -> str:
    plain = _text_of(unicodedata.normalize("NFKC", answer)).casefold()
    return "".join(plain.split()).strip(".。、*_$")
