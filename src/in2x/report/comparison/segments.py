"""Segments of two systems side by side, what changed between them marked; the worst and the best of one system."""

from __future__ import annotations

import difflib

import polars as pl

from in2x.report.markup import Html, element, fixed, join, language, note, prose, table

NUM_SHOWN = 12
MAX_DIFF_CHARACTERS = 1500


def differences(frame: pl.DataFrame, system_a: str, system_b: str, scores: dict[tuple[str, str], float]) -> Html:
    """The segments of one pair of languages on which A and B differ most by `scores` ((system, segment) -> score)."""
    rows_a, rows_b = (
        {row["segment"]: row for row in frame.filter(system=system).iter_rows(named=True)}
        for system in (system_a, system_b)
    )
    gaps = {segment: scores[system_a, segment] - scores[system_b, segment] for segment in rows_a}
    changed = [segment for segment in gaps if rows_a[segment]["hypothesis"] != rows_b[segment]["hypothesis"]]
    if not changed:
        return note(f"{system_a} and {system_b} translate every segment alike.")
    shown = sorted(changed, key=lambda segment: -abs(gaps[segment]))[:NUM_SHOWN]
    body = [_difference(rows_a[segment], rows_b[segment], gaps[segment]) for segment in shown]
    told = (
        f"{len(changed):,} of {len(gaps):,} translations differ; here are the {len(shown)} that differ most. Marked: "
        "what only one of the two has."
    )
    head = ["Source", "Reference", system_a, system_b, "Difference"]
    return join([note(told), element("div", table(head, body, (4,), f"{system_a} against {system_b}"), class_="texts")])


def extremes(frame: pl.DataFrame, system: str, scores: dict[tuple[str, str], float]) -> Html:
    """The worst and the best segments of a system."""
    rows = sorted(frame.filter(system=system).iter_rows(named=True), key=lambda row: scores[system, row["segment"]])
    parts = []
    for title, some in (("Worst", rows[:NUM_SHOWN]), ("Best", rows[::-1][:NUM_SHOWN])):
        body = [
            [_source(row), _reference(row), prose(row["hypothesis"]), fixed(scores[system, row["segment"]])]
            for row in some
        ]
        shown = table(["Source", "Reference", system, "Score"], body, (3,), f"{title} segments of {system}")
        parts.append(join([element("h3", title), element("div", shown, class_="texts")]))
    return join(parts)


def marked(text: str, other: str) -> Html:
    """The text with what `other` does not have in <mark>, character by character."""
    if not text.strip():
        return prose(text)
    if max(len(text), len(other)) > MAX_DIFF_CHARACTERS:
        return prose(text)
    pieces = difflib.SequenceMatcher(None, text, other, autojunk=False).get_opcodes()
    parts = [text[i:j] if tag == "equal" else element("mark", text[i:j]) for tag, i, j, _, _ in pieces if j > i]
    return element("div", *parts, lang=language(text), class_="prose")


def _difference(row_a: dict, row_b: dict, gap: float) -> list:
    a, b = row_a["hypothesis"], row_b["hypothesis"]
    return [_source(row_a), _reference(row_a), marked(a, b), marked(b, a), fixed(gap, signed=True)]


def _source(row: dict) -> Html:
    return join([prose(row["source"]), element("span", row["segment"], class_="segment")])


def _reference(row: dict) -> Html:
    return prose(row["references"][0]) if row["references"] else element("span", "none", class_="absent")
