"""Read per-segment scores in the layout of WMT25's public repository, and refuse what can't be ranked fairly.

One JSON object a line, .jsonl or gzipped:

    {"system": "In2x", "language_pair": "en-ja_JP", "domain": "news", "document_id": "cnbc.com.52094",
     "metric_scores": {"CometKiwi-XL": [0.815, 0.640], "GEMBA-ESA-GPT4.1": [100, null], ...}}

`system` may be missing; the name of the file is then the system's. Lists may be nested (by paragraph); they are
flattened. A score of null or NaN is left out of the mean, never 0. All systems of a pair must cover the same documents
with the same number of segments: a mean over other segments is another test set.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from in2x.artifacts import In2xError
from in2x.evaluation.autorank import Pool, counted_metrics

KEYS = ("language_pair", "domain", "document_id", "metric_scores")


@dataclass(frozen=True)
class Row:
    """The scores of one system on one document; `origin` is file and line, `inserted` a system of one's own."""

    system: str
    pair: str
    domain: str
    document: str
    metric_scores: Mapping[str, list]
    origin: str
    inserted: bool


def read_rows(path: Path, inserted: bool = False) -> list[Row]:
    """Read one file of scores.

    Raises:
        In2xError: no such file, not UTF-8, not gzip although it begins so, a line that is no row, or no row at all.
    """
    text = _text(path)
    rows = [_row(line, path, number, inserted) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not rows:
        raise In2xError(f"{path}: the file is empty; expected one JSON object a line with {', '.join(KEYS)}")
    return rows


def pools(rows: Iterable[Row], metrics: Sequence[str] | None = None) -> dict[str, Pool]:
    """Sort rows into one pool per language pair; `metrics` counts these in place of WMT25's choice for the pair.

    Raises:
        In2xError: see `make_pool`.
    """
    by_pair: dict[str, list[Row]] = {}
    for row in rows:
        by_pair.setdefault(row.pair, []).append(row)
    return {pair: make_pool(pair, by_pair[pair], metrics) for pair in sorted(by_pair)}


def make_pool(pair: str, rows: Sequence[Row], metrics: Sequence[str] | None = None) -> Pool:
    """Lay the rows of one pair out as an array; systems and documents in alphabetical order.

    Raises:
        In2xError: a document twice, systems on different documents or segments, a document in two domains, a counted
            metric missing, a score that is no number, MetricX that is not negated, or fewer than two systems in the
            pool.
    """
    available = dict.fromkeys(name for row in rows for name in row.metric_scores)
    counted, rule = _chosen(pair, available, metrics) if metrics else counted_metrics(pair, available)
    inserted = _inserted(rows)
    by_key = _by_system_and_document(rows)
    systems, documents = sorted({row.system for row in rows}), sorted({row.document for row in rows})
    _check_same_documents(pair, systems, documents, by_key)
    if len(systems) - len(inserted) < 2:
        found = len(systems) - len(inserted)
        raise In2xError(f"{pair}: a ranking needs two systems or more in the pool, found {found}")
    model = [by_key[systems[0], document] for document in documents]
    lengths = [len(_scores(row, counted[0])) for row in model]
    scores_MSN = np.empty((len(counted), len(systems), sum(lengths)))
    for position, system in enumerate(systems):
        of_system = [by_key[system, document] for document in documents]
        scores_MSN[:, position] = _system_scores(of_system, model, lengths, counted)
    return Pool(
        pair=pair,
        systems=tuple(systems),
        metrics=counted,
        rule=rule,
        documents=tuple(documents),
        domains=tuple(row.domain for row in model),
        document_of_N=np.repeat(np.arange(len(documents)), lengths),
        scores_MSN=scores_MSN,
        in_pool_S=np.array([system not in inserted for system in systems]),
    )


def _system_scores(rows: Sequence[Row], model: Sequence[Row], lengths: Sequence[int], metrics: Sequence[str]):
    """Return one system's scores, M x N; `model` are the rows of another system on the same documents."""
    for row, other in zip(rows, model, strict=True):
        if row.domain != other.domain:
            raise In2xError(
                f"{row.origin}: document {row.document} is of domain {row.domain}, of {other.domain} in {other.origin}"
            )
    scores_MN = np.empty((len(metrics), sum(lengths)))
    for index, metric in enumerate(metrics):
        values: list[float] = []
        for row, other, length in zip(rows, model, lengths, strict=True):
            of_row = _scores(row, metric)
            if len(of_row) != length:
                raise In2xError(
                    f"{row.origin}: {row.system} has {len(of_row)} segments of document {row.document} by {metric}, "
                    f"{other.system} has {length} by {metrics[0]} ({other.origin}); write null for a missing score"
                )
            values += of_row
        scores_MN[index] = _to_array(values, rows, lengths, metric)
    return scores_MN


def _to_array(values: Sequence[float], rows: Sequence[Row], lengths: Sequence[int], metric: str) -> np.ndarray:
    """Turn one system's scores by one metric into an array, N, and refuse values that can be no scores."""
    try:
        scores_N = np.array(values, dtype=np.float64)
    except OverflowError:
        scores_N = np.array([np.inf if abs(value) > sys.float_info.max else value for value in values])
    if np.isnan(scores_N).all():
        raise In2xError(f"{rows[0].origin}: {rows[0].system} has no score of {metric} at all for {rows[0].pair}")
    positive_N = (scores_N > 0) & metric.startswith("MetricX")
    for wrong_N, why in (
        (np.isinf(scores_N), "infinite or too large for a score; write null where there is none"),
        (positive_N, "above 0; MetricX counts errors, and is stored negated so that higher is better: change the sign"),
    ):
        if wrong_N.any():
            segment = int(wrong_N.argmax())
            row = rows[int(np.searchsorted(np.cumsum(lengths), segment, side="right"))]
            raise In2xError(f"{row.origin}: {metric}: {scores_N[segment]:g} is {why}")
    return scores_N


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise In2xError(f"{path}: not there") from None
    except IsADirectoryError:
        raise In2xError(f"{path}: a folder; give the files in it, such as {path}/*.jsonl") from None
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise In2xError(f"{path}: begins like gzip but can't be unpacked ({error}); fetch it again") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise In2xError(f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file") from None


def _row(line: str, path: Path, number: int, inserted: bool) -> Row:
    origin = f"{path}:{number}"
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise In2xError(f"{origin}: not valid JSON ({error.msg}, column {error.colno})") from None
    if not isinstance(record, dict):
        raise In2xError(f"{origin}: expected a JSON object, got {type(record).__name__}")
    missing = [key for key in KEYS if key not in record]
    if missing:
        raise In2xError(f"{origin}: no {', '.join(missing)}; a row needs {', '.join(KEYS)}")
    record.setdefault("system", path.name.removesuffix(".gz").removesuffix(".jsonl"))
    for key in ("system", *KEYS[:-1]):
        if not isinstance(record[key], str) or not record[key]:
            raise In2xError(f"{origin}: {key}: expected a non-empty string, got {record[key]!r}")
    if not isinstance(record["metric_scores"], dict) or not record["metric_scores"]:
        raise In2xError(
            f"{origin}: metric_scores: expected an object of lists by metric, got {record['metric_scores']!r}"
        )
    pair, domain, document, metric_scores = (record[key] for key in KEYS)
    return Row(record["system"], pair, domain, document, metric_scores, origin, inserted)


def _chosen(pair: str, available: Iterable[str], metrics: Sequence[str]) -> tuple[tuple[str, ...], str]:
    unknown = [metric for metric in metrics if metric not in available]
    if unknown:
        raise In2xError(f"{pair}: no metric {', '.join(unknown)} in the files, only {', '.join(sorted(available))}")
    return tuple(sorted(set(metrics))), "as chosen"


def _by_system_and_document(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    by_key: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = by_key.setdefault((row.system, row.document), row)
        if before is not row:
            raise In2xError(
                f"{row.origin}: {row.system} on document {row.document} a second time; first: {before.origin}"
            )
    return by_key


def _inserted(rows: Iterable[Row]) -> set[str]:
    inserted = {row.system for row in rows if row.inserted}
    clash = next((row for row in rows if not row.inserted and row.system in inserted), None)
    if clash:
        raise In2xError(
            f"{clash.origin}: {clash.system} is in the pool and inserted too; give one of them another name"
        )
    return inserted


def _check_same_documents(pair: str, systems: Sequence[str], documents: Sequence[str], by_key: Mapping) -> None:
    for document in documents:
        lacking = [system for system in systems if (system, document) not in by_key]
        if lacking:
            row = next(by_key[system, document] for system in systems if (system, document) in by_key)
            num_scored = len(systems) - len(lacking)
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise In2xError(
                f"{row.origin}: {pair}: document {document} has scores of {num_scored} of {len(systems)} "
                f"systems, none of {', '.join(lacking[:3])}{more}; systems are compared on the same segments only: "
                "score the missing ones, or leave the document or the system out of the files"
            )


def _scores(row: Row, metric: str) -> list[float]:
    """Flatten one metric's scores of a row; null becomes NaN."""
    found = row.metric_scores.get(metric)
    if metric not in row.metric_scores:
        raise In2xError(
            f"{row.origin}: {row.system} has no {metric}, which counts for {row.pair}, only "
            f"{', '.join(row.metric_scores)}; score it, or choose the metrics that all systems have"
        )
    if not isinstance(found, list):
        raise In2xError(f"{row.origin}: {metric}: expected a list of scores, got {found!r}")
    flat = _flatten(found, row, metric)
    if not flat:
        raise In2xError(f"{row.origin}: {metric}: no segment; write null for a missing score")
    return flat


def _flatten(values: list, row: Row, metric: str) -> list[float]:
    if {int, float}.issuperset(map(type, values)):
        return values
    flat = []
    for value in values:
        if isinstance(value, list):
            flat += _flatten(value, row, metric)
        elif value is None:
            flat.append(np.nan)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat.append(value)
        else:
            raise In2xError(f"{row.origin}: {metric}: expected a number, null or a list of them, got {value!r}")
    return flat
