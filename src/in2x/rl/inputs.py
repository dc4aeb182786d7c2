"""What every loss reads; the knobs that it obeys are in settings.py.

Shapes: B completions in a micro-batch, T tokens. All log-probabilities are in nats.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from in2x.rl.settings import LossSettings, require

__all__ = ["LOG_RATIO_LIMIT", "LossInputs", "LossSettings"]

LOG_RATIO_LIMIT = 10.0
"""Log-ratios are clamped to this before exp(): e^10 times an advantage still fits float16."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LossInputs:
    """One micro-batch, with the counts of the whole optimizer step it belongs to.

    Masked positions may hold anything, NaN included. A row without a single completion token is
    padding and adds nothing. The three counts run over all micro-batches *and all ranks* of the step:
    gradients then simply add up, so a wrapper that averages over ranks (DDP, FSDP) needs its loss
    multiplied by the number of ranks. Half precision is raised to float32 here; what it has lost before
    stays lost, so a log-ratio of bfloat16 log-probabilities is noise of about 1%.

    Example, two completions of 3 and 1 tokens in a step of 32 completions and 5,000 tokens:

        logprobs_BT          [[-1.2, -0.1, -2.0], [-0.7,  0.0,  0.0]]   current policy, has a gradient
        old_logprobs_BT      [[-1.1, -0.1, -2.1], [-0.7,  0.0,  0.0]]   trainer's, before the first update
        completion_mask_BT   [[True, True, True], [True, False, False]]
        advantages_B         [0.8, -1.3]
        num_completions=32, num_tokens=5000, max_completion_tokens=512

    Raises ValueError, naming the field, when a shape, a dtype or a count cannot be right.
    """

    logprobs_BT: Tensor
    old_logprobs_BT: Tensor
    completion_mask_BT: Tensor
    advantages_B: Tensor
    num_completions: int
    num_tokens: int
    max_completion_tokens: int  # the sampling limit, a constant of the run: not this batch's longest
    entropy_BT: Tensor | None = None  # of the full next-token distribution, has a gradient
    ref_logprobs_BT: Tensor | None = None  # frozen reference
    sampling_logprobs_BT: Tensor | None = None  # as reported by the generator, whichever it is
    high_covariance_BT: Tensor | None = None  # bool: the tokens of entropy.high_covariance
    credit_BT: Tensor | None = None  # weights of the tokens in their completion's policy term, mean 1: in2x.rl.credit

    def __post_init__(self) -> None:
        _check_tensors(self)
        _check_counts(self)
        for name in _FLOATS:
            tensor = getattr(self, name)
            if tensor is not None and tensor.dtype in (torch.bfloat16, torch.float16):
                object.__setattr__(self, name, tensor.float())

    @property
    def lengths_B(self) -> Tensor:
        """Completion tokens per row."""
        return self.completion_mask_BT.sum(dim=1)

    @property
    def log_ratio_BT(self) -> Tensor:
        """log pi - log pi_old, zero where masked: safe to sum."""
        return self.masked(self.logprobs_BT - self.old_logprobs_BT.detach())

    def masked(self, values_BT: Tensor) -> Tensor:
        """Zero outside the completions. A product with the mask would keep NaN and inf."""
        return torch.where(self.completion_mask_BT, values_BT, 0.0)

    def with_gradient_times(self, factors_BT: Tensor) -> Self:
        """The same values, but what flows back through a token's log-probability is multiplied by its factor."""
        fixed_BT = self.logprobs_BT.detach()
        factors_BT = factors_BT.masked_fill(~self.completion_mask_BT, 0.0)
        return dataclasses.replace(self, logprobs_BT=fixed_BT + factors_BT * (self.logprobs_BT - fixed_BT))


_FLOATS = (
    "logprobs_BT",
    "old_logprobs_BT",
    "advantages_B",
    "entropy_BT",
    "ref_logprobs_BT",
    "sampling_logprobs_BT",
    "credit_BT",
)
_BOOLS = ("completion_mask_BT", "high_covariance_BT")
_FLOAT_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def _check_tensors(inputs: LossInputs) -> None:
    if inputs.logprobs_BT.ndim != 2:
        raise ValueError(f"logprobs_BT: expected shape (B, T), got {tuple(inputs.logprobs_BT.shape)}")
    B, T = inputs.logprobs_BT.shape
    for name in _FLOATS + _BOOLS:
        tensor = getattr(inputs, name)
        if tensor is None:
            continue
        expected = (B,) if name.endswith("_B") else (B, T)
        require(tuple(tensor.shape) == expected, name, f"shape {expected}", tuple(tensor.shape))
        dtypes = _FLOAT_DTYPES if name in _FLOATS else (torch.bool,)
        require(tensor.dtype in dtypes, name, " or ".join(map(str, dtypes)), tensor.dtype)


def _check_counts(inputs: LossInputs) -> None:
    """A count of the step below the micro-batch's own is the commonest wrong denominator."""
    lengths = inputs.lengths_B.tolist()
    own_counts = {
        "num_completions": sum(length > 0 for length in lengths),
        "num_tokens": sum(lengths),
        "max_completion_tokens": max(lengths, default=0),
    }
    for name, own in own_counts.items():
        floor = max(own, 1)
        require(getattr(inputs, name) >= floor, name, f"at least {floor}", getattr(inputs, name))
