"""One batch of groups: sampled, rewarded, and refilled from fresh prompts where groups teach nothing.

Legend: P groups drawn, refills included; G group size.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch

from in2x import distributed
from in2x.rewards.groups import Group, Span
from in2x.rewards.translation import Rewarded
from in2x.rl.advantages import clip_rewards, informative_groups, length_corrected
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.prompts import Prompts
from in2x.rl.spread import group_spread, has_contrast, relative_spreads


@dataclass(frozen=True)
class Scored:
    """What the reward said of the groups.

    rewards_PG: finite, also where nothing could be said; components_PG: raw, NaN where a gate failed; failures_PG: the
    failed gates' reasons; unscorable_PG: completions that a component failed on; unscorable_P: why a group has fewer
    than two others, None where it has them; spans: (p, g) -> where components found fault, if they were asked;
    unscorable_counts: component -> reason -> completions.
    """

    rewards_PG: np.ndarray
    components_PG: dict[str, np.ndarray]
    failures_PG: list[list[str | None]]
    unscorable_P: list[str | None]
    unscorable_PG: np.ndarray
    spans: dict[tuple[int, int], list[Span]] = field(default_factory=dict)
    unscorable_counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def passed_PG(self) -> np.ndarray:
        return np.array([[reason is None for reason in row] for row in self.failures_PG])


@dataclass(frozen=True)
class Drawn:
    """Groups with all that is made of them.

    kept_PG: the completions that take part: not those that are unscorable, nor, where rl.truncated is "masked", those
    that are truncated; informative_P: the groups that teach something; spread_P: how far apart a group's raw rewards
    are, about 1 for a usual group.
    """

    groups: list[Group]
    scored: Scored
    kept_PG: np.ndarray
    informative_P: np.ndarray
    spread_P: np.ndarray
    num_refills: int

    @property
    def trained_PG(self) -> np.ndarray:
        return self.informative_P[:, None] & self.kept_PG


def draw(
    sample: Callable[[pl.DataFrame, int], list[Group]],
    reward: Callable[[list[Group]], Rewarded],
    prompts: Prompts,
    section,
    batch: int,
) -> Drawn:
    """Draw groups until as many teach something as the batch has prompts, or the refills are used up.

    `sample(prompts, first_key)` completes a table of prompts; the key tells their random numbers apart. The reward is
    computed by the main process alone, so that all of them train on the same numbers.
    """
    missing, groups, parts = section.batch_completions // section.group_size, [], []
    for _ in range(1 + section.max_refills):
        fresh = sample(prompts.draw(missing, batch, [group.id for group in groups]), len(groups))
        judged = as_judged(fresh, section.truncated)
        parts.append(scored(distributed.on_main(lambda judged=judged: reward(judged))))
        groups += fresh
        drawn = sifted(groups, joined(parts), section, len(parts) - 1)
        missing = section.batch_completions // section.group_size - int(drawn.informative_P.sum())
        if missing <= 0:
            break
    return drawn


def as_judged(groups: list[Group], truncated: str) -> list[Group]:
    """The groups as the reward sees them: where truncated completions count as any other, they have ended."""
    if truncated != "kept":
        return groups
    return [
        dataclasses.replace(group, completions=[dataclasses.replace(c, finished=True) for c in group.completions])
        for group in groups
    ]


def scored(rewarded: Rewarded) -> Scored:
    """The reward's answer, with what it could say nothing of set apart."""
    rewards_PG = np.asarray(rewarded.composed.rewards_PG, dtype=np.float64)
    unscorable_PG, reasons = ~np.isfinite(rewards_PG), {}
    for p, g in np.argwhere(unscorable_PG):
        reasons[p] = f"a reward of {rewards_PG[p, g]}"
    for name, members in rewarded.unscorable.items():
        for (p, g), reason in members.items():
            unscorable_PG[p, g] = True
            reasons.setdefault(p, f"{name}: {reason}")
    spans: dict[tuple[int, int], list[Span]] = {}
    for places in rewarded.spans.values():
        for place, found in places.items():
            spans[place] = spans.get(place, []) + found
    lost_P = (~unscorable_PG).sum(axis=1) < 2
    return Scored(
        np.where(np.isfinite(rewards_PG), rewards_PG, 0.0),
        dict(rewarded.components_PG),
        rewarded.failures_PG,
        [reasons.get(p) if lost_P[p] else None for p in range(len(lost_P))],
        unscorable_PG,
        {place: found for place, found in spans.items() if found},
        rewarded.unscorable_counts(),
    )


