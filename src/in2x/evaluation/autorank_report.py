"""A pool's ranking with all that says how sure it is, and its JSON: system -> AutoRank, metric means, stability."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from in2x.artifacts import In2xError
from in2x.evaluation import stability
from in2x.evaluation.autorank import Pool, pool_hash, system_means
from in2x.evaluation.stability import Placing, PoolSubsets, View

WHOLE = "pool"  # the group of all systems that set the scale
NUM_RESAMPLES = 2000
NUM_SUBSETS = 2000
SEED = 12345


@dataclass(frozen=True)
class Ranking:
    """A pool, its means and its ranking seen in several ways; without stability only `overall` is there, and bare."""

    pool: Pool
    hash: str
    own: frozenset[str]  # systems of one's own, inserted into the pool or ranked with it
    groups: dict[str, np.ndarray]
    means_MS: np.ndarray
    seed: int
    overall: View
    without: dict[str, View] = field(default_factory=dict)
    domains: dict[str, View | None] = field(default_factory=dict)
    subsets: PoolSubsets | None = None

    @property
    def order(self) -> list[int]:
        """Positions of the systems, the best first."""
        return np.argsort(self.overall.autorank_S, kind="stable").tolist()


def rank_pool(
    pool: Pool,
    groups: dict[str, np.ndarray] | None = None,
    own: Collection[str] = (),
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
) -> Ranking:
    """Rank a pool and, unless `num_resamples` is 0, say how stable the ranks are, also within each of `groups`."""
    groups = {WHOLE: pool.pool} | (groups or {})
    arguments = (pool, groups, num_resamples, seed)
    means_MS, overall = system_means(pool), stability.overall(*arguments)
    bare = Ranking(pool, pool_hash(pool), frozenset(own), groups, means_MS, seed, overall)
    if not num_resamples:
        return bare
    return Ranking(
        **vars(bare)
        | {
            "without": stability.without_each_metric(*arguments),
            "domains": stability.by_domain(*arguments),
            "subsets": stability.pool_subsets(pool, overall.autorank_S, means_MS, NUM_SUBSETS, seed),
        }
    )


def to_json(ranking: Ranking) -> dict[str, dict]:
    """Return system -> {autorank, the mean by each metric, rank, num_systems, pool, ...}, the best system first.

    AutoRank and means stand as in WMT25's published tables, so that the two compare key by key, but not rounded.
    """
    return {ranking.pool.systems[position]: _entry(ranking, position) for position in ranking.order}


def _entry(ranking: Ranking, position: int) -> dict:
    pool, overall = ranking.pool, ranking.overall
    head = {"autorank": float(overall.autorank_S[position])}
    means = dict(zip(pool.metrics, ranking.means_MS[:, position].tolist(), strict=True))
    rest = {
        **_placing(overall.placings[WHOLE], position),
        "pool": ranking.hash,
        "own": pool.systems[position] in ranking.own,
        "num_missing_scores": int(np.isnan(pool.scores_MSN[:, position]).sum()),
        "among": _among(ranking, overall, position),
    }
    if ranking.subsets:
        rest["stability"] = _stability(ranking, position)
    taken = sorted(means.keys() & (head.keys() | rest.keys()))
    if taken:
        raise In2xError(f"{pool.pair}: a metric named {taken[0]} can't be told from the field of that name; rename it")
    return head | means | rest


def _stability(ranking: Ranking, position: int) -> dict:
    subsets = ranking.subsets
    return {
        "num_resamples": ranking.overall.num_resamples,
        "seed": ranking.seed,
        "autorank_95": _interval(ranking.overall, position),
        "without_metric": {name: _view(ranking, view, position) for name, view in ranking.without.items()},
        "domains": {name: view and _view(ranking, view, position) for name, view in ranking.domains.items()},
        "pool_subsets": {
            "num_subsets": subsets.num_subsets,
            "num_kept": subsets.num_kept,
            "same_rank": float(subsets.same_rank_S[position]),
            "rank_shift_95": [int(subsets.shift_low_S[position]), int(subsets.shift_high_S[position])],
        },
    }


def _view(ranking: Ranking, view: View, position: int) -> dict:
    return {
        "autorank": float(view.autorank_S[position]),
        "autorank_95": _interval(view, position),
        **_placing(view.placings[WHOLE], position),
        "num_documents": view.num_documents,
        "num_segments": view.num_segments,
        "among": _among(ranking, view, position),
    }


def _among(ranking: Ranking, view: View, position: int) -> dict:
    """Return the placings in the groups that the system is in; one of one's own is placed in every group."""
    own = ranking.pool.systems[position] in ranking.own
    return {
        name: _placing(view.placings[name], position)
        for name, members in ranking.groups.items()
        if name != WHOLE and (own or position in members)
    }


def _placing(placing: Placing, position: int) -> dict:
    found = {"rank": int(placing.rank_S[position]), "num_systems": placing.num_systems}
    if placing.low_S is not None:
        found["rank_95"] = [int(placing.low_S[position]), int(placing.high_S[position])]
        found["rank_probability"] = float(placing.rank_probability_S[position])
        found["first_probability"] = float(placing.first_probability_S[position])
    return found


def _interval(view: View, position: int) -> list[float] | None:
    return None if view.low_S is None else [float(view.low_S[position]), float(view.high_S[position])]
