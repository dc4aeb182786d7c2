"""The policy term: losses per token (B, T) or per trajectory (B,), and where the clip was active.

Shapes: B completions in a micro-batch, T tokens.

PPO's min(w A, clip(w) A) keeps the ratio w below 1 + clip_high where A >= 0 and above 1 - clip_low where
A < 0; the dual clip adds w <= c where A < 0. Both are one clamp of log w: exp() then never overflows
behind a bound, and the gradient beyond a bound is exactly zero.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.kl import k3


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Losses with their diagnostics, all of one shape: (B,) per trajectory or (B, T) per token."""

    losses: Tensor
    log_ratio: Tensor  # before the clip
    clip_high: Tensor  # bool: the upper bound replaced the ratio
    clip_low: Tensor
    dual_clip: Tensor


def trajectory_corrected(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """l_i = -min(w_i, bound) A_i with w_i = exp(sum_t log-ratio) (arXiv 2508.14472; TIC-GRPO, 2508.02833).

    bound = 1 + clip_high for A_i >= 0, dual_clip for A_i < 0; no lower bound unless clip_low is set.
    """
    return _pessimistic(inputs.log_ratio_BT.sum(dim=1), inputs.advantages_B, *_log_bounds(settings), settings)


def sequence_ppo(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """The same with the geometric mean of token ratios, exp(mean_t log-ratio) (GSPO, arXiv 2507.18071)."""
    mean_log_ratio_B = inputs.log_ratio_BT.sum(dim=1) / inputs.lengths_B.clamp(min=1)
    return _pessimistic(mean_log_ratio_B, inputs.advantages_B, *_log_bounds(settings), settings)


def length_fair(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """l_i = -w_i A_i with log w_i clipped at centre_i +- k sqrt(L_i) (FSPO, arXiv 2509.09177).

    Ours: the band takes the place of PPO's two bounds (upper for A >= 0, lower for A < 0). The centre is
    0, or the drift -sum_t KL(pi_old || pi), estimated by k3 on the trajectory itself: what is compared
    with k sqrt(L_i) is then sum_t (ratio_t - 1), which has mean zero under pi_old.
    """
    log_ratio_BT = inputs.log_ratio_BT
    half_band_B = settings.band_width * inputs.lengths_B.to(log_ratio_BT.dtype).sqrt()
    centre_B = torch.zeros_like(half_band_B)
    if settings.band_centred:
        centre_B = -k3(-log_ratio_BT.detach()).sum(dim=1)
    return _pessimistic(
        log_ratio_BT.sum(dim=1), inputs.advantages_B, centre_B - half_band_B, centre_B + half_band_B, settings
    )


def token_ppo(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """l_it = -min(r_it A_i, clip(r_it) A_i) with token ratios (GRPO, arXiv 2402.03300; DAPO, 2503.14476)."""
    return _pessimistic(inputs.log_ratio_BT, inputs.advantages_B[:, None], *_log_bounds(settings), settings)


def clipped_weight(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """l_it = -sg(clip(r_it)) A_i log pi_it: a clipped token keeps its gradient (CISPO, arXiv 2506.13585)."""
    log_ratio_BT = inputs.log_ratio_BT.detach()
    low, high = _log_bounds(settings)
    weight_BT = log_ratio_BT.clamp(low, high).exp()
    return Surrogate(
        losses=-weight_BT * inputs.advantages_B[:, None] * inputs.masked(inputs.logprobs_BT),
        log_ratio=log_ratio_BT,
        clip_high=log_ratio_BT > high,
        clip_low=log_ratio_BT < low,
        dual_clip=torch.zeros_like(log_ratio_BT, dtype=torch.bool),
    )


def reinforce(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    """l_i = -A_i sum_t log pi_it: no ratio, no clip; exact only on the policy that sampled."""
    log_ratio_B = inputs.log_ratio_BT.detach().sum(dim=1)
    never = torch.zeros_like(log_ratio_B, dtype=torch.bool)
    losses_B = -inputs.advantages_B * inputs.masked(inputs.logprobs_BT).sum(dim=1)
    return Surrogate(losses_B, log_ratio_B, clip_high=never, clip_low=never, dual_clip=never)


def sampler_weight(inputs: LossInputs, settings: LossSettings, per_token: bool) -> Tensor:
    """min(pi_old / pi_sampler, C), detached: corrects for an engine that samples other than we train.

    Per token (B, T) for losses per token; per trajectory (B,), the product over its tokens, otherwise.
    One where the generator reported nothing.
    """
    if inputs.sampling_logprobs_BT is None:
        return torch.ones_like(inputs.logprobs_BT if per_token else inputs.advantages_B)
    log_weight = inputs.masked(inputs.old_logprobs_BT - inputs.sampling_logprobs_BT).detach()
    if not per_token:
        log_weight = log_weight.sum(dim=1)
    return log_weight.clamp(max=math.log(settings.mismatch_cap)).exp()


def _pessimistic(
    log_ratio: Tensor,
    advantages: Tensor,
    low: Tensor | float,
    high: Tensor | float,
    settings: LossSettings,
) -> Surrogate:
    """-w A, with log w clamped to <= high where A >= 0, and to [low, log dual_clip] where A < 0."""
    positive = (advantages >= 0).expand_as(log_ratio)
    infinity = torch.full_like(log_ratio, math.inf)
    log_dual_clip = math.inf if settings.dual_clip is None else math.log(settings.dual_clip)
    upper = torch.where(positive, high, infinity.clamp(max=log_dual_clip))
    lower = torch.where(positive, -infinity, low)
    above = log_ratio > upper
    return Surrogate(
        losses=-log_ratio.clamp(lower, upper).exp() * advantages,
        log_ratio=log_ratio,
        clip_high=above & positive,
        clip_low=log_ratio < lower,
        dual_clip=above & ~positive,
    )


def _log_bounds(settings: LossSettings) -> tuple[float, float]:
    """log of 1 - clip_low (-inf: no lower bound) and of 1 + clip_high."""
    low = -math.inf if settings.clip_low is None else math.log1p(-settings.clip_low)
    return low, math.log1p(settings.clip_high)


SURROGATES = {
    "trajectory-corrected": trajectory_corrected,
    "sequence-ppo": sequence_ppo,
    "length-fair": length_fair,
    "token-ppo": token_ppo,
    "clipped-weight": clipped_weight,
    "reinforce": reinforce,
}
