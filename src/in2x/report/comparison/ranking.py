"""Scores of systems with intervals and clusters, by domain, and the matrix of which system beats which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report.dots import Dot, dot_chart
from in2x.report.markup import DASH, Html, element, fixed, fold, join, note, number, table

Result = Mapping[str, Any]  # what in2x.evaluation.compare_store says of one pair of languages


def ordered_systems(result: Result) -> list[str]:
    """Systems from the best to the worst by the first headline metric, or else the first metric."""
    first = first_metric(result)
    return [row["system"] for row in result["clusters"][first]] if first else list(result["systems"])


def first_metric(result: Result) -> str | None:
    return next(iter([*result["headline_metrics"], *result["signatures"]]), None)


def not_told_apart(result: Result, metric: str, system: str) -> list[str]:
    """The systems that were tested against this one by the metric and do not differ significantly from it."""
    tested = [row for row in result["pairs"] if row["metric"] == metric and not row["significant"]]
    sides = [(row["system_a"], row["system_b"]) for row in tested]
    return [b if a == system else a for a, b in sides if system in (a, b)]


def scores(result: Result) -> Html:
    """The table of scores, a chart for each metric, and what the marks mean."""
    metrics = list(result["signatures"])
    if not metrics:
        return note("There is nothing that every system has been measured by.")
    value = {(row["system"], row["metric"]): row for row in result["scores"]}
    rank = {(row["system"], metric): row for metric, rows in result["clusters"].items() for row in rows}
    rows = [
        [
            element("strong", system),
            *(_cell(value[system, m], rank[system, m], _role(result, m, system)) for m in metrics),
        ]
        for system in ordered_systems(result)
    ]
    unit = result["settings"]["level"]
    told = (
        f"Below each score its {result['settings']['confidence']:.0%} bootstrap interval over {unit}s, and its "
        "cluster by Wilcoxon's signed-rank test: systems of one cluster can't be told apart."
    )
    charts = [_chart(result, metric) for metric in metrics]
    excluded = [note(f"{metric} is no headline: {why}.") for metric, why in result["excluded"].items()]
    left_out = [note(f"{metric} is left out: {why}.") for metric, why in result["left_out"].items()]
    head = ["System", *metrics]
    return join([
        table(head, rows, range(1, len(head)), "Scores by system"), note(told), *excluded, *left_out,
        element("div", *charts, class_="charts two"),
    ])  # fmt: skip


def domains(result: Result) -> Html:
    names = list(dict.fromkeys(row["domain"] for row in result["domains"]))
    value = {(row["metric"], row["system"], row["domain"]): row for row in result["domains"]}
    tables = []
    for metric in result["signatures"]:
        rows = [
            [element("strong", system), *(fixed(value[metric, system, domain]["value"]) for domain in names)]
            for system in ordered_systems(result)
        ]
        sizes = {row["domain"]: row["num_segments"] for row in result["domains"] if row["metric"] == metric}
        head = ["System", *(join([name, element("small", f"{sizes[name]:,} segments")]) for name in names)]
        tables.append(join([element("h3", metric), table(head, rows, range(1, len(head)), f"{metric} by domain")]))
    return join(tables)


def significance(result: Result) -> Html:
    """A matrix for each metric: row minus column, with the Holm-corrected p-value; the better one is marked."""
    settings = result["settings"]
    told = (
        f"Row minus column. Bold: the row is better, p < {settings['alpha']:g} by paired approximate randomisation "
        f"over {settings['level']}s, Holm-corrected for all pairs of the metric."
    )
    matrices = [_matrix(result, metric) for metric in result["signatures"]]
    first, rest = matrices[:1], matrices[1:]
    return join([note(told), *first, *([fold("Other metrics", *rest)] if rest else [])])


def signatures(result: Result) -> Html:
    rows = [[metric, element("code", signature), number(result["num_units"][metric])]
            for metric, signature in result["signatures"].items()]  # fmt: skip
    return table(
        ["Metric", "Signature", f"{result['settings']['level'].capitalize()}s"], rows, (2,), "Metric signatures"
    )


def _role(result: Result, metric: str, system: str) -> str | None:
    return result["roles"].get(metric, {}).get(system)


def _cell(score: Mapping, ranked: Mapping, role: str | None) -> Html:
    badge = element("em", role, class_="badge") if role else None
    value = element("span", badge, fixed(score["value"]), class_="figure used" if role else "figure")
    interval = f"{fixed(score['low'])}–{fixed(score['high'])}"
    return join([value, element("small", interval), element("small", f"cluster {ranked['cluster']}")])


def _chart(result: Result, metric: str) -> Html:
    value = {row["system"]: row for row in result["scores"] if row["metric"] == metric}
    rows = {}
    for system in ordered_systems(result):
        row, role = value[system], _role(result, metric, system)
        reading = f"{fixed(row['value'])} ({fixed(row['low'])}–{fixed(row['high'])}{f', {role}' if role else ''})"
        rows[system] = [Dot(row["value"], row["low"], row["high"], 1, bool(role), reading)]
    return dot_chart(metric, f"{result['settings']['confidence']:.0%} interval", rows)


def _matrix(result: Result, metric: str) -> Html:
    found = {}
    for row in result["pairs"]:
        if row["metric"] == metric:
            found[row["system_a"], row["system_b"]] = (row["delta"], row)
            found[row["system_b"], row["system_a"]] = (-row["delta"], row)
    names = ordered_systems(result)
    rows = [[element("strong", a), *(_against(found.get((a, b)), a) for b in names)] for a in names]
    head = ["", *names]
    return join([element("h3", metric), table(head, rows, range(1, len(head)), f"{metric}: which system is better")])


def _against(pair: tuple[float, Mapping] | None, system: str) -> Html:
    if pair is None:
        return element("span", DASH, class_="absent")
    delta, row = pair
    p_value = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    better = row["significant"] and row["better"] == system
    told = fixed(delta, 2, signed=True)
    return join([element("strong", told) if better else told, element("small", p_value)])
