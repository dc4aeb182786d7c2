"""AutoRank, the automatic ranking of WMT25's general translation task (Kocmi et al. 2025, arXiv 2508.14909).

For one language pair, N systems and metrics whose higher values are better:

    x_ms = flat mean over segments      a document counts by its number of segments; scores of None are left out
    z_ms = (x_ms - median_s x_m) / (max_s x_m - 25th percentile_s x_m)      robust scaling
    a_s  = mean_m z_ms
    AutoRank_s = 1 + (N - 1) (max a - a_s) / (max a - min a)                1 is the best, N the worst

Median, percentile, extremes and N are those of the pool: every number depends on which systems take part. A system
inserted into a frozen pool is put on the pool's scale without moving it, and may fall below 1 or above N.

Legend: M metrics, S systems, N segments (in names), D documents; leading axes such as B resamples are free.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from in2x.artifacts import In2xError

WITH_REFERENCE = frozenset({
    "cs-de_DE", "cs-uk_UA", "en-ar_EG", "en-cs_CZ", "en-et_EE", "en-is_IS", "en-ja_JP", "en-ko_KR", "en-ru_RU",
    "en-sr_Cyrl_RS", "en-uk_UA", "en-zh_CN", "ja-zh_CN",
})  # fmt: skip
WITHOUT_REFERENCE = frozenset({
    "en-bn_BD", "en-de_DE", "en-el_GR", "en-fa_IR", "en-hi_IN", "en-id_ID", "en-it_IT", "en-kn_IN", "en-lt_LT",
    "en-mr_IN", "en-ro_RO", "en-sr_Latn_RS", "en-sv_SE", "en-th_TH", "en-tr_TR", "en-vi_VN",
})  # fmt: skip
CHRF_ONLY = frozenset({"en-bho_IN", "en-mas_KE"})
LOWER_PERCENTILE = 25.0
TIE = 1e-9  # AutoRanks closer than this are equal: the rounding of a sum is no difference between systems


@dataclass(frozen=True)
class Pool:
    """The scores of one language pair: every system on the same segments.

    Example: Pool("en-ja_JP", ("GPT-4.1", "In2x", ...), ("CometKiwi-XL", ...), "all but chrF++ count: ...",
    ("cnbc.com.52094", ...), ("news", ...), document_of_N=[0, 0, 1, ...], scores_MSN, in_pool_S)
    """

    pair: str
    systems: tuple[str, ...]
    metrics: tuple[str, ...]  # those that count
    rule: str  # why these metrics, in words
    documents: tuple[str, ...]
    domains: tuple[str, ...]  # of each document
    document_of_N: np.ndarray  # which document a segment belongs to
    scores_MSN: np.ndarray  # NaN where the metric gave no score
    in_pool_S: np.ndarray  # False for systems inserted into the frozen pool

    @property
    def pool(self) -> np.ndarray:
        """Positions of the systems that set the scale."""
        return np.flatnonzero(self.in_pool_S)


def counted_metrics(pair: str, available: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Return the metrics that WMT25 counts for a pair, in alphabetical order, and the reason in words.

    Which pairs have a human reference can't be seen in the score files; the three sets above are WMT25's own.
    Without a reference XCOMET and MetricX run on the source alone, and CometKiwi, a third metric of that kind, is
    left out. Where neural metrics are not trusted for the language, chrF++ counts alone.

    Raises:
        In2xError: no metric is left.
    """
    if pair in CHRF_ONLY:
        counted, rule = {"chrF++"} & set(available), "a pair that WMT25 ranks by chrF++ alone"
    elif pair in WITHOUT_REFERENCE:
        counted = {name for name in available if name != "chrF++" and not name.startswith("CometKiwi")}
        rule = "a WMT25 pair without a human reference: CometKiwi and chrF++ do not count"
    elif pair in WITH_REFERENCE:
        counted, rule = set(available) - {"chrF++"}, "a WMT25 pair with a human reference: chrF++ does not count"
    else:
        counted, rule = set(available), "not a pair of WMT25: every metric of the files counts"
    if not counted:
        raise In2xError(f"{pair}: {rule}, and the files hold only {', '.join(sorted(available))}")
    return tuple(sorted(counted)), rule


