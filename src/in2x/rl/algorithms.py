"""ALGORITHMS: one frozen row per published algorithm; a row picks one entry per axis.

    J    = aggregate_i[weight_i A_i] + entropy_coefficient mean_t H - kl_coefficient KL(pi || ref)
    loss = -J

Shapes: P prompts, G group size, B completions in a micro-batch, T tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.advantages import ADVANTAGES
from in2x.rl.aggregation import AGGREGATIONS, sequence_mean, token_mean
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.kl import KL_ESTIMATORS, k3
from in2x.rl.surrogates import SURROGATES, Surrogate, sampler_weight

Metrics = dict[str, tuple[Tensor, Tensor]]  # name -> (sum, count): they add over micro-batches and ranks


@dataclass(frozen=True, eq=False)
class LossOutput:
    """loss: this micro-batch's share of the step's loss, to be backpropagated as it is."""

    loss: Tensor
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A row: keys into ADVANTAGES, SURROGATES and AGGREGATIONS, and the settings to start from.

    published: what the paper used; the table says "ours" where it is silent. `loss` obeys only the
    settings it is given: start from these with `dataclasses.replace`.
    """

    paper: str
    advantages: str
    surrogate: str
    aggregation: str
    published: LossSettings

    def advantage(self, rewards_PG: Tensor) -> Tensor:
        """advantages_PG; drop what `advantages.informative_groups` rejects before, or mask it after."""
        return ADVANTAGES[self.advantages](rewards_PG)

    def loss(self, inputs: LossInputs, settings: LossSettings) -> LossOutput:
        """-J over the step's denominators, so that micro-batches add up to the full batch."""
        _require_inputs(inputs, settings)
        surrogate = SURROGATES[self.surrogate](inputs, settings)
        weight = sampler_weight(inputs, settings, per_token=surrogate.losses.ndim == 2)
        chosen = settings.length_normalise
        aggregate = AGGREGATIONS[self.aggregation if chosen == "as-published" else chosen]
        loss = aggregate(weight * surrogate.losses, inputs)
        if settings.entropy_coefficient > 0:
            loss = loss - settings.entropy_coefficient * token_mean(inputs.entropy_BT, inputs)
        if settings.kl_coefficient > 0:
            # Averaged as in GRPO whatever the policy term does: a coefficient means the same everywhere.
            loss = loss + settings.kl_coefficient * sequence_mean(_ref_kl_BT(inputs, settings), inputs)
        return LossOutput(loss, _metrics(surrogate, weight, inputs, settings))


def total_metrics(parts: Iterable[Metrics]) -> Metrics:
    """Add the sums and the counts of several micro-batches."""
    total: Metrics = {}
    for part in parts:
        for name, (value, count) in part.items():
            value_so_far, count_so_far = total.get(name, (0.0, 0.0))
            total[name] = (value_so_far + value, count_so_far + count)
    return total


def metric_means(metrics: Metrics) -> dict[str, float]:
    """sum / count per name; a metric without observations is left out."""
    return {name: (value / count).item() for name, (value, count) in metrics.items() if count > 0}


def _require_inputs(inputs: LossInputs, settings: LossSettings) -> None:
    for name, coefficient in (
        ("entropy_BT", settings.entropy_coefficient),
        ("ref_logprobs_BT", settings.kl_coefficient),
    ):
        if coefficient > 0 and getattr(inputs, name) is None:
            raise ValueError(f"{name}: expected a tensor for a coefficient of {coefficient}, got None")


def _ref_kl_BT(inputs: LossInputs, settings: LossSettings) -> Tensor:
    """KL(pi || ref) per sampled token, zero where masked."""
    log_ratio_BT = inputs.masked(inputs.logprobs_BT - inputs.ref_logprobs_BT.detach())
    return KL_ESTIMATORS[settings.kl_estimator](log_ratio_BT)


