"""Person names: titles of the source, honorifics, one spelling per name, no Latin letters in running prose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

from in2x.evaluation.japanese.document import Finding, blank, check_segments, prose, words
from in2x.evaluation.japanese.morphology import morphemes

TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\b\.?\s+((?:[A-Z][\w’'-]*\.?\s?)+)")
_LATIN_TITLE = r"(?<![A-Za-z])(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)(?![A-Za-z])\.?"
_NAME_CHAR = "[ァ-ヺー一-鿿々A-Za-z]"
HONORIFIC = re.compile(
    f"(?<={_NAME_CHAR})(?:さん|さま|くん|ちゃん|(?:様|氏|君|殿|嬢|卿|相)(?![一-鿿]))"
    "|先生|博士|教授|夫人|女史|閣下|医師|(?<![ァ-ヺー])(?:ドクター|プロフェッサー|ミスター|ミセス|ミズ|ミス)"
    "|大統領|首相|議員|長官|大臣|市長|知事|総裁|会長|社長|部長|校長|監督|選手|弁護士|判事|検事|警部|大佐|船長"
    f"|候補|容疑者|被告|旦那|{_LATIN_TITLE}"
)
PREFIXED = re.compile(
    rf"(?:(?<![ァ-ヺー])(?:ミスター|ミセス|ミズ|ドクター)|{_LATIN_TITLE})[・\s]?"
    rf"(?:{_NAME_CHAR}|・){{1,20}}?(?:さん|さま|様|氏|先生|博士|教授)"
)
DOUBLED = re.compile(
    f"(?<={_NAME_CHAR})(?:さん(?:さん|さま|様|氏|先生|君|くん|ちゃん)|様(?:さん|氏|先生|君|くん|殿|様)"
    "|氏(?:さん|さま|様|氏|君)|先生(?:さん|さま|様|氏|君|くん|先生)|(?:君|くん|ちゃん)(?:さん|さま|様|氏)"
    "|(?:博士|教授)(?:さん|さま|様|氏|君|先生|博士|教授)|殿(?:さん|様|氏))"
)
_NAME = f"(?:{_NAME_CHAR}|・){{1,15}}(?:さん|さま|様|氏|ちゃん|くん|君)"
SELF = re.compile(
    "(?:私|わたし|わたくし|僕|ぼく|俺|おれ)(?:の名前)?は、?"
    f"{_NAME}(?:です|でした|だ|である|と申|といい|と言い)|{_NAME}と申し"
)
KATAKANA = re.compile("[ァ-ヺ][ァ-ヺー]{2,}")
LATIN_NAME = re.compile(
    r"(?<![A-Za-z0-9@#._/-])(?:[A-Z][a-zà-ɏ]+\.?[ ・]?){1,3}"
    r"(?=さん|さま|様|氏|先生|博士|教授|くん|ちゃん|夫人)"
)
GIVEN_NAMES = words(
    "James John Robert Michael William David Richard Joseph Thomas Charles Christopher Daniel Matthew Anthony"
    " Donald Steven Andrew Paul Joshua Kenneth Kevin Brian George Timothy Ronald Edward Jason Jeffrey Ryan"
    " Jacob Nicholas Gary Eric Jonathan Stephen Larry Scott Benjamin Samuel Gregory Alexander Patrick Frank"
    " Raymond Jack Dennis Jerry Tyler Aaron Peter Henry Arthur Mary Patricia Jennifer Linda Elizabeth Barbara"
    " Susan Jessica Sarah Karen Lisa Nancy Betty Sandra Margaret Ashley Kimberly Emily Donna Michelle Carol"
    " Amanda Melissa Deborah Stephanie Rebecca Laura Sharon Cynthia Kathleen Amy Angela Shirley Anna Brenda"
    " Pamela Emma Nicole Helen Samantha Katherine Christine Rachel Carolyn Janet Maria Heather Diane Julie"
    " Olivia Alice Jane Anne Tom Bob Bill Jim Mike Dave Steve Chris Kate Lucy Sophie Oliver Harry"
)
# Four words and more: a quotation, a title, an address.
LATIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9'’.&-]*(?:[ ,]+[A-Za-z0-9][A-Za-z0-9'’.&-]*){3,}")
CAPITALISED = re.compile(r"(?<![A-Za-z0-9@#._/-])[A-Z][a-zà-ɏ]+(?![A-Za-z0-9@_/-]|\.[A-Za-z])")
MIN_SUBSTITUTED = 4
SMALL = str.maketrans("ァィゥェォャュョヮヂヅヲヰヱ", "アイウエオヤユヨワジズオイエ")
VOWELS = "アイウエオ"
ROWS = (
    VOWELS, "カキクケコガギグゲゴ", "サシスセソザジズゼゾ", "タチツテトダヂヅデド", "ナニヌネノ",
    "ハヒフヘホバビブベボパピプペポ", "マミムメモ", "ラリルレロ",
)  # fmt: skip
CELLS = {kana: (number, place % 5) for number, row in enumerate(ROWS) for place, kana in enumerate(row)}


def lost_titles(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find segments with fewer honorifics than the source has people with Mr, Mrs, Ms, Miss, Dr or Professor.

    Any honorific or office counts, wherever it stands. Without sources nothing is found.
    """
    check_segments(segments, sources)
    found = []
    for number, (segment, source) in enumerate(zip(segments, sources or (), strict=False)):
        people = {match.group(1).split()[-1] for match in TITLE.finditer(source)}
        num_honorifics = len(HONORIFIC.findall(segment))
        if segment and num_honorifics < len(people):
            message = f"{len(people)} titles in the source ({', '.join(sorted(people))}), {num_honorifics} honorifics"
            found.append(Finding("lost_title", "minor", number, 0, len(segment), message))
    return found


