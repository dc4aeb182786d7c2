"""The loss told apart: a chart by stream, by source, by language and by task, of what was logged as "loss/<name>"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from in2x.report.curves import MIN_SMOOTHED, Log, read_log, smoothed, thinned
from in2x.report.markup import Html, element, join, note
from in2x.report.plots import Line, line_chart

PREFIX = "loss/"
KINDS = {"": "stream", "source/": "source", "language/": "language", "task/": "task"}
MAX_LINES = 8


def without_losses(metrics: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The log without the losses that are told apart here."""
    return [{key: value for key, value in row.items() if not key.startswith(PREFIX)} for row in metrics]


def loss_charts(metrics: Iterable[Mapping[str, Any]]) -> Html | None:
    """A chart of each kind that has two lines or more; None where there is none."""
    log = read_log(metrics)
    names = log.keys()
    keys = [key for key in names if key.startswith(PREFIX)]
    charts = []
    for kind, what in KINDS.items():
        own = [key for key in keys if _kind(key) == kind]
        if len(own) > 1:
            chart = line_chart(
                f"Loss by {what}", "nats per token", [_line(log, key) for key in own[:MAX_LINES]], marks=log.marks
            )
            more = note(f"{len(own) - MAX_LINES} more are in metrics.jsonl.") if len(own) > MAX_LINES else None
            charts.append(join([chart, more]) if more else chart)
    return element("div", *charts, class_="charts two") if charts else None


def _kind(key: str) -> str:
    rest = key.removeprefix(PREFIX)
    return next((kind for kind in KINDS if kind and rest.startswith(kind)), "")


def _line(log: Log, key: str) -> Line:
    steps, values = log.series(key)
    keep = thinned(values)
    trend = smoothed(values)[keep].tolist() if len(values) >= MIN_SMOOTHED else None
    label = key.removeprefix(PREFIX).removeprefix(_kind(key))
    return Line(label, steps[keep].tolist(), values[keep].tolist(), trend)
