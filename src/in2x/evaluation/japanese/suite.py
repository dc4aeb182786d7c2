"""Run every check over the documents of every system: rates with document-bootstrap intervals.

Legend: D documents, C checks, B resamples. A system's rate is the summed weight of its findings over the summed unit
(sentences, characters ...), so that long documents count for more. Documents, not segments, are resampled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from in2x.evaluation.japanese import register
from in2x.evaluation.japanese.checks import CHECKS, UNITS, Check
from in2x.evaluation.japanese.document import Finding, check_segments

if TYPE_CHECKING:
    import polars as pl

CONFIDENCE = 0.95
SEED = 12345


@dataclass(frozen=True)
class Document:
    """One document of one system: its segments in order, and their sources where they are known.

    Example: Document("In2x", "news.17", ("東京は雨だった。", "傘が売れた。"), ("It rained.", "Umbrellas sold well."))
    """

    system: str
    id: str
    segments: tuple[str, ...]
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Checked:
    """A document with its findings by check and how much of each unit it has."""

    document: Document
    findings: dict[str, list[Finding]]
    sizes: dict[str, int]


@dataclass(frozen=True)
class Rate:
    """Findings of one check per unit, with an interval where it was asked for and there are two documents or more."""

    value: float | None  # None when there is nothing to count in, such as narrative sentences in headlines
    num_findings: int
    size: int  # sentences, segments, characters or documents looked at
    unit: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Summary:
    """What the checks say of one system."""

    num_documents: int
    num_segments: int
    num_empty: int
    registers: dict[str, int]  # narrative sentences by register
    register_consistency: float | None  # mean over documents with three such sentences or more
    rates: dict[str, Rate]


def check_document(document: Document, checks: Mapping[str, Check] = CHECKS) -> Checked:
    """Run the checks on one document.

    Raises:
        ValueError: segments or sources that are no lists of strings, or of different length.
    """
    check_segments(document.segments, document.sources)
    findings = {name: check.function(document.segments, document.sources) for name, check in checks.items()}
    return Checked(document, findings, {unit: count(document.segments) for unit, (_, count) in UNITS.items()})


def run_suite(
    documents: Iterable[Document], *, num_resamples: int = 0, seed: int = SEED, checks: Mapping[str, Check] = CHECKS
) -> dict[str, Summary]:
    """Check all documents and summarise every system, see `summarize`."""
    checked = [check_document(document, checks) for document in documents]
    return summarize(checked, num_resamples=num_resamples, seed=seed, checks=checks)


def summarize(
    checked: Iterable[Checked], *, num_resamples: int = 0, seed: int = SEED, checks: Mapping[str, Check] = CHECKS
) -> dict[str, Summary]:
    """Summarise every system; `num_resamples` gives each rate a 95% percentile bootstrap interval over documents.

    Systems with as many documents, in the same order, are resampled with the same draws.

    Raises:
        ValueError: no documents, or two documents of a system with one id.
    """
    by_system: dict[str, list[Checked]] = defaultdict(list)
    for item in checked:
        by_system[item.document.system].append(item)
    if not by_system:
        raise ValueError("no documents to check")
    return {system: _summary(system, found, num_resamples, seed, checks) for system, found in by_system.items()}


def documents_of(frame: pl.DataFrame) -> dict[str, list[Document]]:
    """Group the rows of a segment store into documents: pair -> documents, for the pairs into Japanese.

    Rows keep their order. A row without a document is a document of its own.
    """
    found: dict[str, dict[tuple, list]] = defaultdict(lambda: defaultdict(list))
    columns = ("pair", "system", "document", "segment", "source", "hypothesis")
    for pair, system, document, segment, source, hypothesis in frame.select(columns).iter_rows():
        if pair.replace("_", "-").split("-")[1].lower() == "ja":
            key = (system, segment, True) if document is None else (system, document, False)
            found[pair][key].append((hypothesis, source))
    return {
        pair: [Document(system, name, *zip(*rows, strict=True)) for (system, name, _), rows in groups.items()]
        for pair, groups in found.items()
    }


def _summary(system: str, checked: Sequence[Checked], num_resamples: int, seed: int, checks) -> Summary:
    documents = [item.document for item in checked]
    repeated = [name for name, count in Counter(document.id for document in documents).items() if count > 1]
    if repeated:
        raise ValueError(f"system {system!r} has two documents {repeated[0]!r}")
    weights_DC = np.array([[sum(f.weight for f in item.findings[name]) for name in checks] for item in checked])
    sizes_DC = np.array([[item.sizes[check.unit] for check in checks.values()] for item in checked], dtype=float)
    segments = [segment for document in documents for segment in document.segments]
    consistencies = [register.consistency(document.segments) for document in documents]
    kept = [value for value in consistencies if value is not None]
    kinds = Counter(kind for document in documents for _, kind in register.narrative(document.segments))
    factors_C = np.array([UNITS[check.unit][0] for check in checks.values()])
    values_C = factors_C * _ratio(weights_DC.sum(axis=0), sizes_DC.sum(axis=0))
    lows_C, highs_C = factors_C * _interval(weights_DC, sizes_DC, num_resamples, seed)
    rates = {
        name: Rate(
            value=_number(values_C[i]),
            num_findings=sum(len(item.findings[name]) for item in checked),
            size=int(sizes_DC[:, i].sum()),
            unit=check.unit,
            low=_number(lows_C[i]),
            high=_number(highs_C[i]),
        )
        for i, (name, check) in enumerate(checks.items())
    }
    return Summary(
        num_documents=len(documents),
        num_segments=len(segments),
        num_empty=sum(not segment.strip() for segment in segments),
        registers=dict(kinds),
        register_consistency=sum(kept) / len(kept) if kept else None,
        rates=rates,
    )


def _interval(weights_DC: np.ndarray, sizes_DC: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Percentiles (2, C) of the ratio over resampled documents; nan without resamples or with a single document."""
    num_documents, num_checks = weights_DC.shape
    edges_2C = np.full((2, num_checks), np.nan)
    if not num_resamples or num_documents < 2:
        return edges_2C
    equal = np.full(num_documents, 1 / num_documents)
    draws_BD = np.random.default_rng(seed).multinomial(num_documents, equal, size=num_resamples)
    values_BC = _ratio(draws_BD @ weights_DC, draws_BD @ sizes_DC)
    defined = ~np.isnan(values_BC).all(axis=0)
    percentiles = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    edges_2C[:, defined] = np.nanpercentile(values_BC[:, defined], percentiles, axis=0)
    return edges_2C


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
