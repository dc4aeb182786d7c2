"""Fidelity of names: does a translation keep the names of the source that its references keep?

A name is found in a translation when it is spelled there as in the source (Google, 正之助), or sounds like a name
there: Kyle and カイル, Tokyo and 東京. Sounds are compared by their consonants, where l and r, s and z, v and b are as
one; kanji are read by MeCab with the IPA dictionary. What no reference keeps (China, 中国) is not demanded, so that a
name is only ever missed against a person's rendering of it.

Not seen: wrong vowels, and in Chinese all names but those that keep their spelling. Seen too much: a loanword that
begins a sentence (Hotel, ホテル) is demanded like a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from in2x.evaluation.japanese.morphology import morphemes

UNLIKE = 1000
MIN_CONSONANTS_INSIDE = 3  # a name may be the head or tail of a compound (ノートルダム大聖堂) from this length on
LATIN_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
KATAKANA_RUN = re.compile(r"[ァ-ヶヷ-ヺー]{2,}")
ROWS = {  # consonant of a kana by its row; vowels, y and w only count at the start of a name, as A
    "A": "アイウエオヤユヨワヰヱヲ", "K": "カキクケコ", "G": "ガギグゲゴ", "S": "サシスセソザジズゼゾヂヅ",
    "T": "タチツテト", "D": "ダデド", "N": "ナニヌネノン", "H": "ハヒフヘホ", "B": "バビブベボヴ",
    "P": "パピプペポ", "M": "マミムメモ", "R": "ラリルレロ",
}  # fmt: skip
KANA = {kana: consonant for consonant, row in ROWS.items() for kana in row}
SPELLINGS = (  # English spelling to consonants, in this order; lower case is still to be read
    (r"sch|sh|ds(?=$)|ç", "S"), (r"tch|ch(?!r)|ts|tz", "T"), (r"^wr", "R"), (r"^kn", "N"), (r"^ps", "S"),
    (r"ph|f", "H"), (r"th|^x", "S"), (r"gh(?=t|$)", ""), (r"dt", "T"), (r"ck|ch|qu?|c(?![eiy])", "K"), (r"x", "KS"),
    (r"dge|g(?=[eiy])|[jzcs]", "S"), (r"m(?=[bp])", "N"), (r"v|b", "B"), (r"l|r(?=[aeiouyhr])", "R"),
    (r"^h(?=[aeiouy])|(?<=[aeiou])h(?=[aeiou])", "H"), *zip("kgtdnpm", "KGTDNPM", strict=True), (r"^[aeiouwy]", "A"),
)  # fmt: skip
SPELLINGS = tuple((re.compile(spelling), consonants) for spelling, consonants in SPELLINGS)


def name_fidelity(
    source: str, hypothesis: str, references: Sequence[str], source_language: str, target_language: str
) -> float | None:
    """The share of the source's names, among those that some reference keeps, that the hypothesis keeps: 0..1.

    None where no reference keeps any name; that depends on the segment alone, so it is the same for every system.
    """
    num_demanded, num_kept = 0, 0
    for name in names(source, source_language):
        found = [_renderings(name, text, target_language) for text in references]
        if not any(found):
            continue
        num_demanded += 1
        farthest = max(distance for rendering in found for distance in rendering.values())
        spelled = any(_is_spelled(word, hypothesis) for rendering in found for word in rendering)
        num_kept += spelled or any(
            distance <= farthest for distance in _renderings(name, hypothesis, target_language).values()
        )
    return num_kept / num_demanded if num_demanded else None


def names(text: str, language: str) -> list[str]:
    """The distinct words of a text that may be names, in order: capitalised, in katakana, or proper nouns of MeCab."""
    if _primary(language) == "ja":
        return list(dict.fromkeys(unit for unit, _ in _japanese_units(text)))
    words = (re.sub("['’]s$", "", word) for word in LATIN_WORD.findall(_nfkc(text)))
    return list(dict.fromkeys(word for word in words if len(word) > 1 and word[0].isupper()))


def consonants(name: str) -> str:
    """The consonants of a Latin or kana word, one letter each: "Kyle" and "カイル" are "KR", "Amy" is "AM"."""
    letters = unicodedata.normalize("NFKD", name.lower()).replace("c\u0327", "ç")
    text = "".join(char for char in letters if not "\u0300" <= char <= "\u036f")
    if LATIN_WORD.fullmatch(text) and text[0].isascii():
        text = re.sub(r"([^\W\d_])\1", r"\1", re.sub(r"['’-]", "", text))
        for spelling, read in SPELLINGS:
            text = spelling.sub(read, text)
        return re.sub("[^A-Z]", "", text)
    kana = [KANA.get(char, "") for char in unicodedata.normalize("NFKC", name).translate(_KATAKANA)]
    return "".join(kana[:1]) + "".join(kana[1:]).replace("A", "")


_KATAKANA = {code: code + 0x60 for code in range(ord("ぁ"), ord("ゖ") + 1)}


def _renderings(name: str, text: str, language: str) -> dict[str, int]:
    """Words of a text that stand for the name, itself or what sounds most like it: word -> consonants that differ."""
    if _is_spelled(name, text):
        return {name: 0}
    sounds = [consonants(read) for unit, read in _japanese_units(name) if unit == name] or [consonants(name)]
    units = _japanese_units(text) if _primary(language) == "ja" else _latin_units(text)
    distances = {unit: min(_difference(sound, consonants(read)) for sound in sounds) for unit, read in units}
    least = min(distances.values(), default=UNLIKE)
    return {unit: least for unit, distance in distances.items() if distance == least < UNLIKE}


def _is_spelled(name: str, text: str) -> bool:
    """Whether the name stands in the text, a Latin word not as a part of another."""
    name, text = _nfkc(name).casefold(), _nfkc(text).casefold()
    if not name.isascii():
        return name in text
    return re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", text) is not None


def _difference(name: str, unit: str) -> int:
    """How many consonants differ, or UNLIKE: more than one in three. A longer unit may begin or end with the name."""
    if not name or not unit:
        return UNLIKE
    parts = [unit]
    if len(name) >= MIN_CONSONANTS_INSIDE and len(unit) > len(name):
        parts += [unit[: len(name)], unit[-len(name) :]]
    least = min(_distance(name, part) for part in parts)
    return least if least <= len(name) // 3 else UNLIKE


@lru_cache(maxsize=1 << 16)
def _distance(a: str, b: str) -> int:
    """Edit distance (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (char != other))
    return row[-1]


@lru_cache(maxsize=1 << 12)
def _latin_units(text: str) -> tuple[tuple[str, str], ...]:
    """Capitalised words, and two neighbours as one: (unit, how it is read)."""
    found = [(match.group(), match.span()) for match in LATIN_WORD.finditer(_nfkc(text)) if match.group()[0].isupper()]
    joined = [(f"{a} {b}", a + b.lower()) for (a, (_, end)), (b, (start, _)) in pairwise(found) if start == end + 1]
    return tuple([(word, word) for word, _ in found] + joined)


@lru_cache(maxsize=1 << 12)
def _japanese_units(text: str) -> tuple[tuple[str, str], ...]:
    """Runs of katakana, and proper nouns with their readings: (unit, how it is read)."""
    text = _nfkc(text)
    found = [(run, run) for run in KATAKANA_RUN.findall(text)]
    for line in text.split("\n"):
        for morpheme in morphemes(line):
            if (morpheme.pos, morpheme.subpos) == ("名詞", "固有名詞") and morpheme.reading:
                found.append((morpheme.surface, morpheme.reading))
    return tuple(found)


def _primary(language: str) -> str:
    return language.replace("_", "-").split("-")[0].lower()


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
