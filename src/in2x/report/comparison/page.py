"""The page: header, contents, and for each pair of languages its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from in2x.report.comparison import ranking, segments
from in2x.report.comparison.ranking import Result
from in2x.report.markup import Html, element, facts, fixed, join, note, number, table
from in2x.report.shell import page


@dataclass(frozen=True)
class Provenance:
    """What the page was made of: name -> value, such as the file's SHA-256 and the versions."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PairReport:
    """One pair of languages: its comparison, its rows, and segment scores ((system, segment) -> score) by `metric`."""

    pair: str
    result: Result
    frame: pl.DataFrame
    metric: str
    scores: dict[tuple[str, str], float]
    sides: tuple[str, str]  # the two systems that are shown against each other


def render(title: str, reports: Sequence[PairReport], provenance: Provenance, checks: Mapping[str, Html]) -> str:
    """Return the whole page; it loads nothing and runs no script. `checks` are further parts, by title."""
    sections = [part for report in reports for part in _parts(report, len(reports) > 1)]
    sections += [(f"checks-{place}", name, body) for place, (name, body) in enumerate(checks.items())]
    sections.append(("provenance", "Provenance", _provenance(provenance)))
    sections[0] = ("results", *sections[0][1:])  # where "Skip to the results" goes
    return page(title, _header(title, reports), sections)


def _header(title: str, reports: Sequence[PairReport]) -> Html:
    kicker = " · ".join(["In2x", *(report.pair for report in reports)])
    heads = [_headline(report) for report in reports]
    return element("header", element("p", kicker, class_="kicker"), element("h1", title),
                   element("div", *(head for head in heads if head), class_="headlines"))  # fmt: skip


def _headline(report: PairReport) -> Html | None:
    """The best system by the first metric that judged all of them alike, and whether its lead is more than chance."""
    metrics = report.result["headline_metrics"]
    if not metrics:
        return None
    best = ranking.ordered_systems(report.result)[0]
    close = ranking.not_told_apart(report.result, metrics[0], best)
    lead = f"not told apart from {', '.join(close)}" if close else "ahead of all that it was tested against"
    value = next(row for row in report.result["scores"] if (row["system"], row["metric"]) == (best, metrics[0]))
    digits = ranking.decimals(report.result, metrics[0])
    interval = f"{metrics[0]} ({fixed(value['low'], digits)}–{fixed(value['high'], digits)}); {lead}"
    return element("div", element("span", f"{report.pair}: {best}", class_="what"),
                   element("span", fixed(value["value"], digits), class_="value"),
                   element("span", interval, class_="unit"), class_="headline")  # fmt: skip


def _parts(report: PairReport, several: bool) -> list[tuple[str, str, Html]]:
    result, (a, b) = report.result, report.sides
    tag, of = report.pair, f" ({report.pair})" if several else ""
    counts = [(name, number(count)) for name, count in (
        ("systems", len(result["systems"])), ("segments", result["num_segments"]),
        ("documents", result["num_documents"])) if count]  # fmt: skip
    parts = [(f"ranking-{tag}", f"Ranking{of}", join([facts(counts), ranking.scores(result)]))]
    if result["domains"]:
        parts.append((f"domains-{tag}", f"Domains{of}", ranking.domains(result)))
    parts.append((f"significance-{tag}", f"Significance{of}", ranking.significance(result)))
    by = note(f"Segments by {report.metric}.")
    shown = segments.differences(report.frame, a, b, report.scores)
    parts.append((f"differences-{tag}", f"{a} against {b}{of}", join([by, shown])))
    parts.append((f"extremes-{tag}", f"Worst and best of {a}{of}", segments.extremes(report.frame, a, report.scores)))
    parts.append((f"signatures-{tag}", f"Metric signatures{of}", ranking.signatures(result)))
    return parts


def _provenance(provenance: Provenance) -> Html:
    rows = [[name, element("code", value)] for name, value in provenance.rows]
    return table(["", ""], rows, (), "Provenance")
