"""Unnatural Japanese made by rule from what a person wrote: the rejected side of preference pairs, by kind.

A rule takes the person's text, its source, a pool of other texts by people, and a seeded generator. It returns (chosen,
rejected), or None where the text has no room for it. Only `register` changes the chosen text, which it lengthens by a
sentence of the same register, so that there is something to mix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from in2x.evaluation.japanese.corruptions import PLAIN_TO_POLITE, POLITE_TO_PLAIN
from in2x.evaluation.japanese.document import sentences
from in2x.evaluation.japanese.morphology import morphemes
from in2x.evaluation.japanese.pronouns import FAMILIES, found_pronouns
from in2x.evaluation.japanese.register import STYLES, classify

Rule = Callable[[str, str, Sequence[str], np.random.Generator], "tuple[str, str] | None"]

WRONG_PARTICLES = {"を": "にがへ", "に": "をが", "で": "をが", "が": "をに", "へ": "をが", "は": "を"}
PRONOUNS = {
    "i": "私", "he": "彼", "she": "彼女", "they": "彼ら", "you": "あなた", "it": "それ", "we": "私たち", "this": "これ",
}  # fmt: skip
POSSESSIVES = {
    "my": "私の",
    "his": "彼の",
    "her": "彼女の",
    "their": "彼らの",
    "your": "あなたの",
    "its": "その",
    "our": "私たちの",
}
NUM_PARTNERS = 20  # texts of the pool that are tried
_PLAIN = "[^はがをにでともへの、。！？「」\\s]"
ACTIVE = re.compile(rf"(?P<agent>{_PLAIN}{{1,8}})は(?P<object>{_PLAIN}{{1,10}})を(?P<rest>.+)", re.DOTALL)
SURU = (
    ("しています", "されています"), ("していました", "されていました"), ("している", "されている"),
    ("していた", "されていた"), ("しました", "されました"), ("します", "されます"),
    ("した", "された"), ("する", "される"),
)  # fmt: skip
ICHIDAN = {
    "る": "られる",
    "た": "られた",
    "ます": "られます",
    "ました": "られました",
    "ている": "られている",
    "ていた": "られていた",
}


def wrong_particle(text: str, source: str, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """One particle of case or topic is another one."""
    places = [
        m
        for m in _morphemes(text)
        if m.pos == "助詞" and m.surface in WRONG_PARTICLES and m.subpos in ("格助詞", "係助詞") and m.start
    ]
    if not places:
        return None
    chosen = places[int(rng.integers(len(places)))]
    wrong = WRONG_PARTICLES[chosen.surface]
    return text, text[: chosen.start] + wrong[int(rng.integers(len(wrong)))] + text[chosen.end :]


def kept_pronouns(text: str, source: str, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """Every pronoun of the English source that the person left out is written: as topic, or before the object."""
    families = {FAMILIES[name] for name in FAMILIES if name in text} | {
        family for sentence in sentences([text]) for family, *_ in found_pronouns(sentence.text)
    }
    words = re.findall(r"[a-z]+", source.lower())
    topics = [PRONOUNS[word] for word in words if word in PRONOUNS and PRONOUNS[word] not in families]
    owners = [POSSESSIVES[word] for word in words if word in POSSESSIVES and POSSESSIVES[word] not in text]
    changed = text
    if owners and (
        match := re.search(r"(?:(?<=[はがにで、])|^)(?=[^はがをにでともへの、。！？「」\s]{1,8}を)", changed)
    ):
        changed = changed[: match.start()] + owners[0] + changed[match.start() :]
    if topics and not re.match(rf"[「『（]|{_PLAIN}{{1,8}}[はが]", text):
        changed = topics[0] + "は" + changed
    return (text, changed) if changed != text else None


def passive(text: str, source: str, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """A calque of the English passive: 彼は部屋を掃除した。 becomes 部屋は彼によって掃除された。"""
    body = re.sub(r"[。！？\s]+$", "", text)
    match = ACTIVE.fullmatch(body)
    if not match:
        return None
    verb = _passive_verb(match["rest"])
    if verb is None:
        return None
    return text, f"{match['object']}は{match['agent']}によって{verb}" + text[len(body) :]


def mixed_register(text: str, source: str, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """A text of two sentences and more in one register, and the same with one of them in the other register."""
    whole = text if len(sentences([text])) > 1 else _with_partner(text, pool, rng)
    if whole is None:
        return None
    found = sentences([whole])
    styles = {_style(sentence.text) for sentence in found}
    if len(styles) > 1 or None in styles:
        return None
    rules = POLITE_TO_PLAIN if styles == {"polite"} else PLAIN_TO_POLITE
    ways = [(s, old, new) for s in found for old, new in rules if s.text.endswith(old)]
    if not ways:
        return None
    sentence, old, new = ways[int(rng.integers(len(ways)))]
    return whole, whole[: sentence.end - len(old)] + new + whole[sentence.end :]


RULES: dict[str, Rule] = {
    "particles": wrong_particle,
    "pronouns": kept_pronouns,
    "passives": passive,
    "register": mixed_register,
}


def _with_partner(text: str, pool: Sequence[str], rng: np.random.Generator) -> str | None:
    """The text and another one of its register; None where a few draws find none."""
    style = _style(text)
    if style is None or not text.endswith("。") or not len(pool):
        return None
    for place in rng.integers(len(pool), size=NUM_PARTNERS):
        other = pool[int(place)]
        if other != text and other.endswith("。") and len(sentences([other])) == 1 and _style(other) == style:
            return text + other
    return None


def _style(sentence: str) -> str | None:
    """ "polite" or "plain"; None for what suits both, and for talk."""
    name = classify(sentence)
    if name in STYLES["desu-masu"]:
        return "polite"
    return "plain" if name in STYLES["da-dearu"] else None


def _passive_verb(rest: str) -> str | None:
    """The end of a sentence in the passive, for verbs in する and one-row verbs."""
    found = _morphemes(rest)
    verbs = [m for m in found if m.pos == "動詞" and m.subpos == "自立"]
    if len(verbs) != 1:
        return None
    verb = verbs[0]
    if verb.conjugation.startswith("サ変"):
        ways = SURU
        head, tail = rest[: verb.start], rest[verb.start :]
        return next((head + new for old, new in ways if tail == old), None)
    if verb.conjugation == "一段":
        stem_end = verb.end - (1 if verb.surface.endswith("る") else 0)
        tail = rest[stem_end:]
        return rest[:stem_end] + ICHIDAN[tail] if tail in ICHIDAN else None
    return None


def _morphemes(text: str):
    return morphemes(text) if "\n" not in text else ()
