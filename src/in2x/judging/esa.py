"""ESA-like judging: mark the errors first, then give a score from 0 to 100.

After the order of work of error span annotation (ESA, Kocmi et al. 2024, 2406.11580); prompt and scale are our own.
Spans are kept only where they stand in the translation (an omission: in the source); what is dropped is counted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from in2x.judging.client import JudgeClient, Request
from in2x.judging.fence import fenced
from in2x.judging.parsing import answer_id, read_bare_score, read_number, read_object
from in2x.judging.segments import Gate, Message, Segment, Verdict, default_gate, failed, language_names, split_pair

VERSION = "esa-1"
CATEGORIES = (
    "mistranslation", "omission", "addition", "untranslated", "number", "name", "grammar", "unnatural", "register",
    "terminology", "punctuation", "other",
)  # fmt: skip

INSTRUCTIONS = """\
You are a professional {target} editor who reads {source} and judges translations from {source} into {target}.

Work in two steps.
1. Compare the translation with the source and list every error.
   span: the wrong words, copied exactly from the translation, as few as show the error. For an omission, copy the \
words of the source that are missing.
   severity: "major" if a reader is misled, offended or lost; "minor" if the reader understands but stumbles.
   category: one of {categories}.
   Stiff, word-for-word or foreign-sounding {target} is an error of category "unnatural". A free rendering that keeps \
meaning, tone and effect is not an error.
2. Give a score from 0 to 100 for the whole translation, in the light of the errors:
   0 nothing of the source is conveyed, or it is not {target}; 33 parts of the meaning are there; 66 most of the \
meaning is there, with errors or in unnatural {target}; 100 all of the meaning, written as a native writer of {target} \
would write it. Use the whole scale and any whole number."""

TASK = """\
Judge the text under "translation" as a translation of the text under "source"{with_reference}. Answer with one JSON \
object and nothing else:
{{"id": "{id}", "errors": [{{"span": "...", "severity": "minor", "category": "..."}}], "score": N}}
"id" is "{id}". Without errors, "errors" is []. N is your score."""

WITH_REFERENCE = ' (the text under "reference" is one good translation among many)'


@dataclass(frozen=True)
class ErrorSpan:
    """Characters [start, end) of the translation; of the source for an omission."""

    text: str
    severity: Literal["minor", "major"]
    category: str
    start: int
    end: int


@dataclass(frozen=True)
class EsaResult:
    score: float  # 0..100
    spans: tuple[ErrorSpan, ...]
    num_dropped: int  # errors whose span stands nowhere, or without a known severity


def build(segment: Segment, nonce: str) -> list[Message]:
    """The request for one segment."""
    source, target = language_names(segment.pair)
    data = {"source": segment.source, "translation": segment.hypothesis}
    if segment.reference is not None:
        data["reference"] = segment.reference
    return fenced(
        INSTRUCTIONS.format(source=source, target=target, categories=", ".join(CATEGORIES)),
        data,
        TASK.format(id=answer_id(nonce), with_reference=WITH_REFERENCE if "reference" in data else ""),
        nonce,
    )


def parse(text: str, segment: Segment, nonce: str) -> EsaResult | None:
    """Score and spans; None where there is no certain score. A score alone ("85/100") is read, as one without spans."""
    answer = read_object(text, ("score",), nonce)
    score = read_bare_score(text) if answer is None else read_number(answer["score"])
    if score is None or 0 < score < 1:  # a fraction is a score on another scale
        return None
    errors = (answer or {}).get("errors") or []
    spans = [_span(error, segment) for error in errors] if isinstance(errors, list) else [None]
    kept = tuple(span for span in spans if span)
    return EsaResult(score, kept, len(spans) - len(kept))


def judge(client: JudgeClient, segments: Sequence[Segment], gate: Gate = default_gate) -> list[Verdict]:
    """A verdict for each segment, 0..100; what fails the gate gets 0 and is not asked about."""
    reasons = [gate(segment.hypothesis, segment.source, split_pair(segment.pair)[1]) for segment in segments]
    asked = [segment for segment, reason in zip(segments, reasons, strict=True) if reason is None]
    requests = [Request(lambda nonce, segment=segment: build(segment, nonce), VERSION) for segment in asked]
    verdicts = iter(
        [
            _verdict(answer, segment)
            for answer, segment in zip(client.ask_all(requests, "judge (esa)"), asked, strict=True)
        ]
    )
    return [next(verdicts) if reason is None else Verdict("gated", 0.0, reason) for reason in reasons]


def _verdict(answer, segment: Segment) -> Verdict:
    if answer.text is None:
        return failed(answer.failure)
    result = parse(answer.text, segment, answer.nonce)
    if result is None:
        return failed("no score could be read", answer.text)
    return Verdict("scored", result.score, raw=answer.text, detail=asdict(result))


def _span(error: object, segment: Segment) -> ErrorSpan | None:
    if not isinstance(error, dict) or not isinstance(error.get("span"), str):
        return None
    severity = str(error.get("severity", "")).strip().lower()
    category = str(error.get("category", "")).strip().lower()
    place = locate(error["span"], segment.source if category == "omission" else segment.hypothesis)
    if place is None or severity not in ("minor", "major"):
        return None
    return ErrorSpan(error["span"], severity, category if category in CATEGORIES else "other", *place)


def locate(span: str, text: str) -> tuple[int, int] | None:
    """Where `span` stands in `text`, [start, end): exactly, else but for width, whitespace and outer quotes."""
    start = text.find(span) if span else -1
    if start >= 0:
        return start, start + len(span)
    chars, places = _normalised(text)
    for candidate in (span, span.strip("\"'「」『』“”‘’ ")):
        wanted, _ = _normalised(candidate)
        start = chars.find(wanted) if wanted else -1
        if start >= 0:
            return places[start], places[start + len(wanted) - 1] + 1
    return None


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text without whitespace in compatibility form, and the place in `text` that each character is from."""
    pairs = [
        (char, place)
        for place, original in enumerate(text)
        for char in unicodedata.normalize("NFKC", original)
        if not char.isspace()
    ]
    return "".join(char for char, _ in pairs), [place for _, place in pairs]
