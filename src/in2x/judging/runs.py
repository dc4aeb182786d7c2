"""The three protocols over rows of a segment store: what is asked, and one score for each row.

Rows are dicts with the store's columns. An `Outcome` has a score (or None) per row, in their order, the verdicts that
the scores come from, each beside what it is about, and what the protocol reports of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from in2x.artifacts import In2xError
from in2x.judging import bradley_terry, esa, pairwise, rubric
from in2x.judging.client import JudgeClient
from in2x.judging.segments import Gate, Segment, Verdict, check_failing

Part, Found = TypeVar("Part"), TypeVar("Found")
NUM_PROBED, MIN_PROBED = 20, 5  # if none of the first answers can be read, the others are not paid for


@dataclass(frozen=True)
class Settings:
    """How the rows are judged; `anchors` are for pairwise, `groupwise` for rubric, `use_references` for esa."""

    groupwise: bool = False
    anchors: tuple[str, ...] = ()
    use_references: bool = False
    max_failing: float = 0.2
    num_resamples: int = 1000
    seed: int = 12345


@dataclass(frozen=True)
class Outcome:
    scores: list[float | None]
    verdicts: list[tuple[dict, Verdict]]
    report: dict = field(default_factory=dict)


def run_esa(client: JudgeClient, rows: Sequence[dict], settings: Settings, gate: Gate) -> Outcome:
    """One request per row, 0..100."""
    segments = [_segment(row, settings.use_references) for row in rows]
    verdicts = _probed(segments, lambda part: esa.judge(client, part, gate), lambda found: found, settings)
    details = [verdict.detail for verdict in verdicts if verdict.detail]
    spans = [span for detail in details for span in detail["spans"]]
    report = {
        "num_spans": {severity: sum(span["severity"] == severity for span in spans) for severity in ("major", "minor")},
        "num_spans_dropped": sum(detail["num_dropped"] for detail in details),
    }
    return Outcome([verdict.score for verdict in verdicts], _beside(rows, verdicts), report)


def run_rubric(client: JudgeClient, rows: Sequence[dict], settings: Settings, gate: Gate) -> Outcome:
    """Rows of one segment are a group, 0..1."""
    numbers: dict[tuple, list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault((row["pair"], row["segment"]), []).append(number)
    groups = [
        rubric.Group(pair, rows[members[0]]["source"], tuple(rows[number]["hypothesis"] for number in members))
        for (pair, _), members in numbers.items()
    ]
    judged = _probed(
        groups,
        lambda part: rubric.judge(client, part, groupwise=settings.groupwise, gate=gate),
        lambda found: [verdict for group in found.groups for verdict in group],
        settings,
    )
    verdicts: list[Verdict | None] = [None] * len(rows)
    for members, found in zip(numbers.values(), judged.groups, strict=True):
        for number, verdict in zip(members, found, strict=True):
            verdicts[number] = verdict
    report = {"position_bias": judged.bias.gain, "num_compared": judged.bias.num_compared} if settings.groupwise else {}
    return Outcome([verdict.score for verdict in verdicts], _beside(rows, verdicts), report)


def run_pairwise(client: JudgeClient, rows: Sequence[dict], settings: Settings, gate: Gate) -> Outcome:
    """Every system against every anchor on every segment; a row's score is its share of wins, 0..1, ties as halves."""
    matches = _matches(rows, settings.anchors)
    duels = [
        pairwise.Duel(rows[a]["pair"], rows[a]["source"], rows[a]["hypothesis"], rows[b]["hypothesis"])
        for a, b in matches
    ]
    judged = _probed(duels, lambda part: pairwise.judge(client, part, gate), lambda found: found.verdicts, settings)
    check_failing(judged.verdicts, settings.max_failing)
    points: list[list[float]] = [[] for _ in rows]
    for (a, b), verdict in zip(matches, judged.verdicts, strict=True):
        if verdict.score is not None:
            points[a].append(verdict.score)
            points[b].append(1 - verdict.score)
    report = {
        "num_asked": judged.num_asked,
        "num_inconsistent": judged.num_inconsistent,
        "first_place_share": judged.first_place_share,
        "strengths": {
            pair: _strengths(rows, matches, judged.verdicts, pair, settings)
            for pair in dict.fromkeys(row["pair"] for row in rows)
        },
    }
    about = [_key(rows[a]) | {"against": rows[b]["system"]} for a, b in matches]
    scores = [float(np.mean(won)) if won else None for won in points]
    return Outcome(scores, list(zip(about, judged.verdicts, strict=True)), report)


