"""Script leakage: characters and words that a Japanese text does not have unless something went wrong.

Code, URLs, placeholders and tags are not looked at. A word or character that the source has in the same
script and that is a name, an acronym or a unit may stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from in2x.evaluation.japanese.document import FACE, HAN, JAPANESE, Finding, blank, check_segments, prose, words
from in2x.rewards.gates import SPECIAL_TOKENS

_LATIN = "A-Za-zÀ-ɏ"
WORD = re.compile(
    rf"(?<![{_LATIN}0-9_@#./\\&'’-])[{_LATIN}]+(?:['’-][{_LATIN}]+)*(?![{_LATIN}0-9_@\\(/]|\.[A-Za-z0-9])"
)
# Lower-case words that Japanese text writes in Latin letters: units, abbreviations, internet words.
KEPT = words(
    "mm cm km kg mg ml dl kb mb gb kw kwh hz khz mhz ghz fps dpi px pt ppm psi mph bpm rpm mol cal kcal hpa"
    " pm am cc ft lb lbs oz vs etc feat ver no vol pp ed eds et al ie eg de la le du van von der den bin ibn"
    " el y e da di iphone ipad ipod imac ebay ios macos e-mail email web blog app www http https com net org"
    " jp lol ok op wifi wi-fi x-ray t-shirt pdf html css js py git npm pip tweet note user users null true"
    " false none self int str float bool"
)
TITLE_WORDS = words("a an the of and in on for to at by from with or de la le du von van der vs")
LATIN_RUN = re.compile(r"[A-Za-zÀ-ɏ'’-]+(?:[,;:]?\s+[A-Za-zÀ-ɏ0-9'’-]+){3,}")
MIN_LOWER_WORDS = 2  # beside title words, in a run that counts as a sentence
HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]+")
HALF_WIDTH_KANA = re.compile("[\uff66-\uff9f]{2,}|[\uff66-\uff9d]")
MOJIBAKE = re.compile(
    "\ufffd+|[\x80-\x9f]+"  # lost bytes; C1 controls
    "|(?:[ÂÃâãäåæçèé](?:[\x80-\xbfŒœŠšŸŽžƒˆ˜–—‘-„†-•…‰‹›€™]){1,2}){2,}"  # UTF-8 read as Latin-1 or CP1252
    "|[縺繧繝](?![れるりらろ繝縁])[^\\s。、]?"  # UTF-8 read as Shift_JIS; 縺れる and 繧繝 are words
    "|&(?:amp;)*#\\d{2,6};"  # a character reference that was escaped twice
)
SIMPLIFIED_IN_JIS = frozenset("气")  # in JIS X 0208 as a radical, never written for 気
HALF_DIGITS = re.compile(r"(?<![A-Za-z0-9._/:-])[0-9]+(?![A-Za-z0-9_/:-]|\.[A-Za-z])")
FULL_DIGITS = re.compile("[０-９]+")


def latin_words(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find untranslated Latin words: lower case, in Japanese text, neither unit, abbreviation nor part of a name.

    With the source only words that it has in lower case are found: what a writer of Japanese chose to spell in Latin
    letters is no leak.
    """
    found = []
    for number, text, source in _texts(segments, sources):
        if not re.search(f"[{JAPANESE}]", text):
            continue
        known = None if source is None else set(re.findall(r"[A-Za-zÀ-ɏ]+(?:['’-][A-Za-zÀ-ɏ]+)*", source))
        shown = blank(text, LATIN_RUN)
        for match in WORD.finditer(shown):
            word = match.group()
            leaked = word.islower() and len(word) > 1 and word not in KEPT and (known is None or word in known)
            if leaked and not (_in_name(shown, match) or _is_cited(shown, match)):
                found.append(Finding("latin_word", "major", number, *match.span(), f"untranslated word {word!r}"))
    return found


