"""Plant one known fault in clean Japanese, to see whether the check for it fires there: the suite's own test.

A corruption takes the segments of a document, their sources (or None) and a seeded generator, and returns the text with
one fault and the place of it, or None where the document has no room for this fault. `CORRUPTIONS` has one per check.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from in2x.evaluation.japanese import names, script
from in2x.evaluation.japanese.document import JAPANESE, Sentence, bracket_pairs, prose, sentences, without_quotes
from in2x.evaluation.japanese.morphology import morphemes
from in2x.evaluation.japanese.register import STYLES, classify, narrative, style_of


@dataclass(frozen=True)
class Planted:
    """A document with one fault, at characters `start` to `end` of one segment."""

    segments: list[str]
    sources: list[str] | None
    segment: int
    start: int
    end: int


Corruption = Callable[[list[str], "list[str] | None", random.Random], "Planted | None"]

POLITE_TO_PLAIN = (
    ("ていました。", "ていた。"), ("ています。", "ている。"), ("されました。", "された。"), ("しました。", "した。"),
    ("します。", "する。"), ("でした。", "だった。"), ("のです。", "のだ。"), ("なりました。", "なった。"),
    ("ありました。", "あった。"), ("あります。", "ある。"), ("思います。", "思う。"),
)  # fmt: skip
PLAIN_TO_POLITE = tuple((plain, polite) for polite, plain in POLITE_TO_PLAIN) + (
    ("である。", "です。"), ("であった。", "でした。"), ("られる。", "られます。"), ("られた。", "られました。"),
)  # fmt: skip
SIMPLIFIED = dict(zip(
    "読時話語説間東車見長発書買開関気経県業動電頭門問聞飲飯銀鉄調論記"
    "計認議報場実対進運過達連選遠際陽難題類顔風飛馬鳥魚結終続線組級約給絶習職",
    "读时话语说间东车见长发书买开关气经县业动电头门问闻饮饭银铁调论记"
    "计认议报场实对进运过达连选远际阳难题类颜风飞马鸟鱼结终续线组级约给绝习职",
    strict=True,
))  # fmt: skip
HALF_WIDTH = dict(zip(
    "アイウエオカキクケコサシスセソタチツテトナニヌネノ"
    "ハヒフヘホマミムメモヤユヨラリルレロワンァィゥェォャュョッー",
    "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝｧｨｩｪｫｬｭｮｯｰ",
    strict=True,
))  # fmt: skip
ENGLISH_WORDS = ("very", "because", "house", "important", "people", "already", "beautiful", "mountain", "again")
ENGLISH_WORD = re.compile(r"(?<![\w.@/#'’-])[a-z]{4,}(?![\w@/'’-]|\.\w)")
ENGLISH_SENTENCES = ("He was already waiting for the train.", "I do not know what they want from us.")
KOREAN_WORDS = ("그리고", "사람", "한국어", "때문에")
SURNAMES = ("スミス", "ジョンソン", "田中", "鈴木", "ブラウン")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def switch_register(segments, sources, rng) -> Planted | None:
    """Give one sentence of a document the other register's end: しました。 for した。 and the reverse."""
    classed = narrative(segments)
    if len(classed) < 4:
        return None
    style, fitting = style_of([register for _, register in classed])
    rules = POLITE_TO_PLAIN if style == "desu-masu" else PLAIN_TO_POLITE
    candidates = [
        (sentence, old, new)
        for sentence, register in classed
        if register in STYLES[style] and fitting > 3
        for old, new in rules
        if sentence.text.endswith(old)
    ]
    if not candidates:
        return None
    sentence, old, new = rng.choice(candidates)
    planted = _replace(segments, sources, sentence.segment, sentence.end - len(old), sentence.end, new)
    return Planted(planted.segments, sources, sentence.segment, sentence.start, planted.end)


def pronoun_everywhere(segments, sources, rng) -> Planted | None:
    """Begin every sentence of a document of four and more with a pronoun as topic."""
    found = sentences(segments)
    if len(found) < 4:
        return None
    changed = list(segments)
    for sentence in reversed(found):
        topic = rng.choice(("彼は", "それは", "私は"))
        changed = _insert(changed, None, sentence.segment, sentence.start, topic).segments
    return Planted(changed, sources, 0, 0, len(changed[0]))


