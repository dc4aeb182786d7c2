"""Weights for an engine that samples other than we train: rho = pi_old / pi_sampler, for every generator.

Old log-probabilities are the trainer's own; the sampler's are what the generator reported. Rounding, kernels and
top-p make the two differ even for the same weights, and then the samples are not the old policy's.

Shapes: B completions in a micro-batch, T tokens.
"""

import torch
from torch import Tensor

from in2x.rl.inputs import LOG_RATIO_LIMIT, LossInputs, LossSettings


def is_per_token(settings: LossSettings, importance_level: str) -> bool:
    """Whether weights are the tokens' (B, T), or the completions' (B,), the product over the tokens."""
    as_loss = "token" if importance_level == "token" else "sequence"
    return (as_loss if settings.mismatch_level == "as-loss" else settings.mismatch_level) == "token"


def sampler_ratio(inputs: LossInputs, per_token: bool) -> Tensor:
    """pi_old / pi_sampler, detached and finite; one where masked, or where the generator reported nothing."""
    if inputs.sampling_logprobs_BT is None:
        return torch.ones_like(inputs.logprobs_BT if per_token else inputs.advantages_B)
    log_ratio = inputs.masked(inputs.old_logprobs_BT - inputs.sampling_logprobs_BT).detach()
    if not per_token:
        log_ratio = log_ratio.sum(dim=1)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def truncate(ratio: Tensor, floor: float, cap: float) -> Tensor:
    """min(rho, cap), and at least the floor (truncated importance sampling, TIS): biased, but every token counts."""
    return ratio.clamp(floor, cap)


def mask(ratio: Tensor, floor: float, cap: float) -> Tensor:
    """rho inside [floor, cap], zero outside (masked importance sampling, MIS): what mismatches is left out.

    It still counts in the denominators of the loss, which are constants of the step.
    """
    return torch.where(is_outside(ratio, floor, cap), 0.0, ratio)


def ignore(ratio: Tensor, floor: float, cap: float) -> Tensor:
    """One: as if the generator were the old policy."""
    return torch.ones_like(ratio)


def is_outside(ratio: Tensor, floor: float, cap: float) -> Tensor:
    """Where a weight was truncated or masked."""
    return (ratio < floor) | (ratio > cap)


MISMATCHES = {"truncate": truncate, "mask": mask, "none": ignore}
