"""Pairwise judging: which of two translations is better, asked in both orders, against frozen anchor systems.

Answers that name the same translation in both orders are a win; a tie in either order, or answers that follow the place
instead of the text, are a tie. Strengths of systems: `in2x.judging.bradley_terry`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from in2x.judging.cache import Answer
from in2x.judging.client import JudgeClient, Request
from in2x.judging.fence import fenced
from in2x.judging.parsing import answer_id, read_object
from in2x.judging.segments import Gate, Message, Verdict, default_gate, failed, language_names, split_pair

VERSION = "pairwise-1"
Choice = Literal["A", "B", "tie"]

INSTRUCTIONS = """\
You are a professional {target} editor who reads {source}. You compare two translations of the same text from {source} \
into {target} and say which one you would publish. First meaning: what is wrong, left out or added. Then {target}: the \
better one reads as if a native writer had thought it up, in the voice and at the level of politeness that the text \
calls for. Length, order and label mean nothing. If you would publish either, say "tie"."""

TASK = """\
Compare the texts under "A" and "B" as translations of the text under "source". Answer with one JSON object and \
nothing else; "notes" comes first, in at most 40 words:
{{"id": "{id}", "notes": "...", "better": "..."}}
"id" is "{id}". "better" is "A", "B" or "tie"."""


@dataclass(frozen=True)
class Duel:
    """Two translations of one source."""

    pair: str
    source: str
    first: str
    second: str


@dataclass(frozen=True)
class PairwiseVerdicts:
    """One verdict per duel: 1 where the first translation won, 0 where the second did, 1/2 for a tie.

    `first_place_share`: how often the judge, where it chose, chose what stood under A; 1/2 without position bias.
    `num_inconsistent`: duels whose two answers chose the same place. Both count the duels that were asked about.
    """

    verdicts: list[Verdict]
    num_asked: int
    num_inconsistent: int
    first_place_share: float | None


def build(pair: str, source: str, a: str, b: str, nonce: str) -> list[Message]:
    """The request for one order."""
    names = dict(zip(("source", "target"), language_names(pair), strict=True))
    data = {"source": source, "A": a, "B": b}
    return fenced(INSTRUCTIONS.format(**names), data, TASK.format(id=answer_id(nonce)), nonce)


def parse(text: str, nonce: str) -> Choice | None:
    """A, B or tie; None where it can't be read."""
    answer = read_object(text, ("better",), nonce)
    if not answer or not isinstance(answer["better"], str):
        return None
    word = unicodedata.normalize("NFKC", answer["better"]).strip(" .。\"'").lower()
    word = word.removeprefix("translation").strip()
    named = {"a": "A", "b": "B"} | dict.fromkeys(("tie", "equal", "same", "引き分け", "同等", "同じ"), "tie")
    return named.get(word)


def combine(forward: Choice, backward: Choice) -> float:
    """1 if the first text won in both orders (A, then B), 0 if the second did, else 1/2."""
    return {("A", "B"): 1.0, ("B", "A"): 0.0}.get((forward, backward), 0.5)


def judge(client: JudgeClient, duels: Sequence[Duel], gate: Gate = default_gate) -> PairwiseVerdicts:
    """Verdicts for all duels. Equal texts tie, what fails the gate loses against what passes: nothing is asked."""
    verdicts = [_settled(duel, gate) for duel in duels]
    asked = [duel for duel, verdict in zip(duels, verdicts, strict=True) if verdict is None]
    requests = [
        Request(lambda nonce, parts=(duel.pair, duel.source, *texts): build(*parts, nonce), VERSION)
        for duel in asked
        for texts in ((duel.first, duel.second), (duel.second, duel.first))
    ]
    answers = client.ask_all(requests, "judge (pairwise)")
    choices = [parse(answer.text, answer.nonce) if answer.text is not None else None for answer in answers]
    both = list(zip(choices[::2], choices[1::2], strict=True))
    found = iter([_verdict(*pair) for pair in zip(both, answers[::2], answers[1::2], strict=True)])
    chosen = [choice for pair in both if None not in pair for choice in pair if choice != "tie"]
    return PairwiseVerdicts(
        verdicts=[verdict or next(found) for verdict in verdicts],
        num_asked=len(asked),
        num_inconsistent=sum(pair in (("A", "A"), ("B", "B")) for pair in both),
        first_place_share=chosen.count("A") / len(chosen) if chosen else None,
    )


def _settled(duel: Duel, gate: Gate) -> Verdict | None:
    target = split_pair(duel.pair)[1]
    first, second = (gate(text, duel.source, target) for text in (duel.first, duel.second))
    if first or second:
        score = 0.5 if first and second else float(second is not None)
        return Verdict("gated", score, first or second)
    return Verdict("gated", 0.5, "equal texts") if duel.first == duel.second else None


def _verdict(both: tuple[Choice | None, Choice | None], forward: Answer, backward: Answer) -> Verdict:
    for choice, answer in zip(both, (forward, backward), strict=True):
        if choice is None:
            return failed(answer.failure or "no choice could be read", answer.text)
    return Verdict("scored", combine(*both), detail={"forward": both[0], "backward": both[1]})
