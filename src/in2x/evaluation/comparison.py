"""One comparison of systems, complete: by every metric, each pair's difference with interval, p-values and effect size.

Which number to trust: `p_holm` says whether a difference is real, given how many were tested; the interval says how
large it may be; the clusters say which systems can't be told apart. Where segments come in documents, ask at document
level: segments of one document share topic, style and failures, and are no independent witnesses.

A metric that rewarded or selected a system's output measures how well that worked: `headline` leaves it out.

Legend: N units (segments or documents), P pairs of systems.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from in2x.evaluation.bootstrap import by_document, check_systems, paired_bootstraps, system_pairs
from in2x.evaluation.metrics import SegmentStatistics, bleu_scores
from in2x.evaluation.significance import (
    EffectSize,
    RankedSystem,
    effect_sizes,
    holm,
    paired_randomisations,
    rank_clusters,
)

LEVELS = ("segment", "document")
ROLES = ("judge", "reward", "selector")
LOWER_IS_BETTER = ("TER",)

Systems = Mapping[str, Mapping[str, SegmentStatistics]]  # system -> metric -> statistics


@dataclass(frozen=True)
class PairResult:
    """System A against B by one metric; delta = value_a - value_b in the metric's own unit."""

    metric: str
    system_a: str
    system_b: str
    value_a: float
    value_b: float
    delta: float
    low: float  # percentile bootstrap interval of delta
    high: float
    p_bootstrap: float  # two-sided, as are the other two
    p_randomisation: float
    p_holm: float  # p_randomisation, adjusted for all pairs tested by this metric
    significant: bool  # p_holm < alpha
    better: str | None  # by value; None where both are equal
    effect: EffectSize  # Cohen's d_z of a - b over units


@dataclass(frozen=True)
class Settings:
    """How to compare; at level "document" documents are what is drawn, swapped, ranked and counted."""

    level: str = "segment"
    baseline: str | None = None  # every other system against this one; None: all pairs
    num_resamples: int = 1000
    num_permutations: int = 10_000
    seed: int = 12345
    confidence: float = 0.95
    alpha: float = 0.05


@dataclass(frozen=True)
class Comparison:
    """All that was asked of one set of systems; `dataclasses.asdict` of it is JSON."""

    settings: Settings
    num_segments: int
    num_units: int  # segments, or documents
    signatures: dict[str, str]  # by metric
    headline_metrics: tuple[str, ...]
    excluded: dict[str, str]  # metrics that are no headline, and why
    pairs: tuple[PairResult, ...]
    clusters: dict[str, tuple[RankedSystem, ...]]  # by metric, over the scores of units


class Headline(NamedTuple):
    rows: list[Mapping]
    excluded: dict[str, str]  # metric -> why


def compare(
    systems: Systems,
    settings: Settings = Settings(),
    *,
    document_ids: Sequence[Hashable] | None = None,
    roles: Mapping[str, Mapping[str, str]] | None = None,
    lower_is_better: Collection[str] = LOWER_IS_BETTER,
) -> Comparison:
    """Compare systems by all their metrics.

    `document_ids` has one id per segment; level "document" needs it, and then the statistics of each document's
    segments are summed first. `roles` is metric -> system -> role; whoever is not named there is judged only.

    Raises:
        ValueError: systems that are not comparable, document ids that do not fit, an unknown level, role or baseline,
            or so few permutations that no pair could be significant after Holm's correction.
    """
    if settings.level not in LEVELS:
        raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {settings.level!r}")
    check_systems(systems)
    pairs = system_pairs(list(systems), settings.baseline)
    _check_permutations(len(pairs), settings.num_permutations, settings.alpha)
    statistics = next(iter(systems.values()))
    best = headline(_role_rows(systems, list(statistics), roles or {}))
    units = systems if settings.level == "segment" else _by_document(systems, document_ids)
    scores = {metric: {system: unit_scores(row[metric]) for system, row in units.items()} for metric in statistics}
    return Comparison(
        settings=settings,
        num_segments=_num_units(systems),
        num_units=_num_units(units),
        signatures={metric: found.signature for metric, found in statistics.items()},
        headline_metrics=tuple(dict.fromkeys(row["metric"] for row in best.rows)),
        excluded=best.excluded,
        pairs=tuple(_pair_results(units, scores, pairs, settings, lower_is_better)),
        clusters={
            metric: rank_clusters(found, alpha=settings.alpha, higher_is_better=metric not in lower_is_better)
            for metric, found in scores.items()
        },
    )


