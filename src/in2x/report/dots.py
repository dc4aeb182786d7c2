"""Dot-and-whisker charts: estimates with their intervals, one row per name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from in2x.report.markup import Html, element, note
from in2x.report.plots import across, figure, svg
from in2x.report.scales import Scale, tick_label

MAX_NAME = 16  # characters of a row's name beside the plot
MAX_TICK = 4  # characters of a label, of which five fit on a narrow page
LANE = 16  # between the dots of one row, in pixels


@dataclass(frozen=True)
class Dot:
    """One estimate with its interval; `series` picks the colour, `hollow` says that it is not independent."""

    value: float
    low: float | None = None
    high: float | None = None
    series: int = 1
    hollow: bool = False
    reading: str = ""


def dot_chart(
    title: str,
    unit: str,
    rows: Mapping[str, Sequence[Dot]],
    *,
    reference: float | None = None,
    key: Html | None = None,
) -> Html:
    """Draw one row per name, its dots in lanes; `reference` is a dashed line."""
    dots = [dot for row in rows.values() for dot in row]
    ends = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None and math.isfinite(v)]
    if not ends:
        return figure(title, unit, note("No finite values."))
    scale = Scale.fit([*ends, *([] if reference is None else [reference])])
    parts, y = [], 6.0
    for name, row in rows.items():
        height = LANE * max(len(row), 1) + 12
        parts.append(_row(name, row, scale, y, height))
        y += height
    axis = _dot_axis(scale, int(y), reference)
    summary = "; ".join(f"{name}: {', '.join(dot.reading for dot in row)}" for name, row in rows.items())
    plot = svg(int(y), f"{title}. {summary}", axis, *parts)
    return figure(title, unit, element("div", plot, class_="plot named"), *([key] if key else []), class_="chart wide")


def _dot_axis(scale: Scale, height: int, reference: float | None) -> Html:
    parts, ticks = [], scale.ticks(5)
    if max(len(tick_label(tick)) for tick in ticks) > MAX_TICK:
        ticks = scale.ticks(2)
    for tick in ticks:
        x = across(scale.place(tick))
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height, class_="grid"))
        parts.append(element("text", tick_label(tick), x=x, y=height + 17, class_="tick middle"))
    if reference is not None:
        x = across(scale.place(reference))
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height, class_="reference"))
    return element("g", *parts)


def _row(name: str, dots: Sequence[Dot], scale: Scale, top: float, height: float) -> Html:
    middle = top + height / 2
    short = name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
    label = element("text", element("title", name), short, x=-12, y=middle, dy="0.35em", class_="name end")
    first = middle - LANE * (len(dots) - 1) / 2
    drawn = [_dot(dot, scale, first + LANE * lane) for lane, dot in enumerate(dots) if math.isfinite(dot.value)]
    rule = element("line", x1="0", x2="100%", y1=top + height, y2=top + height, class_="rule")
    return element("g", rule, label, *drawn)


def _dot(dot: Dot, scale: Scale, y: float) -> Html:
    """Draw a circle for odd series and a diamond for even ones, so that colour is never the only sign."""
    x = across(scale.place(dot.value))
    whisker = None
    if dot.low is not None and dot.high is not None and math.isfinite(dot.low + dot.high):
        ends = {"x1": across(scale.place(dot.low)), "x2": across(scale.place(dot.high))}
        whisker = element("line", **ends, y1=y, y2=y, class_="whisker")
    shape = "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z" if dot.series % 2 else "M0-6L6 0L0 6L-6 0z"
    marker = element("svg", element("path", d=shape, class_="marker"), x=x, y=y, width=1, height=1)
    kind = f"estimate s{dot.series}{' hollow' if dot.hollow else ''}"
    return element("g", element("title", dot.reading), whisker, marker, class_=kind)
