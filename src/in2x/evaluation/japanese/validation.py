"""Measure every check against planted faults: the share of them it finds, and how often it fires on clean text."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from in2x.evaluation.japanese.checks import CHECKS, Check
from in2x.evaluation.japanese.corruptions import CORRUPTIONS, Planted
from in2x.evaluation.japanese.document import Finding, sentences


@dataclass(frozen=True)
class Validation:
    """Counts of one check; `missed` holds a few faults it did not find."""

    num_planted: int
    num_caught: int
    num_sentences: int
    num_fired: int  # clean sentences with a finding
    missed: tuple[str, ...] = ()

    @property
    def caught_share(self) -> float | None:
        return self.num_caught / self.num_planted if self.num_planted else None

    @property
    def fired_share(self) -> float | None:
        return self.num_fired / self.num_sentences if self.num_sentences else None


def validate(
    documents: Sequence[tuple[Sequence[str], Sequence[str] | None]],
    *,
    seed: int = 0,
    plants_per_document: int = 1,
    checks: Mapping[str, Check] = CHECKS,
) -> dict[str, Validation]:
    """Plant faults in clean (segments, sources) of documents and run each check on the damaged and on the clean text.

    A fault counts as caught when a finding overlaps it. It is planted only in segments where the check is quiet on the
    clean text; each damaged copy has a single fault.
    """
    return {name: _validate_one(name, check, documents, seed, plants_per_document) for name, check in checks.items()}


def fired_sentences(segments: Sequence[str], findings: Sequence[Finding]) -> int:
    """Number of sentences that a finding overlaps."""
    return sum(any(_overlaps(f, s.segment, s.start, s.end) for f in findings) for s in sentences(segments))


def is_caught(planted: Planted, check: Check) -> bool:
    """Whether the check fires at the planted fault."""
    findings = check.function(planted.segments, planted.sources)
    return any(_overlaps(finding, planted.segment, planted.start, planted.end) for finding in findings)


def _validate_one(name: str, check: Check, documents, seed: int, plants_per_document: int) -> Validation:
    rng = random.Random(f"{seed}:{name}")
    num_planted = num_caught = num_sentences = num_fired = 0
    missed = []
    for segments, sources in documents:
        clean = check.function(segments, sources)
        num_sentences += len(sentences(segments))
        num_fired += fired_sentences(segments, clean)
        fired = {finding.segment for finding in clean}
        for _ in range(plants_per_document):
            planted = CORRUPTIONS[name](list(segments), sources, rng)
            if planted is None or planted.segment in fired or planted.segments == list(segments):
                continue
            num_planted += 1
            if is_caught(planted, check):
                num_caught += 1
            else:
                text = planted.segments[planted.segment]
                missed.append(text[max(0, planted.start - 20) : planted.end + 20])
    return Validation(num_planted, num_caught, num_sentences, num_fired, tuple(missed[:20]))


def _overlaps(finding: Finding, segment: int, start: int, end: int) -> bool:
    meets = finding.start < max(end, start + 1) and start < max(finding.end, finding.start + 1)
    return finding.segment == segment and meets
