"""What a grid of runs tells: scores over seeds with intervals, and each arm against the full one, paired.

Two things vary: which segments the test set happens to hold, and the seed. A resample draws both anew, segments and
seeds, the same for every arm, so that differences are paired in both. With few seeds the interval of the seeds' share
is rough: three seeds can be drawn in 27 ways. The values of the single seeds are always shown beside it.

Legend: A arms, S seeds, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from in2x.ablation.arms import FULL
from in2x.evaluation.bootstrap import percentiles, resampled_scores
from in2x.evaluation.metrics import SegmentStatistics
from in2x.evaluation.significance import holm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Result:
    """One arm by one metric; `delta` and what follows are against the full arm, None for that arm itself."""

    arm: str
    metric: str
    value: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


def results(
    statistics: Mapping[str, Sequence[SegmentStatistics]], metric: str, num_resamples: int = 1000, seed: int = 12345
) -> list[Result]:
    """Compare the arms by one metric; `statistics` is arm -> one entry for each seed, in the same order of seeds.

    Raises:
        ValueError: arms with different numbers of seeds, or the full arm is missing.
    """
    numbers = {arm: len(by_seed) for arm, by_seed in statistics.items()}
    if FULL not in statistics or len(set(numbers.values())) != 1:
        raise ValueError(f"expected the arm {FULL!r} and as many seeds for each arm, got {numbers}")
    num_seeds = numbers[FULL]
    flat = [one for by_seed in statistics.values() for one in by_seed]
    scores_ASB = resampled_scores(flat, num_resamples=num_resamples, seed=seed).reshape(len(statistics), num_seeds, -1)
    drawn_SB = np.random.default_rng([seed, num_seeds]).integers(num_seeds, size=(num_seeds, num_resamples))
    means_AB = np.take_along_axis(scores_ASB, drawn_SB[None], axis=1).mean(axis=1)
    rows = {arm: means_B for arm, means_B in zip(statistics, means_AB, strict=True)}
    plain = [_result(arm, metric, statistics, rows) for arm in statistics]
    tested = [row for row in plain if row.p_value is not None]
    adjusted = dict(zip((row.arm for row in tested), holm([row.p_value for row in tested]), strict=True))
    return [Result(**{**row.__dict__, "p_holm": adjusted.get(row.arm)}) for row in plain]


def _result(arm: str, metric: str, statistics, rows: Mapping[str, np.ndarray]) -> Result:
    by_seed = tuple(one.value for one in statistics[arm])
    low, high = percentiles(rows[arm], CONFIDENCE)
    if arm == FULL:
        return Result(arm, metric, float(np.mean(by_seed)), low, high, by_seed)
    deltas_B = rows[arm] - rows[FULL]
    delta = float(np.mean(by_seed) - np.mean([one.value for one in statistics[FULL]]))
    delta_low, delta_high = percentiles(deltas_B, CONFIDENCE)
    return Result(
        arm, metric, float(np.mean(by_seed)), low, high, by_seed, delta, delta_low, delta_high, _p_value(deltas_B)
    )


def _p_value(deltas_B: np.ndarray) -> float:
    """Twice the smaller share of draws on either side of 0, a draw added to each so that it is never 0."""
    above, below = (deltas_B >= 0).sum(), (deltas_B <= 0).sum()
    return float(min(1.0, 2 * (min(above, below) + 1) / (len(deltas_B) + 1)))


def last_quarter(rows: Sequence[Mapping], name: str) -> float:
    """Mean of a logged value over the last quarter of a run's lines; NaN where it was never logged there."""
    tail = rows[-max(1, len(rows) // 4) :]
    values = [row[name] for row in tail if isinstance(row.get(name), int | float)]
    return float(np.mean(values)) if values else float("nan")


def mean_series(logs: Sequence[Sequence[Mapping]], name: str) -> tuple[list[float], list[float]]:
    """Steps that every seed's log has `name` at, and its mean over the seeds."""
    by_step = [{row["step"]: row[name] for row in log if isinstance(row.get(name), int | float)} for log in logs]
    steps = sorted(set.intersection(*(set(one) for one in by_step))) if by_step else []
    return steps, [float(np.mean([one[step] for one in by_step])) for step in steps]
