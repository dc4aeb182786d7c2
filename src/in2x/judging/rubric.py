"""Rubric judging (2508.14472): the reward is the share of principles that a translation satisfies.

The principles are fixed ones for the task and others that the judge writes for this very source, before it sees any
translation. Each is answered yes (1), partial (1/2) or no (0); the fixed principles, prompts and the value of a partial
answer are our own.

Texts written for a prompt are judged in the same way, by principles of writing (in2x.judging.rubric_wordings).

Single: one request per translation. Groupwise: one request shows all translations of a source under anonymous labels
in a drawn order, a second one shows them in reverse; a score is the mean of both, and what the place was worth is
measured. More than 16 translations are drawn into parts of nearly equal size.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from in2x.judging.cache import Answer
from in2x.judging.client import JudgeClient, Request
from in2x.judging.rubric_prompts import (
    MAX_GROUP,
    VERSION,
    build_group,
    build_principles,
    build_single,
    fixed_principles,
    parse_group,
    parse_principles,
    parse_single,
    share,
)
from in2x.judging.rubric_wordings import TRANSLATION, Wording
from in2x.judging.segments import Gate, Verdict, default_gate, failed, split_pair


@dataclass(frozen=True)
class Group:
    """A source and its translations, or a prompt and texts written for it: G hypotheses."""

    pair: str
    source: str
    hypotheses: tuple[str, ...]
    wording: Wording = TRANSLATION

    @property
    def asked(self) -> tuple[str, str, Wording]:
        return self.pair, self.source, self.wording


@dataclass
class PositionBias:
    """What standing earlier in the request was worth: the mean gain of a translation's score over its later place."""

    num_compared: int = 0
    total_gain: float = 0.0

    @property
    def gain(self) -> float | None:
        return self.total_gain / self.num_compared if self.num_compared else None


@dataclass(frozen=True)
class RubricVerdicts:
    """Verdicts in the shape of the groups, 0..1, and the position bias of groupwise judging."""

    groups: list[list[Verdict]]
    bias: PositionBias = field(default_factory=PositionBias)


def judge(
    client: JudgeClient, groups: Sequence[Group], *, groupwise: bool = False, gate: Gate = default_gate
) -> RubricVerdicts:
    """A verdict for every translation of every group, 0..1. Equal translations of a group are judged once.

    What fails the gate gets 0 and is not shown to the judge. Where principles could not be had, or (groupwise) one of
    the two orders could not be read, the translations concerned have no score.
    """
    verdicts = [_gated(group, gate) for group in groups]
    open_texts = [[text for text, verdict in known.items() if verdict is None] for known in verdicts]
    principles = _generate(client, groups, open_texts)
    jobs = []
    for number, (group, texts) in enumerate(zip(groups, open_texts, strict=True)):
        lines = principles.get(group.asked)
        if isinstance(lines, Verdict):
            verdicts[number] |= dict.fromkeys(texts, lines)
        elif texts:
            jobs.append((number, group, texts, lines))
    bias = PositionBias()
    judged = _judge_groups(client, jobs, bias) if groupwise else _judge_singles(client, jobs)
    for (number, *_), found in zip(jobs, judged, strict=True):
        verdicts[number] |= found
    in_order = [[known[text] for text in group.hypotheses] for known, group in zip(verdicts, groups, strict=True)]
    return RubricVerdicts(in_order, bias)


def _gated(group: Group, gate: Gate) -> dict[str, Verdict | None]:
    target = split_pair(group.pair)[1]
    reasons = {text: gate(text, group.source, target) for text in group.hypotheses}
    return {text: Verdict("gated", 0.0, reason) if reason else None for text, reason in reasons.items()}


