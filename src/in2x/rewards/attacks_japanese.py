"""Attacks that need to know Japanese: numbers, negation, names, register, spelling. See `in2x.rewards.attacks`.

Each takes a `Material` and a generator and returns a text or None. Verbs are inflected by the dictionary's conjugation
types (MeCab with the IPA dictionary), so that what comes out is a form that exists.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from in2x.artifacts import In2xError
from in2x.evaluation.japanese.corruptions import PLAIN_TO_POLITE, POLITE_TO_PLAIN, SIMPLIFIED
from in2x.evaluation.japanese.document import sentences, words
from in2x.evaluation.japanese.morphology import Morpheme, morphemes
from in2x.rewards.naturalness import PHRASE
from in2x.rewards.rules import PROTECTED

if TYPE_CHECKING:
    from in2x.rewards.attacks import Material

COUNTERS = "人年月日時分秒円歳才匹本個回階冊度倍軒台枚杯着通番週羽頭点割"
NUMBER = re.compile(rf"[0-9０-９]+|[一二三四五六七八九](?=[十百千万]?[{COUNTERS}])(?!番|日中|人で)")
KANJI_DIGITS = "一二三四五六七八九"
FULL_WIDTH_ZERO = ord("０")
NEGATED_SOURCE = re.compile(
    r"n['’]t\b|\b(?:not?|never|none|nobody|nothing|nowhere|cannot|without|neither|nor|hardly|few|little)\b", re.I
)
POLITE_NEGATION = (
    ("ませんでした", "ました"), ("ではありません", "です"), ("じゃありません", "です"), ("ません", "ます"),
)  # fmt: skip
POLITE_END = (("ました", "ませんでした"), ("ます", "ません"))
ENDING = r"(?=[。！!]|$)"
POLITE = re.compile(rf"(?:です|ます|ました|でした|ません){ENDING}")
PAST = {  # conjugation type -> what follows the stem in the past
    **dict.fromkeys(("五段・カ行促音便", "五段・タ行", "五段・ラ行", "五段・ワ行促音便"), "った"),
    **dict.fromkeys(("五段・ナ行", "五段・バ行", "五段・マ行"), "んだ"),
    "五段・カ行イ音便": "いた",
    "五段・ガ行": "いだ",
    "五段・サ行": "した",
}
A_ROW = dict(zip("うくぐすつぬぶむる", "わかがさたなばまら", strict=True))
SET_PHRASES = ("しれる", "知れる", "なる", "いける", "すむ", "かまう", "たまる")  # かもしれない, なければならない ...
KATAKANA_RUN = re.compile(r"[ァ-ヺー]{2,}(?:・[ァ-ヺー]+)*")
CAPITALISED = re.compile(r"(?<![\w'’-])[A-Z][a-z]{2,}(?![\w'’-])")
FUNCTION_WORDS = words(
    "The This That These Those There Then They Their His Her She Our Your You Its What When Where Which Who Whom Whose"
    " Why How And But For Not Don Did Does Can Could Would Should Will May Might Must Shall Have Has Had Are Was Were"
    " Let Please Some Any All Both Each Every Many Most Much More Nobody Nothing Never With Without From Into After"
    " Before Because Although Though While Until Unless Since Yes Today Tomorrow Yesterday Once One Two Three Just"
)
NAMES = {
    "人名": ("ボブ", "メアリー", "ケン", "ナンシー", "ジョージ", "リサ"),
    "地域": ("パリ", "ベルリン", "カナダ", "シカゴ"),
}  # of persons, of places: the dictionary's kinds of proper nouns
HIRAGANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ"))}
KANJI = re.compile(r"[々〇㐀-鿿]")
READING = 7  # place among the IPA dictionary's features
MARKS_AT_END = re.compile(r"[。！？!?]*$")


def phrases(text: str) -> list[str]:
    """Cut a text after its particles and marks; joined again the parts are the text."""
    return PHRASE.findall(text) or [text]


def number_changed(material: Material, rng: np.random.Generator) -> str | None:
    """Give one number, in digits or in kanji before a counter, another value of the same number of digits."""
    text, hidden = material.honest, [match.span() for match in PROTECTED.finditer(material.honest)]
    found = [m for m in NUMBER.finditer(text) if not any(a <= m.start() < b for a, b in hidden)]
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    place = match.start()  # the first digit stays above 0, so that no number becomes "07"
    old = text[place]
    digits = KANJI_DIGITS if old in KANJI_DIGITS else "".join(chr(ord(_zero(old)) + value) for value in range(1, 10))
    others = [digit for digit in digits if digit != old]
    return text[:place] + others[int(rng.integers(len(others)))] + text[place + 1 :]


def negation_dropped(material: Material, rng: np.random.Generator) -> str | None:
    """Affirm one negated predicate; asked for is a source that negates, since ない is often idiom."""
    if not NEGATED_SOURCE.search(material.source):
        return None
    text = material.honest
    found = []
    for negated, affirmed in POLITE_NEGATION:
        for match in re.finditer(negated + r"(?!か)", text):
            if not any(start < match.end() and match.start() < end for start, end, _ in found):
                found.append((*match.span(), affirmed))
    return _replaced(text, found + _plain_negations(text), rng)


def negation_added(material: Material, rng: np.random.Generator) -> str | None:
    """Negate the predicate that ends one sentence."""
    text, found = material.honest, []
    for affirmed, negated in POLITE_END:
        found += [(*match.span(), negated) for match in re.finditer(affirmed + ENDING, text)]
    if not found:
        found = _plain_ends(text)
    return _replaced(text, found, rng)


def name_swapped(material: Material, rng: np.random.Generator) -> str | None:
    """Put another name in the place of the only one."""
    found = _name(material)
    if found is None:
        return None
    match, _, kind = found
    others = [name for name in NAMES[kind] if name != match.group()]
    return _put(material.honest, match.span(), others[int(rng.integers(len(others)))])


def name_untranslated(material: Material, rng: np.random.Generator) -> str | None:
    """Leave the only name in the letters of the source."""
    found = _name(material)
    return found and _put(material.honest, found[0].span(), found[1])


def register_mixed(material: Material, rng: np.random.Generator) -> str | None:
    """Give one sentence of several the other register's end; a single polite sentence ends on the blunt ぜ."""
    text = material.honest
    found = sentences([text])
    if len(found) < 2:
        ends = [(match.end(), match.end(), "ぜ") for match in POLITE.finditer(text)]
        return _replaced(text, ends, rng)
    changes = [
        (sentence.end - len(old), sentence.end, new)
        for sentence in found
        for old, new in (POLITE_TO_PLAIN if POLITE.search(sentence.text) else PLAIN_TO_POLITE)
        if sentence.text.endswith(old)
    ]
    return _replaced(text, changes, rng)


