"""The policy term: a loss per token (B, T) or per completion (B,), and where a bound was active.

Shapes: B completions in a micro-batch, T tokens; L_i tokens in completion i.

Three small tables. LEVELS: which tokens share one ratio. CLIPS: the bounds low and high on the log of that ratio.
SURROGATES: what the bounded ratio multiplies. Any level goes with any clip. Bounds clamp the log-ratio, so that
exp() never overflows and the gradient beyond a bound is exactly zero; without a bound, LOG_RATIO_LIMIT is one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.inputs import LOG_RATIO_LIMIT, LossInputs, LossSettings
from in2x.rl.kl import k3

# --- level: the log-ratio, from the tokens' -------------------------------------------------------------------


def per_token(values_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Every token has its own ratio (PPO, arXiv 1707.06347; GRPO, arXiv 2402.03300)."""
    return values_BT


def sequence_mean(values_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """The geometric mean of the token ratios (GSPO, arXiv 2507.18071)."""
    return values_BT.sum(dim=1) / lengths_B.clamp(min=1)


def trajectory_sum(values_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """The product of the token ratios: the probability ratio of the completion (TIC-GRPO, arXiv 2508.02833)."""
    return values_BT.sum(dim=1)


LEVELS = {"token": per_token, "sequence": sequence_mean, "trajectory": trajectory_sum}


# --- clip: bounds (low, high) on the log-ratio ----------------------------------------------------------------


def two_sided(inputs: LossInputs, settings: LossSettings, level: str) -> tuple[Tensor, Tensor]:
    """[1 - clip_low, 1 + clip_high] (PPO, arXiv 1707.06347); clip-higher is clip_high > clip_low (DAPO, 2503.14476)."""
    return _scalar(math.log1p(-settings.clip_low), inputs), _scalar(math.log1p(settings.clip_high), inputs)


def upper_only(inputs: LossInputs, settings: LossSettings, level: str) -> tuple[Tensor, Tensor]:
    """(0, 1 + clip_high] (In2x, arXiv 2508.14472)."""
    return _scalar(-math.inf, inputs), _scalar(math.log1p(settings.clip_high), inputs)


def length_fair(inputs: LossInputs, settings: LossSettings, level: str) -> tuple[Tensor, Tensor]:
    """centre +- k sqrt(L_i) on the sum of L_i log-ratios (FSPO, arXiv 2509.09177).

    The same band is k / sqrt(L_i) on their mean, and k on a single token. The centre is 0, or the drift
    -sum_t KL(pi_old || pi), estimated by k3 on the completion itself: what is compared with k sqrt(L_i) is then
    sum_t (ratio_t - 1), which has mean zero under pi_old.
    """
    root_B = inputs.lengths_B.clamp(min=1).to(inputs.logprobs_BT.dtype).sqrt()
    roots = {"token": torch.ones_like(root_B)[:, None], "sequence": 1 / root_B, "trajectory": root_B}
    half = settings.band_width * roots[level]
    centre = torch.zeros_like(half)
    if settings.band_centred:
        centre = LEVELS[level](-k3(-inputs.log_ratio_BT.detach()), inputs.lengths_B)
    return centre - half, centre + half


def unbounded(inputs: LossInputs, settings: LossSettings, level: str) -> tuple[Tensor, Tensor]:
    """No bound."""
    return _scalar(-math.inf, inputs), _scalar(math.inf, inputs)


CLIPS = {"two-sided": two_sided, "upper-only": upper_only, "length-fair": length_fair, "none": unbounded}


# --- surrogate: the loss from the bounded ratio ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Losses with their diagnostics, all of one shape: (B, T) at the token level, (B,) at the others."""

    losses: Tensor
    log_ratio: Tensor  # before the clip
    clip_high: Tensor  # bool: the upper bound replaced the ratio
    clip_low: Tensor
    dual_clip: Tensor


def clipped_ratio(inputs: LossInputs, settings: LossSettings, level: str, clip: str) -> Surrogate:
    """l = -w A, w <= high where A >= 0, and low <= w <= dual_clip where A < 0.

    That is -min(w A, clip(w) A) of PPO with the dual clip of arXiv 1912.09729, at any level.
    """
    log_ratio, advantages = _at_level(inputs, level)
    low, high = CLIPS[clip](inputs, settings, level)
    positive = advantages >= 0
    upper = torch.where(positive, high, _log_dual_clip(inputs, settings))
    lower = torch.where(positive, -math.inf, low)
    losses = -_bounded_exp(log_ratio, lower, upper) * advantages
    return Surrogate(losses, log_ratio, *_flags(log_ratio, lower, upper, positive))


def clipped_weight(inputs: LossInputs, settings: LossSettings, level: str, clip: str) -> Surrogate:
    """l = -sg(w) A log pi, low <= w <= high: a clipped token keeps its gradient (CISPO, arXiv 2506.13585).

    The bounds hold for either sign of A, the dual clip for A < 0.
    """
    log_ratio, advantages = _at_level(inputs, level)
    log_ratio = log_ratio.detach()
    low, high = CLIPS[clip](inputs, settings, level)
    positive = advantages >= 0
    dual = _log_dual_clip(inputs, settings)
    is_high = positive | (high <= dual)
    upper = torch.where(is_high, high, dual)
    losses = -_bounded_exp(log_ratio, low, upper) * advantages * _score(inputs, level)
    return Surrogate(losses, log_ratio, *_flags(log_ratio, low, upper, is_high))


def reinforce(inputs: LossInputs, settings: LossSettings, level: str, clip: str) -> Surrogate:
    """l = -A log pi: no ratio, no clip; exact only on the policy that sampled (Williams, 1992)."""
    log_ratio, advantages = _at_level(inputs, level)
    never = torch.zeros_like(log_ratio, dtype=torch.bool)
    return Surrogate(-advantages * _score(inputs, level), log_ratio.detach(), never, never, never)


SURROGATES = {"clipped-ratio": clipped_ratio, "clipped-weight": clipped_weight, "reinforce": reinforce}


def _at_level(inputs: LossInputs, level: str) -> tuple[Tensor, Tensor]:
    """Log-ratio and advantages, which broadcast: (B, T) and (B, 1) for tokens, (B,) and (B,) otherwise."""
    log_ratio = LEVELS[level](inputs.log_ratio_BT, inputs.lengths_B)
    return log_ratio, inputs.advantages_B[:, None] if log_ratio.ndim == 2 else inputs.advantages_B


def _score(inputs: LossInputs, level: str) -> Tensor:
    """log pi of a token, or of the completion: a sum even where the ratio is a mean."""
    logprobs_BT = inputs.masked(inputs.logprobs_BT)
    return logprobs_BT if level == "token" else logprobs_BT.sum(dim=1)


def _bounded_exp(log_ratio: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    return log_ratio.clamp(lower.clamp(min=-LOG_RATIO_LIMIT), upper.clamp(max=LOG_RATIO_LIMIT)).exp()


def _flags(log_ratio: Tensor, lower: Tensor, upper: Tensor, is_high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the upper bound, the lower bound and the dual clip replaced the ratio; is_high: above is the first's."""
    above = log_ratio > upper
    return above & is_high, log_ratio < lower, above & ~is_high


def _log_dual_clip(inputs: LossInputs, settings: LossSettings) -> Tensor:
    return _scalar(math.inf if settings.dual_clip == "none" else math.log(settings.dual_clip), inputs)


def _scalar(value: float, inputs: LossInputs) -> Tensor:
    """In the inputs' own precision: a plain float beside a tensor condition would become float32."""
    return torch.full((), value, dtype=inputs.logprobs_BT.dtype, device=inputs.logprobs_BT.device)