def pronoun_twice(segments, sources, rng) -> Planted | None:
    """Begin two neighbouring sentences with the same pronoun."""
    found = sentences(segments)
    pairs = [
        (first, second)
        for first, second in zip(found, found[1:], strict=False)
        if all(_starts_plainly(s) and without_quotes(s.text) == s.text for s in (first, second))
    ]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    topic = rng.choice(("彼は", "彼女は", "私は", "彼らは"))
    late = _insert(segments, sources, second.segment, second.start, topic)
    both = _insert(late.segments, sources, first.segment, first.start, topic)
    shift = len(topic) if first.segment == second.segment else 0
    return Planted(both.segments, sources, second.segment, late.start + shift, late.end + shift)


def opening(*words: str) -> Corruption:
    """Make a corruption that begins a sentence with one of these words."""

    def corrupt(segments, sources, rng) -> Planted | None:
        sentence = _choose(segments, rng, _starts_plainly)
        return sentence and _insert(segments, sources, sentence.segment, sentence.start, rng.choice(words))

    return corrupt


def latin_word(segments, sources, rng) -> Planted | None:
    """Put an English word between two words of a sentence: one of the source where there is one."""
    place = _boundary(segments, rng)
    if place is None:
        return None
    words = ENGLISH_WORDS
    if sources is not None:
        words = [word for word in ENGLISH_WORD.findall(sources[place[0]]) if word not in script.KEPT]
    return _insert(segments, sources, *place, rng.choice(words)) if words else None


def source_sentence(segments, sources, rng) -> Planted | None:
    """Leave a sentence in English."""
    sentence = _choose(segments, rng)
    if sentence is None:
        return None
    place = (sentence.segment, sentence.start, sentence.end)
    return _replace(segments, sources, *place, rng.choice(ENGLISH_SENTENCES))


def simplified_kanji(segments, sources, rng) -> Planted | None:
    """Write one kanji in its simplified form."""
    return _substitute(segments, sources, rng, "[" + "".join(SIMPLIFIED) + "]", lambda text: SIMPLIFIED[text])


def korean_word(segments, sources, rng) -> Planted | None:
    """Put a Korean word between two words."""
    place = _boundary(segments, rng)
    return place and _insert(segments, sources, *place, rng.choice(KOREAN_WORDS))


def half_width(segments, sources, rng) -> Planted | None:
    """Write a katakana word in half width."""
    pattern = "[" + "".join(HALF_WIDTH) + "]{2,}"
    return _substitute(segments, sources, rng, pattern, lambda text: "".join(HALF_WIDTH[char] for char in text))


def wrong_encoding(segments, sources, rng) -> Planted | None:
    """Read the UTF-8 bytes of a few characters as Latin-1, CP1252 or Shift_JIS, or lose a character."""

    def garble(text: str) -> str:
        encoding = rng.choice(("latin-1", "cp1252", "cp932", None))
        return text.encode().decode(encoding, "replace") if encoding else "\ufffd"

    return _substitute(segments, sources, rng, "[ぁ-ゖ]{2,6}", garble)


def widen_digits(segments, sources, rng) -> Planted | None:
    """Write one number in full width where the document has others in half width."""
    numbers = [m for segment in segments for m in script.HALF_DIGITS.finditer(segment) if len(m.group()) > 1]
    if len(numbers) < 2:
        return None
    pattern = script.HALF_DIGITS.pattern
    return _substitute(segments, sources, rng, pattern, _full_width, keep=lambda match: len(match.group()) > 1)


def lose_titles(segments, sources, rng) -> Planted | None:
    """Drop every honorific of a segment whose source has Mr, Mrs, Dr ..."""
    numbers = [n for n, source in enumerate(sources or ()) if names.TITLE.search(source) and segments[n]]
    if not numbers:
        return None
    number = rng.choice(numbers)
    text = names.HONORIFIC.sub("", segments[number])
    return _replace(segments, sources, number, 0, len(segments[number]), text)


def double_honorific(segments, sources, rng) -> Planted | None:
    """Add a second honorific to a name."""
    pattern = r"(?<=[ァ-ヺー])(?:さん|氏|様|先生|博士|教授)(?!さん|氏|様|[一-鿿])"
    return _substitute(segments, sources, rng, pattern, lambda text: text + rng.choice(("さん", "様", "氏")))


