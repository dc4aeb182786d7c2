"""Estimators of KL(p || q) from tokens sampled from p (J. Schulman, "Approximating KL divergence", 2020).

They take log_ratio = log p - log q of the sampled tokens, already masked to zero, in any shape.

A good estimate need not have a good gradient. Differentiated through p, with the samples held fixed,
k1 has an expected gradient of zero, k2 that of KL(p || q), k3 that of KL(q || p). All three assume that
p sampled the tokens: after the first update of a rollout batch that holds only nearly.
"""

import torch
from torch import Tensor


def k1(log_ratio: Tensor) -> Tensor:
    """log p/q: unbiased, of either sign. A measurement, never a loss."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """(log p/q)^2 / 2: biased, of low variance, and never negative."""
    return 0.5 * log_ratio.square()


def k3(log_ratio: Tensor) -> Tensor:
    """q/p - 1 - log q/p: unbiased and never negative; the KL term of GRPO (arXiv 2402.03300)."""
    return torch.expm1(-log_ratio) + log_ratio


KL_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