def shuffled(material: Material, rng: np.random.Generator) -> str | None:
    """Put the phrases in another order; the end mark stays."""
    text = material.honest
    end = MARKS_AT_END.search(text).start()
    parts = phrases(text[:end])
    if len(parts) < 3:
        return None
    return "".join(parts[place] for place in rng.permutation(len(parts))) + text[end:]


def kana_only(material: Material, rng) -> str | None:
    """Spell every word that has kanji in hiragana, as the dictionary reads it; other words stay."""
    if not KANJI.search(material.honest):
        return None
    return "\n".join(_in_kana(line) for line in material.honest.split("\n"))


def punctuation_spam(material: Material, rng) -> str:
    """A comma after each phrase, and three exclamation marks at the end."""
    body = MARKS_AT_END.sub("", material.honest)
    return "、".join(phrase.rstrip("、") for phrase in phrases(body) if phrase.strip("、")) + "！！！"


def simplified_kanji(material: Material, rng) -> str:
    """Write all kanji that have one in their simplified form."""
    return material.honest.translate(str.maketrans(SIMPLIFIED))


def _zero(digit: str) -> str:
    return "０" if ord(digit) >= FULL_WIDTH_ZERO else "0"


def _plain_negations(text: str) -> list[tuple[int, int, str]]:
    """(start, end, affirmed) of ない and なかった after a verb, an adjective, では or じゃ."""
    found = []
    for number, line in _lines(text):
        found_words = morphemes(line)
        for before, negation, after in zip(found_words, found_words[1:], [*found_words[2:], None], strict=False):
            affirmed = _affirmed(before, negation, after, line)
            if affirmed is not None:
                past = negation.surface == "なかっ"
                found.append((number + before.start, number + (after.end if past else negation.end), affirmed))
    return found


def _affirmed(before: Morpheme, negation: Morpheme, after: Morpheme | None, line: str) -> str | None:
    """What a word and the negation after it become; None where they are a set phrase, or a form not known here."""
    if negation.lemma != "ない" or before.end != negation.start:
        return None
    rest = line[negation.end :]
    if negation.surface == "ない":
        if rest.startswith(("か", "と", "ん", "の？", "？", "で")):  # ないか asks, ないと conditions, ないで requests
            return None
        if before.pos == "形容詞" and before.surface.endswith("く"):
            return before.lemma
        return before.lemma if _is_plain_verb(before) else None
    if negation.surface != "なかっ" or after is None or after.surface != "た":
        return None
    if before.pos == "形容詞" and before.surface.endswith("く"):
        return before.lemma[:-1] + "かった"
    return _past(before) if _is_plain_verb(before) else None


