"""ALGORITHMS: one frozen row per published algorithm; a row picks one entry per axis.

    J    = aggregate_i[weight_i A_i] + entropy_coefficient mean_t H - kl_coefficient KL(pi || ref)
    loss = -J

Shapes: P prompts, G group size, B completions in a micro-batch, T tokens.
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.advantages import ADVANTAGES, without_uninformative
from in2x.rl.aggregation import AGGREGATIONS, sequence_mean, token_mean
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.measures import Metrics, policy_metrics, ref_kl_BT
from in2x.rl.mismatch import MISMATCHES, is_per_token, sampler_ratio
from in2x.rl.surrogates import SURROGATES


@dataclass(frozen=True, eq=False)
class LossOutput:
    """loss: this micro-batch's share of the step's loss, to be backpropagated as it is."""

    loss: Tensor
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A row: keys into ADVANTAGES, SURROGATES, LEVELS, CLIPS and AGGREGATIONS, and the settings to start from.

    published: what the paper used; the table says "ours" where it is silent. `loss` obeys only the
    settings it is given: start from `settings()`.
    """

    paper: str
    advantages: str
    surrogate: str
    level: str
    clip: str
    aggregation: str
    published: LossSettings

    def settings(self, **chosen: object) -> LossSettings:
        """The published settings with `chosen` in their place; None is not chosen."""
        return dataclasses.replace(self.published, **_given(chosen))

    def unread(self, **chosen: object) -> dict[str, str]:
        """Those of `chosen` that have no effect beside the others, and why: a recipe that sets them is mistaken."""
        settings = self.settings(**chosen)
        _, clip, _ = self._axes(settings)
        checks = (
            (("clip_low",), clip == "two-sided", "unless clip is 'two-sided'"),
            (("clip_high",), clip in ("two-sided", "upper-only"), "unless clip is 'two-sided' or 'upper-only'"),
            (("band_width", "band_centred"), clip == "length-fair", "unless clip is 'length-fair'"),
            (("kl_estimator",), settings.kl_coefficient > 0, "unless kl_coefficient is above 0"),
            (("covariance_fraction",), settings.covariance_control != "none", "unless covariance_control is set"),
            (
                ("covariance_kl_coefficient",),
                settings.covariance_control == "kl-cov",
                "unless covariance_control is 'kl-cov'",
            ),
            (
                ("mismatch_level", "mismatch_floor", "mismatch_cap"),
                settings.mismatch != "none",
                "where mismatch is 'none'",
            ),
            (_RATIO_SETTINGS, self.surrogate != "reinforce", "in an algorithm without a ratio"),
        )
        reasons = {name: f"nothing reads it {reason}" for names, read, reason in checks if not read for name in names}
        return {name: reasons[name] for name in _given(chosen) if name in reasons}

    def advantage(
        self, rewards_PG: Tensor, estimator: str = "as-published", informative_P: Tensor | None = None
    ) -> Tensor:
        """advantages_PG, zero in the groups that `informative_P` (advantages.informative_groups) rejects."""
        name = self.advantages if estimator == "as-published" else estimator
        if name not in ADVANTAGES:
            raise ValueError(f"estimator: expected 'as-published' or one of {tuple(ADVANTAGES)}, got {name!r}")
        advantages_PG = ADVANTAGES[name](rewards_PG)
        return advantages_PG if informative_P is None else without_uninformative(advantages_PG, informative_P)

    def loss(self, inputs: LossInputs, settings: LossSettings) -> LossOutput:
        """-J over the step's denominators, so that micro-batches add up to the full batch."""
        _require_inputs(inputs, settings)
        level, clip, aggregation = self._axes(settings)
        weights = _mismatch_weights(inputs, settings, level)
        surrogate = SURROGATES[self.surrogate](_held_back(inputs, settings, weights, level), settings, level, clip)
        loss = AGGREGATIONS[aggregation](_weighted(surrogate.losses, weights), inputs)
        if settings.entropy_coefficient > 0:
            loss = loss - settings.entropy_coefficient * token_mean(inputs.entropy_BT, inputs)
        # Averaged in one way whatever the policy term does: a coefficient means the same everywhere.
        if settings.kl_coefficient > 0:
            loss = loss + settings.kl_coefficient * sequence_mean(ref_kl_BT(inputs, settings), inputs)
        if settings.covariance_control == "kl-cov":
            penalty_BT = torch.where(inputs.high_covariance_BT, inputs.log_ratio_BT.abs(), 0.0)
            loss = loss + settings.covariance_kl_coefficient * token_mean(penalty_BT, inputs)
        return LossOutput(loss, policy_metrics(surrogate, inputs, settings, is_per_token(settings, level)))

    def _axes(self, settings: LossSettings) -> tuple[str, str, str]:
        """Level, clip and aggregation: what the settings choose, or else the row's own."""

        def choose(chosen: str, own: str) -> str:
            return own if chosen == "as-published" else chosen

        return (
            choose(settings.importance_level, self.level),
            choose(settings.clip, self.clip),
            choose(settings.length_normalise, self.aggregation),
        )


