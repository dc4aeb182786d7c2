"""What `in2x japanese` does: check a segment store's Japanese; print rates and examples, write both as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from in2x.artifacts import In2xError, write_json
from in2x.evaluation.japanese.checks import CHECKS
from in2x.evaluation.japanese.suite import (
    CONFIDENCE,
    SEED,
    Checked,
    Rate,
    Summary,
    check_document,
    documents_of,
    summarize,
)

if TYPE_CHECKING:
    import polars as pl

NUM_RESAMPLES = 1000
SYSTEMS_PER_TABLE = 6
CONTEXT_CHARACTERS = 20  # on each side of an example
NO_VALUE = "-"


def japanese_command(
    store_path: Path,
    out: Path | None = None,
    *,
    systems: Sequence[str] = (),
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
    num_examples: int = 2,
) -> None:
    """Check the Japanese of a segment store's systems (default: all); print a table of rates for each pair.

    Below it stand up to `num_examples` places where each check fired. `out` takes rates and all findings as JSON.

    Raises:
        In2xError: not a store, systems with different segments, no such system, or no pair into Japanese.
    """
    from in2x.evaluation import store
    from in2x.training.metrics import progress_bar

    frame = store.read_store(store_path)
    unknown = [name for name in systems if name not in store.systems(frame)]
    if unknown:
        raise In2xError(f"{store_path}: no system {unknown[0]!r}; there are {', '.join(store.systems(frame))}")
    pairs = documents_of(frame.filter(frame["system"].is_in(list(systems or store.systems(frame)))))
    if not pairs:
        given = ", ".join(sorted(frame["pair"].unique()))
        raise In2xError(f"{store_path}: no pair into Japanese, only {given}; the pair is expected as in 'en-ja'")
    results, summaries_of = {}, {}
    for pair, documents in pairs.items():
        with progress_bar(f"japanese {pair}", len(documents)) as bar:
            checked = [_advanced(check_document(document), bar) for document in documents]
        summaries = summaries_of[pair] = summarize(checked, num_resamples=num_resamples, seed=seed)
        results[pair] = {
            "texts": text_hash(frame.filter(pair=pair), list(summaries)),
            "systems": {system: asdict(summary) for system, summary in summaries.items()},
            "findings": [row for item in checked for row in finding_rows(item)],
        }
    if out is not None:
        table = {name: {"title": row.title, "unit": row.unit, "better": row.better} for name, row in CHECKS.items()}
        settings = {"num_resamples": num_resamples, "seed": seed, "confidence": CONFIDENCE}
        write_json(out, {"store": str(store_path), "checks": table, **settings, "pairs": results})
    for pair, summaries in summaries_of.items():
        print_summaries(pair, summaries)
        print_examples(results[pair]["findings"], num_examples)
    if out is not None:
        print(out)


def text_hash(frame: pl.DataFrame, systems: Sequence[str]) -> str:
    """16 hexadecimal digits (SHA-256) of the systems' texts in one pair: says whether findings belong to a store."""
    rows = frame.filter(frame["system"].is_in(list(systems))).select("system", "segment", "hypothesis").sort(
        "system", "segment"
    )  # fmt: skip
    return hashlib.sha256(json.dumps(rows.rows(), ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def finding_rows(checked: Checked) -> list[dict]:
    """The findings of a document as flat rows with the text they point at, and around it; mere notes are left out."""
    document = checked.document
    return [
        {"system": document.system, "document": document.id, **asdict(finding),
         "text": document.segments[finding.segment][finding.start : finding.end],
         "context": _context(document.segments[finding.segment], finding.start, finding.end)}
        for findings in checked.findings.values()
        for finding in findings
        if finding.severity != "note"
    ]  # fmt: skip


def examples(rows: Sequence[Mapping], number: int) -> dict[str, list[Mapping]]:
    """Check -> up to `number` of its findings, of each system in turn, in the order of the table of checks."""
    found: dict[str, list[Mapping]] = {}
    for name in CHECKS:
        by_system: dict[str, list[Mapping]] = {}
        for row in rows:
            if row["check"] == name:
                by_system.setdefault(row["system"], []).append(row)
        in_turn = [row for turn in zip_longest(*by_system.values()) for row in turn if row is not None]
        if in_turn and number:
            found[name] = in_turn[:number]
    return found


def print_summaries(pair: str, summaries: Mapping[str, Summary]) -> None:
    """Print one row per check that found something and one column per system, a few systems at a time."""
    from in2x.evaluation.store_commands import show

    names = list(summaries)
    fired = [name for name in CHECKS if any(summary.rates[name].num_findings for summary in summaries.values())]
    for first in range(0, len(names), SYSTEMS_PER_TABLE):
        shown = names[first : first + SYSTEMS_PER_TABLE]
        found = [summaries[name] for name in shown]
        rows = [
            ["documents", "", *(f"{s.num_documents:,}" for s in found)],
            ["segments, and how many are empty", "", *(f"{s.num_segments:,}, {s.num_empty:,}" for s in found)],
            [
                "register consistency",
                "mean over documents (higher is better)",
                *(_shown(s.register_consistency, 3) for s in found),
            ],
        ]
        for name in fired:
            check = CHECKS[name]
            mark = "" if check.better == "lower" else " (near human is better)"
            rows.append([f"{name}: {check.title}", f"per {check.unit}{mark}", *(_cell(s.rates[name]) for s in found)])
        show(f"{pair}: Japanese checks, lower is better", ["check", "unit", *shown], rows)
    quiet = [name for name in CHECKS if name not in fired]
    if quiet:
        print(f"nothing found: {', '.join(quiet)}")


def print_examples(rows: Sequence[Mapping], number: int) -> None:
    for name, some in examples(rows, number).items():
        print(f"{name}:")
        for row in some:
            print(f"  {row['system']}, {row['document']}: {row['context']}  ({row['message']})")


def _advanced(checked: Checked, bar) -> Checked:
    bar.advance(1)
    return checked


def _context(text: str, start: int, end: int) -> str:
    """The place in 【】 with a little text before and after, on one line."""
    before, after = max(0, start - CONTEXT_CHARACTERS), end + CONTEXT_CHARACTERS
    place = text[start:end]
    if len(place) > 3 * CONTEXT_CHARACTERS:
        place = f"{place[: 2 * CONTEXT_CHARACTERS]}…{place[-CONTEXT_CHARACTERS:]}"
    parts = ["…" if before else "", text[before:start], "【", place, "】", text[end:after]]
    return " ".join("".join([*parts, "…" if after < len(text) else ""]).split())


def _shown(value: float | None, digits: int) -> str:
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def _cell(rate: Rate) -> str:
    if rate.value is None or rate.low is None:
        return _shown(rate.value, 2)
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"