def introduce_with_honorific(segments, sources, rng) -> Planted | None:
    """Put a sentence before another in which the speaker calls himself さん."""
    name = rng.choice(SURNAMES) + rng.choice(("さん", "様"))
    sentence = _choose(segments, rng, _starts_plainly)
    text = rng.choice((f"私は{name}です。", f"{name}と申します。", f"私の名前は{name}です。"))
    return sentence and _insert(segments, sources, sentence.segment, sentence.start, text)


def latin_name(segments, sources, rng) -> Planted | None:
    """Write a name before an honorific in Latin letters."""
    pattern = r"[ァ-ヺー・]{3,}(?=さん|氏|様|先生|博士|教授|夫人)"
    return _substitute(segments, sources, rng, pattern, lambda text: rng.choice(("Smith", "Johnson", "Mary Brown")))


def respell_name(segments, sources, rng) -> Planted | None:
    """Spell one of several occurrences of a katakana name in another way."""
    counts: dict[str, int] = {}
    for segment in segments:
        for match in names.KATAKANA.finditer(segment):
            counts[match.group()] = counts.get(match.group(), 0) + 1
    repeated = [w for w, n in counts.items() if n > 1 and len(w) > 3 and is_name(w) and _respelt(w, rng) != w]
    if not repeated:
        return None
    word = rng.choice(sorted(repeated))
    pattern = rf"(?<![ァ-ヺー]){word}(?![ァ-ヺー])"
    return _substitute(segments, sources, rng, pattern, lambda text: _respelt(text, rng))


def drop_stop(segments, sources, rng) -> Planted | None:
    """Delete the 。 at the end of a segment."""
    found = sentences(segments)
    last = {sentence.segment: sentence for sentence in found}.values()
    candidates = [s for s in last if re.search(f"[{JAPANESE}]。$", s.text) and classify(s.text) != "none"]
    if not candidates or len(found) < 2:
        return None
    sentence = rng.choice(candidates)
    planted = _replace(segments, sources, sentence.segment, sentence.end - 1, sentence.end, "")
    return Planted(planted.segments, sources, sentence.segment, sentence.end - 2, sentence.end - 1)


def drop_bracket(segments, sources, rng) -> Planted | None:
    """Delete one bracket of a pair; the other one is then the fault."""
    pairs = [(n, pair) for n, text in enumerate(segments) for pair in bracket_pairs(text) if text[pair[0]] not in "(“"]
    if not pairs:
        return None
    number, (opens, closes) = rng.choice(pairs)
    if rng.random() < 0.5:
        planted = _replace(segments, sources, number, opens, opens + 1, "")
        return Planted(planted.segments, sources, number, closes - 1, closes)
    planted = _replace(segments, sources, number, closes, closes + 1, "")
    return Planted(planted.segments, sources, number, opens, opens + 1)


def western_quotes(segments, sources, rng) -> Planted | None:
    """Put Western marks around a quotation."""
    marks = rng.choice(('""', "“”"))
    pattern = r"「[^「」『』\n]*[ぁ-ゖァ-ヺ一-鿿][^「」『』\n]*」"
    return _substitute(segments, sources, rng, pattern, lambda text: marks[0] + text[1:-1] + marks[1])


def swap(pattern: str, *replacements: str) -> Corruption:
    """Make a corruption that replaces one match of the pattern."""

    def corrupt(segments, sources, rng) -> Planted | None:
        return _substitute(segments, sources, rng, pattern, lambda text: rng.choice(replacements).replace("&", text))

    return corrupt


def inner_space(segments, sources, rng) -> Planted | None:
    """Put a space after a particle."""
    place = _boundary(segments, rng)
    return place and _insert(segments, sources, *place, " ")


