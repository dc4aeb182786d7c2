"""Make the report of a segment store: report.html, comparison.json and tables.tex in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, atomic, hash_path, versions, write_json
from in2x.evaluation import store
from in2x.evaluation.compare_store import DEFAULTS, FROM_TEXT, compare_store
from in2x.evaluation.comparison import Settings
from in2x.evaluation.metrics import chrf_statistics
from in2x.evaluation.store_checks import PREFIX
from in2x.evaluation.text_statistics import default_cache
from in2x.report.comparison import latex
from in2x.report.comparison.checks import check_parts
from in2x.report.comparison.page import PairReport, Provenance, render
from in2x.report.comparison.ranking import Result, first_metric, ordered_systems


def report_command(
    path: Path,
    out: Path,
    *,
    settings: Settings = DEFAULTS,
    metrics: Sequence[str] = (),
    roles: Mapping[str, Mapping[str, str]] | None = None,
    sides: tuple[str, str] | None = None,
    title: str | None = None,
    japanese: Path | None = None,
    challenge: Mapping[str, Path] | None = None,
) -> Path:
    """Compare the systems of the store at `path` and write the three files to the folder `out`; returns the page.

    `sides` are the two systems shown segment by segment, by default the two best of each pair of languages.
    `japanese` and `challenge` are results to show too, see `in2x.report.comparison.checks`.

    Raises:
        In2xError: what `compare_store` and `check_parts` refuse, or a side that is no system.
    """
    frame = store.read_store(path)
    for name in sides or ():
        if name not in store.systems(frame):
            raise In2xError(f"{path}: no system {name!r} to show; there are {', '.join(store.systems(frame))}")
    checks = check_parts(frame, japanese, challenge or {})
    results = compare_store(frame, settings, metrics=metrics, roles=roles, cache=default_cache())
    reports = [_pair_report(pair, result, frame.filter(pair=pair), sides) for pair, result in results.items()]
    provenance = _provenance(path, settings)
    page = render(title or f"Comparison: {path.name}", reports, provenance, checks)
    with atomic(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    with atomic(out / "tables.tex") as temporary:
        temporary.write_text(latex.tables(results), encoding="utf-8")
    write_json(out / "comparison.json", {"provenance": dict(provenance.rows), "pairs": results})
    return out / "report.html"


def segment_scores(frame: pl.DataFrame, metric: str) -> dict[tuple[str, str], float]:
    """(system, segment) -> score, higher is better; chrF2 is computed from the texts, others are read."""
    if metric == "chrF2":
        counts = chrf_statistics(frame["hypothesis"].to_list(), frame["references"].list.first().to_list())
        values = counts.score(counts.counts_NK)
    else:
        values = frame[PREFIX + metric].to_numpy()
    keys = frame.select("system", "segment").iter_rows()
    return {key: float(value) if value is not None and np.isfinite(value) else 0.0
            for key, value in zip(keys, values, strict=True)}  # fmt: skip


def _pair_report(pair: str, result: Result, frame: pl.DataFrame, sides: tuple[str, str] | None) -> PairReport:
    first = first_metric(result)
    if first is None:
        raise In2xError(f"{pair}: the store has neither references nor scores, so there is nothing to report")
    metric = "chrF2" if first in FROM_TEXT else first
    shown = frame if metric == "chrF2" else frame.filter(pl.col(PREFIX + metric).is_not_null())
    if metric == "chrF2":
        shown = shown.filter(pl.col("references").list.len() > 0)
    complete = shown.filter(pl.len().over("segment") == len(result["systems"]))
    best = ordered_systems(result)
    return PairReport(pair, result, complete, metric, segment_scores(complete, metric), sides or (best[0], best[1]))


def _provenance(path: Path, settings: Settings) -> Provenance:
    found = {"store": str(path), "SHA-256 (first 16 digits)": hash_path(path)}
    found |= {"made at": datetime.now(UTC).isoformat(timespec="seconds")}
    found |= {name.replace("_", " "): str(value) for name, value in asdict(settings).items()}
    return Provenance(tuple((found | versions()).items()))