def _is_plain_verb(word: Morpheme) -> bool:
    return word.pos == "動詞" and word.form.startswith("未然") and word.lemma not in SET_PHRASES


def _past(verb: Morpheme) -> str | None:
    """The past of a verb in the form before ない: 書か -> 書いた, 食べ -> 食べた, し -> した."""
    if verb.conjugation in PAST:
        return verb.surface[:-1] + PAST[verb.conjugation]
    if verb.conjugation.startswith(("一段", "サ変・スル")):
        return verb.surface + "た"
    if verb.conjugation.startswith("カ変"):
        return "来た" if verb.surface.startswith("来") else "きた"
    return None


def _plain_ends(text: str) -> list[tuple[int, int, str]]:
    """(start, end, negated) of verbs in the dictionary form and of だ and です at the end of a sentence."""
    found = []
    for sentence in sentences([text]):
        found_words = [word for word in morphemes(sentence.text) if word.pos != "記号"]
        if len(found_words) < 2 or "？" in sentence.text:
            continue
        before, last = found_words[-2:]
        start = sentence.start + last.start
        if last.pos == "動詞" and last.form == "基本形":
            negated = _negated(last)
            found += [(start, start + len(last.surface), negated)] if negated else []
        elif last.surface in ("だ", "です") and last.pos == "助動詞" and before.pos == "名詞":
            negated = "ではない" if last.surface == "だ" else "ではありません"
            found.append((start, start + len(last.surface), negated))
    return found


def _negated(verb: Morpheme) -> str | None:
    """The negation of a verb in the dictionary form: 書く -> 書かない, 食べる -> 食べない, ある -> ない."""
    if verb.lemma in ("ある", "有る"):
        return "ない"
    if verb.conjugation.startswith("サ変"):
        return verb.surface[:-2] + "しない"
    if verb.conjugation.startswith("カ変"):
        return "来ない" if verb.surface.startswith("来") else "こない"
    if verb.conjugation.startswith("一段"):
        return verb.surface[:-1] + "ない"
    last = A_ROW.get(verb.surface[-1])  # None in the old language
    return last and verb.surface[:-1] + last + "ない"


def _name(material: Material) -> tuple[re.Match[str], str, str] | None:
    """(its match, its spelling in the source, its kind) of a name that stands alone on both sides.

    Asked for are one katakana word, which the dictionary knows as a person or place, and one capitalised word.
    """
    spelt = [word for word in CAPITALISED.findall(material.source) if word not in FUNCTION_WORDS]
    runs = list(KATAKANA_RUN.finditer(material.honest))
    if not len(runs) == len(spelt) == 1:
        return None
    kinds = {
        word.kind
        for offset, line in _lines(material.honest)
        for word in morphemes(line)
        if (offset + word.start, offset + word.end) == runs[0].span() and word.subpos == "固有名詞"
    }
    return (runs[0], spelt[0], kinds.pop()) if kinds & NAMES.keys() else None


def _put(text: str, span: tuple[int, int], new: str) -> str:
    return text[: span[0]] + new + text[span[1] :]


def _replaced(text: str, changes: list[tuple[int, int, str]], rng: np.random.Generator) -> str | None:
    """Make one of the changes (start, end, new), drawn at random."""
    if not changes:
        return None
    start, end, new = changes[int(rng.integers(len(changes)))]
    return _put(text, (start, end), new)


def _lines(text: str):
    """(offset, line) of each line."""
    offset = 0
    for line in text.split("\n"):
        yield offset, line
        offset += len(line) + 1


@lru_cache(maxsize=1 << 12)
def _in_kana(line: str) -> str:
    """A line with its kanji words in hiragana; a word whose reading is not known stays."""
    parts, position = [], 0
    for row in _tagger().parse(line).split("\n")[:-2]:
        surface, _, features = row.partition("\t")
        start = line.index(surface, position)
        fields = features.split(",")
        known = KANJI.search(surface) and len(fields) > READING and fields[READING] != "*"
        parts += [line[position:start], fields[READING].translate(HIRAGANA) if known else surface]
        position = start + len(surface)
    return "".join(parts) + line[position:]


@cache
def _tagger():
    try:
        import ipadic
        import MeCab
    except ImportError as error:
        raise In2xError(f"readings need MeCab and its dictionary ({error}): pip install 'sacrebleu[ja]'") from error
    return MeCab.Tagger(ipadic.MECAB_ARGS)
