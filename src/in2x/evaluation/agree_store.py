"""`in2x agree`: how well the metrics of a store agree with its human scores on which of two systems is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, write_json
from in2x.evaluation import store
from in2x.evaluation.agreement import agreement
from in2x.evaluation.compare_store import ALWAYS, LOWER_IS_BETTER, NO_DIRECTION
from in2x.evaluation.comparison import unit_scores
from in2x.evaluation.store_checks import PREFIX
from in2x.evaluation.text_statistics import METRICS as FROM_TEXT
from in2x.evaluation.text_statistics import default_cache, text_statistics

HEADERS = ("metric", "soft pairwise", "pairwise", "tau-b", "systems", "fewest segments", "ties", "role")


def agree_command(
    path: Path, human: str, out: Path | None = None, *, metrics: Sequence[str] = (), num_permutations: int = 1000,
    seed: int = 12345,
) -> dict[str, dict]:  # fmt: skip
    """Compare every metric of the store with the scores called `human`; print a table for each pair, best first.

    Raises:
        In2xError: no such scores or metrics, or a pair of languages with fewer than two systems that have human scores.
    """
    found = agree_store(store.read_store(path), human, metrics=metrics, num_permutations=num_permutations, seed=seed,
                        cache=default_cache())  # fmt: skip
    for pair, result in found.items():
        _print(pair, human, result)
    if out is not None:
        write_json(out, {"store": str(path), "human": human, "num_permutations": num_permutations, "seed": seed,
                         "pairs": found})  # fmt: skip
        print(out)
    return found


def agree_store(
    frame: pl.DataFrame,
    human: str,
    *,
    metrics: Sequence[str] = (),
    num_permutations: int = 1000,
    seed: int = 12345,
    cache: Path | None = None,
) -> dict[str, dict]:
    """pair -> {"metrics": metric -> Agreement as a dict, "left_out": metric -> why, "roles": metric -> system -> role}.

    Metrics are compared by their scores of segments; those of which less is better are negated. chrF++ and TER take
    part where they are asked for or in the store. Systems without any
    human score take no part, and a pair of systems is compared on the segments that have both their scores.

    Raises:
        In2xError: see `agree_command`.
    """
    if human not in store.metrics(frame):
        raise In2xError(f"no scores {human!r}; the store has {', '.join(store.metrics(frame)) or 'none'}")
    return {
        pair: _agree_pair(rows, pair, human, metrics, num_permutations, seed, cache)
        for (pair,), rows in frame.group_by("pair", maintain_order=True)
    }


def _agree_pair(rows: pl.DataFrame, pair: str, human: str, metrics, num_permutations: int, seed: int, cache) -> dict:
    by_system = {system: part.sort("segment") for (system,), part in rows.group_by("system", maintain_order=True)}
    judged = {system: part for system, part in by_system.items() if part[PREFIX + human].is_not_null().any()}
    if len(judged) < 2:
        raise In2xError(f"{pair}: {len(judged)} of {len(by_system)} systems have scores {human!r}; two are needed")
    human_scores = {system: part[PREFIX + human].to_list() for system, part in judged.items()}
    found, left_out = {}, {}
    for metric in _chosen(rows, human, metrics, pair):
        try:
            scores = {system: _segment_scores(part, metric, pair, cache) for system, part in judged.items()}
            agreed = agreement(scores, human_scores, num_permutations=num_permutations, seed=seed)
        except ValueError as error:  # systems without a segment that both scores are there for
            left_out[metric] = str(error)
        else:
            found[metric] = asdict(agreed)
    ordered = dict(sorted(found.items(), key=lambda item: -item[1]["soft_pairwise_accuracy"]))
    roles = {metric: roles for metric, roles in store.stored_roles(rows).items() if metric in ordered}
    return {"systems": list(judged), "metrics": ordered, "left_out": left_out, "roles": roles}


def _chosen(rows: pl.DataFrame, human: str, metrics: Sequence[str], pair: str) -> list[str]:
    has_references = rows["references"].list.len().gt(0).all()
    from_text = list(FROM_TEXT) if has_references else []
    others = [name for name in store.metrics(rows) if name not in (human, *FROM_TEXT, *NO_DIRECTION)]
    unknown = [metric for metric in metrics if metric not in (*from_text, *others)]
    if unknown:
        raise In2xError(f"{pair}: no metric {unknown[0]!r}; there are {', '.join([*from_text, *others])}")
    default = [metric for metric in from_text if metric in (*ALWAYS, *store.metrics(rows))] + others
    return [metric for metric in (*from_text, *others) if metric in (metrics or default)]


def _segment_scores(rows: pl.DataFrame, metric: str, pair: str, cache: Path | None) -> np.ndarray:
    if metric in FROM_TEXT:
        texts = rows["hypothesis"].to_list(), rows["references"].to_list()
        scores = unit_scores(text_statistics(metric, *texts, store.languages(pair)[1], cache))
    else:
        scores = rows[PREFIX + metric].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return -scores if metric in LOWER_IS_BETTER else scores


def _print(pair: str, human: str, result: Mapping) -> None:
    from in2x.evaluation.store_commands import show

    rows = []
    for metric, row in result["metrics"].items():
        tau = "-" if row["kendall_tau"] is None else f"{row['kendall_tau']:.3f}"
        role = ", ".join(f"{role} of {system}" for system, role in result["roles"].get(metric, {}).items())
        rows.append([
            metric, f"{row['soft_pairwise_accuracy']:.3f}", f"{row['pairwise_accuracy']:.3f}", tau,
            str(row["num_systems"]), f"{row['min_segments']:,}", str(row["num_metric_ties"]), role,
        ])  # fmt: skip
    show(f"{pair}: agreement with {human}", HEADERS, rows)
    for metric, why in result["left_out"].items():
        print(f"{metric} is left out: {why}")
