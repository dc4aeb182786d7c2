"""How much the rewards of a group differ before they are standardised, and by that which groups teach anything.

A reward is a sum of components that were standardised within the group, so its own spread is about the same in every
group, however small the differences were that it was made of. What is measured here are the raw components, each in
units of its usual spread: the root mean square, over the groups of the batch, of its std within a group. So the floor
needs no range and no unit, and components of any scale (a share in [0, 1], a log-odds, a judge's points) are compared.

Shapes: P prompts, G group size.
"""

from collections.abc import Mapping

import numpy as np

ROUNDING = 1e-6
"""A std below this share of the group's largest magnitude is float32 rounding: the same text in another batch."""


def stds_P(values_PG: np.ndarray) -> np.ndarray:
    """Population std of each group over its finite members; 0 where they are fewer than two, or differ by rounding."""
    known_PG = np.isfinite(values_PG)
    clean_PG = np.where(known_PG, values_PG, 0.0)
    count_P1 = np.maximum(known_PG.sum(axis=1, keepdims=True), 1)
    mean_P1 = clean_PG.sum(axis=1, keepdims=True) / count_P1
    variance_P = (np.where(known_PG, values_PG - mean_P1, 0.0) ** 2).sum(axis=1) / count_P1[:, 0]
    std_P = np.sqrt(variance_P)
    return np.where(std_P > ROUNDING * np.abs(clean_PG).max(axis=1), std_P, 0.0)


def relative_spreads(components_PG: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Each weighted component's std within every group (P), in units of its usual one; zeros where it never varies."""
    relative = {}
    for name, values_PG in components_PG.items():
        if weights.get(name):
            std_P = stds_P(values_PG)
            measured_P = np.isfinite(values_PG).sum(axis=1) >= 2
            usual = float(np.sqrt(np.mean(std_P[measured_P] ** 2))) if measured_P.any() else 0.0
            relative[name] = std_P / usual if usual else std_P
    return relative


def group_spread(relative: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The relative spreads' mean by |weight|, P: about 1 for a usual group, 0 where all completions are alike."""
    total = sum(abs(weights[name]) for name in relative)
    return sum(abs(weights[name]) * std_P for name, std_P in relative.items()) / total


def has_contrast(relative: Mapping[str, np.ndarray], passed_PG: np.ndarray, floor: float) -> np.ndarray:
    """True (P) where a component reaches `floor` times its usual spread, or only some members passed the gates."""
    varied_P = np.any([(std_P >= floor) & (std_P > 0) for std_P in relative.values()], axis=0)
    return varied_P | (passed_PG.any(axis=1) & ~passed_PG.all(axis=1))