def headline(scores: Sequence[Mapping]) -> Headline:
    """Keep the scores that may stand in a headline: those by metrics that were a judge to every system.

    A row has at least `system`, `metric` and `role` (a judge, or the reward or selector of that system's output). A
    metric that rewarded or selected one system is left out for all: its ranking would favour that system.

    Raises:
        ValueError: a row without role, or with an unknown one.
    """
    reasons: dict[str, list[str]] = {}
    for number, row in enumerate(scores):
        role = row.get("role")
        if role not in ROLES:
            raise ValueError(
                f"scores[{number}], {row.get('system')!r} by {row.get('metric')!r}: role: expected one of "
                f"{', '.join(ROLES)}, got {role!r}"
            )
        if role != "judge":
            reasons.setdefault(row["metric"], []).append(f"{role} of {_system_name(row)}")
    return Headline(
        [row for row in scores if row["metric"] not in reasons],
        {metric: ", ".join(dict.fromkeys(found)) for metric, found in reasons.items()},
    )


def unit_scores(statistics: SegmentStatistics) -> np.ndarray:
    """Score each unit by itself; BLEU by the orders that the unit is long enough for (effective order)."""
    if statistics.metric == "BLEU":
        return bleu_scores(statistics.counts_NK, effective_order=True)
    return statistics.score(statistics.counts_NK)


def _check_permutations(num_pairs: int, num_permutations: int, alpha: float) -> None:
    """Refuse a test that can't succeed: the smallest p-value, 1 / (R + 1), is multiplied by the number of pairs."""
    smallest = num_pairs / (num_permutations + 1)
    if smallest >= alpha:
        raise ValueError(
            f"{num_pairs} pairs tested with {num_permutations} permutations: no adjusted p-value can be below "
            f"{smallest:.3g}, and alpha is {alpha}; give at least {int(2 * num_pairs / alpha)} permutations"
        )


def _by_document(systems: Systems, document_ids: Sequence[Hashable] | None) -> Systems:
    if document_ids is None:
        raise ValueError("level 'document' needs document_ids, one for each segment")
    return {
        system: {metric: by_document(statistics, document_ids) for metric, statistics in row.items()}
        for system, row in systems.items()
    }


def _role_rows(systems: Systems, metrics: Sequence[str], roles: Mapping[str, Mapping[str, str]]) -> list[dict]:
    for metric, by_system in roles.items():
        odd = [metric] if metric not in metrics else [system for system in by_system if system not in systems]
        if odd:
            raise ValueError(f"roles: {odd[0]!r} is not among the metrics and systems compared")
    return [
        {"system": system, "metric": metric, "role": roles.get(metric, {}).get(system, "judge")}
        for metric in metrics
        for system in systems
    ]


def _system_name(row: Mapping) -> str:
    return f"{row['system']}/{row['decoding']}" if "decoding" in row else str(row["system"])


def _num_units(systems: Systems) -> int:
    return len(next(iter(next(iter(systems.values())).values())).counts_NK)


def _pair_results(
    units: Systems,
    scores: Mapping[str, Mapping[str, np.ndarray]],
    pairs: Sequence[tuple[str, str]],
    settings: Settings,
    lower_is_better: Collection[str],
) -> Iterator[PairResult]:
    """Test every pair by every metric, all on the same draws; `scores` is metric -> system -> score of each unit."""
    draws = {"num_resamples": settings.num_resamples, "seed": settings.seed, "confidence": settings.confidence}
    bootstrapped = paired_bootstraps(units, baseline=settings.baseline, **draws)
    randomised = paired_randomisations(
        units, baseline=settings.baseline, num_permutations=settings.num_permutations, seed=settings.seed
    )
    for metric, by_system in scores.items():
        differences_NP = np.stack([by_system[a] - by_system[b] for a, b in pairs], axis=1)
        effects = effect_sizes(differences_NP, **draws)
        adjusted = holm([randomised[metric, a, b] for a, b in pairs])
        for (a, b), effect, p_holm in zip(pairs, effects, adjusted, strict=True):
            found = bootstrapped[metric, a, b]
            ahead = -found.delta if metric in lower_is_better else found.delta
            yield PairResult(
                metric=metric,
                system_a=a,
                system_b=b,
                value_a=found.value_a,
                value_b=found.value_b,
                delta=found.delta,
                low=found.low,
                high=found.high,
                p_bootstrap=found.p_value,
                p_randomisation=randomised[metric, a, b],
                p_holm=p_holm,
                significant=p_holm < settings.alpha,
                better=None if ahead == 0 else (a if ahead > 0 else b),
                effect=effect,
            )
