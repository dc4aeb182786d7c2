"""Rules of Japanese style that need no model: kanji are used, and one text keeps to one register.

On 20,000 texts of people (Tatoeba) 57 of 7,100 with twelve hiragana and more have no kanji, 19 of 276 with two
sentences and more mix registers, and none puts a blunt particle behind a polite end. Shorter texts are held against
their reference: see docs/rewards.md for how many people spell out what another wrote in kanji.
"""

from __future__ import annotations

import re

from in2x.evaluation.japanese.document import sentences
from in2x.evaluation.japanese.register import classify
from in2x.rewards.gates import TRANSLATION_TASKS
from in2x.rewards.groups import Group

HIRAGANA, KANJI = re.compile("[ぁ-ん]"), re.compile("[々〇㐀-鿿]")
MIN_HIRAGANA = 12
MIN_KANJI_OF_REFERENCE = 2
BLUNT_AFTER_POLITE = re.compile(r"(?:です|ます|でした|ました|ません)(?:ぜ|ぞ)(?=[。！!]|$)")
POLITE, PLAIN = {"polite", "keigo"}, {"plain", "dearu"}


def style_score(group: Group, text: str) -> float:
    """1, less a half where no kanji is used though they belong there, and a half where registers are mixed: 0..1."""
    reference = group.reference if group.task in TRANSLATION_TASKS else None
    return 1.0 - 0.5 * spelled_out(text, reference) - 0.5 * mixed_register(text)


def spelled_out(text: str, reference: str | None = None) -> bool:
    """Whether a text in hiragana has no kanji: one of twelve and more, or one whose reference has two and more."""
    number = len(HIRAGANA.findall(text))
    if not number or KANJI.search(text):
        return False
    return number >= MIN_HIRAGANA or len(KANJI.findall(reference or "")) >= MIN_KANJI_OF_REFERENCE


def mixed_register(text: str) -> bool:
    """Whether sentences of one text end in polite and in plain forms, or a polite end has a blunt particle."""
    if BLUNT_AFTER_POLITE.search(text):
        return True
    ends = {classify(sentence.text) for sentence in sentences([text])}
    return bool(ends & POLITE) and bool(ends & PLAIN)
