"""Pre-training phase by phase, supervised fine-tuning, and merging."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from in2x.report.bars import share_chart
from in2x.report.curves import curves
from in2x.report.dots import Dot, dot_chart
from in2x.report.folders import Run
from in2x.report.markup import (
    Html,
    compact,
    duration,
    element,
    facts,
    fixed,
    join,
    note,
    number,
    setting,
    table,
    words,
)
from in2x.report.parts.losses import loss_charts, without_losses
from in2x.report.parts.measures import after_training, base_perplexity, forgetting, measures
from in2x.report.plots import Line, line_chart

TEXTS = {"en": "English", "ja": "Japanese", "zh": "Chinese", "pairs": "bilingual"}
LOG_RATIO = 8  # perplexities that differ by more are drawn on a logarithmic axis


def pretrain(run: Run) -> Html:
    stage = run["pretrain"]
    phases = [phase for phase in stage.results.get("phases") or [] if isinstance(phase, Mapping)]
    base = stage.results.get("base_perplexity") or {}
    mixtures = {str(phase.get("name")): phase.get("mixture") or {} for phase in phases}
    charts = [_perplexity(phases, base), share_chart("Mixture", "share of the tokens", mixtures)] if phases else []
    perplexities = [(str(phase.get("name")), phase.get("perplexity") or {}) for phase in phases]
    measured = [(str(phase.get("name")), phase.get("measures") or {}) for phase in phases]
    metrics = list(stage.metrics())
    return join([
        _phases(phases, base) if phases else None,
        forgetting(base, perplexities, next(iter(base), "")),
        element("div", *charts, class_="charts two") if charts else None,
        measures([("base", stage.results.get("base_measures") or {}), *measured]),
        _fertility(stage.results.get("fertility") or {}),
        _documents(phases),
        curves("pretrain", without_losses(metrics)) or note("No steps were logged."),
        loss_charts(metrics),
    ])  # fmt: skip


def _fertility(found: Mapping[str, Any]) -> Html | None:
    before, after = found.get("before") or {}, found.get("after") or {}
    if not before:
        return None
    rows = [[TEXTS.get(name, name), number(before[name]), number(after.get(name))] for name in before]
    title = f"Vocabulary extended by {number(found.get('num_pieces'))} pieces: tokens per character"
    return join([element("h3", title), table(["Text", "Before", "After"], rows, (1, 2), title)])


def _phases(phases: list[Mapping[str, Any]], base: Mapping[str, Any]) -> Html:
    texts = _texts(phases, base)
    head = ["Phase", "Tokens", "Steps", "Context", "Schedule", "Time", "Tokens/s"]
    head += [join([TEXTS.get(text, text), element("small", "perplexity")]) for text in texts]
    rows = [[*_phase(phase), *_numbers(phase.get("perplexity") or {}, texts)] for phase in phases]
    if base:
        rows.insert(0, [element("strong", "base"), *[""] * 6, *_numbers(base, texts)])
    return table(head, rows, (1, 2, 3, *range(5, len(head))), "Pre-training phases")


def _phase(phase: Mapping[str, Any]) -> list[Any]:
    return [
        element("strong", phase.get("name", "")),
        compact(phase.get("tokens")),
        number(phase.get("steps")),
        number(phase.get("context_tokens")),
        phase.get("schedule", ""),
        duration(phase.get("seconds")),
        compact(phase.get("tokens_per_second")),
    ]


def _numbers(values: Mapping[str, Any], names: list[str]) -> list[str]:
    return [number(values.get(name)) for name in names]


def _texts(phases: list[Mapping[str, Any]], base: Mapping[str, Any]) -> list[str]:
    found = [base, *(phase.get("perplexity") or {} for phase in phases)]
    return list(dict.fromkeys(text for row in found for text in row))


def _perplexity(phases: list[Mapping[str, Any]], base: Mapping[str, Any]) -> Html:
    points = ([("base", base)] if base else []) + [
        (str(phase.get("name")), phase.get("perplexity") or {}) for phase in phases
    ]
    lines = []
    for text in _texts(phases, base):
        values = [row.get(text) for _, row in points]
        numbers = [float(v) if isinstance(v, int | float) else math.nan for v in values]
        lines.append(Line(TEXTS.get(text, text), list(range(len(points))), numbers))
    finite = [value for line in lines for value in line.y if math.isfinite(value) and value > 0]
    log = bool(finite) and max(finite) > LOG_RATIO * min(finite)
    unit = "held-out text" + (", logarithmic" if log else "")
    return line_chart("Perplexity", unit, lines, log=log, x_labels=[name for name, _ in points])


def _documents(phases: list[Mapping[str, Any]]) -> Html | None:
    streams = list(dict.fromkeys(stream for phase in phases for stream in phase.get("documents") or {}))
    if not streams:
        return None
    rows = [
        [phase.get("name", ""), *(number((phase.get("documents") or {}).get(stream)) for stream in streams)]
        for phase in phases
    ]
    head = ["Phase", *(words(stream) for stream in streams)]
    return join([element("h3", "Documents by stream"), table(head, rows, range(1, len(head)), "Documents by stream")])


def sft(run: Run) -> Html:
    stage = run["sft"]
    metrics = list(stage.metrics())
    return join([
        results_facts(stage.results),
        after_training(stage.results.get("measures") or {}, base_perplexity(run)),
        curves("sft", without_losses(metrics)) or note("No steps were logged."),
        loss_charts(metrics),
    ])  # fmt: skip


def results_facts(results: Mapping[str, Any]) -> Html | None:
    """Show the plain numbers and words of a stage's results."""
    plain = {name: value for name, value in results.items() if isinstance(value, str | int | float)}
    return facts((words(name), number(value)) for name, value in plain.items()) if plain else None


def merge(run: Run) -> Html:
    results = run["merge"].results
    candidates, chosen = results.get("candidates") or [], results.get("chosen")
    rows, dots = [], {}
    for candidate in candidates:
        name, score = str(candidate.get("name")), candidate.get("dev_chrf")
        mark = element("em", "chosen", class_="badge good") if name == chosen else None
        rows.append([join([element("strong", words(name)), " ", mark]), _settings(candidate), fixed(score, 2)])
        if isinstance(score, int | float):
            reading = f"{name} {fixed(score, 2)}"
            dots[words(name)] = [Dot(score, series=1, hollow=name != chosen, reading=reading)]
    if not rows:
        return note("No candidates were written.")
    head = ["Candidate", "Settings", "chrF2, dev"]
    measured = after_training(results.get("measures") or {}, base_perplexity(run))
    chart = dot_chart("Candidates", "chrF2 on the development set; filled: chosen", dots)
    return join([table(head, rows, (2,), "Candidates"), element("div", chart, class_="charts two"), measured])


def _settings(candidate: Mapping[str, Any]) -> str:
    """Return 'sft 0.5, rl 0.5' for whatever the candidate was made of."""
    given = {key: value for key, value in candidate.items() if key not in ("name", "dev_chrf")}
    told = []
    for name, value in given.items():
        pairs = value.items() if isinstance(value, Mapping) else [(name, value)]
        told += [f"{words(key)} {setting(entry)}" for key, entry in pairs]
    return ", ".join(told)
