"""Scores of systems with intervals and clusters, by domain, and the matrix of which system beats which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from in2x.report.dots import Dot, dot_chart
from in2x.report.markup import DASH, Html, element, fixed, fold, join, note, number, table

Result = Mapping[str, Any]  # what in2x.evaluation.compare_store says of one pair of languages


SHOWN_METRICS = 4  # charts and domain tables that are open; the others unfold


def ordered_systems(result: Result) -> list[str]:
    """Systems from the best to the worst by the score of the first headline metric, or else the first metric."""
    first = first_metric(result)
    if first is None:
        return list(result["systems"])
    value = {row["system"]: row["value"] for row in result["scores"] if row["metric"] == first}
    return sorted(value, key=value.get, reverse=first not in result["lower_is_better"])


def decimals(result: Result, metric: str) -> int:
    """1 for scores such as BLEU's, 3 where all lie between -1 and 1."""
    return 3 if all(abs(row["value"]) <= 1 for row in result["scores"] if row["metric"] == metric) else 1


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
            *(_cell(value[system, m], rank[system, m], _role(result, m, system), decimals(result, m)) for m in metrics),
        ]
        for system in ordered_systems(result)
    ]
    unit = result["settings"]["level"]
    told = (
        f"Below each score its {result['settings']['confidence']:.0%} bootstrap interval over {unit}s, and its "
        f"cluster: systems are cut into clusters by Wilcoxon's signed-rank test on the scores of single {unit}s, whose "
        "mean may order close systems otherwise than the score does. ↑ higher, ↓ lower is better."
    )
    charts = [_chart(result, metric) for metric in metrics]
    excluded = [note(f"{metric} is no headline: {why}.") for metric, why in result["excluded"].items()]
    left_out = [note(f"{metric} is left out: {why}.") for metric, why in result["left_out"].items()]
    head = ["System", *(f"{metric} {_arrow(result, metric)}" for metric in metrics)]
    return join([
        table(head, rows, range(1, len(head)), "Scores by system"), note(told), *excluded, *left_out,
        *_first_open("More charts", charts, lambda some: element("div", *some, class_="charts two")),
    ])  # fmt: skip


def domains(result: Result) -> Html:
    names = list(dict.fromkeys(row["domain"] for row in result["domains"]))
    value = {(row["metric"], row["system"], row["domain"]): row for row in result["domains"]}
    tables = []
    for metric in result["signatures"]:
        rows = [
            [
                element("strong", system),
                *(fixed(value[metric, system, domain]["value"], decimals(result, metric)) for domain in names),
            ]
            for system in ordered_systems(result)
        ]
        sizes = {row["domain"]: row["num_segments"] for row in result["domains"] if row["metric"] == metric}
        head = ["System", *(join([name, element("small", f"{sizes[name]:,} segments")]) for name in names)]
        title = element("h3", f"{metric} {_arrow(result, metric)}")
        tables.append(join([title, table(head, rows, range(1, len(head)), f"{metric} by domain")]))
    return join(_first_open("Other metrics", tables, join))


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


def _first_open(summary: str, parts: Sequence[Html], laid_out: Callable[[Sequence[Html]], Html]) -> list[Html]:
    """The first parts, and a fold with the others."""
    first, rest = parts[:SHOWN_METRICS], parts[SHOWN_METRICS:]
    return [laid_out(first), *([fold(summary, laid_out(rest))] if rest else [])]


def _arrow(result: Result, metric: str) -> str:
    return "↓" if metric in result["lower_is_better"] else "↑"


def _role(result: Result, metric: str, system: str) -> str | None:
    return result["roles"].get(metric, {}).get(system)


def _cell(score: Mapping, ranked: Mapping, role: str | None, digits: int) -> Html:
    badge = element("em", role, class_="badge") if role else None
    value = element("span", badge, fixed(score["value"], digits), class_="figure used" if role else "figure")
    interval = f"{fixed(score['low'], digits)}–{fixed(score['high'], digits)}"
    return join([value, element("small", interval), element("small", f"cluster {ranked['cluster']}")])


def _chart(result: Result, metric: str) -> Html:
    value = {row["system"]: row for row in result["scores"] if row["metric"] == metric}
    rows = {}
    for system in ordered_systems(result):
        row, role = value[system], _role(result, metric, system)
        value_low_high = [fixed(row[name], decimals(result, metric)) for name in ("value", "low", "high")]
        reading = "{} ({}–{}{})".format(*value_low_high, f", {role}" if role else "")
        rows[system] = [Dot(row["value"], row["low"], row["high"], 1, bool(role), reading)]
    return dot_chart(f"{metric} {_arrow(result, metric)}", f"{result['settings']['confidence']:.0%} interval", rows)


def _matrix(result: Result, metric: str) -> Html:
    found = {}
    for row in result["pairs"]:
        if row["metric"] == metric:
            found[row["system_a"], row["system_b"]] = (row["delta"], row)
            found[row["system_b"], row["system_a"]] = (-row["delta"], row)
    names = ordered_systems(result)
    digits = 1 + decimals(result, metric)
    rows = [[element("strong", a), *(_against(found.get((a, b)), a, digits) for b in names)] for a in names]
    head = ["", *names]
    title = element("h3", f"{metric} {_arrow(result, metric)}")
    return join([title, table(head, rows, range(1, len(head)), f"{metric}: which system is better")])


def _against(pair: tuple[float, Mapping] | None, system: str, digits: int) -> Html:
    if pair is None:
        return element("span", DASH, class_="absent")
    delta, row = pair
    p_value = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    better = row["significant"] and row["better"] == system
    told = fixed(delta, digits, signed=True)
    return join([element("strong", told) if better else told, element("small", p_value)])
