"""How sure an AutoRank is: other documents, other metrics, one domain, other competitors.

A document is drawn as a whole, with replacement: its segments share topic, style and system failures, and are no
independent witnesses (Koehn 2004 draws sentences; here the test set is made of documents). Every system and metric is
seen on the same draws, and median, percentile and extremes are taken anew on each.

A *view* is one way to compute the ranking: on everything, without one metric, or within one domain. Within a view a
*placing* ranks all systems among a group (the pool, or a part of it such as the unconstrained systems); AutoRank stays
that of the pool.

Legend: M metrics, S systems, D documents, B resamples, R random pools.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from in2x.evaluation.autorank import Pool, autorank, document_totals, rank_scale, ranks, robust_scale

Groups = Mapping[str, np.ndarray]  # name -> positions of its systems
INTERVAL = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Placing:
    """Rank of every system among a group; of a system outside the group, the rank that it would take in it.

    Without resamples only the ranks are known.
    """

    num_systems: int
    rank_S: np.ndarray
    low_S: np.ndarray | None = None  # 95 % interval of the rank
    high_S: np.ndarray | None = None
    rank_probability_S: np.ndarray | None = None  # share of resamples with this very rank
    first_probability_S: np.ndarray | None = None


@dataclass(frozen=True)
class View:
    """One way to compute the ranking; `num_resamples` are those in which every system has a score of every metric."""

    num_documents: int
    num_segments: int
    num_resamples: int
    autorank_S: np.ndarray
    low_S: np.ndarray | None  # 95 % interval of AutoRank
    high_S: np.ndarray | None
    placings: dict[str, Placing]


@dataclass(frozen=True)
class PoolSubsets:
    """Rankings of random parts of the pool, set against the order of the whole pool."""

    num_subsets: int
    num_kept: int
    same_rank_S: np.ndarray  # share of the parts with the system in which its rank among those kept is the expected one
    shift_low_S: np.ndarray  # 95 % interval of rank - expected rank; below 0 is better than expected
    shift_high_S: np.ndarray


def overall(pool: Pool, groups: Groups, num_resamples: int, seed: int) -> View:
    """Rank on all documents and counted metrics; `num_resamples` = 0 leaves intervals and probabilities out."""
    return _views(pool, np.arange(len(pool.documents)), groups, num_resamples, seed, dropped=[None])[None]


def without_each_metric(pool: Pool, groups: Groups, num_resamples: int, seed: int) -> dict[str, View]:
    """Rank once more without each metric, on the same draws as `overall`; {} where a single metric counts."""
    metrics = pool.metrics if len(pool.metrics) > 1 else ()
    return _views(pool, np.arange(len(pool.documents)), groups, num_resamples, seed, dropped=metrics)


def by_domain(pool: Pool, groups: Groups, num_resamples: int, seed: int) -> dict[str, View | None]:
    """Rank within each domain; None where some system has no score of a metric there.

    The interval within a domain of a few documents is too narrow: two documents give three different resamples.
    """
    domains = np.array(pool.domains)
    found: dict[str, View | None] = {}
    for domain in sorted(set(pool.domains)):
        documents = np.flatnonzero(domains == domain)
        scored = (document_totals(pool)[1][..., documents].sum(axis=-1) > 0).all()
        found[domain] = _views(pool, documents, groups, num_resamples, seed, dropped=[None])[None] if scored else None
    return found


def pool_subsets(pool: Pool, autorank_S: np.ndarray, means_MS: np.ndarray, num_subsets: int, seed: int) -> PoolSubsets:
    """Rank random halves of the pool, each on its own scale; inserted systems are set into every one.

    The expected rank of a system is its rank among those kept by the AutoRank of the whole pool.

    Raises:
        ValueError: `num_subsets` below 1.
    """
    if num_subsets < 1:
        raise ValueError(f"num_subsets: expected at least 1, got {num_subsets}")
    num_kept = max(2, math.ceil(len(pool.pool) / 2))
    generator = np.random.default_rng(seed)
    order_RS = generator.random((num_subsets, len(pool.pool))).argsort(axis=1)
    inserted = np.tile(np.flatnonzero(~pool.in_pool_S), (num_subsets, 1))
    taken_RK = np.concatenate([pool.pool[order_RS[:, :num_kept]], inserted], axis=1)
    kept = np.arange(num_kept)
    autoranks_RK = autorank(np.moveaxis(means_MS[:, taken_RK], 0, 1), kept)
    shift_RK = ranks(autoranks_RK, kept) - ranks(autorank_S[taken_RK], kept)
    shifts = [shift_RK[taken_RK == system] for system in range(len(pool.systems))]
    low_S, high_S = np.transpose([_quantiles(shift) for shift in shifts])
    same_S = np.array([(shift == 0).mean() if len(shift) else np.nan for shift in shifts])
    return PoolSubsets(num_subsets, num_kept, same_S, low_S, high_S)


def _views(pool: Pool, documents: np.ndarray, groups: Groups, num_resamples: int, seed: int, dropped) -> dict:
    """Rank on some documents, once for each of `dropped`: a metric to leave out, or None."""
    sums_MSD, counts_MSD = (totals[..., documents] for totals in document_totals(pool))
    scaled_MS = robust_scale(sums_MSD.sum(axis=-1) / counts_MSD.sum(axis=-1), pool.pool)
    scaled_BMS = robust_scale(resampled_means(sums_MSD, counts_MSD, num_resamples, seed), pool.pool)
    found = {}
    for metric in dropped:
        kept = [index for index, name in enumerate(pool.metrics) if name != metric]
        autorank_S = rank_scale(scaled_MS[kept].mean(axis=0), pool.pool)
        autoranks_BS = rank_scale(scaled_BMS[:, kept].mean(axis=1), pool.pool)
        low_S, high_S = np.percentile(autoranks_BS, INTERVAL, axis=0) if len(autoranks_BS) else (None, None)
        found[metric] = View(
            num_documents=len(documents),
            num_segments=int(np.isin(pool.document_of_N, documents).sum()),
            num_resamples=len(autoranks_BS),
            autorank_S=autorank_S,
            low_S=low_S,
            high_S=high_S,
            placings={name: _placing(autorank_S, autoranks_BS, among) for name, among in groups.items()},
        )
    return found


def resampled_means(sums_MSD: np.ndarray, counts_MSD: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Return the system means of documents drawn with replacement, B x M x S.

    A draw in which some system has no score at all of some metric is left out, so B may be below `num_resamples`.

    Raises:
        ValueError: `num_resamples` below 0.
    """
    if num_resamples < 0:
        raise ValueError(f"num_resamples: expected 0 or more, got {num_resamples}")
    num_metrics, num_systems, num_documents = sums_MSD.shape
    generator = np.random.default_rng(seed)
    shares = np.full(num_documents, 1 / num_documents)
    weights_BD = generator.multinomial(num_documents, shares, size=num_resamples).astype(np.float64)
    sums_B, counts_B = (weights_BD @ totals.reshape(-1, num_documents).T for totals in (sums_MSD, counts_MSD))
    usable = (counts_B > 0).all(axis=1)
    return (sums_B[usable] / counts_B[usable]).reshape(-1, num_metrics, num_systems)


def _placing(autorank_S: np.ndarray, autoranks_BS: np.ndarray, among: np.ndarray) -> Placing:
    rank_S = ranks(autorank_S, among)
    if not len(autoranks_BS):
        return Placing(len(among), rank_S)
    ranks_BS = ranks(autoranks_BS, among)
    low_S, high_S = _quantiles(ranks_BS)
    return Placing(
        num_systems=len(among),
        rank_S=rank_S,
        low_S=low_S,
        high_S=high_S,
        rank_probability_S=(ranks_BS == rank_S).mean(axis=0),
        first_probability_S=(ranks_BS == 1).mean(axis=0),
    )


def _quantiles(values_B: np.ndarray) -> np.ndarray:
    """Return the smallest values with at least 2.5 % and 97.5 % of all at or below them: never between two ranks."""
    if not len(values_B):
        return np.zeros((2, *values_B.shape[1:]), dtype=values_B.dtype)
    return np.percentile(values_B, INTERVAL, axis=0, method="inverted_cdf")
