"""From named components to one reward per completion (MO-GRPO, 2509.22047), gates first.

P prompts, G group size. A component is a P x G array, higher is better (a penalty is <= 0), in any unit: it
is standardised within its group before the weighted sum, so the weights, not the units, say what matters.

The floor. A completion that failed a gate gets the lowest passed reward of its group minus a fixed distance,
`floor_distance` times the sum of |weights|: one standard deviation of every component at once, by default.
A constant floor was the alternative. To lie below every possible sum it would need to sit near
-sqrt(G - 1) * sum |weights|, and after the advantage's own standardisation such an outlier squeezes the
passed members together, so that one failure hides which of the others are better. A group in which all failed
gets the same reward everywhere: zero advantage, it teaches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RELATIVE_STD_FLOOR = 1e-8  # a std below this share of the largest magnitude is rounding: the component is constant


@dataclass(frozen=True)
class Composed:
    """What `compose` returns.

    Example: P = 1, G = 3, the last one failed a gate, weights {"chrf": 1.0}, chrf = [0.2, 0.4, nan]:
    rewards_PG = [[-1, 1, -2]], component_means = {"chrf": 0.3}, passed_fraction = 2/3.
    """

    rewards_PG: np.ndarray
    component_means: dict[str, float]  # raw, over the members that passed and were measured; NaN if there are none
    passed_fraction: float


def compose(
    components_PG: Mapping[str, np.ndarray],
    gates_passed_PG: np.ndarray,
    weights: Mapping[str, float],
    floor_distance: float = 1.0,
) -> Composed:
    """Standardise every component over the passed members of each group, weigh, sum, and floor the rest.

    The std is the population's. A component that is constant over the passed members of a group, or that was
    not measured for that group (NaN for all of them), contributes 0 there; values of failed members are never
    read, so dear components need not be computed for them. A component without a weight is only logged.

    Raises:
        ValueError: a weight without a component, no non-zero weight, a wrong shape, a floor that is not
            below, or a component that is infinite, or missing for only some of a group's passed members.
    """
    passed_PG = np.asarray(gates_passed_PG, dtype=bool)
    values = {name: np.asarray(value, dtype=np.float64) for name, value in components_PG.items()}
    _check(values, passed_PG, weights, floor_distance)
    rewards_PG = np.zeros(passed_PG.shape)
    for name, weight in weights.items():
        rewards_PG += weight * _standardise(name, values[name], passed_PG)
    distance = floor_distance * sum(abs(weight) for weight in weights.values())
    # The passed members average 0 and the failed ones stand at 0 so far: the minimum is a passed member's,
    # or 0 where all failed.
    lowest_P1 = rewards_PG.min(axis=1, keepdims=True)
    rewards_PG = np.where(passed_PG, rewards_PG, lowest_P1 - distance)
    means = {name: _mean(value[passed_PG]) for name, value in values.items()}
    return Composed(rewards_PG, means, float(passed_PG.mean()))


def _standardise(name: str, values_PG: np.ndarray, passed_PG: np.ndarray) -> np.ndarray:
    """Return (x - mean) / std over each group's passed members, 0 where std is 0 and for failed members."""
    usable_PG = passed_PG & np.isfinite(values_PG)
    unmeasured_P = (passed_PG & np.isnan(values_PG)).sum(axis=1) == passed_PG.sum(axis=1)
    broken_PG = passed_PG & ~usable_PG & ~unmeasured_P[:, None]
    if broken_PG.any():
        p, g = np.argwhere(broken_PG)[0]
        raise ValueError(f"component {name!r}: prompt {p}, member {g} passed its gates but has {values_PG[p, g]}")
    clean_PG = np.where(usable_PG, values_PG, 0.0)
    count_P1 = np.maximum(usable_PG.sum(axis=1, keepdims=True), 1)
    mean_P1 = clean_PG.sum(axis=1, keepdims=True) / count_P1
    deviation_PG = np.where(usable_PG, clean_PG - mean_P1, 0.0)
    std_P1 = np.sqrt((deviation_PG**2).sum(axis=1, keepdims=True) / count_P1)
    varies_P1 = std_P1 > RELATIVE_STD_FLOOR * np.abs(clean_PG).max(axis=1, keepdims=True)
    return np.where(varies_P1, deviation_PG / np.where(varies_P1, std_P1, 1.0), 0.0)


def _mean(values: np.ndarray) -> float:
    measured = values[np.isfinite(values)]
    return float(measured.mean()) if measured.size else float("nan")


def _check(
    values: Mapping[str, np.ndarray],
    passed_PG: np.ndarray,
    weights: Mapping[str, float],
    floor_distance: float,
) -> None:
    if passed_PG.ndim != 2 or passed_PG.size == 0:
        raise ValueError(f"gates_passed_PG: expected shape (P, G), got {passed_PG.shape}")
    for name, value in values.items():
        if value.shape != passed_PG.shape:
            raise ValueError(f"component {name!r}: expected shape {passed_PG.shape}, got {value.shape}")
    unknown = sorted(set(weights) - set(values))
    if unknown:
        raise ValueError(f"weights for unknown components {unknown}; there are {sorted(values)}")
    if not all(np.isfinite(weight) for weight in weights.values()):
        raise ValueError(f"weights must be finite, got {dict(weights)}")
    if not any(weights.values()):
        raise ValueError("at least one component needs a non-zero weight")
    if not floor_distance > 0:
        raise ValueError(f"floor_distance: expected a positive distance, got {floor_distance}")
