"""Scores by stage with their intervals, comparisons between systems, and the signatures of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report import systems
from in2x.report.dots import Dot, dot_chart
from in2x.report.folders import Run, finished_fractions
from in2x.report.markup import DASH, Html, element, fixed, join, note, number, percent, table
from in2x.report.plots import legend
from in2x.report.systems import Score

SIGNIFICANT = 0.05


def render(run: Run) -> Html:
    scores = run["evaluate"].records("scores.json")
    if not scores:
        return note("No scores were written.")
    charts = [_chart(scores, metric) for metric in _metrics(scores)]
    return join([
        _scores_table(scores, finished_fractions(run["translate"])),
        _caption(scores),
        element("div", *charts, class_="charts two"),
        _comparisons(run["evaluate"].records("comparisons.json")),
        _by_difficulty(run["evaluate"].records("by_difficulty.json")),
    ])  # fmt: skip


def _metrics(scores: list[Score]) -> list[str]:
    return list(dict.fromkeys(str(score.get("metric")) for score in scores))


def _decodings(scores: list[Score]) -> list[str]:
    found = dict.fromkeys(str(score.get("decoding")) for score in scores)
    return sorted(found, key=lambda name: (*systems.DECODINGS, name).index(name))


def _systems(scores: list[Score]) -> list[str]:
    return systems.ordered(str(score.get("system")) for score in scores)


def _scores_table(scores: list[Score], finished: Mapping[tuple[str, str], float]) -> Html:
    columns = [(metric, decoding) for metric in _metrics(scores) for decoding in _decodings(scores)]
    head = ["System", *(join([m, element("small", systems.decoding_name(d))]) for m, d in columns)]
    rows = []
    for system in _systems(scores):
        cells = [_score_cell(systems.find(scores, system, decoding, metric)) for metric, decoding in columns]
        rows.append([element("strong", systems.display(system)), *cells, *_cut_off(system, finished)])
    head += [join(["Cut off", element("small", "greedy")])] if finished else []
    return table(head, rows, range(1, len(head)), "Scores by system")


def _score_cell(score: Score | None) -> Html:
    if score is None:
        return element("span", DASH, class_="absent")
    role = str(score.get("role") or systems.INDEPENDENT)
    badge = None if role == systems.INDEPENDENT else element("em", role, class_="badge")
    interval = element("small", f"{fixed(score.get('low'))}–{fixed(score.get('high'))}")
    value = element("span", badge, fixed(score.get("value")), class_="figure" if badge is None else "figure used")
    return join([value, interval])


def _cut_off(system: str, finished: Mapping[tuple[str, str], float]) -> list[str]:
    if not finished:
        return []
    share = finished.get((system, "greedy"))
    return [DASH if share is None else percent(1 - share)]


def _caption(scores: list[Score]) -> Html:
    roles = {str(score.get("role")) for score in scores}
    told = ["Scores over the test set; below each, its 95 % interval."]
    if "selector" in roles:
        told.append("Selector: this metric chose the output among candidates, so it says nothing of the gain.")
    if "reward" in roles:
        told.append("Reward: this metric was trained against.")
    return note(" ".join(told))


def _chart(scores: list[Score], metric: str) -> Html:
    decodings = _decodings(scores)
    rows = {system: _dots(scores, system, metric, decodings) for system in _systems(scores)}
    base = systems.find(scores, "base", "greedy", metric)
    shapes = ["circle" if index % 2 else "diamond" for index in range(1, len(decodings) + 1)]
    labels: list[str | Html] = [systems.decoding_name(decoding) for decoding in decodings]
    if any(dot.hollow for row in rows.values() for dot in row):
        labels[-1] = join([labels[-1], element("span", "hollow: selector or reward", class_="aside")])
    named = {systems.display(system): dots for system, dots in rows.items() if dots}
    reference = base.get("value") if base else None
    return dot_chart(
        metric, "95 % interval; dashed: base, greedy", named, reference=reference, key=legend(labels, shapes)
    )


def _dots(scores: list[Score], system: str, metric: str, decodings: list[str]) -> list[Dot]:
    dots = []
    for series, decoding in enumerate(decodings, 1):
        score = systems.find(scores, system, decoding, metric)
        if score is None or not isinstance(score.get("value"), int | float):
            continue
        value, low, high = score["value"], score.get("low"), score.get("high")
        role = str(score.get("role") or systems.INDEPENDENT)
        used = "" if role == systems.INDEPENDENT else f", {role}"
        reading = f"{systems.decoding_name(decoding)} {fixed(value)} ({fixed(low)}–{fixed(high)}{used})"
        dots.append(Dot(value, low, high, series, bool(used), reading))
    return dots


def _comparisons(rows: list[Mapping[str, Any]]) -> Html | None:
    if not rows:
        return None
    head = ["System", "against", "Metric", "Difference", "95 % interval", "p"]
    body = [_comparison(row) for row in rows]
    said = f"Paired over the same segments; p in bold where it is below {SIGNIFICANT}."
    return join([element("h3", "Comparisons"), table(head, body, (3, 4, 5), "Comparisons of systems"), note(said)])


def _comparison(row: Mapping[str, Any]) -> list[Any]:
    names = [
        join([systems.display(str(row.get(f"system_{side}"))), " ", _decoding(row.get(f"decoding_{side}"))])
        for side in ("a", "b")
    ]
    interval = f"{fixed(row.get('low'), 2, signed=True)} to {fixed(row.get('high'), 2, signed=True)}"
    return [
        *names,
        row.get("metric"),
        fixed(row.get("delta"), 2, signed=True),
        interval,
        _p_value(row.get("p_value")),
    ]


def _by_difficulty(rows: list[Mapping[str, Any]]) -> Html | None:
    """The last system's scores by class of the source."""
    if not rows:
        return None
    last = _systems(rows)[-1]
    own = [row for row in rows if row.get("system") == last]
    columns = [(metric, decoding) for metric in _metrics(own) for decoding in _decodings(own)]
    head = ["Source", "Segments", *(join([m, element("small", systems.decoding_name(d))]) for m, d in columns)]
    body = []
    for name in dict.fromkeys(str(row.get("difficulty")) for row in own):
        cells = [row for row in own if row.get("difficulty") == name]
        found = (systems.find(cells, last, decoding, metric) for metric, decoding in columns)
        body.append(
            [name.replace("-", " "), number(cells[0].get("num_segments")), *(_score_cell(score) for score in found)]
        )
    said = f"{systems.display(last)}, by how long the source is and how rare its words are in the corpus."
    return join([
        element("h3", "By difficulty of the source"),
        table(head, body, range(1, len(head)), "Scores by difficulty"), note(said),
    ])  # fmt: skip


def _decoding(name: Any) -> Html:
    return element("small", systems.decoding_name(str(name)), class_="inline")


def _p_value(value: Any) -> Html | str:
    if not isinstance(value, int | float):
        return DASH
    text = "< 0.001" if value < 0.001 else fixed(value, 3)
    return element("strong", text) if value < SIGNIFICANT else text


def signatures(run: Run) -> Html:
    scores = run["evaluate"].records("scores.json")
    found = dict.fromkeys((str(s.get("metric")), str(s.get("signature")), s.get("num_segments")) for s in scores)
    rows = [[metric, element("code", signature), number(count)] for metric, signature, count in found]
    return table(["Metric", "Signature", "Segments"], rows, (2,), "Metric signatures") if rows else note("No scores.")
