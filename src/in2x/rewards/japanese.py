"""Rules for Japanese alone: script and punctuation, and the register that a prompt asks for.

The analysis is that of in2x.evaluation.japanese. Other target languages are not measured.
"""

from __future__ import annotations

import re

from in2x.evaluation.japanese import punctuation, register, script
from in2x.evaluation.japanese.document import Finding, sentences
from in2x.rewards.groups import Group, Span

CHECKS = (
    script.foreign_kanji, script.hangul, script.half_width_kana, script.mojibake, script.source_sentences,
    punctuation.ascii_marks, punctuation.doubled_marks, punctuation.latin_quotes, punctuation.latin_ellipses,
    punctuation.latin_dashes, punctuation.inner_spaces, punctuation.unbalanced_brackets,
)  # fmt: skip
"""Faults that one sentence can have by itself; a missing 。 is none in a fragment, so that check is left out."""

SEVERITIES = {"major": 1.0, "minor": 0.5}
PROMPT = re.compile(r"^Translate into (polite|plain|honorific) Japanese:\n")
REGISTERS = {"polite": ("polite", "keigo"), "plain": ("plain", "dearu", "casual"), "honorific": ("keigo",)}
"""What a prompt asks for, and the classes of in2x.evaluation.japanese.register that answer it."""


def is_japanese(group: Group) -> bool:
    return group.target_language.split("-")[0] == "ja"


def script_score(group: Group, text: str) -> float:
    """1 / (1 + faults per sentence): 1 without faults, 1/2 with one in each sentence; a minor one counts half."""
    faults = sum(span.severity for span in script_spans(group, text))
    return 1 / (1 + faults / max(1, len(sentences([text]))))


def script_spans(group: Group, text: str) -> list[Span]:
    """Where script or punctuation isn't Japanese."""
    if not is_japanese(group):
        return []
    found = [finding for check in CHECKS for finding in check([text], [group.source])]
    return [_span(finding) for finding in found if finding.severity in SEVERITIES]


def requested_register(group: Group) -> str | None:
    """The register that the prompt names, as in2x.instruct.prompts writes it."""
    match = PROMPT.match(group.prompt) if is_japanese(group) else None
    return match[1] if match else None


def register_score(group: Group, text: str) -> float:
    """Share of the text's sentences in the register asked for; one without a register (a fragment) doesn't show it.

    A text of fragments alone has 0: what was asked for is not there.
    """
    wanted = REGISTERS[requested_register(group)]
    classes = [register.classify(sentence.text) for sentence in sentences([text])]
    told = [name for name in classes if name != "none"]
    return sum(name in wanted for name in told) / len(told) if told else 0.0


def _span(finding: Finding) -> Span:
    return Span(finding.start, finding.end, SEVERITIES[finding.severity], finding.message)
