"""The knobs of a loss. Nothing here imports torch, so that a recipe is checked in a fraction of a second."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["token", "sequence", "trajectory"]
Clip = Literal["two-sided", "upper-only", "length-fair", "none"]
Aggregation = Literal["trajectory-mean", "sequence-mean", "token-mean", "constant-length"]
Mismatch = Literal["truncate", "mask", "none"]
CovarianceControl = Literal["none", "clip-cov", "kl-cov"]


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
        require(0 < self.clip_low < 1, "clip_low", "a number in (0, 1)", self.clip_low)
        require(self.clip_high > 0, "clip_high", "a number > 0", self.clip_high)
        dual_holds = self.dual_clip == "none" or (not isinstance(self.dual_clip, str) and self.dual_clip > 1)
        require(dual_holds, "dual_clip", "a number > 1 or 'none'", repr(self.dual_clip))
        require(self.band_width > 0, "band_width", "a number > 0", self.band_width)
        fraction = self.covariance_fraction
        require(0 < fraction <= 1, "covariance_fraction", "a number in (0, 1]", fraction)
        for name in ("entropy_coefficient", "kl_coefficient", "covariance_kl_coefficient"):
            value = getattr(self, name)
            require(0 <= value < math.inf, name, "a finite number >= 0", value)
        floor_holds = 0 <= self.mismatch_floor < self.mismatch_cap
        bounds = (self.mismatch_floor, self.mismatch_cap)
        require(floor_holds, "mismatch_floor, mismatch_cap", "0 <= floor < cap", bounds)


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
        require(value in allowed, name, f"one of {allowed}", repr(value))


def require(holds: bool, name: str, expected: str, actual: object) -> None:
    """Raise ValueError, naming the field, unless it holds."""
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got {actual}")
