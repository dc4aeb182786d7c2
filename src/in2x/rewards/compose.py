"""From named components to one reward per completion (MO-GRPO, 2509.22047), gates first.

P prompts, G group size. A component is a P x G array, higher is better (a penalty is <= 0), in any unit: it
is standardised within its group before the weighted sum, so the weights, not the units, say what matters.

The floor. A completion that failed a gate gets the lowest passed reward of its group minus a fixed distance,
`floor_distance` times the sum of |weights|: one standard deviation of every component at once, by default.
A constant floor was the alternative. To lie below every possible sum it would need to sit near
-sqrt(G - 1) * sum |weights|, and after the advantage's own standardisation such an outlier squeezes the
passed members together, so that one failure hides which of the others are better. A group in which all failed
gets the same reward everywhere: zero advantage, it teaches nothing.

Mixed tasks. Each group may have weights of its own; a component that has none in a group isn't read there.

The unscorable. A member that a component failed on moves no other member, and gets the mean reward of the others of
its group: an advantage of exactly 0 after centring, neither praise nor blame. A group with fewer than two others gets
the same reward everywhere.

The cap. With `Cap`, a member whose adequacy is low for its group, or below a floor, loses what it gained by other
components such as naturalness: see there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Cap:
    """What a member may gain by the components `capped` where its component `gate` is low. Losses are never capped.

    With threshold t, the larger of the group's `quantile` of the gate and the `floor` (either may be None), a positive
    standardised term is multiplied by clip(1 + (gate - t) / width, 0, 1): whole at t, gone at t - width, linear
    between. quantile on [0, 1]; floor and width in the gate's own unit.
    """

    gate: str = "adequacy"
    capped: tuple[str, ...] = ("naturalness", "rubric")
    quantile: float | None = None
    floor: float | None = None
    width: float = 0.1

    def __post_init__(self) -> None:
        if self.quantile is None and self.floor is None:
            raise ValueError("Cap: expected a quantile, a floor or both")
        if not (self.quantile is None or 0 <= self.quantile <= 1) or not self.width > 0:
            raise ValueError(f"Cap: expected 0 <= quantile <= 1 and width > 0, got {self.quantile} and {self.width}")


def compose(
    components_PG: Mapping[str, np.ndarray],
    gates_passed_PG: np.ndarray,
    weights: Mapping[str, float] | Sequence[Mapping[str, float]],
    floor_distance: float = 1.0,
    *,
    unscorable_PG: np.ndarray | None = None,
    cap: Cap | None = None,
) -> Composed:
    """Standardise every component over the passed members of each group, weigh, sum, and floor the rest.

    `weights` are those of all groups, or a list of P, one for each group.

    The std is the population's. A component that is constant over the passed members of a group, or that was
    not measured for that group (NaN for all of them), contributes 0 there; values of failed members are never
    read, so dear components need not be computed for them. A component without a weight is only logged.

    Raises:
        ValueError: a weight without a component, no non-zero weight, a wrong shape, a floor that is not
            below, or a component that is infinite, or missing for only some of a group's passed members.
    """
    passed_PG = np.asarray(gates_passed_PG, dtype=bool)
    values = {name: np.asarray(value, dtype=np.float64) for name, value in components_PG.items()}
    weights_P = [weights] * len(passed_PG) if isinstance(weights, Mapping) else list(weights)
    _check(values, passed_PG, weights_P, floor_distance)
    unscorable_PG = np.zeros(passed_PG.shape, dtype=bool) if unscorable_PG is None else unscorable_PG & passed_PG
    counted_PG = passed_PG & ~unscorable_PG
    factor_PG = _cap_factor(cap, values, counted_PG)
    rewards_PG = np.zeros(passed_PG.shape)
    for name in dict.fromkeys(name for own in weights_P for name in own):
        weight_P1 = np.array([[own.get(name, 0.0)] for own in weights_P])
        gains_PG = _standardise(name, values[name], counted_PG & (weight_P1 != 0))
        if factor_PG is not None and name in cap.capped:
            gains_PG = np.where(gains_PG > 0, gains_PG * factor_PG, gains_PG)
        rewards_PG += weight_P1 * gains_PG
    distance_P1 = np.array([[floor_distance * sum(abs(weight) for weight in own.values())] for own in weights_P])
    # The counted members average 0 or less and the failed ones stand at 0 so far: the minimum is a counted member's,
    # or 0 where all failed.
    lowest_P1 = rewards_PG.min(axis=1, keepdims=True)
    rewards_PG = np.where(passed_PG, rewards_PG, lowest_P1 - distance_P1)
    rewards_PG = _without_unscorable(rewards_PG, unscorable_PG)
    means = {name: _mean(value[passed_PG]) for name, value in values.items()}
    return Composed(rewards_PG, means, float(passed_PG.mean()))


def _cap_factor(cap: Cap | None, values: Mapping[str, np.ndarray], counted_PG: np.ndarray) -> np.ndarray | None:
    """The share of its gains that each member keeps, P x G; 1 in groups where the gate was not measured."""
    if cap is None:
        return None
    if cap.gate not in values:
        raise ValueError(f"cap: no component {cap.gate!r}; there are {sorted(values)}")
    gate_PG = np.where(counted_PG, values[cap.gate], np.nan)
    factor_PG = np.ones(gate_PG.shape)
    for p in np.flatnonzero(np.isfinite(gate_PG).any(axis=1)):
        thresholds = [] if cap.quantile is None else [np.nanquantile(gate_PG[p], cap.quantile)]
        thresholds += [] if cap.floor is None else [cap.floor]
        factor_PG[p] = np.clip(1 + (gate_PG[p] - max(thresholds)) / cap.width, 0.0, 1.0)
    return np.nan_to_num(factor_PG, nan=1.0)


def _without_unscorable(rewards_PG: np.ndarray, unscorable_PG: np.ndarray) -> np.ndarray:
    """Give unscorable members the mean of the others of their group; where there are none, all have the same."""
    if not unscorable_PG.any():
        return rewards_PG
    scored_PG = ~unscorable_PG
    count_P1 = np.maximum(scored_PG.sum(axis=1, keepdims=True), 1)
    mean_P1 = np.where(scored_PG, rewards_PG, 0.0).sum(axis=1, keepdims=True) / count_P1
    return np.where(unscorable_PG, mean_P1, rewards_PG)


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
    weights_P: Sequence[Mapping[str, float]],
    floor_distance: float,
) -> None:
    if passed_PG.ndim != 2 or passed_PG.size == 0:
        raise ValueError(f"gates_passed_PG: expected shape (P, G), got {passed_PG.shape}")
    for name, value in values.items():
        if value.shape != passed_PG.shape:
            raise ValueError(f"component {name!r}: expected shape {passed_PG.shape}, got {value.shape}")
    if len(weights_P) != len(passed_PG):
        raise ValueError(f"weights of {len(weights_P)} groups, but there are {len(passed_PG)}")
    for weights in weights_P:
        unknown = sorted(set(weights) - set(values))
        if unknown:
            raise ValueError(f"weights for unknown components {unknown}; there are {sorted(values)}")
        if not all(np.isfinite(weight) for weight in weights.values()):
            raise ValueError(f"weights must be finite, got {dict(weights)}")
        if not any(weights.values()):
            raise ValueError("at least one component needs a non-zero weight")
    if not floor_distance > 0:
        raise ValueError(f"floor_distance: expected a positive distance, got {floor_distance}")
