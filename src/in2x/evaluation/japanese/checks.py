"""The table of checks: what each looks for, by what its findings are divided, and which direction is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from in2x.evaluation.japanese import names, pronouns, punctuation, register, script, translationese
from in2x.evaluation.japanese.document import Finding, sentences

CheckFunction = Callable[[Sequence[str], Sequence[str] | None], list[Finding]]
Unit = Literal["100 narrative sentences", "100 sentences", "100 segments", "100 documents", "1,000 characters"]
UNITS: dict[Unit, tuple[int, Callable[[Sequence[str]], int]]] = {
    "100 narrative sentences": (100, lambda segments: len(register.narrative(segments))),
    "100 sentences": (100, lambda segments: len(sentences(segments))),
    "100 segments": (100, len),
    "100 documents": (100, lambda segments: 1),
    "1,000 characters": (1000, lambda segments: sum(map(len, segments))),
}


@dataclass(frozen=True)
class Check:
    """One row: the rate is `factor of the unit` times the weights of the findings by the unit's count.

    `better` is "lower", or "human": the nearer to the rate of human translations the better.
    """

    function: CheckFunction
    unit: Unit
    better: Literal["lower", "human"]
    title: str


_SENTENCES, _CHARACTERS = "100 sentences", "1,000 characters"
CHECKS: dict[str, Check] = {
    "register_switch": Check(
        register.register_switches, "100 narrative sentences", "lower", "sentences outside the document's register"
    ),
    "pronouns": Check(pronouns.pronouns, _SENTENCES, "human", "pronouns (human translations: 20)"),
    "pronoun_overuse": Check(pronouns.pronoun_overuse, "100 documents", "lower", "documents full of pronouns"),
    "pronoun_chain": Check(pronouns.pronoun_chains, _SENTENCES, "lower", "the same pronoun as subject twice running"),
    "pronoun_you": Check(pronouns.pronoun_you, _SENTENCES, "human", "あなた (human translations: 1)"),
    "latin_word": Check(script.latin_words, _SENTENCES, "lower", "untranslated Latin words"),
    "source_sentence": Check(script.source_sentences, _SENTENCES, "lower", "untranslated sentences"),
    "foreign_kanji": Check(script.foreign_kanji, _CHARACTERS, "lower", "characters of Chinese alone"),
    "hangul": Check(script.hangul, _SENTENCES, "lower", "Hangul"),
    "half_width_kana": Check(script.half_width_kana, _SENTENCES, "lower", "half-width kana"),
    "mojibake": Check(script.mojibake, _SENTENCES, "lower", "text in a wrong encoding"),
    "digit_width": Check(script.digit_widths, _SENTENCES, "lower", "full-width and half-width digits mixed"),
    "lost_title": Check(names.lost_titles, "100 segments", "lower", "Mr, Dr ... without an honorific"),
    "doubled_honorific": Check(names.doubled_honorifics, _SENTENCES, "lower", "two honorifics on one name"),
    "self_honorific": Check(names.self_honorifics, _SENTENCES, "lower", "an honorific on oneself"),
    "latin_name": Check(names.latin_names, _SENTENCES, "lower", "names of people in Latin letters"),
    "name_spelling": Check(names.name_spellings, _SENTENCES, "lower", "one name spelt in two ways"),
    "ascii_mark": Check(punctuation.ascii_marks, _SENTENCES, "lower", "ASCII , . ! ? after Japanese"),
    "missing_stop": Check(punctuation.missing_stops, _SENTENCES, "lower", "sentences without 。"),
    "unbalanced_bracket": Check(punctuation.unbalanced_brackets, _SENTENCES, "lower", "brackets without a partner"),
    "doubled_mark": Check(punctuation.doubled_marks, _SENTENCES, "lower", "。。 and 、、"),
    "latin_quotes": Check(punctuation.latin_quotes, _SENTENCES, "lower", "Western quotation marks"),
    "latin_ellipsis": Check(punctuation.latin_ellipses, _SENTENCES, "lower", "... for ……"),
    "latin_dash": Check(punctuation.latin_dashes, _SENTENCES, "lower", "-- and — for ――"),
    "inner_space": Check(punctuation.inner_spaces, _SENTENCES, "lower", "spaces between Japanese characters"),
    "translationese": Check(
        translationese.markers, _CHARACTERS, "human", "markers of translationese, weighted (human translations: 7)"
    ),
    "dense_translationese": Check(
        translationese.dense_sentences, _SENTENCES, "lower", "sentences with several heavy markers"
    ),
}
