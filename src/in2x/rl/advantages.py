"""Rewards to advantages, relative to the other completions of the same prompt.

Shapes: P prompts, G group size (completions per prompt).
"""

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


def informative_groups(rewards_PG: Tensor, floor: float = 1e-3, reward_scale: float = 1.0) -> Tensor:
    """informative_P: True where the population std reaches floor x reward_scale.

    The other groups teach nothing, or only the noise of a near-tie blown up by the division: they are
    to be dropped or resampled. reward_scale is the width of the reward's range (1 for [0, 1]).
    """
    _check_groups(rewards_PG)
    return rewards_PG.std(dim=1, correction=0) >= floor * reward_scale


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


ADVANTAGES = {
    "group-standardised": group_standardised,
    "group-standardised-sample": group_standardised_sample,
    "group-mean": group_mean,
    "leave-one-out": leave_one_out,
    "batch-mean": batch_mean,
}
