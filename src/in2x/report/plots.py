"""Inline SVG charts that follow the page's width and theme.

Across, everything is placed in per cent of the plot; down, in pixels: so a chart fills any width and its text
keeps its size. Labels stand outside the plot, in the padding of the box around it (overflow: visible).
Colours are CSS classes: s1, s2, ... set `--c`. Hovering shows a reading; nothing needs a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from in2x.report.markup import Html, element, join, note
from in2x.report.scales import Scale, tick_label

HEIGHT = 140  # of a line chart's plot, in pixels
MAX_READINGS = 32
MAX_MARKED_POINTS = 12


@dataclass(frozen=True)
class Line:
    """One series; NaN and infinity in `y` are gaps. Behind a `trend`, `y` is drawn faintly."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    trend: Sequence[float] | None = None

    def last(self) -> float:
        finite = [value for value in self.trend or self.y if math.isfinite(value)]
        return finite[-1] if finite else math.nan


def svg(height: int, title: str, *children: Html) -> Html:
    heading = element("title", title)
    return element("svg", heading, *children, width="100%", height=height, role="img", aria_label=title)


def figure(title: str, unit: str, plot: Html, *extra: Html, aside: str | Html = "", class_: str = "chart") -> Html:
    caption = [element("span", title, class_="title"), element("span", unit, class_="unit")]
    head = element("figcaption", *caption, element("span", aside, class_="aside") if aside else None)
    return element("figure", head, *extra, plot, class_=class_)


def legend(labels: Sequence[str | Html], shapes: Sequence[str] | None = None) -> Html:
    """Return a key; entry i has the colour of series i + 1 and, where given, a shape's class."""
    kinds = shapes or ["line"] * len(labels)
    keys = [element("i", class_=f"key {kind} s{index}") for index, kind in enumerate(kinds, 1)]
    entries = [element("span", key, label) for key, label in zip(keys, labels, strict=True)]
    return element("div", *entries, class_="legend")