def _generate(client, groups, open_texts) -> dict[tuple[str, str, Wording], tuple[str, ...] | Verdict]:
    """Fixed and generated principles for every source that has something to judge, or why there are none."""
    needed = [group.asked for group, texts in zip(groups, open_texts, strict=True) if texts]
    sources = list(dict.fromkeys(needed))
    requests = [Request(lambda nonce, key=key: build_principles(*key[:2], nonce, key[2]), VERSION) for key in sources]
    found = {}
    for key, answer in zip(sources, client.ask_all(requests, "principles"), strict=True):
        generated = parse_principles(answer.text, answer.nonce) if answer.text is not None else None
        found[key] = (*fixed_principles(key[0], key[2]), *generated) if generated else _failure(answer, "no principles")
    return found


def _judge_singles(client: JudgeClient, jobs) -> list[dict[str, Verdict]]:
    requests = [
        Request(
            lambda nonce, of=group, text=text, lines=lines: build_single(
                of.pair, of.source, text, lines, nonce, of.wording
            ),
            VERSION,
        )
        for _, group, texts, lines in jobs
        for text in texts
    ]
    answers = iter(client.ask_all(requests, "judge (rubric)"))
    return [{text: _single_verdict(next(answers), lines) for text in texts} for _, _, texts, lines in jobs]


def _single_verdict(answer: Answer, principles: Sequence[str]) -> Verdict:
    items = parse_single(answer.text, len(principles), answer.nonce) if answer.text is not None else None
    if items is None:
        return _failure(answer, "not an answer to every principle")
    return Verdict("scored", share(items), raw=answer.text, detail=dict(zip(principles, items, strict=True)))


def _judge_groups(client: JudgeClient, jobs, bias: PositionBias) -> list[dict[str, Verdict]]:
    parts = [parts_of(shuffled(group.source, texts)) for _, group, texts, _ in jobs]
    requests = [
        Request(
            lambda nonce, of=group, shown=shown, lines=lines: build_group(
                of.pair, of.source, shown, lines, nonce, of.wording
            ),
            VERSION,
        )
        for (_, group, _, lines), orders in zip(jobs, parts, strict=True)
        for order in orders
        for shown in (order, order[::-1])
    ]
    answers = iter(client.ask_all(requests, "judge (rubric, groupwise)"))
    found = [{} for _ in jobs]
    for verdicts, (_, _, _, lines), orders in zip(found, jobs, parts, strict=True):
        for order in orders:
            verdicts |= _group_verdicts(order, lines, (next(answers), next(answers)), bias)
    return found


def _group_verdicts(
    order: Sequence[str], principles: Sequence[str], answers: tuple[Answer, Answer], bias: PositionBias
) -> dict[str, Verdict]:
    """Means over both orders; the second answer is about the reverse of `order`."""
    read = [
        parse_group(answer.text, len(order), len(principles), answer.nonce) if answer.text is not None else None
        for answer in answers
    ]
    if None in read:
        return dict.fromkeys(order, _failure(answers[read.index(None)], "not an answer for every translation"))
    forward, backward = read[0], read[1][::-1]
    verdicts = {}
    for place, (text, *both) in enumerate(zip(order, forward, backward, strict=True)):
        first, second = map(share, both)
        lead = len(order) - 1 - 2 * place  # > 0: it stands earlier in the first order
        if lead:
            bias.num_compared += 1
            bias.total_gain += first - second if lead > 0 else second - first
        detail = {line: list(items) for line, items in zip(principles, zip(*both, strict=True), strict=True)}
        verdicts[text] = Verdict("scored", (first + second) / 2, detail=detail)
    return verdicts


def shuffled(source: str, texts: Sequence[str]) -> list[str]:
    """The texts in an order drawn from what they say: anonymous, yet the same in every run."""
    ordered = sorted(texts)
    seed = hashlib.sha256(json.dumps([source, ordered]).encode()).hexdigest()
    random.Random(seed).shuffle(ordered)
    return ordered


def parts_of(texts: Sequence[str]) -> list[list[str]]:
    """At most `MAX_GROUP` texts in each part, every n-th one, so that sizes differ by one at most."""
    num_parts = -(-len(texts) // MAX_GROUP)
    return [list(texts[part::num_parts]) for part in range(num_parts)]


def _failure(answer: Answer, reason: str) -> Verdict:
    return failed(answer.failure, None) if answer.text is None else failed(reason, answer.text)
