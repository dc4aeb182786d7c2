"""Estimators of KL(p || q) from tokens sampled from p (J. Schulman, "Approximating KL divergence", 2020).

They take log_ratio = log p - log q of the sampled tokens, already masked to zero, in any shape.

A good estimate need not have a good gradient. Differentiated through p, with the samples held fixed:

| | estimate | expected gradient |
|---|---|---|
| k1 | unbiased, of either sign, high variance | zero: it is the expected score |
| k2 | biased, never negative | that of KL(p || q) |
| k3 | unbiased, never negative, low variance where p is near q | that of KL(q || p) |

All three assume that p sampled the tokens: after the first update of a rollout batch that holds only nearly.
"""

import torch
from torch import Tensor

from in2x.rl.inputs import LOG_RATIO_LIMIT


def k1(log_ratio: Tensor) -> Tensor:
    """log p/q. A measurement, never a loss."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """(log p/q)^2 / 2."""
    return 0.5 * log_ratio.square()


def k3(log_ratio: Tensor) -> Tensor:
    """q/p - 1 - log q/p, the KL term of GRPO (arXiv 2402.03300); constant where q/p would overflow."""
    bounded = log_ratio.clamp(min=-LOG_RATIO_LIMIT)
    return torch.expm1(-bounded) + bounded


KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
