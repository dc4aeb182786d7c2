"""Against the collapse of entropy: an adaptive coefficient of the bonus, and tokens of high covariance.

Shapes: B completions of the whole optimizer step, T tokens.

The bonus itself is exact: the loss reads the entropy of the full next-token distribution (LossInputs.entropy_BT).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.inputs import LossSettings


@dataclass(frozen=True, kw_only=True)
class EntropyControl:
    """Keep the entropy near a target, in nats per token, by moving its coefficient a step within [low, high]."""

    target: float
    step: float = 0.001
    low: float = 0.0
    high: float = 0.1

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("target", 0 < self.target < math.inf, "a finite number > 0"),
            ("step", 0 < self.step < math.inf, "a finite number > 0"),
            ("low, high", 0 <= self.low < self.high < math.inf, "0 <= low < high"),
        ):
            if not holds:
                raise ValueError(f"{name}: expected {expected}, got {self}")


def adapted_coefficient(coefficient: float, entropy: float, control: EntropyControl) -> float:
    """The coefficient of the next step: up where the entropy is at or below the target, else down.

    After Skywork-OR1's adaptive control (arXiv 2505.22312), without its switch that turns the bonus off above the
    target: so the coefficient is all there is to checkpoint. Raises ValueError for an entropy that is no number.
    """
    if not math.isfinite(entropy):
        raise ValueError(f"entropy: expected a finite number, got {entropy}")
    moved = coefficient + (control.step if entropy <= control.target else -control.step)
    return min(max(moved, control.low), control.high)


def next_coefficient(section, settings: LossSettings, last: float | None, entropy: float | None) -> float:
    """Coefficient of the next optimizer step: the settings' own, or, with rl.entropy_target, the adapted one.

    last, entropy: the coefficient of the step before, and the entropy that it measured; None before the first step.
    """
    if section.entropy_target is None:
        return settings.entropy_coefficient
    control = EntropyControl(
        target=section.entropy_target, step=section.entropy_step, low=section.entropy_low, high=section.entropy_high
    )
    if last is None or entropy is None:
        return min(max(settings.entropy_coefficient, control.low), control.high)
    return adapted_coefficient(last, entropy, control)


def token_covariance(logprobs_BT: Tensor, advantages_B: Tensor, completion_mask_BT: Tensor) -> Tensor:
    """(log pi_it - mean log pi) (A_i - mean A), means over the step's tokens (arXiv 2505.22617); zero where masked.

    A token of high probability and high advantage costs entropy when it is reinforced.
    """
    num_tokens = completion_mask_BT.sum().clamp(min=1)
    advantages_BT = torch.where(completion_mask_BT, advantages_B[:, None], 0.0)
    logprobs_BT = torch.where(completion_mask_BT, logprobs_BT, 0.0)
    centred_BT = (logprobs_BT - logprobs_BT.sum() / num_tokens) * (advantages_BT - advantages_BT.sum() / num_tokens)
    return torch.where(completion_mask_BT, centred_BT, 0.0)


def highest(covariance_BT: Tensor, completion_mask_BT: Tensor, fraction: float) -> Tensor:
    """The `fraction` of the tokens with the highest covariance, at least one: those of KL-Cov (arXiv 2505.22617)."""
    ranked_BT = torch.where(completion_mask_BT, covariance_BT, -math.inf)
    chosen_N = ranked_BT.flatten().topk(_how_many(completion_mask_BT, fraction)).indices
    return _marked(chosen_N, completion_mask_BT)


def drawn_from_band(
    covariance_BT: Tensor,
    completion_mask_BT: Tensor,
    fraction: float,
    generator: torch.Generator | None = None,
    low: float = 1.0,
    high: float = 5.0,
) -> Tensor:
    """Up to `fraction` of the tokens, drawn from those of covariance in (low, high): Clip-Cov (arXiv 2505.22617).

    The band's default is that of the authors' code.
    """
    inside_N = ((covariance_BT > low) & (covariance_BT < high) & completion_mask_BT).flatten().nonzero().squeeze(1)
    order_N = torch.randperm(len(inside_N), generator=generator).to(inside_N.device)
    return _marked(inside_N[order_N[: _how_many(completion_mask_BT, fraction)]], completion_mask_BT)


def high_covariance(
    settings: LossSettings,
    old_logprobs_BT: Tensor,
    advantages_B: Tensor,
    completion_mask_BT: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor | None:
    """LossInputs.high_covariance_BT for all rows of an optimizer step, on all ranks; None where no control is set.

    Chosen once from the old log-probabilities, so that micro-batches add up; the authors choose anew in every
    micro-batch, from the current ones, which are the same at the first update.
    """
    if settings.covariance_control == "none":
        return None
    covariance_BT = token_covariance(old_logprobs_BT, advantages_B, completion_mask_BT)
    if settings.covariance_control == "clip-cov":
        return drawn_from_band(covariance_BT, completion_mask_BT, settings.covariance_fraction, generator)
    return highest(covariance_BT, completion_mask_BT, settings.covariance_fraction)


def _how_many(completion_mask_BT: Tensor, fraction: float) -> int:
    num_tokens = int(completion_mask_BT.sum())
    return min(num_tokens, max(1, int(fraction * num_tokens)))


def _marked(chosen_N: Tensor, completion_mask_BT: Tensor) -> Tensor:
    marked = torch.zeros(completion_mask_BT.numel(), dtype=torch.bool, device=completion_mask_BT.device)
    marked[chosen_N] = True
    return marked.view_as(completion_mask_BT)