def _matches(rows: Sequence[dict], anchors: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers of the rows to compare: same segment, the second one an anchor; two anchors meet once.

    Raises:
        In2xError: no anchors, or one that a pair does not have.
    """
    if not anchors:
        raise In2xError("pairwise: name the systems to compare with (--anchor, once for each)")
    by_segment: dict[tuple, dict[str, int]] = {}
    for number, row in enumerate(rows):
        by_segment.setdefault((row["pair"], row["segment"]), {})[row["system"]] = number
    for (pair, segment), systems in by_segment.items():
        absent = [anchor for anchor in anchors if anchor not in systems]
        if absent:
            raise In2xError(f"pairwise: {pair}, segment {segment}: no row of anchor {absent[0]!r}")
    return [
        (number, systems[anchor])
        for systems in by_segment.values()
        for system, number in systems.items()
        for place, anchor in enumerate(anchors)
        if system not in anchors or anchors.index(system) < place
    ]


def _strengths(rows, matches, verdicts, pair: str, settings: Settings) -> dict[str, dict[str, float]]:
    """Bradley-Terry strengths of a pair's systems with 95 % intervals; documents are drawn, where there are any."""
    systems = list(dict.fromkeys(row["system"] for row in rows if row["pair"] == pair))
    place = {system: number for number, system in enumerate(systems)}
    units: dict[tuple, int] = {}
    games = []
    for (a, b), verdict in zip(matches, verdicts, strict=True):
        row = rows[a]
        if row["pair"] == pair and verdict.score is not None:
            unit = ("document", row["document"]) if row["document"] is not None else ("segment", row["segment"])
            number = units.setdefault(unit, len(units))
            games.append((number, place[row["system"]], place[rows[b]["system"]], verdict.score))
    wins_USS = np.zeros((len(units), len(systems), len(systems)))
    for unit, a, b, score in games:
        wins_USS[unit, a, b] += score
        wins_USS[unit, b, a] += 1 - score
    anchors = [place[anchor] for anchor in settings.anchors]
    lost = [
        system for system, ok in zip(systems, bradley_terry.connected(wins_USS.sum(0), anchors), strict=True) if not ok
    ]
    if lost:
        raise In2xError(f"pairwise: {pair}: no comparison of {', '.join(lost)} could be read; they have no strength")
    strengths = bradley_terry.fit(wins_USS.sum(axis=0), anchors)
    low, high = bradley_terry.intervals(wins_USS, anchors, num_resamples=settings.num_resamples, seed=settings.seed)
    return {
        system: {"strength": float(strengths[i]), "low": float(low[i]), "high": float(high[i])}
        for i, system in enumerate(systems)
    }


def _probed(
    parts: Sequence[Part],
    judge: Callable[[Sequence[Part]], Found],
    verdicts_of: Callable[[Found], Sequence[Verdict]],
    settings: Settings,
) -> Found:
    """Judge the first few, then all of them (the first are in the cache by then).

    Raises:
        In2xError: the judge was asked at least five times and none of its answers could be read.
    """
    first = judge(parts[:NUM_PROBED])
    asked = [verdict for verdict in verdicts_of(first) if verdict.status != "gated"]
    if len(asked) >= MIN_PROBED and all(verdict.status == "failed" for verdict in asked):
        check_failing(asked, settings.max_failing)
    return judge(parts) if len(parts) > NUM_PROBED else first


def _segment(row: dict, use_references: bool) -> Segment:
    if use_references and not row["references"]:
        raise In2xError(
            f"{row['pair']}, segment {row['segment']}: no reference; judge without (leave out --references)"
        )
    return Segment(row["pair"], row["source"], row["hypothesis"], row["references"][0] if use_references else None)


def _beside(rows: Sequence[dict], verdicts: Sequence[Verdict]) -> list[tuple[dict, Verdict]]:
    return [(_key(row), verdict) for row, verdict in zip(rows, verdicts, strict=True)]


def _key(row: dict) -> dict:
    return {name: row[name] for name in ("pair", "segment", "system")}


RUNS = {
    "esa": (esa.VERSION, run_esa),
    "rubric": (rubric.VERSION, run_rubric),
    "pairwise": (pairwise.VERSION, run_pairwise),
}
