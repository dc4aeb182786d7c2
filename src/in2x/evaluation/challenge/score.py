"""Score a system on the challenge set: a verdict per translation, rates with bootstrap intervals per category.

The unit of resampling is the source item: the three registers of one sentence are drawn together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from in2x.evaluation import bootstrap
from in2x.evaluation.challenge.items import REGISTERS, Item, Passage, RegisterItem, data_hash, items
from in2x.evaluation.challenge.judge import Outcome, judge_passage, judge_phrase, judge_register
from in2x.evaluation.challenge.prompts import sources
from in2x.evaluation.metrics import SegmentStatistics

MEASURES = ("accepted", "trap", "neither", "points")


@dataclass(frozen=True)
class Verdict:
    """What came of one translation; `points` is 0..1, the share of points for a passage, else 1 where accepted."""

    id: str
    category: str
    kind: str
    outcome: Outcome
    points: float
    reason: str


@dataclass(frozen=True)
class Rate:
    """A percentage with its percentile bootstrap interval (95%)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupScore:
    """The rates of a category, or of one kind within it."""

    num_translations: int
    accepted: Rate
    trap: Rate
    neither: Rate
    points: Rate


@dataclass(frozen=True)
class ChallengeResult:
    """Scores of one system; `data` is the hash of the challenge set."""

    data: str
    categories: dict[str, GroupScore]
    kinds: dict[str, GroupScore]  # "idioms/sense", "register/keigo"
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict:
        return asdict(self)


def score_challenge(
    hypotheses: Mapping[str, str],
    categories: Iterable[str] | None = None,
    *,
    num_resamples: int = 1000,
    seed: int = 12345,
) -> ChallengeResult:
    """Score translations, id -> text, of the whole set or of some categories.

    Raises:
        ValueError: missing or unknown ids, with the list of them; something that is not a string; no such category.
    """
    categories = None if categories is None else list(categories)
    if problem := id_problem(hypotheses, categories):
        raise ValueError(problem)
    verdicts = [verdict for category, item in items(categories) for verdict in _judge(category, item, hypotheses)]

    def group(key: Callable[[Verdict], str]) -> dict[str, GroupScore]:
        parts: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            parts.setdefault(key(verdict), []).append(verdict)
        return {name: _group_score(part, num_resamples, seed) for name, part in parts.items()}

    return ChallengeResult(
        data=data_hash(),
        categories=group(lambda verdict: verdict.category),
        kinds=group(lambda verdict: f"{verdict.category}/{verdict.kind}"),
        verdicts=tuple(verdicts),
    )


def id_problem(hypotheses: Mapping[str, str], categories: Iterable[str] | None = None) -> str | None:
    """Say which ids are missing, unknown, or have something else than a string; None where all is well."""
    expected = [source.id for source in sources(categories)]
    if missing := [id_ for id_ in expected if id_ not in hypotheses]:
        return f"{len(missing)} of {len(expected)} ids have no hypothesis: {', '.join(missing)}"
    if unknown := [id_ for id_ in hypotheses if id_ not in set(expected)]:
        return f"{len(unknown)} ids are not among the {len(expected)} to score: {', '.join(map(str, unknown))}"
    wrong = next((id_ for id_ in expected if not isinstance(hypotheses[id_], str)), None)
    return f"{wrong}: expected a string, got {type(hypotheses[wrong]).__name__}" if wrong else None


def statistics(verdicts: Sequence[Verdict], measure: str = "accepted") -> SegmentStatistics:
    """Count one of `MEASURES` per source item, for an interval or for a paired test of two systems.

    Columns: sum of the measure, number of translations; the score is a percentage.

    Raises:
        ValueError: no verdicts, or no such measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}: expected one of {', '.join(MEASURES)}")
    if not verdicts:
        raise ValueError("no verdicts to count")
    counts: dict[str, list[float]] = {}
    for verdict in verdicts:
        row = counts.setdefault(verdict.id.partition(".")[0], [0.0, 0.0])
        row[0] += verdict.points if measure == "points" else verdict.outcome == measure
        row[1] += 1
    return SegmentStatistics(
        metric=f"challenge-{measure}",
        signature=f"data:{data_hash()}",
        counts_NK=np.array(list(counts.values())),
        reference_columns=(1,),
        score=lambda totals_BK: 100 * totals_BK[:, 0] / totals_BK[:, 1],
    )


def _judge(category: str, item: Item, hypotheses: Mapping[str, str]) -> list[Verdict]:
    if isinstance(item, Passage):
        return [Verdict(item.id, category, item.kind, *judge_passage(item, hypotheses[item.id]))]
    if isinstance(item, RegisterItem):
        texts = {register: hypotheses[f"{item.id}.{register}"] for register in REGISTERS}
        judged = [(f"{item.id}.{name}", name, judge_register(item, text, name)) for name, text in texts.items()]
    else:
        judged = [(item.id, item.kind, judge_phrase(item, hypotheses[item.id]))]
    return [
        Verdict(id_, category, kind, outcome, float(outcome == "accepted"), reason)
        for id_, kind, (outcome, reason) in judged
    ]


def _group_score(verdicts: Sequence[Verdict], num_resamples: int, seed: int) -> GroupScore:
    def rate(measure: str) -> Rate:
        counts = statistics(verdicts, measure)
        return Rate(counts.value, *bootstrap.interval(counts, num_resamples=num_resamples, seed=seed))

    return GroupScore(len(verdicts), *(rate(measure) for measure in MEASURES))