_J = f"[{JAPANESE}]"
CORRUPTIONS: dict[str, Corruption] = {
    "register_switch": switch_register,
    "pronouns": opening("彼は", "彼女は", "私は", "それは", "これは", "彼らは"),
    "pronoun_overuse": pronoun_everywhere,
    "pronoun_chain": pronoun_twice,
    "pronoun_you": opening("あなたは", "あなたが", "あなたの"),
    "latin_word": latin_word,
    "source_sentence": source_sentence,
    "foreign_kanji": simplified_kanji,
    "hangul": korean_word,
    "half_width_kana": half_width,
    "mojibake": wrong_encoding,
    "digit_width": widen_digits,
    "lost_title": lose_titles,
    "doubled_honorific": double_honorific,
    "self_honorific": introduce_with_honorific,
    "latin_name": latin_name,
    "name_spelling": respell_name,
    "ascii_mark": swap(f"(?<={_J})[。、](?={_J}|$)", ". ", ", ", "! ", "? "),
    "missing_stop": drop_stop,
    "unbalanced_bracket": drop_bracket,
    "doubled_mark": swap(f"(?<={_J})[。、](?={_J}|$)", "&&"),
    "latin_quotes": western_quotes,
    "latin_ellipsis": swap(f"(?<={_J})(?:、|……?)(?={_J})", "...", "・・・", "。。。"),
    "latin_dash": swap(f"(?<={_J})(?:、|――)(?={_J})", "--", " -- ", "—", " – "),
    "inner_space": inner_space,
    "translationese": opening("そして", "しかし", "多くの", "すべての", "非常に", "最も", "彼の", "彼自身"),
    "dense_translationese": opening("人々がすべてのことができるために、", "多くの人々はそれを持っているために、"),
}


def _insert(segments: Sequence[str], sources, number: int, place: int, text: str) -> Planted:
    return _replace(segments, sources, number, place, place, text)


def _replace(segments: Sequence[str], sources, number: int, start: int, end: int, text: str) -> Planted:
    changed = list(segments)
    changed[number] = changed[number][:start] + text + changed[number][end:]
    return Planted(changed, sources, number, start, start + len(text))


def _substitute(segments, sources, rng, pattern: str, replacement, keep=lambda match: True) -> Planted | None:
    """Replace one match, drawn at random, by what `replacement` makes of it."""
    found = [(n, m) for n, segment in enumerate(segments) for m in re.finditer(pattern, prose(segment)) if keep(m)]
    if not found:
        return None
    number, match = rng.choice(found)
    return _replace(segments, sources, number, *match.span(), replacement(match.group()))


def _choose(segments, rng, keep=lambda sentence: True) -> Sentence | None:
    found = [sentence for sentence in sentences(segments) if sentence.closed and keep(sentence)]
    return rng.choice(found) if found else None


def _starts_plainly(sentence: Sentence) -> bool:
    """Whether a word can be put before a sentence: it begins with Japanese, not with a mark or a bracket."""
    return re.match(_J, sentence.text) is not None


def _boundary(segments, rng) -> tuple[int, int] | None:
    """A place after a particle inside a sentence, before a Japanese word: (segment, offset)."""
    places = []
    for sentence in sentences(segments):
        found = morphemes(sentence.text)
        places += [
            (sentence.segment, sentence.start + m.end)
            for m, after in zip(found, found[1:], strict=False)
            if sentence.closed and m.pos == "助詞" and m.end == after.start and re.match(_J, after.surface)
        ]
    return rng.choice(places) if places else None


def _full_width(text: str) -> str:
    return text.translate(FULL_WIDTH)


def _respelt(word: str, rng: random.Random) -> str:
    """Another spelling of a name: a long vowel lost, gained or written out, a kana of the same row."""
    ways = [word.replace("ー", "", 1), word + "ー" if word[-1] not in "ーンッ" else word, word.replace("ッ", "", 1)]
    respellings = {"ヴィ": "ビ", "ヴァ": "バ", "ヴェ": "ベ", "ティ": "テイ", "ウィ": "ウイ"}
    if len(word) > names.MIN_SUBSTITUTED:
        respellings |= {"ス": "ズ", "ソ": "サ", "ド": "ト", "グ": "ク"}
    ways += [word.replace(old, new, 1) for old, new in respellings.items()]
    ways = [way for way in dict.fromkeys(ways) if way != word]
    return rng.choice(ways) if ways else word


def is_name(word: str) -> bool:
    """Whether a katakana word is one name: listed as a proper noun, or one unlisted word."""
    found = morphemes(word)
    return len(found) == 1 and (found[0].subpos == "固有名詞" or not found[0].known)