def joined(parts: list[Scored]) -> Scored:
    """Several rounds as one. Rewards are relative to their own group, so they stay as they are."""
    names = dict.fromkeys(name for part in parts for name in part.components_PG)
    starts = np.cumsum([0, *(len(part.unscorable_P) for part in parts)]).tolist()
    return Scored(
        np.concatenate([part.rewards_PG for part in parts]),
        {
            name: np.concatenate(
                [part.components_PG.get(name, np.full(part.rewards_PG.shape, np.nan)) for part in parts]
            )
            for name in names
        },
        [row for part in parts for row in part.failures_PG],
        [reason for part in parts for reason in part.unscorable_P],
        np.concatenate([part.unscorable_PG for part in parts]),
        {
            (start + p, g): spans
            for start, part in zip(starts, parts, strict=False)
            for (p, g), spans in part.spans.items()
        },
        _added(part.unscorable_counts for part in parts),
    )


def _added(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, Counter] = {}
    for part in parts:
        for name, reasons in part.items():
            total.setdefault(name, Counter()).update(reasons)
    return {name: dict(reasons) for name, reasons in total.items()}


def sifted(groups: list[Group], found: Scored, section, num_refills: int) -> Drawn:
    """Find the groups that teach something: see rl.min_group_std and in2x.rl.spread."""
    finished_PG = np.array([[completion.finished for completion in group.completions] for group in groups])
    kept_PG = (finished_PG if section.truncated == "masked" else True) & ~found.unscorable_PG
    counted = {name: np.where(kept_PG, values_PG, np.nan) for name, values_PG in found.components_PG.items()}
    weights = component_weights(section)
    relative = relative_spreads(counted, weights)
    passed_PG = found.passed_PG & kept_PG
    passed_PG |= ~kept_PG & passed_PG.any(axis=1, keepdims=True)  # those left out make no contrast
    rewards_PG = torch.from_numpy(clipped(found.rewards_PG, section.reward_clip)).float()
    informative_P = (
        has_contrast(relative, passed_PG, section.min_group_std)
        & informative_groups(rewards_PG, floor=section.min_group_std).numpy()
        & np.array([reason is None for reason in found.unscorable_P])
    )
    return Drawn(groups, found, kept_PG, informative_P, group_spread(relative, weights), num_refills)


def component_weights(section) -> dict[str, float]:
    """The largest weight that each component has, in any task."""
    weights: dict[str, float] = {}
    for own in (section.reward_weights, *section.reward_task_weights.values()):
        for name, weight in own.items():
            weights[name] = max(weights.get(name, 0.0), abs(weight))
    return {name: weight for name, weight in weights.items() if weight}


def advantages(drawn: Drawn, section) -> np.ndarray:
    """advantages_PG by the section's estimator; zero in groups and for completions that take no part."""
    rewards_PG = torch.from_numpy(clipped(drawn.scored.rewards_PG, section.reward_clip)).float()
    if section.length_corrected:
        lengths_PG = torch.tensor([[len(c.token_ids) for c in group.completions] for group in drawn.groups])
        rewards_PG = length_corrected(rewards_PG, lengths_PG)
    advantages_PG = ALGORITHMS[section.algorithm].advantage(
        rewards_PG,
        section.advantage or "as-published",
        informative_P=torch.from_numpy(drawn.informative_P),
        kept_PG=torch.from_numpy(drawn.kept_PG),
    )
    return advantages_PG.numpy()


def clipped(rewards_PG: np.ndarray, bounds: tuple[float, float] | None) -> np.ndarray:
    return rewards_PG if bounds is None else clip_rewards(torch.from_numpy(rewards_PG), *bounds).numpy()


def temperature(section, batch: int) -> float:
    """Sampling temperature of a batch (0-based)."""
    start, end = section.start_temperature, section.end_temperature
    return start + SCHEDULES[section.temperature_schedule](batch / max(1, section.num_batches - 1)) * (end - start)


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 0.0,
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
}
