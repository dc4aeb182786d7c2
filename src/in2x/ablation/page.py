"""The page of an ablation: the table of arms, what was measured during training, and each arm's curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from in2x.ablation.analysis import Result, mean_series
from in2x.ablation.arms import ARMS, FULL
from in2x.report.dots import Dot, dot_chart
from in2x.report.markup import Html, element, fixed, fold, join, note, number, table
from in2x.report.plots import Line, line_chart
from in2x.report.shell import page

CURVES = (
    ("Reward", "weighted mean", "reward"),
    ("Development chrF2", "corpus", "dev_chrf"),
    ("Entropy", "nats per token", "entropy"),
    ("Completion length", "tokens", "completion_tokens"),
    ("Clipped above", "share of completions", "clip_high_fraction"),
    ("KL to the old policy", "nats", "approx_kl"),
)
Logs = Mapping[str, Sequence[Sequence[Mapping]]]  # arm -> seed -> lines of metrics.jsonl


def render(
    title: str,
    tables: Mapping[str, Sequence[Result]],
    roles: Mapping[str, str],
    measures: Mapping[str, Mapping[str, float]],
    logs: Logs,
    budget: Sequence[tuple[str, str]],
) -> str:
    """Return the page. `tables`: metric -> results; `measures`: arm -> name -> mean over seeds; `roles`: see below.

    `roles` says of a metric that it is "reward", where the policy was trained towards it.
    """
    num_seeds = len(next(iter(tables.values()))[0].by_seed)
    told = f"{num_seeds} seeds for each arm, from one SFT model, on the same prompts and budget."
    header = element("header", element("p", "In2x · ablation", class_="kicker"), element("h1", title), note(told))
    scores = join([_scores(metric, rows, roles.get(metric)) for metric, rows in tables.items()])
    curves = [fold(f"{arm}: {ARMS[arm].what}", _curves(arm, logs)) for arm in logs if arm != FULL]
    sections = [
        ("results", "Scores", scores),
        ("measures", "During training", _measures(measures)),
        ("curves", "Curves", join([_curves(FULL, logs), *curves])),
        ("budget", "What was run", table(["", ""], budget, (), "Budget")),
    ]
    return page(title, header, sections)


def _scores(metric: str, rows: Sequence[Result], role: str | None) -> Html:
    badge = element("em", role, class_="badge") if role else None
    head = ["Arm", "What is changed", metric, "95 % interval", "each seed", "against full", "95 % interval", "p (Holm)"]
    lines = [[element("strong", row.arm), ARMS[row.arm].what, *_figures(row)] for row in rows]
    dots = {row.arm: [_delta_dot(row)] for row in rows if row.delta is not None}
    chart = dot_chart(f"{metric} against full", "points", dots, reference=0.0) if dots else None
    told = note("Intervals: segments and seeds drawn anew together, paired. p: the same draws, corrected for all arms.")
    return join([element("h3", metric, " ", badge), chart, table(head, lines, range(2, 8), metric), told])


def _figures(row: Result) -> list[str]:
    seeds = " / ".join(fixed(value, 2) for value in row.by_seed)
    own = [fixed(row.value, 2), f"{fixed(row.low, 1)}–{fixed(row.high, 1)}", seeds]
    if row.delta is None:
        return [*own, "–", "–", "–"]
    between = f"{fixed(row.delta_low, 2, signed=True)} to {fixed(row.delta_high, 2, signed=True)}"
    return [*own, fixed(row.delta, 2, signed=True), between, fixed(row.p_holm, 3)]


def _delta_dot(row: Result) -> Dot:
    reading = f"{row.delta:+.2f} ({row.delta_low:+.2f} to {row.delta_high:+.2f})"
    return Dot(row.delta, row.delta_low, row.delta_high, reading=reading)


def _measures(measures: Mapping[str, Mapping[str, float]]) -> Html:
    names = list(dict.fromkeys(name for row in measures.values() for name in row))
    rows = [[element("strong", arm), *(_measure(row.get(name, math.nan)) for name in names)]
            for arm, row in measures.items()]  # fmt: skip
    shown = table(["Arm", *names], rows, range(1, len(names) + 1), "Measured during training")
    return join([shown, note("Means over seeds of the last quarter of training; seconds are of a whole run.")])


def _measure(value: float) -> str:
    return number(value) if math.isfinite(value) else "–"


def _curves(arm: str, logs: Logs) -> Html:
    """The arm's curves, the full arm's beside them; means over the seeds."""
    charts = []
    for title, unit, name in CURVES:
        arms = [FULL] if arm == FULL else [FULL, arm]
        lines = [Line(each, *mean_series(logs[each], name)) for each in arms]
        lines = [line for line in lines if line.x]
        if lines:
            charts.append(line_chart(title, unit, lines))
    return element("div", *charts, class_="charts")