def foreign_kanji(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find characters of Chinese alone (simplified forms, words such as 你); one that the source has may stay."""
    return [
        Finding("foreign_kanji", "major", number, place, place + 1, f"Chinese character {char!r}")
        for number, text, source in _texts(segments, sources)
        for place, char in enumerate(text)
        if is_foreign_kanji(char) and char not in (source or "")
    ]


def hangul(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find Korean letters; a word that the source has may stay."""
    return [
        Finding("hangul", "major", number, *match.span(), f"Hangul {match.group()!r}")
        for number, text, source in _texts(segments, sources)
        for match in HANGUL.finditer(text)
        if match.group() not in (source or "")
    ]


def half_width_kana(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find half-width kana; those in a face such as (ﾟ∀ﾟ) belong there."""
    return [
        Finding("half_width_kana", "major", number, *match.span(), f"half-width kana {match.group()!r}")
        for number, text, _ in _texts(segments, sources)
        for match in HALF_WIDTH_KANA.finditer(blank(text, FACE))
    ]


def mojibake(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find text in a wrong encoding, replacement characters, and special tokens that the source does not have."""
    check_segments(segments, sources)
    found = []
    for number, text in enumerate(segments):
        source = sources[number] if sources is not None else ""
        for pattern in (MOJIBAKE, SPECIAL_TOKENS):
            found += [
                Finding("mojibake", "major", number, *match.span(), f"damaged text {match.group()!r}")
                for match in pattern.finditer(text)
                if match.group() not in source
            ]
    return found


def source_sentences(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find runs of four or more Latin words that are no title: at least two lower-case words beside 'of', 'the'..."""
    found = []
    for number, text, _ in _texts(segments, sources):
        for match in LATIN_RUN.finditer(text):
            run = match.group().split()
            lower = [word for word in run if word.islower() and word.strip(",;:") not in TITLE_WORDS]
            if len(lower) >= MIN_LOWER_WORDS:
                message = f"untranslated: {' '.join(run[:6])}"
                found.append(Finding("source_sentence", "major", number, *match.span(), message))
    return found


def digit_widths(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find numbers in the rarer width when a document mixes full-width and half-width digits.

    Single digits in full width beside longer numbers in half width are a convention of newspapers, and no mixture.
    """
    texts = list(_texts(segments, sources))
    full = [(number, m.span(), m.group()) for number, text, _ in texts for m in FULL_DIGITS.finditer(text)]
    half = [(number, m.span(), m.group()) for number, text, _ in texts for m in HALF_DIGITS.finditer(text)]
    newspaper = all(len(digits) == 1 for *_, digits in full) and all(len(digits) > 1 for *_, digits in half)
    if not full or not half or newspaper:
        return []
    rare, width = (full, "full") if len(full) <= len(half) else (half, "half")
    message = f"{width}-width digits, unlike the other {len(full) + len(half) - len(rare)} numbers of the document"
    return [Finding("digit_width", "minor", number, start, end, message) for number, (start, end), _ in rare]


@lru_cache(maxsize=1 << 14)
def is_foreign_kanji(char: str) -> bool:
    """Whether a Han character is Chinese alone.

    It is outside JIS X 0208 with its vendor extensions, and either in GB 2312, the simplified set, or in Big5, the
    traditional one, and not even in JIS X 0213.
    """
    if not re.match(f"[{HAN}]", char) or (_encodes(char, "cp932") and char not in SIMPLIFIED_IN_JIS):
        return False
    return _encodes(char, "gb2312") or (_encodes(char, "big5") and not _encodes(char, "euc_jis_2004"))


def _encodes(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _texts(segments: Sequence[str], sources: Sequence[str] | None) -> Iterator[tuple[int, str, str | None]]:
    """Yield (number, text without code and URLs, source or None) of every segment."""
    check_segments(segments, sources)
    for number, segment in enumerate(segments):
        yield number, prose(segment), sources[number] if sources is not None else None


def _is_cited(text: str, match: re.Match[str]) -> bool:
    """Whether a word stands in quotation marks of its own, or between the colons of an emoji's name."""
    around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
    return around in ("「」", "『』", '""', "“”", "‘’", "''", "::", "[]", "【】")


def _in_name(text: str, match: re.Match[str]) -> bool:
    """Whether a Latin word with a capital or a digit stands beside this one: Lord of the Rings, iPhone mini."""
    before = re.search(r"([A-Za-zÀ-ɏ0-9'’&.-]+)[ \u00a0]$", text[: match.start()])
    after = re.match(r"[ \u00a0]([A-Za-zÀ-ɏ0-9'’&.-]+)", text[match.end() :])
    return any(neighbour and not neighbour.group(1).islower() for neighbour in (before, after))