def doubled_honorifics(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find two honorifics on one name: 田中様さん, ミスター・スミスさん, Dr. スミス先生."""
    check_segments(segments, sources)
    return [
        Finding("doubled_honorific", "major", number, *match.span(), f"two honorifics: {match.group()!r}")
        for number, segment in enumerate(segments)
        for pattern in (DOUBLED, PREFIXED)
        for match in pattern.finditer(prose(segment))
    ]


def self_honorifics(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find an honorific on the speaker's own name: 私は田中さんです, 田中様と申します."""
    check_segments(segments, sources)
    return [
        Finding("self_honorific", "major", number, *match.span(), f"honorific on oneself: {match.group()!r}")
        for number, segment in enumerate(segments)
        for match in SELF.finditer(prose(segment))
    ]


def latin_names(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find names of people in Latin letters: before an honorific, with a title in the source, or common given names."""
    check_segments(segments, sources)
    found = []
    for number, segment in enumerate(segments):
        shown = blank(prose(segment), LATIN_TEXT)
        titled = {
            name for match in TITLE.finditer(sources[number] if sources else "") for name in match.group(1).split()
        }
        spans = [match.span() for match in LATIN_NAME.finditer(shown)]
        for match in CAPITALISED.finditer(shown):
            person = match.group() in titled | GIVEN_NAMES and len(match.group()) > 1
            if person and not any(start <= match.start() < end for start, end in spans):
                spans.append(match.span())
        found += [
            Finding("latin_name", "minor", number, start, end, f"name in Latin letters: {shown[start:end].strip()!r}")
            for start, end in sorted(spans)
        ]
    return found


def name_spellings(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find katakana names that a document spells in two ways; the rarer spelling is pointed at, or both.

    Two words are spellings of one name when they differ in long vowels, small kana, ッ or ヴ alone, or, from
    `MIN_SUBSTITUTED` kana on, in the voice or vowel of one kana (ス, ズ, ソ) or in one more vowel. Common nouns pass.
    """
    check_segments(segments, sources)
    places = [
        (match.group(), number, match.start(), match.end())
        for number, segment in enumerate(segments)
        for match in KATAKANA.finditer(prose(segment))
    ]
    counts = Counter(word for word, *_ in places)
    words = sorted((word for word in counts if not is_common_noun(word)), key=lambda word: -counts[word])
    variant_of: dict[str, str] = {}
    for common, rare in combinations(words, 2):
        named = may_be_name(common) or may_be_name(rare)
        if named and rare not in variant_of and common not in variant_of and same_name(common, rare):
            variant_of[rare] = common
            if counts[common] == counts[rare]:
                variant_of[common] = rare
    return [
        Finding("name_spelling", "minor", number, start, end, f"{word}, elsewhere {variant_of[word]}")
        for word, number, start, end in places
        if word in variant_of
    ]


def same_name(one: str, other: str) -> bool:
    """Whether two different katakana words look like spellings of one name."""
    key, other_key = _key(one), _key(other)
    if min(len(key), len(other_key)) < 2 or max(len(one), len(other)) < 4:
        return False
    if key == other_key:
        return True
    if max(len(key), len(other_key)) < MIN_SUBSTITUTED:
        return False
    if len(key) == len(other_key):
        differing = [i for i, (a, b) in enumerate(zip(key, other_key, strict=True)) if a != b]
        return len(differing) == 1 and _close(key, other_key, differing[0])
    shorter, longer = sorted((key, other_key), key=len)
    if len(longer) - len(shorter) != 1:
        return False
    return any(longer[i] in VOWELS and longer[:i] + longer[i + 1 :] == shorter for i in range(1, len(longer)))


def _key(word: str) -> str:
    """A spelling without long vowels, ッ, small kana and ヴ."""
    for group, plain in (
        ("ヴァ", "バ"),
        ("ヴィ", "ビ"),
        ("ヴェ", "ベ"),
        ("ヴォ", "ボ"),
        ("ヴ", "ブ"),
        ("ー", ""),
        ("ッ", ""),
    ):
        word = word.replace(group, plain)
    return word.translate(SMALL)


def _close(key: str, other_key: str, place: int) -> bool:
    """Whether two kana differ in voice, or, but for the last one, in vowel: ウォルト is not ウォルター."""
    (row, column), (other_row, other_column) = (CELLS.get(text[place], (-1, -1)) for text in (key, other_key))
    return row == other_row >= 0 and (column == other_column or place < len(key) - 1)


@lru_cache(maxsize=1 << 14)
def may_be_name(word: str) -> bool:
    """Whether a word has a part that the dictionary does not list, or lists as a proper noun."""
    return any(not m.known or m.subpos == "固有名詞" for m in morphemes(word))


@lru_cache(maxsize=1 << 14)
def is_common_noun(word: str) -> bool:
    """Whether the dictionary lists a word, and not as a proper noun."""
    found = morphemes(word)
    return len(found) == 1 and found[0].known and found[0].subpos != "固有名詞"
