"""Bars: counts of named things, and shares that add up to one.

Each bar lies under its own label, so that long names and narrow screens need no second layout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from in2x.report.markup import Html, element, note, number, percent, words
from in2x.report.plots import across, figure, legend, svg

ROW = 34  # pixels from one bar to the next


def _amounts(values: Mapping[str, object]) -> dict[str, float]:
    return {
        str(name): value
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0
    }


def bar_chart(title: str, unit: str, values: Mapping[str, object], limit: int = 14) -> Html:
    """Draw counts, largest first, with their share of the total; the smallest beyond `limit` are one bar."""
    amounts = dict(sorted(_amounts(values).items(), key=lambda pair: -pair[1]))
    total = sum(amounts.values())
    if not total:
        return figure(title, unit, note("None."))
    if len(amounts) > limit:
        names = list(amounts)
        rest = {f"{len(names) - limit + 1} others": sum(amounts[name] for name in names[limit - 1 :])}
        amounts = {name: amounts[name] for name in names[: limit - 1]} | rest
    largest = max(amounts.values())
    bars = [_bar(i, name, value, value / largest, value / total) for i, (name, value) in enumerate(amounts.items())]
    summary = ", ".join(f"{name} {number(value)}" for name, value in amounts.items())
    plot = svg(ROW * len(bars), f"{title}: {summary}", *bars)
    return figure(title, unit, element("div", plot, class_="plot bars"), aside=number(total))


def _bar(index: int, name: str, value: float, length: float, share: float) -> Html:
    top = ROW * index
    label = element("text", words(name), x=0, y=top + 14, class_="name")
    reading = element("text", f"{number(value)}  ({percent(share)})", x="100%", y=top + 14, class_="tick end")
    track = element("rect", x=0, y=top + 20, width="100%", height=6, rx=3, class_="track")
    bar = element("rect", x=0, y=top + 20, width=across(length), height=6, rx=3, class_="bar s1")
    return element("g", label, reading, track, bar)


def share_chart(title: str, unit: str, rows: Mapping[str, Mapping[str, object]]) -> Html:
    """Draw one full-width bar per row, divided into the shares of its parts; zero shares are left out."""
    amounts = {name: _amounts(parts) for name, parts in rows.items()}
    parts = list(dict.fromkeys(part for row in amounts.values() for part in row))
    drawn = [_shares(i, name, row, parts) for i, (name, row) in enumerate(amounts.items()) if sum(row.values())]
    if not drawn:
        return figure(title, unit, note("None."))
    plot = svg((ROW + 12) * len(amounts), f"{title}: {'; '.join(_spell(n, r) for n, r in amounts.items())}", *drawn)
    key = legend([words(part) for part in parts], ["block"] * len(parts))
    return figure(title, unit, element("div", plot, class_="plot bars"), key)


def _spell(name: str, row: Mapping[str, float]) -> str:
    total = sum(row.values()) or 1.0
    return f"{name} " + ", ".join(f"{part} {percent(value / total, 0)}" for part, value in row.items())


def _shares(index: int, name: str, row: Mapping[str, float], parts: list[str]) -> Html:
    top, total, start = (ROW + 12) * index, sum(row.values()), 0.0
    drawn = [element("text", words(name), x=0, y=top + 14, class_="name")]
    for part, value in row.items():
        share = value / total
        box = {"x": across(start), "y": top + 20, "width": across(share), "height": 18}
        text = element("title", f"{words(part)} {percent(share)}")
        drawn.append(element("rect", text, **box, class_=f"bar s{parts.index(part) % 8 + 1} part"))
        if share >= 0.09:
            middle = across(start + share / 2)
            drawn.append(element("text", percent(share, 0), x=middle, y=top + 33, class_="onbar middle"))
        start += share
    return element("g", *drawn)