_RATIO_SETTINGS = ("clip", "clip_low", "clip_high", "dual_clip", "band_width", "band_centred")


def _given(chosen: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in chosen.items() if value is not None}


def _require_inputs(inputs: LossInputs, settings: LossSettings) -> None:
    for name, tensor, setting in (
        ("entropy_BT", inputs.entropy_BT, "entropy_coefficient"),
        ("ref_logprobs_BT", inputs.ref_logprobs_BT, "kl_coefficient"),
        ("high_covariance_BT", inputs.high_covariance_BT, "covariance_control"),
    ):
        value = getattr(settings, setting)
        if tensor is None and value not in (0, "none"):
            raise ValueError(f"{name}: expected a tensor for {setting} = {value}, got None")


def _mismatch_weights(inputs: LossInputs, settings: LossSettings, level: str) -> Tensor:
    """(B, T) or (B,); ones where the generator reported nothing."""
    ratio = sampler_ratio(inputs, is_per_token(settings, level))
    return MISMATCHES[settings.mismatch](ratio, settings.mismatch_floor, settings.mismatch_cap)


def _held_back(inputs: LossInputs, settings: LossSettings, weights: Tensor, level: str) -> LossInputs:
    """Inputs whose gradient is zero at the tokens of Clip-Cov, and weighted where the loss itself can't be.

    A loss per completion can't be weighted by token: there each token's own gradient is.
    """
    if settings.covariance_control == "clip-cov":
        inputs = inputs.with_gradient_times((~inputs.high_covariance_BT).to(inputs.logprobs_BT.dtype))
    if weights.ndim == 2 and level != "token":
        inputs = inputs.with_gradient_times(weights)
    return inputs


def _weighted(losses: Tensor, weights: Tensor) -> Tensor:
    if weights.ndim > losses.ndim:  # done by _held_back
        return losses
    return losses * (weights[:, None] if losses.ndim > weights.ndim else weights)


_NO_EXTRAS = {"dual_clip": "none", "entropy_coefficient": 0.0}

ALGORITHMS = {
    # Upper clip only and dual clip (1912.09729) on the probability ratio of the completion (TIC-GRPO, 2508.02833).
    # Bounds ours: the paper gives none. Temperature decay and the soft length penalty are settings of the rollouts.
    "tic-grpo": Algorithm(
        paper="arXiv 2508.14472",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="trajectory",
        clip="upper-only",
        aggregation="trajectory-mean",
        published=LossSettings(),
    ),
    # band_width ours.
    "fspo": Algorithm(
        paper="arXiv 2509.09177",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="trajectory",
        clip="length-fair",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Clip bounds are PPO's customary 0.2.
    "grpo": Algorithm(
        paper="arXiv 2402.03300",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="sequence-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.2, kl_coefficient=0.04, kl_estimator="k3", **_NO_EXTRAS),
    ),
    "dr-grpo": Algorithm(
        paper="arXiv 2503.20783",
        advantages="group-mean",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="constant-length",
        published=LossSettings(clip_low=0.2, clip_high=0.2, **_NO_EXTRAS),
    ),
    # Its dynamic sampling is `advantages.informative_groups`; its length penalty belongs to the reward.
    "dapo": Algorithm(
        paper="arXiv 2503.14476",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="token-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.28, **_NO_EXTRAS),
    ),
    "gspo": Algorithm(
        paper="arXiv 2507.18071",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="sequence",
        clip="two-sided",
        aggregation="trajectory-mean",
        published=LossSettings(clip_low=3e-4, clip_high=4e-4, **_NO_EXTRAS),
    ),
    # No lower bound, as in the paper; clip_high ours.
    "cispo": Algorithm(
        paper="arXiv 2506.13585",
        advantages="group-standardised",
        surrogate="clipped-weight",
        level="token",
        clip="upper-only",
        aggregation="token-mean",
        published=LossSettings(clip_high=0.28, **_NO_EXTRAS),
    ),
    # Its KL is a part of the reward in the paper, so none here.
    "rloo": Algorithm(
        paper="arXiv 2402.14740",
        advantages="leave-one-out",
        surrogate="reinforce",
        level="trajectory",
        clip="none",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Williams, 1992, with the mean reward of the batch as its baseline.
    "reinforce": Algorithm(
        paper="doi 10.1007/BF00992696",
        advantages="batch-mean",
        surrogate="reinforce",
        level="trajectory",
        clip="none",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
}
