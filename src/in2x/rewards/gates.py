"""Gates: what must hold before anything dearer is asked of a hypothesis (method section 4).

A gate returns None, or a short reason that names it ("language: 4% of letters are kana or kanji"). They look
at scripts, not at words: English passed off as German is for a language model to find, not for this module.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np

from in2x.evaluation.japanese.document import CODE
from in2x.rewards.rules import without_protected

# The script(s) a language is written in, by primary BCP 47 subtag; Japanese has its own rule below.
LANGUAGE_SCRIPTS: dict[str, frozenset[str]] = {
    language: frozenset(scripts.split("+"))
    for scripts, languages in {
        "LATIN": "en de fr es it pt nl sv da no nb nn is fi et lv lt pl cs sk sl hr bs hu ro sq mt ga"
        " cy eu ca gl tr az vi id ms jv tl fil sw so ha yo ig zu xh mas",
        "CYRILLIC": "ru uk be bg mk kk ky mn",
        "LATIN+CYRILLIC": "sr uz",
        "GREEK": "el",
        "HEBREW": "he yi",
        "ARABIC": "ar arz fa ur ps",
        "DEVANAGARI": "hi mr ne bho mai sa",
        "BENGALI": "bn as",
        "GURMUKHI": "pa",
        "GUJARATI": "gu",
        "TAMIL": "ta",
        "TELUGU": "te",
        "KANNADA": "kn",
        "MALAYALAM": "ml",
        "SINHALA": "si",
        "THAI": "th",
        "LAO": "lo",
        "KHMER": "km",
        "MYANMAR": "my",
        "ETHIOPIC": "am",
        "ARMENIAN": "hy",
        "GEORGIAN": "ka",
        "HANGUL": "ko",
        "HAN": "zh yue",
        "HAN+KANA": "ja",
    }.items()
    for language in languages.split()
}
SCRIPT_SUBTAGS = {
    "latn": "LATIN",
    "cyrl": "CYRILLIC",
    "arab": "ARABIC",
    "deva": "DEVANAGARI",
}  # sr-Latn, uz-Cyrl
DENSE_SCRIPTS = {
    "HAN",
    "KANA",
    "HANGUL",
}  # a foreign name costs two to three times the letters of its translation
MIN_SHARE, MIN_SHARE_DENSE = 0.5, 0.3
MAX_LETTERS_WITHOUT_KANA = 12  # a headline or a name; kanji prose of any length has kana
MIN_KANA_SHARE = 0.1  # of kana + kanji in longer Japanese; prose has 0.4 and more
MAX_FOREIGN_HAN_SHARE = 0.2  # of kanji outside the Japanese character set, such as simplified Chinese

MAX_COPIED_LETTERS = 12  # one word this short may stay as it is: a name or a number
COPY_NGRAM, MAX_COPIED_SHARE, MIN_OVERLAP_LETTERS = 8, 0.8, 24

SPECIAL_TOKENS = re.compile(
    r"<[|｜][^<>\n]{1,40}[|｜]>|</?s>|<(?:pad|unk|bos|eos|mask)>|</?(?:think|tool_call)>|<0x[0-9A-Fa-f]{2}>|\[/?INST\]"
)
UNREADABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffd]")
LOOP_MAX_PERIOD, LOOP_MIN_REPEATS, LOOP_MIN_CHARS = 128, 4, 24
LOOP_REPEATED_PAIRS = LOOP_MIN_CHARS - 1 - LOOP_MIN_CHARS // LOOP_MIN_REPEATS
"""A loop has at least so many pairs of characters twice: L - 1 of them in L characters, no more than L / 4 distinct."""
NOT_ALNUM = re.compile(r"[\W_]+")

_CAPITAL, _LETTER = "A-ZÀ-ÖØ-ÞΑ-ΩА-Я", "A-Za-zÀ-ÖØ-öø-ÿΑ-ωА-я0-9"
NAME = re.compile(rf"(?<![{_LETTER}-])[{_CAPITAL}][{_LETTER}]*(?:['’.-][{_LETTER}]+)*")
IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[_.][A-Za-z0-9]+)+(?:\(\))?|[a-z]+[A-Z]\w*|[A-Za-z]\w*\(\)", re.ASCII)
ROLE_LINE = re.compile(r"^\s*(?:user|assistant|system|human)\s*[:：]", re.IGNORECASE | re.MULTILINE)
INSTRUCTION = re.compile(
    r"^\s*(?:Translate (?:the following .{0,30})?(?:in)?to [A-Z]\w+|Say it differently:)", re.IGNORECASE | re.MULTILINE
)
PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course)[,!.:]\s+here|here(?:'s|’s| is| are) (?:the|a|my|your) \w*\s*translation"
    r"|(?:japanese |english |chinese )?translation\s*[:：]|(?:日本語訳|翻訳|訳文|和訳)\s*[:：]"
    r"|以下[はがに].{0,12}(?:翻訳|訳)(?:です|文))",
    re.IGNORECASE,
)
MIN_INSTRUCTION_LETTERS = 12
TRANSLATION_TASKS = ("translate", "register", "paragraph", "document", "paraphrase", "glossary", "style")
"""Tasks whose completions are held against the source; of others only the form is looked at."""


def check_gates(
    hypothesis: str,
    source: str,
    target_language: str,
    finished: bool,
    *,
    prompt: str = "",
    task: str = "translate",
) -> str | None:
    """Run all gates, cheapest and most specific first; returns the first reason, or None when all are passed.

    A task that is no translation (see TRANSLATION_TASKS) has no source to copy and no language to keep to.

    Raises:
        ValueError: a target language without a row in the script table.
    """
    form = empty(hypothesis) or truncated(finished) or unparseable(hypothesis, source)
    if task not in TRANSLATION_TASKS:
        return form or leaked(hypothesis, source, prompt) or degenerate(hypothesis, source)
    _target_scripts(target_language)
    return (
        form
        or copied(hypothesis, source, target_language)
        or wrong_language(hypothesis, target_language, source)
        or leaked(hypothesis, source, prompt)
        or degenerate(hypothesis, source)
    )


def leaked(hypothesis: str, source: str, prompt: str = "") -> str | None:
    """Fail on what belongs to the conversation and not to the translation, unless the source has it too.

    That is the prompt's own instruction (its lines that are not of the source), or one as in2x.instruct.prompts writes
    them; a line that begins with a role ("User:"); an announcement in front ("Here is the translation", 日本語訳：).
    """
    written = _normalise(hypothesis)
    for line in prompt.splitlines():
        instruction = _normalise(line)
        if len(instruction) >= MIN_INSTRUCTION_LETTERS and line not in source and instruction in written:
            return "leakage: the prompt's instruction"
    for what, pattern in (("an instruction", INSTRUCTION), ("a role", ROLE_LINE)):
        if pattern.search(hypothesis) and not pattern.search(source):
            return f"leakage: {what}"
    if PREAMBLE.match(hypothesis) and not PREAMBLE.match(source):
        return "leakage: an announcement"
    return None


def empty(hypothesis: str) -> str | None:
    """Fail when nothing but whitespace is left."""
    return None if hypothesis.strip() else "empty"


def truncated(finished: bool) -> str | None:
    """Fail when generation stopped at the length limit instead of the end-of-sequence token."""
    return None if finished else "truncated: stopped before the end of sequence"


def unparseable(hypothesis: str, source: str = "") -> str | None:
    """Fail on special tokens that the source does not have, on U+FFFD, and on control characters."""
    for token in SPECIAL_TOKENS.findall(hypothesis):
        if token not in source:
            return f"unparseable: special token {token!r}"
    match = UNREADABLE.search(hypothesis)
    return f"unparseable: character U+{ord(match.group()):04X}" if match else None


def copied(hypothesis: str, source: str, target_language: str) -> str | None:
    """Fail when the source is handed back, whole or inside a longer answer.

    Compared are letters and digits only (NFKC, case folded). Equality fails unless the source is one short
    word or has no letters: names, numbers and URLs translate to themselves. Overlap, the share of the
    source's 8-grams found in the hypothesis, counts only when the source is not in a script of the target.
    """
    source_chars, hypothesis_chars = _normalise(source), _normalise(hypothesis)
    letters = _scripts(source)
    one_word = len(source.split()) == 1 and letters.total() <= MAX_COPIED_LETTERS
    if hypothesis_chars == source_chars and letters and not one_word:
        return "copy: equal to the source"
    if len(source_chars) < MIN_OVERLAP_LETTERS or not letters:
        return None
    if letters.most_common(1)[0][0] in _target_scripts(target_language):
        return None
    ngrams = _ngrams(source_chars)
    share = len(ngrams & _ngrams(hypothesis_chars)) / len(ngrams)
    return f"copy: {share:.0%} of the source repeated" if share >= MAX_COPIED_SHARE else None


def wrong_language(hypothesis: str, target_language: str, source: str = "") -> str | None:
    """Fail when too few letters are in a script of the target language; text without letters passes.

    URLs, placeholders, tags, code, and names of the source in its own letters are not counted, as long as something
    else is left, or the source has nothing else either. Japanese needs kana too, see `_not_japanese`.
    """
    scripts = _target_scripts(target_language)
    prose = without_mixed(hypothesis, source)
    if not _scripts(prose) and _scripts(without_mixed(source, source)):
        prose = hypothesis
    letters = _scripts(prose)
    if not letters:
        return None
    share = sum(letters[script] for script in scripts) / letters.total()
    if share < (MIN_SHARE_DENSE if scripts & DENSE_SCRIPTS else MIN_SHARE):
        wanted = "kana or kanji" if "KANA" in scripts else " or ".join(sorted(scripts)).lower()
        return f"language: {share:.0%} of letters are {wanted}"
    if "KANA" in scripts:
        return _not_japanese(_letters(prose), letters)
    if scripts == {"HAN"} and letters["KANA"] > MIN_KANA_SHARE * (letters["KANA"] + letters["HAN"]):
        return "language: kana in Chinese"
    return None


def degenerate(hypothesis: str, source: str = "") -> str | None:
    """Fail on a loop: a unit of 1..128 characters, at least 4 times in a row and over at least 24 characters.

    A source that loops itself (laughter, form blanks) may be answered with a loop.
    """
    period = _loop_period(hypothesis)
    return f"repetition: loop of {period} characters" if period and not _loop_period(source) else None


def without_mixed(text: str, source: str) -> str:
    """The text without its code-mixed spans: code, identifiers, and names that the source has in the same letters.

    A name is a word with a capital, elsewhere than at the beginning of a sentence of the source, or with two of them.
    """
    names = _names(source)
    text = IDENTIFIER.sub(" ", without_protected(CODE.sub(" ", text)))
    return NAME.sub(lambda match: " " if match.group() in names else match.group(), text)


@lru_cache(maxsize=1 << 12)
def _names(source: str) -> frozenset[str]:
    return frozenset(
        match.group()
        for match in NAME.finditer(source)
        if sum(char.isupper() for char in match.group()) > 1
        or source[: match.start()].rstrip(" \"'“‘(").rstrip()[-1:] not in ("", ".", "!", "?", ":", "\n")
    )


def scripts_differ(source: str, target_language: str) -> bool:
    """Whether the source is mostly in a script that the target language is not written in."""
    letters = _scripts(source)
    return bool(letters) and letters.most_common(1)[0][0] not in _target_scripts(target_language)


def _not_japanese(text: str, letters: Counter[str]) -> str | None:
    """Tell Japanese from Chinese: kana in all but headlines, kanji of the Japanese character set.

    Without kana only a short text of kanji and digits is Japanese, with capitals for acronyms (GDP速報値).
    """
    han, kana = letters["HAN"], letters["KANA"]
    foreign = sum(map(_foreign_han, text))
    if foreign > MAX_FOREIGN_HAN_SHARE * han:
        return f"language: {foreign} of {han} kanji are not Japanese"
    if letters.total() > MAX_LETTERS_WITHOUT_KANA and kana < MIN_KANA_SHARE * (han + kana):
        return f"language: {kana} kana beside {han} kanji"
    if kana == 0 and any(_script(char) != "HAN" and not char.isupper() for char in text):
        return "language: no kana"
    return None


def _target_scripts(target_language: str) -> frozenset[str]:
    primary, *subtags = target_language.replace("_", "-").lower().split("-")
    if primary not in LANGUAGE_SCRIPTS:
        raise ValueError(f"target language {target_language!r}: no script known, add it to LANGUAGE_SCRIPTS")
    named = [SCRIPT_SUBTAGS[subtag] for subtag in subtags if subtag in SCRIPT_SUBTAGS]
    return frozenset(named) or LANGUAGE_SCRIPTS[primary]


@lru_cache(maxsize=1 << 12)
def _scripts(text: str) -> Counter[str]:
    """Count letters per script outside protected spans; the cached result is read-only."""
    return Counter(map(_script, _letters(text)))


@lru_cache(maxsize=1 << 12)
def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, unicodedata.normalize("NFKC", without_protected(text))))


@lru_cache(maxsize=1 << 12)
def _ngrams(chars: str) -> frozenset[str]:
    return frozenset(chars[i : i + COPY_NGRAM] for i in range(len(chars) - COPY_NGRAM + 1))


@lru_cache(maxsize=1 << 14)
def _script(char: str) -> str:
    """Name a letter's script by the first word of its Unicode name; kana are pooled under KANA."""
    first = unicodedata.name(char, "UNKNOWN").split()[0]
    if first.startswith(("HIRAGANA", "KATAKANA")):
        return "KANA"
    return "HAN" if first in ("CJK", "IDEOGRAPHIC") else first


