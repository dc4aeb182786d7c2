"""`in2x compare`: everything that can be said of the systems in a segment store, as one JSON document.

By pair of languages: every metric's score of every system with its bootstrap interval, by domain too, all pairs of
systems tested at the level of segments or documents, rank clusters, and what could not be compared and why. BLEU and
chrF2 are computed from the texts where there are references, chrF++ and TER (which takes long) where they are asked
for or in the store; every other `score.*` column is a mean over segments. Roles are those of the store and those given.

A metric that some segments have no score of is compared on those that all systems have one of, and the number is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, write_json
from in2x.evaluation import bootstrap, store
from in2x.evaluation.comparison import Comparison, Settings, compare
from in2x.evaluation.metrics import SegmentStatistics
from in2x.evaluation.scores import SCORES
from in2x.evaluation.store_checks import PREFIX
from in2x.evaluation.text_statistics import METRICS as FROM_TEXT
from in2x.evaluation.text_statistics import default_cache, text_statistics

ALWAYS = ("BLEU", "chrF2")  # of FROM_TEXT
LOWER_IS_BETTER = tuple(name for name, row in SCORES.items() if row.higher_is_better is False)
NO_DIRECTION = tuple(name for name, row in SCORES.items() if row.higher_is_better is None)
HUMAN = "human-"  # begins the names of human scores
MIN_SEGMENTS = 2
DEFAULTS = Settings()


def compare_store(
    frame: pl.DataFrame,
    settings: Settings = DEFAULTS,
    *,
    metrics: Sequence[str] = (),
    roles: Mapping[str, Mapping[str, str]] | None = None,
    cache: Path | None = None,
) -> dict[str, dict]:
    """Compare the systems of every pair of languages in the store; `metrics` (default: all) by name.

    `roles` is metric -> system -> "reward" or "selector", where a metric was more than a judge; it adds to what the
    store says. `cache` is a folder for counts of n-grams and edits.

    Raises:
        In2xError: one system only, an unknown metric or system, or document level without documents.
    """
    frame = store.mark_roles(frame, roles or {})
    return {
        pair: _compare_pair(rows, pair, settings, metrics, roles or {}, cache)
        for (pair,), rows in frame.group_by("pair", maintain_order=True)
    }


def compare_command(path: Path, out: Path, settings: Settings, **options) -> dict[str, dict]:
    """Read a store, compare, write the JSON document to `out`, and print the table of each pair."""
    found = compare_store(store.read_store(path), settings, cache=default_cache(), **options)
    write_json(out, found)
    for pair, result in found.items():
        print_comparison(pair, result)
    return found


def _compare_pair(rows: pl.DataFrame, pair: str, settings: Settings, metrics, given: Mapping, cache) -> dict:
    systems = store.systems(rows)
    if len(systems) < 2:
        raise In2xError(f"{pair}: there is one system, {systems[0]!r}; a comparison needs two")
    if settings.baseline is not None and settings.baseline not in systems:
        raise In2xError(f"{pair}: no system {settings.baseline!r} to be the baseline; there are {', '.join(systems)}")
    by_system = dict(rows.group_by("system", maintain_order=True))
    tables = [by_system[system,] for system in systems]
    if settings.level == "document" and tables[0]["document"].has_nulls():
        raise In2xError(f"{pair}: some segments belong to no document; compare at the level of segments")
    chosen, roles = _chosen(tables[0], metrics, pair), store.stored_roles(rows)
    odd = [metric for metric in given if metric not in _measured(tables[0])]
    if odd:
        raise In2xError(f"{pair}: a role for the metric {odd[0]!r}, which is not measured; measured are "
                        f"{', '.join(_measured(tables[0]))}")  # fmt: skip
    kept = {metric: _shared(tables, metric) for metric in chosen}
    left_out = {metric: "fewer than two segments that all systems have a score of"
                for metric, mask in kept.items() if mask.sum() < MIN_SEGMENTS}  # fmt: skip
    left_out |= {metric: f"neither high nor low is better ({SCORES[metric].description})"
                 for metric in chosen if metric in NO_DIRECTION}  # fmt: skip
    groups: dict[bytes, list[str]] = {}
    for metric in chosen:
        if metric not in left_out:
            groups.setdefault(kept[metric].tobytes(), []).append(metric)
    parts = [_part(tables, systems, pair, kept[names[0]], names, settings, roles, cache) for names in groups.values()]
    return {
        "systems": systems,
        "num_segments": len(tables[0]),
        "num_documents": tables[0]["document"].drop_nulls().n_unique(),
        "settings": asdict(settings),
        "left_out": left_out,
        "lower_is_better": [metric for metric in chosen if metric in LOWER_IS_BETTER],
        **_joined(parts),
    }


def _chosen(table: pl.DataFrame, metrics: Sequence[str], pair: str) -> list[str]:
    there = _measured(table)
    unknown = [metric for metric in metrics if metric not in there]
    if unknown:
        raise In2xError(f"{pair}: no metric {unknown[0]!r}; there are {', '.join(there)}")
    default = [metric for metric in there if metric not in FROM_TEXT or metric in (*ALWAYS, *store.metrics(table))]
    return [metric for metric in there if metric in (metrics or default)]


def _measured(table: pl.DataFrame) -> list[str]:
    from_text = [] if table["references"].list.len().eq(0).all() else list(FROM_TEXT)
    return [*from_text, *(name for name in store.metrics(table) if name not in FROM_TEXT)]


def _shared(tables: Sequence[pl.DataFrame], metric: str) -> np.ndarray:
    """Which segments every system has a score of (bool, one per segment)."""
    if metric in FROM_TEXT:
        return tables[0]["references"].list.len().gt(0).to_numpy()
    return np.logical_and.reduce([table[PREFIX + metric].is_not_null().to_numpy() for table in tables])


def _part(tables, systems, pair: str, kept: np.ndarray, metrics: list[str], settings: Settings, roles, cache) -> dict:
    """Metrics that were measured on the same segments."""
    mask = pl.Series(kept)
    tables = [table.filter(mask) for table in tables]
    statistics = {
        system: {metric: _statistics(table, metric, pair, cache) for metric in metrics}
        for system, table in zip(systems, tables, strict=True)
    }
    documents = tables[0]["document"].to_list() if settings.level == "document" else None
    permutations = max(settings.num_permutations, _least_permutations(len(systems), settings))
    found = compare(
        statistics,
        replace(settings, num_permutations=permutations),
        document_ids=documents,
        roles={metric: roles[metric] for metric in metrics if metric in roles},
        lower_is_better=LOWER_IS_BETTER,
    )
    return {
        "comparison": found,
        "scores": list(_scores(statistics, settings, documents)),
        "domains": list(_by_domain(statistics, tables[0]["domain"].to_list())),
        "roles": {metric: roles[metric] for metric in metrics if metric in roles},
    }


def _least_permutations(num_systems: int, settings: Settings) -> int:
    num_pairs = num_systems - 1 if settings.baseline else num_systems * (num_systems - 1) // 2
    return int(2 * num_pairs / settings.alpha) + 1


def _statistics(table: pl.DataFrame, metric: str, pair: str, cache: Path | None) -> SegmentStatistics:
    if metric not in FROM_TEXT:
        return mean_statistics(metric, table[PREFIX + metric].to_numpy())
    texts = table["hypothesis"].to_list(), table["references"].to_list()
    return text_statistics(metric, *texts, store.languages(pair)[1], cache)


def mean_statistics(metric: str, values: np.ndarray) -> SegmentStatistics:
    """A metric that is the mean of segment scores, in the form that resampling reads: (score, 1) for each segment."""
    counts_NK = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
    return SegmentStatistics(metric, "mean of segments", counts_NK, (1,), lambda totals: totals[:, 0] / totals[:, 1])


def _scores(statistics: Mapping, settings: Settings, documents: list | None) -> Iterable[dict]:
    for system, by_metric in statistics.items():
        for metric, found in by_metric.items():
            unit = found if documents is None else bootstrap.by_document(found, documents)
            low, high = bootstrap.interval(unit, num_resamples=settings.num_resamples, seed=settings.seed,
                                           confidence=settings.confidence)  # fmt: skip
            yield {"system": system, "metric": metric, "value": found.value, "low": low, "high": high,
                   "num_segments": len(found.counts_NK)}  # fmt: skip


def _by_domain(statistics: Mapping, domains: list) -> Iterable[dict]:
    for domain in dict.fromkeys(domain for domain in domains if domain is not None):
        inside = np.array([other == domain for other in domains])
        for system, by_metric in statistics.items():
            for metric, found in by_metric.items():
                part = replace(found, counts_NK=found.counts_NK[inside])
                yield {"system": system, "metric": metric, "domain": domain, "value": part.value,
                       "num_segments": int(inside.sum())}  # fmt: skip


def _joined(parts: Sequence[dict]) -> dict:
    """One document of parts that were compared on different segments."""
    comparisons: list[Comparison] = [part["comparison"] for part in parts]
    headlines = [name for found in comparisons for name in found.headline_metrics]
    signatures = {name: signature for found in comparisons for name, signature in found.signatures.items()}
    return {
        "signatures": dict(sorted(signatures.items(), key=_after_people)),
        "headline_metrics": sorted(headlines, key=lambda name: _after_people((name, ""))),
        "excluded": {name: why for found in comparisons for name, why in found.excluded.items()},
        "roles": {name: roles for part in parts for name, roles in part["roles"].items()},
        "num_units": {name: found.num_units for found in comparisons for name in found.signatures},
        "scores": [row for part in parts for row in part["scores"]],
        "domains": [row for part in parts for row in part["domains"]],
        "pairs": [asdict(row) for found in comparisons for row in found.pairs],
        "clusters": {
            name: [asdict(row) for row in rows] for found in comparisons for name, rows in found.clusters.items()
        },
    }


def _after_people(item: tuple[str, str]) -> bool:
    """Sorts the metrics of people before all others."""
    return not item[0].startswith(HUMAN)


def print_comparison(pair: str, result: Mapping) -> None:
    """Show systems by metrics, each with its interval and its cluster; then the pairs that differ."""
    from in2x.evaluation.store_commands import show

    metrics = list(result["signatures"])
    score = {(row["system"], row["metric"]): row for row in result["scores"]}
    cluster = {(row["system"], metric): row["cluster"] for metric, rows in result["clusters"].items() for row in rows}
    excluded = {metric: "*" for metric in result["excluded"]}
    rows = [
        [system, *(_cell(score[system, metric], cluster[system, metric]) for metric in metrics)]
        for system in result["systems"]
    ]
    show(f"{pair}: score (interval) cluster", ["system", *(name + excluded.get(name, "") for name in metrics)], rows)
    for metric, why in result["excluded"].items():
        print(f"* {metric} is no headline: {why}")
    differ = [row for row in result["pairs"] if row["significant"]]
    unit = "documents" if result["settings"]["level"] == "document" else "segments"
    print(f"{len(differ)} of {len(result['pairs'])} comparisons differ (p < {result['settings']['alpha']}, "
          f"Holm-corrected by metric; {unit} are resampled)")  # fmt: skip
    for name, why in result["left_out"].items():
        print(f"{name} is left out: {why}")


def _cell(row: Mapping, cluster: int) -> str:
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f}) {cluster}"
