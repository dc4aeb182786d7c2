"""Pronouns: Japanese leaves most of them out, a literal translation keeps them.

`pronouns` lists every one, a rate to hold against `REFERENCE_RATE`; `pronoun_overuse` marks documents with a rate that
few human translations reach; `pronoun_chains` the sentences that repeat the topic or subject of the one before;
`pronoun_you` あなた, which Japanese replaces by a name, a title or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from in2x.evaluation.japanese.document import Finding, Sentence, prose, sentences, without_quotes, words
from in2x.evaluation.japanese.morphology import morphemes

FAMILIES = {
    "彼": "彼", "彼女": "彼女", "彼ら": "彼ら", "彼等": "彼ら", "私": "私", "わたし": "私", "わたくし": "私",
    "あなた": "あなた", "貴方": "あなた", "それ": "それ", "それら": "それ", "これ": "これ", "これら": "これ",
}  # fmt: skip
PERSONS = frozenset(("彼", "彼女", "彼ら", "私", "あなた"))
ROLES = words("は が も")  # topic or subject
# Pronouns per sentence in the English-Japanese references of WMT21 to WMT24 (6,983 sentences). Texts written in
# Japanese (the sources of WMT21 to WMT23, 5,077 sentences) have 0.042, translated novels (19,657 sentences) 0.486.
REFERENCE_RATES = {
    "私": 0.063, "それ": 0.046, "これ": 0.045, "彼": 0.019, "彼女": 0.011, "あなた": 0.010, "彼ら": 0.007,
}  # fmt: skip
REFERENCE_RATE = sum(REFERENCE_RATES.values())
OVERUSE_RATE, OVERUSE_MIN = 0.6, 4


@lru_cache(maxsize=1 << 12)
def found_pronouns(text: str) -> tuple[tuple[str, int, int, bool], ...]:
    """The pronouns of one sentence: (family, start, end, whether it is the topic or subject)."""
    found = morphemes(prose(text))
    followers = [*(m.surface for m in found), ""][1:]
    return tuple(
        (FAMILIES[m.surface], m.start, m.end, after in ROLES)
        for m, after in zip(found, followers, strict=True)
        if m.subpos == "代名詞" and m.surface in FAMILIES
    )


def pronouns(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """List every pronoun; not faults one by one, their rate is what tells."""
    return _occurrences("pronouns", "note", segments, frozenset(REFERENCE_RATES))


def pronoun_overuse(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Mark the document, at its first pronoun, when it has more than OVERUSE_RATE pronouns a sentence."""
    num_sentences, found = len(sentences(segments)), pronouns(segments)
    if len(found) < OVERUSE_MIN or len(found) <= OVERUSE_RATE * num_sentences:
        return []
    first = found[0]
    message = (
        f"{len(found)} pronouns in {num_sentences} sentences; human translations have {REFERENCE_RATE:.2f} a sentence"
    )
    return [Finding("pronoun_overuse", "major", first.segment, first.start, first.end, message)]


def pronoun_chains(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find personal pronouns that repeat the topic or subject of the sentence before; quotations are not read."""
    found, before = [], frozenset()
    for sentence in sentences(segments):
        if without_quotes(sentence.text) != sentence.text:
            before = frozenset()
            continue
        subjects = [item for item in found_pronouns(sentence.text) if item[3] and item[0] in PERSONS]
        found += [
            _finding("pronoun_chain", "minor", sentence, start, end, f"{family} is the subject once more")
            for family, start, end, _ in subjects[:1]
            if family in before
        ]
        before = frozenset(family for family, *_ in subjects)
    return found


def pronoun_you(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find あなた."""
    return _occurrences("pronoun_you", "minor", segments, frozenset(("あなた",)))


def _occurrences(check: str, severity, segments: Sequence[str], families: frozenset[str]) -> list[Finding]:
    return [
        _finding(check, severity, sentence, start, end, f"pronoun {family}")
        for sentence in sentences(segments)
        for family, start, end, _ in found_pronouns(sentence.text)
        if family in families
    ]


def _finding(check: str, severity, sentence: Sentence, start: int, end: int, message: str) -> Finding:
    return Finding(check, severity, sentence.segment, sentence.start + start, sentence.start + end, message)
