"""What every loss reads, and the knobs that it obeys.

Shapes: B completions in a micro-batch, T tokens. All log-probabilities are in nats.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

KLEstimator = Literal["k2", "k3"]
LengthNormalise = Literal["as-published", "trajectory-mean", "sequence-mean", "token-mean", "constant-length"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LossInputs:
    """One micro-batch, with the counts of the whole optimizer step it belongs to.

    Masked positions may hold anything, NaN included. A row without a single completion token is
    padding and adds nothing. The three counts run over all micro-batches *and all ranks* of the step:
    gradients then simply add up, so a wrapper that averages over ranks (DDP, FSDP) needs its loss
    multiplied by the number of ranks.

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
    sampling_logprobs_BT: Tensor | None = None  # as reported by the generator

    def __post_init__(self) -> None:
        _check_tensors(self)
        _check_counts(self)

    @property
    def lengths_B(self) -> Tensor:
        """Completion tokens per row."""
        return self.completion_mask_BT.sum(dim=1)

    @property
    def log_ratio_BT(self) -> Tensor:
        """log pi - log pi_old, zero where masked: safe to sum and to exponentiate."""
        return self.masked(self.logprobs_BT - self.old_logprobs_BT.detach())

    def masked(self, values_BT: Tensor) -> Tensor:
        """Zero outside the completions. A product with the mask would keep NaN and inf."""
        return torch.where(self.completion_mask_BT, values_BT, 0.0)


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """The knobs of a loss; the defaults are In2x's starting values (arXiv 2508.14472, and ours).

    clip_low, clip_high: ratio kept in [1 - clip_low, 1 + clip_high]; None: no lower bound.
    dual_clip: bound c > 1 on the ratio where the advantage is negative (arXiv 1912.09729); None: none.
    entropy_coefficient, kl_coefficient: weights of the token-mean entropy and of KL(pi || ref).
    kl_estimator: whose gradient to follow, see kl.py; k1 is missing since as a loss it has none.
    mismatch_cap: C in min(pi_old / pi_sampler, C); math.inf: untruncated.
    length_normalise: what a completion's summed loss is divided by; "as-published": the algorithm's own.
    band_width: FSPO's k, in nats per square root of a token. 0.06 is ours: two deviations of a token
        log-ratio of 0.03.
    band_centred: centre FSPO's band on the drift instead of zero.
    """

    clip_high: float = 0.28
    clip_low: float | None = None
    dual_clip: float | None = 3.0
    entropy_coefficient: float = 0.01
    kl_coefficient: float = 0.0
    kl_estimator: KLEstimator = "k2"
    mismatch_cap: float = 2.0
    length_normalise: LengthNormalise = "as-published"
    band_width: float = 0.06
    band_centred: bool = False

    def __post_init__(self) -> None:
        _require(self.clip_high > 0, "clip_high", "a number > 0", self.clip_high)
        low_holds = self.clip_low is None or 0 < self.clip_low < 1
        _require(low_holds, "clip_low", "None or a number in (0, 1)", self.clip_low)
        dual_holds = self.dual_clip is None or self.dual_clip > 1
        _require(dual_holds, "dual_clip", "None or a number > 1", self.dual_clip)
        _require(self.mismatch_cap > 0, "mismatch_cap", "a number > 0", self.mismatch_cap)
        _require(self.band_width > 0, "band_width", "a number > 0", self.band_width)
        for name in ("entropy_coefficient", "kl_coefficient"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, "a finite number >= 0", value)
        for name, choices in (("kl_estimator", KLEstimator), ("length_normalise", LengthNormalise)):
            value = getattr(self, name)
            _require(value in get_args(choices), name, f"one of {get_args(choices)}", repr(value))


def _check_tensors(inputs: LossInputs) -> None:
    if inputs.logprobs_BT.ndim != 2:
        raise ValueError(f"logprobs_BT: expected shape (B, T), got {tuple(inputs.logprobs_BT.shape)}")
    B, T = inputs.logprobs_BT.shape
    expected_shapes = {
        "logprobs_BT": (B, T),
        "old_logprobs_BT": (B, T),
        "completion_mask_BT": (B, T),
        "advantages_B": (B,),
        "entropy_BT": (B, T),
        "ref_logprobs_BT": (B, T),
        "sampling_logprobs_BT": (B, T),
    }
    for name, expected in expected_shapes.items():
        tensor = getattr(inputs, name)
        if tensor is None:
            continue
        _require(tuple(tensor.shape) == expected, name, f"shape {expected}", tuple(tensor.shape))
        # Half precision would lose the log-ratio: it is a small difference, then summed over tokens.
        dtypes = (torch.bool,) if name == "completion_mask_BT" else (torch.float32, torch.float64)
        _require(tensor.dtype in dtypes, name, " or ".join(map(str, dtypes)), tensor.dtype)


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
        _require(getattr(inputs, name) >= floor, name, f"at least {floor}", getattr(inputs, name))


def _require(holds: bool, name: str, expected: str, actual: object) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got {actual}")