def document_totals(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Sum scores and count the segments that have one, by document: two M x S x D arrays."""
    member_ND = np.zeros((len(pool.document_of_N), len(pool.documents)))
    member_ND[np.arange(len(member_ND)), pool.document_of_N] = 1.0
    present_MSN = ~np.isnan(pool.scores_MSN)
    return np.where(present_MSN, pool.scores_MSN, 0.0) @ member_ND, present_MSN.astype(np.float64) @ member_ND


def system_means(pool: Pool) -> np.ndarray:
    """Return the flat mean of the scores that are there, M x S."""
    sums_MSD, counts_MSD = document_totals(pool)
    return sums_MSD.sum(axis=-1) / counts_MSD.sum(axis=-1)


def robust_scale(means_MS: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Return z of the module's docstring, (..., M, S); percentiles are numpy's "linear" ones.

    Where the maximum of the pool is its 25th percentile too, the divisor is 1, as in WMT25.
    """
    ordered = np.sort(means_MS[..., pool], axis=-1)
    best = ordered[..., -1:]
    spread = best - _percentile(ordered, LOWER_PERCENTILE)
    spread = np.where(spread > 1e-12 * np.abs(best), spread, 1.0)
    return (means_MS - _percentile(ordered, 50.0)) / spread


def rank_scale(scaled_S: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Map mean z, (..., S), linearly to AutoRank: the pool's best system to 1, its worst to N; equal ones all to 1."""
    best = scaled_S[..., pool].max(axis=-1, keepdims=True)
    span = best - scaled_S[..., pool].min(axis=-1, keepdims=True)
    behind = np.where(span > TIE, (best - scaled_S) / np.where(span > TIE, span, 1.0), 0.0)
    return 1.0 + (len(pool) - 1) * behind


def autorank(means_MS: np.ndarray, pool: np.ndarray | None = None) -> np.ndarray:
    """Return AutoRank (..., S) of system means (..., M, S), on the scale of the systems at positions `pool` (all)."""
    pool = np.arange(means_MS.shape[-1]) if pool is None else pool
    return rank_scale(robust_scale(means_MS, pool).mean(axis=-2), pool)


def ranks(autoranks_S: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return 1 + the number of systems at positions `among` that are ahead: (..., S) integers, equal for equal ones."""
    ahead_S = np.ones(autoranks_S.shape, dtype=np.int16)
    for position in among:
        ahead_S += autoranks_S[..., position, None] < autoranks_S - TIE
    return ahead_S


def pool_hash(pool: Pool) -> str:
    """Return 16 hexadecimal digits (SHA-256) of all that the pool's AutoRanks depend on; inserted systems are no part.

    Pair, counted metrics, systems, documents with domains and lengths, and every score as a little-endian float64 in
    alphabetical order of metric, system and document: independent of files, of their order and of the machine.
    """
    members = pool.pool[np.argsort([pool.systems[position] for position in pool.pool])]
    lengths = np.bincount(pool.document_of_N, minlength=len(pool.documents)).tolist()
    head = {
        "pair": pool.pair,
        "metrics": pool.metrics,
        "systems": [pool.systems[position] for position in members],
        "documents": list(zip(pool.documents, pool.domains, lengths, strict=True)),
    }
    scores = pool.scores_MSN[:, members] + 0.0  # -0.0 is 0.0
    scores[np.isnan(scores)] = np.nan
    digest = hashlib.sha256(json.dumps(head, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(scores, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


def printed_digits(metric: str) -> int:
    """Return the decimals that WMT25 prints of a metric's mean: 3 for the COMET family, 1 for others and AutoRank."""
    return 3 if "comet" in metric.lower() else 1


def _percentile(ordered_S: np.ndarray, percent: float) -> np.ndarray:
    """Return the linear percentile of sorted values, (..., 1)."""
    position = (ordered_S.shape[-1] - 1) * percent / 100
    below, above = int(np.floor(position)), int(np.ceil(position))
    lower, upper = ordered_S[..., below : below + 1], ordered_S[..., above : above + 1]
    return lower + (upper - lower) * (position - below)