@lru_cache(maxsize=1 << 14)
def _foreign_han(char: str) -> bool:
    """Whether a character is Han and outside the Japanese character set."""
    if _script(char) != "HAN":
        return False
    try:
        char.encode("cp932")
    except UnicodeEncodeError:
        return True
    return False


@lru_cache(maxsize=1 << 12)
def _normalise(text: str) -> str:
    return NOT_ALNUM.sub("", unicodedata.normalize("NFKC", text).casefold())


def _loop_period(text: str) -> int:
    """Return the shortest period that loops, 0 if none; O(128 n) for n characters, whitespace removed."""
    chars = "".join(text.split())
    if len(chars) - 1 - len(set(pairwise(chars))) < LOOP_REPEATED_PAIRS:
        return 0
    codes = np.frombuffer(chars.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    for period in range(1, min(LOOP_MAX_PERIOD, codes.size // LOOP_MIN_REPEATS) + 1):
        needed = max(LOOP_MIN_REPEATS * period, LOOP_MIN_CHARS) - period  # characters in a row equal to the one before
        equal = codes[period:] == codes[:-period]
        if np.count_nonzero(equal) < needed:
            continue
        breaks = np.flatnonzero(~equal)
        longest = int(np.diff(breaks, prepend=-1, append=equal.size).max()) - 1
        if longest >= needed:
            return period
    return 0
