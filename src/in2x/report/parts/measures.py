"""What each phase gave and cost: forgetting, perplexity by domain, quality and position, translation, alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from in2x.report.folders import Run
from in2x.report.markup import Html, element, fixed, fold, join, number, percent, table
from in2x.report.plots import Line, line_chart

Row = tuple[str, Mapping[str, Any]]
KINDS = (
    ("by_domain", "perplexity", "Perplexity by domain", number),
    ("quality", "perplexity", "Perplexity of the best-written half", number),
    ("few_shot", "chrF2", "Translation of held-out text", lambda value: fixed(value, 1)),
    ("round_trip", "chrF2", "There and back: the text against its back-translation", lambda value: fixed(value, 1)),
)


def measures(rows: Sequence[Row], title: str = "What each phase was for") -> Html | None:
    """`rows`: name and measures of the base and of every phase, in order; None where nothing was measured."""
    rows = [(name, found) for name, found in rows if found]
    if not rows:
        return None
    parts = [_table(rows, *kind) for kind in KINDS]
    charts = [chart for chart in (_positions(rows), *_retrieval(rows)) if chart]
    parts.append(element("div", *charts, class_="charts two") if charts else None)
    found = [part for part in parts if part]
    return join([element("h3", title), *found]) if found else None


def forgetting(base: Mapping[str, Any], phases: Sequence[Row], hub: str) -> Html | None:
    """One line: how far perplexity on the hub language is from the base's, after each phase."""
    before = base.get(hub)
    if not _is_positive(before):
        return None
    told = [f"{name} {percent(found[hub] / before - 1, 1)}" for name, found in phases if _is_positive(found.get(hub))]
    if not told:
        return None
    text = f"Perplexity on held-out {hub} text relative to the base (above 0 is forgetting): " + ", ".join(told) + "."
    return element("p", element("strong", "Forgetting. "), text)


def _table(rows: Sequence[Row], key: str, unit: str, title: str, shown) -> Html | None:
    names = _names([found.get(key) for _, found in rows])
    if not names:
        return None
    body = [
        [element("strong", name), *(_cell(_get(found, key, column), shown) for column in names)] for name, found in rows
    ]
    head = ["Phase", *(join([column, element("small", unit)]) for column in names)]
    return join([element("h4", title), table(head, body, range(1, len(head)), title)])


def _positions(rows: Sequence[Row]) -> Html | None:
    names = _names([found.get("by_position") for _, found in rows])
    if len(names) < 2:
        return None
    lines = [_line(name, [_get(found, "by_position", bucket) for bucket in names]) for name, found in rows]
    lines = [line for line in lines if line.y]
    return line_chart("Perplexity by position", "held-out documents of several pairs; tokens", lines, x_labels=names)


def _retrieval(rows: Sequence[Row]) -> list[Html]:
    charts = []
    for direction in _names([found.get("retrieval") for _, found in rows]):
        layers = {name: _get(found, "retrieval", direction) for name, found in rows}
        layers = {name: values for name, values in layers.items() if isinstance(values, list) and values}
        if not layers:
            continue
        labels = ["embeddings", *(f"layer {n}" for n in range(1, max(map(len, layers.values()))))]
        lines = [line for line in (_line(name, values) for name, values in layers.items()) if line.y]
        title = f"Translations found, {direction}"
        charts.append(line_chart(title, "precision at 1", lines, percent=True, x_labels=labels))
    return charts


def after_training(found: Mapping[str, Any], base: Mapping[str, Any]) -> Html | None:
    """The same of a stage that is measured once, folded, below its forgetting; `base`: perplexities of the base."""
    line = forgetting(base, [("after", found.get("perplexity") or {})], next(iter(base), ""))
    title = "Translation and alignment on held-out text"
    shown = measures([("after", found)], title) if found else None
    return join([line, fold(title, shown) if shown else None])


def base_perplexity(run: Run) -> Mapping[str, Any]:
    """Of the model that pre-training began with; of one from random weights there is none."""
    return run["pretrain"].results.get("base_perplexity") or {}


def _line(name: str, values: Sequence[Any]) -> Line:
    points = [(place, float(value)) for place, value in enumerate(values) if _is_number(value)]
    return Line(name, [place for place, _ in points], [value for _, value in points])


def _get(found: Mapping[str, Any], key: str, name: str) -> Any:
    part = found.get(key)
    return part.get(name) if isinstance(part, Mapping) else None


def _names(parts: Sequence[Any]) -> list[str]:
    found = dict.fromkeys(name for part in parts if isinstance(part, Mapping) for name in part)
    return [name for name in found if name != "num_segments"]


def _cell(value: Any, shown) -> str:
    return shown(value) if _is_number(value) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0