@torch.no_grad()
def _metrics(surrogate: Surrogate, weight: Tensor, inputs: LossInputs, settings: LossSettings) -> Metrics:
    """Ratios and clips at the level of the surrogate, the rest per token; in nats where it applies."""
    observed = {
        "ratio": surrogate.log_ratio.exp(),
        "clip_high_fraction": surrogate.clip_high,
        "clip_low_fraction": surrogate.clip_low,
        "dual_clip_fraction": surrogate.dual_clip,
        "approx_kl": k3(-inputs.log_ratio_BT),  # KL(pi_old || pi)
    }
    if inputs.sampling_logprobs_BT is not None:
        observed["sampler_weight"] = weight
    if inputs.entropy_BT is not None:
        observed["entropy"] = inputs.entropy_BT
    if inputs.ref_logprobs_BT is not None:
        observed["ref_kl"] = _ref_kl_BT(inputs, settings)
    return {name: _sum_and_count(values, inputs) for name, values in observed.items()}


def _sum_and_count(values: Tensor, inputs: LossInputs) -> tuple[Tensor, Tensor]:
    """Sum over the real tokens (B, T) or the real completions (B,), and how many they are."""
    counted = inputs.completion_mask_BT if values.ndim == 2 else inputs.lengths_B > 0
    return torch.where(counted, values.to(inputs.logprobs_BT.dtype), 0.0).sum(), counted.sum()


_NO_EXTRAS = {"dual_clip": None, "entropy_coefficient": 0.0}

ALGORITHMS = {
    # Trajectory-level ratio (TIC-GRPO, 2508.02833) without lower clip; dual clip (1912.09729) per sentence.
    # Bounds ours: the paper gives none.
    "in2x": Algorithm(
        paper="arXiv 2508.14472",
        advantages="group-standardised",
        surrogate="trajectory-corrected",
        aggregation="trajectory-mean",
        published=LossSettings(),
    ),
    # Clip bounds are PPO's customary 0.2.
    "grpo": Algorithm(
        paper="arXiv 2402.03300",
        advantages="group-standardised",
        surrogate="token-ppo",
        aggregation="sequence-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.2, kl_coefficient=0.04, kl_estimator="k3", **_NO_EXTRAS),
    ),
    "dr-grpo": Algorithm(
        paper="arXiv 2503.20783",
        advantages="group-mean",
        surrogate="token-ppo",
        aggregation="constant-length",
        published=LossSettings(clip_low=0.2, clip_high=0.2, **_NO_EXTRAS),
    ),
    # Its dynamic sampling is `advantages.informative_groups`; its length penalty belongs to the reward.
    "dapo": Algorithm(
        paper="arXiv 2503.14476",
        advantages="group-standardised",
        surrogate="token-ppo",
        aggregation="token-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.28, **_NO_EXTRAS),
    ),
    "gspo": Algorithm(
        paper="arXiv 2507.18071",
        advantages="group-standardised",
        surrogate="sequence-ppo",
        aggregation="trajectory-mean",
        published=LossSettings(clip_low=3e-4, clip_high=4e-4, **_NO_EXTRAS),
    ),
    # No lower bound, as in the paper; clip_high ours.
    "cispo": Algorithm(
        paper="arXiv 2506.13585",
        advantages="group-standardised",
        surrogate="clipped-weight",
        aggregation="token-mean",
        published=LossSettings(clip_low=None, clip_high=0.28, **_NO_EXTRAS),
    ),
    # band_width ours.
    "fspo": Algorithm(
        paper="arXiv 2509.09177",
        advantages="group-standardised",
        surrogate="length-fair",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Williams, 1992, with the mean reward of the batch as its baseline.
    "reinforce": Algorithm(
        paper="doi 10.1007/BF00992696",
        advantages="batch-mean",
        surrogate="reinforce",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Its KL is a part of the reward in the paper, so none here.
    "rloo": Algorithm(
        paper="arXiv 2402.14740",
        advantages="leave-one-out",
        surrogate="reinforce",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
}
