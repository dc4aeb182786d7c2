"""The corpus and the instruction data: what was read, what was turned away and why, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report.bars import bar_chart
from in2x.report.folders import Run
from in2x.report.markup import (
    Html,
    compact,
    element,
    facts,
    fold,
    join,
    note,
    number,
    prose,
    table,
    words,
)

SPLITS = ("train", "dev", "test")


def corpus(run: Run) -> Html:
    results = run["corpus"].results
    read, rejected = _numbers(results.get("num_read")), _numbers(results.get("num_rejected"))
    pairs = _numbers(results.get("num_pairs"))
    figures = [
        ("read", number(sum(read.values()))),
        ("turned away", number(sum(rejected.values()))),
        ("pairs kept", number(sum(pairs.values()))),
        ("largest group", number(results.get("largest_group"))),
    ]
    figures += [("tokens", compact(results["tokens"]))] if isinstance(results.get("tokens"), int | float) else []
    charts = [
        bar_chart("Turned away", "by reason", rejected),
        bar_chart("Domains", "of the pairs kept", _numbers(results.get("domains"))),
    ]
    told = "Splits are made by group: variants of one sentence, in either language, are never on both sides."
    return join([
        facts(figures),
        _splits(pairs, _numbers(results.get("num_groups"))),
        note(told),
        element("div", *charts, class_="charts two"),
        _sources(read, results.get("licences") or {}),
    ])  # fmt: skip


def _numbers(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _splits(pairs: Mapping[str, Any], groups: Mapping[str, Any]) -> Html:
    names = [*(s for s in SPLITS if s in pairs), *(s for s in pairs if s not in SPLITS)]
    rows = [[name, number(pairs[name]), number(groups.get(name))] for name in names]
    return table(["Split", "Pairs", "Groups"], rows, (1, 2), "Pairs and groups by split")


def _sources(read: Mapping[str, Any], licences: Mapping[str, Any]) -> Html:
    origins = list(dict.fromkeys([*read, *licences]))
    rows = [[origin, number(read.get(origin)), licences.get(origin, "not stated")] for origin in origins]
    return join([element("h3", "Sources and licences"), table(["Origin", "Read", "Licence"], rows, (1,), "Sources")])


def instruct(run: Run) -> Html:
    results = run["instruct"].results
    drawn = results.get("num_sft") or []
    drawn = drawn if isinstance(drawn, list) else [drawn]
    figures = [(f"SFT, epoch {epoch}", number(count)) for epoch, count in enumerate(drawn, 1)]
    figures.append(("RL prompts", number(results.get("num_rl"))))
    charts = [
        bar_chart("Tasks", "instructions", _numbers(results.get("tasks"))),
        bar_chart("Difficulty", "instructions", _numbers(results.get("difficulty"))),
        bar_chart("Directions", "instructions", _numbers(results.get("directions"))),
    ]
    return join([facts(figures), element("div", *charts, class_="charts"), _examples(results.get("examples") or [])])


def _examples(examples: list[Mapping[str, Any]]) -> Html | None:
    if not examples:
        return None
    rows = [[words(e.get("task", "")), prose(e.get("prompt")), prose(e.get("response"))] for e in examples]
    shown = table(["Task", "Prompt", "Response"], rows, (), "Examples of instructions")
    return fold(f"{len(examples)} examples", element("div", shown, class_="texts"))
