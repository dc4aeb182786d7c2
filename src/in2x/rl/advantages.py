"""Rewards to advantages, relative to the other completions of the same prompt.

Shapes: P prompts, G group size (completions per prompt).

Before an estimator, rewards may be clipped or divided by the length; after it, uninformative groups become zero.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

STD_DELTA = 1e-4


def group_standardised(rewards_PG: Tensor, delta: float = STD_DELTA) -> Tensor:
    """A_i = (r_i - mean_G r) / (std_G r + delta), population std (GRPO, arXiv 2402.03300).

    The group is the whole population of its own statistics: std divides by G.
    """
    _check_groups(rewards_PG)
    return _centred(rewards_PG) / (rewards_PG.std(dim=1, keepdim=True, correction=0) + delta)


def group_standardised_sample(rewards_PG: Tensor, delta: float = STD_DELTA) -> Tensor:
    """The same with the sample std (divides by G - 1), which several public trainers use."""
    _check_groups(rewards_PG)
    return _centred(rewards_PG) / (rewards_PG.std(dim=1, keepdim=True, correction=1) + delta)


def group_mean(rewards_PG: Tensor) -> Tensor:
    """A_i = r_i - mean_G r, unbiased by the prompt's difficulty (Dr.GRPO, arXiv 2503.20783)."""
    _check_groups(rewards_PG)
    return _centred(rewards_PG)


def leave_one_out(rewards_PG: Tensor) -> Tensor:
    """A_i = r_i - mean of the other G - 1 rewards = G / (G - 1) (r_i - mean_G r) (RLOO, arXiv 2402.14740)."""
    _check_groups(rewards_PG)
    G = rewards_PG.shape[1]
    return _centred(rewards_PG) * G / (G - 1)


def batch_mean(rewards_PG: Tensor) -> Tensor:
    """A_i = r_i - mean over all P x G rewards: REINFORCE with one baseline; groups of one are allowed."""
    _check_rewards(rewards_PG)
    if rewards_PG.numel() < 2:
        raise ValueError(f"rewards_PG: a baseline needs two rewards, got shape {tuple(rewards_PG.shape)}")
    return rewards_PG - rewards_PG.mean()


ADVANTAGES = {
    "group-standardised": group_standardised,
    "group-standardised-sample": group_standardised_sample,
    "group-mean": group_mean,
    "leave-one-out": leave_one_out,
    "batch-mean": batch_mean,
}


def multi_objective(components: Mapping[str, Tensor], weights: Mapping[str, float], delta: float = STD_DELTA) -> Tensor:
    """A_i = sum_k weight_k (r_ki - mean_G r_k) / (std_G r_k + delta) (MO-GRPO, arXiv 2509.22047; the weights are ours).

    Standardising before the sum keeps the component of the largest variance from taking over. components: rewards
    (P, G) by name. Raises ValueError where the names of components and weights differ.
    """
    if not weights or components.keys() != weights.keys():
        raise ValueError(f"components: expected those of the weights, {sorted(weights)}, got {sorted(components)}")
    return sum(weight * group_standardised(components[name], delta) for name, weight in weights.items())


def clip_rewards(rewards_PG: Tensor, low: float, high: float) -> Tensor:
    """Rewards kept in [low, high]: the other reading of "high-level clipping" (arXiv 2508.14472); off by default."""
    if not low < high:
        raise ValueError(f"low, high: expected low < high, got {low}, {high}")
    _check_rewards(rewards_PG)
    return rewards_PG.clamp(low, high)


def length_corrected(rewards_PG: Tensor, lengths_PG: Tensor) -> Tensor:
    """r_i / |y_i|, for an estimator to standardise; off by default, as in translation it pays for omission.

    An empty completion counts as one token. Raises ValueError where the shapes differ.
    """
    _check_rewards(rewards_PG)
    if lengths_PG.shape != rewards_PG.shape:
        raise ValueError(f"lengths_PG: expected shape {tuple(rewards_PG.shape)}, got {tuple(lengths_PG.shape)}")
    return rewards_PG / lengths_PG.clamp(min=1)


def informative_groups(rewards_PG: Tensor, floor: float = 1e-3, reward_scale: float = 1.0) -> Tensor:
    """informative_P: True where the population std reaches floor x reward_scale.

    The other groups teach nothing, or only the noise of a near-tie blown up by the division: they are
    to be dropped or resampled. reward_scale is the width of the reward's range (1 for [0, 1]).
    """
    _check_groups(rewards_PG)
    return rewards_PG.std(dim=1, correction=0) >= floor * reward_scale


def among_kept(estimator: Callable[[Tensor], Tensor], rewards_PG: Tensor, kept_PG: Tensor) -> Tensor:
    """An estimator over the completions that are kept (bool, P x G); exactly zero for the others.

    Means, deviations and counts are those of the kept completions alone; a single one in its group gets zero.
    """
    if kept_PG.shape != rewards_PG.shape or kept_PG.dtype != torch.bool:
        expected = f"bools of shape {tuple(rewards_PG.shape)}"
        raise ValueError(f"kept_PG: expected {expected}, got {kept_PG.dtype} {tuple(kept_PG.shape)}")
    if kept_PG.all():
        return estimator(rewards_PG)
    advantages_PG = torch.zeros_like(rewards_PG)
    if estimator is batch_mean:
        advantages_PG[kept_PG] = rewards_PG[kept_PG] - rewards_PG[kept_PG].mean()
        return advantages_PG
    for p in (kept_PG.sum(dim=1) >= 2).nonzero().squeeze(1).tolist():
        advantages_PG[p, kept_PG[p]] = estimator(rewards_PG[p, kept_PG[p]].unsqueeze(0)).squeeze(0)
    return advantages_PG


def without_uninformative(advantages_PG: Tensor, informative_P: Tensor) -> Tensor:
    """Exactly zero in the groups that `informative_groups` rejects."""
    if informative_P.shape != advantages_PG.shape[:1] or informative_P.dtype != torch.bool:
        expected = f"bools of shape {tuple(advantages_PG.shape[:1])}"
        raise ValueError(f"informative_P: expected {expected}, got {informative_P.dtype} {tuple(informative_P.shape)}")
    return torch.where(informative_P[:, None], advantages_PG, 0.0)


def _centred(rewards_PG: Tensor) -> Tensor:
    return rewards_PG - rewards_PG.mean(dim=1, keepdim=True)


def _check_groups(rewards_PG: Tensor) -> None:
    _check_rewards(rewards_PG)
    if rewards_PG.shape[1] < 2:
        raise ValueError(f"rewards_PG: a group of one has no baseline, got shape {tuple(rewards_PG.shape)}")


def _check_rewards(rewards_PG: Tensor) -> None:
    if rewards_PG.ndim != 2 or not rewards_PG.is_floating_point():
        raise ValueError(
            f"rewards_PG: expected floats of shape (P, G), got {rewards_PG.dtype} {tuple(rewards_PG.shape)}"
        )
    finite_PG = torch.isfinite(rewards_PG)
    if not finite_PG.all():
        p, g = (~finite_PG).nonzero()[0].tolist()
        raise ValueError(f"rewards_PG[{p}, {g}]: expected a finite reward, got {rewards_PG[p, g].item()}")