def line_chart(
    title: str,
    unit: str,
    lines: Sequence[Line],
    *,
    percent: bool = False,
    log: bool = False,
    x_labels: Sequence[str] | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> Html:
    """Draw series over steps, or over named points (`x_labels`); `marks` are named places on the x axis."""
    values = [v for line in lines for v in (*line.y, *(line.trend or ())) if math.isfinite(v)]
    if not values:
        return figure(title, unit, note("No finite values."))
    x_scale, y_scale = _x_scale(lines, x_labels), Scale.fit(values, log=log and min(values) > 0)
    plot = svg(
        HEIGHT,
        _describe(title, unit, lines, percent),
        _y_axis(y_scale, percent),
        _x_axis(x_scale, x_labels),
        _marks(x_scale, marks),
        _curves(lines, x_scale, y_scale),
        _points(lines, x_scale, y_scale),
        _readings(lines, x_scale, y_scale, x_labels, percent),
    )
    lasts = [element("b", tick_label(_short(line.last()), percent)) for line in lines]
    key = legend([join([line.label, " ", last]) for line, last in zip(lines, lasts, strict=True)])
    lost = sum(not math.isfinite(value) for line in lines for value in line.y)
    extra = [key] if len(lines) > 1 else []
    aside = "" if len(lines) > 1 else lasts[0]
    box = element("div", plot, class_="plot")
    box = join([box, note(f"{lost} values that are not finite are left out.")]) if lost else box
    return figure(title, unit, box, *extra, aside=aside)


def _x_scale(lines: Sequence[Line], x_labels: Sequence[str] | None) -> Scale:
    if x_labels:
        return Scale(-0.3, len(x_labels) - 0.7)
    xs = [x for line in lines for x in line.x]
    return Scale(min(xs), max(xs)) if max(xs) > min(xs) else Scale(xs[0] - 1, xs[0] + 1)


def _short(value: float) -> float:
    return float(f"{value:.3g}") if math.isfinite(value) and abs(value) < 1000 else value


def _describe(title: str, unit: str, lines: Sequence[Line], percent: bool) -> str:
    parts = []
    for line in lines:
        finite = [value for value in line.trend or line.y if math.isfinite(value)]
        if finite:
            first, last = (tick_label(_short(v), percent) for v in (finite[0], finite[-1]))
            parts.append(f"{line.label}: {first} to {last}")
    return f"{title}{f' ({unit})' if unit else ''}. " + "; ".join(parts)


def across(share: float) -> str:
    return f"{100 * share:.2f}%"


def _down(scale: Scale, value: float) -> float:
    return round(HEIGHT * (1 - scale.place(value)), 1)


def _y_axis(scale: Scale, percent: bool) -> Html:
    parts = []
    for tick in scale.ticks():
        y = _down(scale, tick)
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", tick_label(tick, percent), x=-8, y=y, dy="0.35em", class_="tick end"))
    return element("g", *parts)


def _x_axis(scale: Scale, labels: Sequence[str] | None) -> Html:
    """Write round ticks, or the labels of the named points."""
    ticks = [(float(i), label) for i, label in enumerate(labels or ())]
    ticks = ticks or [(tick, tick_label(tick)) for tick in scale.ticks() if tick == int(tick)]
    texts = [
        element("text", label, x=across(scale.place(x)), y=HEIGHT + 17, class_=f"tick {_anchor(scale.place(x))}")
        for x, label in ticks
    ]
    axis = element("line", x1="0", x2="100%", y1=HEIGHT, y2=HEIGHT, class_="axis")
    return element("g", axis, *texts)


def _anchor(share: float) -> str:
    return "start" if share < 0.05 else "end" if share > 0.95 else "middle"


def _marks(scale: Scale, marks: Sequence[tuple[float, str]]) -> Html:
    parts = []
    for x, name in marks:
        place = across(scale.place(x))
        parts.append(element("line", x1=place, x2=place, y1=-14, y2=HEIGHT, class_="mark"))
        parts.append(element("text", name, x=place, dx=4, y=-5, class_="tick"))
    return element("g", *parts, class_="marks")


def _curves(lines: Sequence[Line], x_scale: Scale, y_scale: Scale) -> Html:
    """Draw the paths in a box of 1000 units that is stretched to the plot; strokes keep their width."""
    paths = []
    for index, line in enumerate(lines, 1):
        if line.trend is not None:
            paths.append(element("path", d=_path(line.x, line.y, x_scale, y_scale), class_=f"raw s{index}"))
        main = line.y if line.trend is None else line.trend
        paths.append(element("path", d=_path(line.x, main, x_scale, y_scale), class_=f"curve s{index}"))
    box = f"0 0 1000 {HEIGHT}"
    return element("svg", *paths, viewBox=box, preserveAspectRatio="none", width="100%", height=HEIGHT)


def _path(xs: Sequence[float], ys: Sequence[float], x_scale: Scale, y_scale: Scale) -> str:
    """Return SVG path data; values that are not finite break the line, and a lone point becomes a dot."""
    parts, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if not math.isfinite(y):
            pen_down = False
            continue
        point = f"{1000 * x_scale.place(x):.1f} {_down(y_scale, y)}"
        parts.append(f"L{point}" if pen_down else f"M{point}h0")
        pen_down = True
    return "".join(parts)


def _points(lines: Sequence[Line], x_scale: Scale, y_scale: Scale) -> Html:
    dots = []
    for index, line in enumerate(lines, 1):
        if len(line.y) > MAX_MARKED_POINTS:
            continue
        for x, y in zip(line.x, line.y, strict=True):
            if math.isfinite(y):
                place = across(x_scale.place(x))
                dots.append(element("circle", cx=place, cy=_down(y_scale, y), r=3, class_=f"dot s{index}"))
    return element("g", *dots)


def _readings(
    lines: Sequence[Line], x_scale: Scale, y_scale: Scale, labels: Sequence[str] | None, percent: bool
) -> Html:
    """Return invisible bands across the plot; each shows, under the pointer, the values nearest to it."""
    count = min(MAX_READINGS, max(len(line.x) for line in lines))
    bands = []
    for band in range(count):
        x = x_scale.low + (band + 0.5) / count * (x_scale.high - x_scale.low)
        where, parts = _nearest(lines, x, (x_scale.high - x_scale.low) / count)
        if not parts:
            continue
        values = " · ".join(_reading(lines[i], v, percent, len(lines) > 1) for i, v in parts)
        name = labels[round(where)] if labels else f"step {where:,.0f}"
        bands.append(_band(band, count, across(x_scale.place(where)), f"{name} · {values}"))
    return element("g", *bands)


def _nearest(lines: Sequence[Line], x: float, reach: float) -> tuple[float, list[tuple[int, float]]]:
    """Return the logged place nearest to x and, for each series with a finite value near it, that value."""
    where, found = x, []
    for index, line in enumerate(lines):
        near = min(range(len(line.x)), key=lambda i: abs(line.x[i] - x))
        value = (line.trend or line.y)[near]
        if abs(line.x[near] - x) <= reach and math.isfinite(value):
            where = line.x[near] if not found else where
            found.append((index, value))
    return where, found


def _reading(line: Line, value: float, percent: bool, named: bool) -> str:
    text = tick_label(_short(value), percent)
    return f"{line.label} {text}" if named else text


def _band(index: int, count: int, place: str, text: str) -> Html:
    left, width = across(index / count), across(1 / count)
    target = element("rect", x=left, width=width, y=-16, height=HEIGHT + 16, class_="target")
    guide = element("line", x1=place, x2=place, y1=0, y2=HEIGHT, class_="guide")
    return element("g", target, guide, element("text", text, x="100%", y=-5, class_="reading"), class_="band")
