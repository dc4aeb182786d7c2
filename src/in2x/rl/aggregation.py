"""From losses per token or per trajectory to one scalar: the only place that reduces.

Shapes: B completions in a micro-batch, T tokens. Every denominator is a count of the whole step, so
the results of its micro-batches add up to that of the full batch.

A per-trajectory loss is treated as the sum of its tokens' losses, so that one choice of length
normalisation means the same for both kinds.
"""

import torch
from torch import Tensor

from in2x.rl.inputs import LossInputs


def trajectory_mean(losses: Tensor, inputs: LossInputs) -> Tensor:
    """sum_i l_i / N: no length normalisation; the gradient grows with the length."""
    return _totals_B(losses, inputs).sum() / inputs.num_completions


def sequence_mean(losses: Tensor, inputs: LossInputs) -> Tensor:
    """sum_i (l_i / L_i) / N: mean over completions of the mean over their tokens (GRPO, arXiv 2402.03300)."""
    return (_totals_B(losses, inputs) / inputs.lengths_B.clamp(min=1)).sum() / inputs.num_completions


def token_mean(losses: Tensor, inputs: LossInputs) -> Tensor:
    """sum_i l_i / sum_i L_i: every token of the step weighs the same (DAPO, arXiv 2503.14476)."""
    return _totals_B(losses, inputs).sum() / inputs.num_tokens


def constant_length(losses: Tensor, inputs: LossInputs) -> Tensor:
    """sum_i l_i / (N * L_max): a constant instead of the length (Dr.GRPO, arXiv 2503.20783)."""
    return _totals_B(losses, inputs).sum() / (inputs.num_completions * inputs.max_completion_tokens)


def _totals_B(losses: Tensor, inputs: LossInputs) -> Tensor:
    """Loss per completion, from (B,) or (B, T); zero for rows that are padding."""
    if losses.ndim == 2:
        return inputs.masked(losses).sum(dim=1)
    return torch.where(inputs.lengths_B > 0, losses, 0.0)


AGGREGATIONS = {
    "trajectory-mean": trajectory_mean,
    "sequence-mean": sequence_mean,
    "token-mean": token_mean,
    "constant-length": constant_length,
}
