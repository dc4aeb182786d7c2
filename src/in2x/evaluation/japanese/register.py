"""Register of sentence ends, and whether a document keeps to one.

Classes: *polite* (です, ます), *keigo* (polite with a respectful or humble verb), *plain* (dictionary and past form,
だ), *dearu* (である), *casual* (sentence particles such as よ and ね, contractions such as ちゃう), *none* (quotations,
headings, nouns, fragments). Three styles are consistent: polite with keigo; plain with dearu; plain with casual.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from in2x.evaluation.japanese.document import (
    JAPANESE,
    QUOTES,
    Finding,
    Sentence,
    bracket_pairs,
    prose,
    sentences,
    without_quotes,
    words,
)
from in2x.evaluation.japanese.morphology import Morpheme, morphemes

Register = Literal["polite", "keigo", "plain", "dearu", "casual", "none"]
STYLES = {
    "desu-masu": ("polite", "keigo"),
    "da-dearu": ("plain", "dearu"),
    "casual": ("plain", "casual"),
}
MIN_NARRATIVE = 3  # with two sentences no majority can be told

KEIGO_VERBS = words(
    "いらっしゃる おっしゃる 仰る なさる 召し上がる 召す 賜る たまわる いただく 頂く 戴く いたす 致す 申す"
    " 申し上げる 参る 伺う うかがう おる 存じる 存ずる 差し上げる さしあげる 承る うけたまわる"
    " ござる くださる 下さる"
)
KEIGO_NOUNS = words("拝見 拝読 拝聴 拝借 頂戴")
ASKING = re.compile(r"(?:て|で)(?:ください|下さい)")  # してください is polite, お待ちください is keigo
HONORIFIC_PHRASE = re.compile(
    r"[おご御](?!願い)[^\s、。おご御]{1,6}?(?:する|し(?=ま)|いたし|致し|にな[りっら]|ください|下さい|なさ[いりっ]|申し上げ|いただ|頂)"
)
GREETING = re.compile(r"(?:ありがとう|有難う|おはよう|おめでとう)ござい")
CASUAL_PARTICLES = words(
    "よ ね ねえ ねぇ な なあ なぁ さ ぜ ぞ わ の かな かなあ かしら もん もんか じゃん っけ や い べ ん よん"
)
CASUAL_VERBS = words("てる でる ちゃう じゃう ちまう とく どく たげる とる")
LINKS = words("が けど けれど けれども から ので し のに もの")  # a clause may end a sentence on these
INNER = words("て で は も ば ちゃ じゃ に と たり ても でも")  # within one predicate: 行って は い ない
FINITE = ("基本形", "音便基本形", "文語基本形", "命令")
MARKS = re.compile(r"[\s。．.！？!?…‥]+$")
LAUGHTER = "wｗ笑爆泣"  # beside emoji and marks, what may follow a predicate


@lru_cache(maxsize=1 << 14)
def classify(text: str) -> Register:
    """Name the register of one sentence by its end; quotations inside it are not looked at."""
    body = without_quotes(prose(text)).strip()
    body = MARKS.sub("", body)
    if body.endswith(("」", "』", "”", "】")) or _never_closes(body):
        return "none"
    body = _without_tail(body)
    if not re.search(f"[{JAPANESE}]$", body):
        return "none"
    found = morphemes(body)
    particles, rest = _split_particles(found)
    chain = _last_predicate(rest)
    if not chain:
        return "none"
    if _is_polite(chain):
        return "keigo" if _is_keigo(body, rest, chain) else "polite"
    if _is_neutral(text, particles, chain):
        return "none"
    if particles & CASUAL_PARTICLES or _is_contracted(chain):
        return "casual"
    return "dearu" if _is_dearu(chain) else "plain"


def narrative(segments: Sequence[str]) -> list[tuple[Sentence, Register]]:
    """Classify the sentences that carry the register of a document; quotations, headings and fragments are left out.

    A line without an end mark is a heading or a list item, unless no line of the document has one.
    """
    found = sentences(segments)
    marked = any(sentence.closed for sentence in found)
    classed = ((sentence, classify(sentence.text)) for sentence in found if sentence.closed or not marked)
    return [(sentence, register) for sentence, register in classed if register != "none"]


def style_of(registers: Sequence[Register]) -> tuple[str, int] | None:
    """The style that most sentences fit, with their number; among equals the first of the table; None without any."""
    counts = Counter(registers)
    if not counts:
        return None
    fits = {style: sum(counts[register] for register in members) for style, members in STYLES.items()}
    style = max(fits, key=lambda name: fits[name])
    return style, fits[style]


def consistency(segments: Sequence[str]) -> float | None:
    """Share of narrative sentences that fit the document's style, 0..1; None when there are fewer than three."""
    registers = [register for _, register in narrative(segments)]
    if len(registers) < MIN_NARRATIVE:
        return None
    return style_of(registers)[1] / len(registers)


