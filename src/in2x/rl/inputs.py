"""What every loss reads, and the knobs that it obeys.

Shapes: B completions in a micro-batch, T tokens. All log-probabilities are in nats.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

Level = Literal["token", "sequence", "trajectory"]
Clip = Literal["two-sided", "upper-only", "length-fair", "none"]
Aggregation = Literal["trajectory-mean", "sequence-mean", "token-mean", "constant-length"]
Mismatch = Literal["truncate", "mask", "none"]
CovarianceControl = Literal["none", "clip-cov", "kl-cov"]

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
        return dataclasses.replace(self, logprobs_BT=fixed_BT + factors_BT * (self.logprobs_BT - fixed_BT))


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """The knobs of a loss; the defaults are In2x's starting values (arXiv 2508.14472, and ours).

    "as-published" takes what the algorithm's row says. Which of the bounds are read is the clip's choice.

    importance_level, clip: see surrogates.LEVELS and surrogates.CLIPS.
    clip_low, clip_high: ratio kept in [1 - clip_low, 1 + clip_high].
    dual_clip: bound c > 1 on the ratio where the advantage is negative (arXiv 1912.09729), or "none".
    band_width: k of the length-fair band, in nats per square root of a token. 0.06 is ours: two deviations of a
        token log-ratio of 0.03.
    band_centred: centre that band on the drift instead of zero.
    length_normalise: what a completion's summed loss is divided by, see aggregation.py.
    entropy_coefficient, kl_coefficient: weights of the token-mean entropy and of KL(pi || ref).
    kl_estimator: whose gradient to follow, see kl.py; k1 is missing since as a loss it has none.
    covariance_control: what happens to the tokens in high_covariance_BT, see entropy.py.
    covariance_fraction: how many tokens of the step they are.
    covariance_kl_coefficient: weight of the KL-Cov penalty.
    mismatch, mismatch_level, mismatch_floor, mismatch_cap: weights pi_old / pi_sampler, see mismatch.py.
    """

    importance_level: Literal["as-published"] | Level = "as-published"
    clip: Literal["as-published"] | Clip = "as-published"
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float | Literal["none"] = 3.0
    band_width: float = 0.06
    band_centred: bool = False
    length_normalise: Literal["as-published"] | Aggregation = "as-published"
    entropy_coefficient: float = 0.01
    kl_coefficient: float = 0.0
    kl_estimator: Literal["k2", "k3"] = "k2"
    covariance_control: CovarianceControl = "none"
    covariance_fraction: float = 2e-4
    covariance_kl_coefficient: float = 1.0
    mismatch: Mismatch = "truncate"
    mismatch_level: Literal["as-loss", "token", "sequence"] = "as-loss"
    mismatch_floor: float = 0.0
    mismatch_cap: float = 2.0

    def __post_init__(self) -> None:
        _check_choices(self)
        _require(0 < self.clip_low < 1, "clip_low", "a number in (0, 1)", self.clip_low)
        _require(self.clip_high > 0, "clip_high", "a number > 0", self.clip_high)
        dual_holds = self.dual_clip == "none" or (not isinstance(self.dual_clip, str) and self.dual_clip > 1)
        _require(dual_holds, "dual_clip", "a number > 1 or 'none'", repr(self.dual_clip))
        _require(self.band_width > 0, "band_width", "a number > 0", self.band_width)
        fraction = self.covariance_fraction
        _require(0 < fraction <= 1, "covariance_fraction", "a number in (0, 1]", fraction)
        for name in ("entropy_coefficient", "kl_coefficient", "covariance_kl_coefficient"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, "a finite number >= 0", value)
        floor_holds = 0 <= self.mismatch_floor < self.mismatch_cap
        bounds = (self.mismatch_floor, self.mismatch_cap)
        _require(floor_holds, "mismatch_floor, mismatch_cap", "0 <= floor < cap", bounds)


_FLOATS = (
    "logprobs_BT",
    "old_logprobs_BT",
    "advantages_B",
    "entropy_BT",
    "ref_logprobs_BT",
    "sampling_logprobs_BT",
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
        _require(tuple(tensor.shape) == expected, name, f"shape {expected}", tuple(tensor.shape))
        dtypes = _FLOAT_DTYPES if name in _FLOATS else (torch.bool,)
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


def _check_choices(settings: LossSettings) -> None:
    choices = {
        "importance_level": ("as-published", *get_args(Level)),
        "clip": ("as-published", *get_args(Clip)),
        "length_normalise": ("as-published", *get_args(Aggregation)),
        "kl_estimator": ("k2", "k3"),
        "covariance_control": get_args(CovarianceControl),
        "mismatch": get_args(Mismatch),
        "mismatch_level": ("as-loss", "token", "sequence"),
    }
    for name, allowed in choices.items():
        value = getattr(settings, name)
        _require(value in allowed, name, f"one of {allowed}", repr(value))


def _require(holds: bool, name: str, expected: str, actual: object) -> None:
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got {actual}")