def register_switches(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find the sentences that leave the style of their document."""
    classed = narrative(segments)
    if len(classed) < MIN_NARRATIVE:
        return []
    style, _ = style_of([register for _, register in classed])
    return [
        Finding(
            "register_switch",
            "major",
            sentence.segment,
            sentence.start,
            sentence.end,
            f"{register} in a {style} document",
        )
        for sentence, register in classed
        if register not in STYLES[style]
    ]


def _without_tail(body: str) -> str:
    """Cut off what follows the predicate: brackets with what is in them, emoji, laughter."""
    pairs = {close: open_ for open_, close in bracket_pairs(body)}
    end = len(body)
    while end and (end - 1 in pairs or body[end - 1] in LAUGHTER or not body[end - 1].isalnum()):
        end = pairs.get(end - 1, end - 1)
    return body[:end]


def _never_closes(body: str) -> bool:
    """Whether a line opens a quotation that goes on in the next paragraph."""
    return body.startswith(tuple(QUOTES)) and not any(mark in body for mark in "」』”")


def _split_particles(found: Sequence[Morpheme]) -> tuple[set[str], list[Morpheme]]:
    """Take the sentence-final particles off the end: (their surfaces, what stands before them)."""
    rest, particles = list(found), set()
    while rest:
        last = rest[-1]
        final = last.pos == "助詞" and ("終助詞" in last.subpos or last.surface in LINKS)
        asking = last.surface in ("の", "ん") and last.subpos == "非自立" and last.pos == "名詞" and len(rest) > 1
        final = final or asking and _is_finite(rest[-2])
        if not (final or last.pos == "記号" or last.pos in ("感動詞", "フィラー") and last.surface in CASUAL_PARTICLES):
            break
        particles.add(last.surface)
        rest.pop()
    return particles, rest


def _last_predicate(rest: Sequence[Morpheme]) -> list[Morpheme]:
    """The last verb or adjective (or copula) with what is attached to it, in order; empty when a noun stands last."""
    chain: list[Morpheme] = []
    for morpheme in reversed(rest):
        if morpheme.pos in ("動詞", "形容詞") and morpheme.subpos == "自立":
            return [morpheme, *chain]
        attached = (
            morpheme.pos == "助動詞"
            or morpheme.pos in ("動詞", "形容詞")
            or (chain and morpheme.pos == "助詞" and morpheme.surface in INNER)
            or (chain and morpheme.pos == "名詞" and morpheme.subpos == "非自立")
        )
        if not attached:
            break
        chain.insert(0, morpheme)
    return chain if any(m.pos in ("助動詞", "動詞", "形容詞") for m in chain) else []


def _is_polite(chain: Sequence[Morpheme]) -> bool:
    return any(
        (m.lemma in ("です", "ます") and m.pos == "助動詞" and not (m is chain[-1] and m.surface == "でしょ"))
        or m.lemma == "ござる"
        or (m.lemma in ("くださる", "下さる") and m.form.startswith("命令"))
        for m, after in zip(chain, [*chain[1:], None], strict=True)
        if not (m.surface == "まし" and after is not None and after.lemma == "だ")  # ましだった is the adjective
    )


def _is_neutral(text: str, particles: set[str], chain: Sequence[Morpheme]) -> bool:
    """Whether the end suits any style: rhetorical 〜のか, an open clause (〜ので。), an exclaimed adjective, a stem."""
    open_clause = bool(particles & LINKS) and not particles & CASUAL_PARTICLES
    exclaimed = len(chain) == 1 and chain[0].pos == "形容詞" and text.rstrip().endswith(("！", "!", "？", "?"))
    asked = "か" in particles <= {"か", "の", "ん"}
    return asked or open_clause or exclaimed or not (_is_finite(chain[-1]) or _is_contracted(chain))


def _is_keigo(body: str, rest: Sequence[Morpheme], chain: Sequence[Morpheme]) -> bool:
    """Whether a respectful or humble form is part of the last predicate."""
    asking = ASKING.search(body[chain[0].start :])
    greeting = GREETING.search(body)
    plain_use = {"くださる", "下さる"} if asking else {"ござる"} if greeting else set()
    if any(m.lemma in KEIGO_VERBS - plain_use for m in chain):
        return True
    before = [m for m in rest if m.start < chain[0].start][-3:]
    if before and before[-1].surface in KEIGO_NOUNS and chain[0].lemma in ("する", "いたす", "致す"):
        return True
    return any(HONORIFIC_PHRASE.match(body, m.start) for m in [*before, chain[0]])


def _is_contracted(chain: Sequence[Morpheme]) -> bool:
    return any(
        m.lemma in CASUAL_VERBS
        or m.surface in ("じゃ", "ちゃ", "じゃん", "きゃ", "ねえ", "ねぇ", "んなきゃ")
        or (m is chain[-1] and m.surface in ("だろ", "でしょ", "だい", "かい"))
        for m in chain
    )


def _is_finite(morpheme: Morpheme) -> bool:
    return (
        morpheme.pos in ("動詞", "形容詞", "助動詞")
        and morpheme.form.startswith(FINITE)
        or morpheme.surface in ("う", "まい")
    )


def _is_dearu(chain: Sequence[Morpheme]) -> bool:
    return any(
        first.lemma == "だ" and first.form == "連用形" and second.lemma == "ある"
        for first, second in zip(chain, chain[1:], strict=False)
    )
