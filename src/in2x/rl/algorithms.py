"""ALGORITHMS: the rows of rows.py with their mathematics.

    J    = aggregate_i[weight_i A_i] + entropy_coefficient mean_t H - kl_coefficient KL(pi || ref)
    loss = -J

Shapes: P prompts, G group size, B completions in a micro-batch, T tokens.
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from in2x.rl.advantages import ADVANTAGES, among_kept, without_uninformative
from in2x.rl.aggregation import AGGREGATIONS, sequence_mean, token_mean
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.measures import Metrics, policy_metrics, ref_kl_BT
from in2x.rl.mismatch import MISMATCHES, is_per_token, sampler_ratio
from in2x.rl.rows import ROWS, Row
from in2x.rl.surrogates import SURROGATES


@dataclass(frozen=True, eq=False)
class LossOutput:
    """loss: this micro-batch's share of the step's loss, to be backpropagated as it is."""

    loss: Tensor
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Algorithm(Row):
    """A row with its mathematics. `loss` obeys only the settings it is given: start from `settings()`."""

    def advantage(
        self,
        rewards_PG: Tensor,
        estimator: str = "as-published",
        informative_P: Tensor | None = None,
        kept_PG: Tensor | None = None,
    ) -> Tensor:
        """advantages_PG; zero in groups that `informative_P` rejects, and for completions that aren't in `kept_PG`.

        A completion that isn't kept doesn't count for the others of its group either (advantages.among_kept).
        """
        name = self.advantages if estimator == "as-published" else estimator
        if name not in ADVANTAGES:
            raise ValueError(f"estimator: expected 'as-published' or one of {tuple(ADVANTAGES)}, got {name!r}")
        kept_PG = torch.ones_like(rewards_PG, dtype=torch.bool) if kept_PG is None else kept_PG
        advantages_PG = among_kept(ADVANTAGES[name], rewards_PG, kept_PG)
        return advantages_PG if informative_P is None else without_uninformative(advantages_PG, informative_P)

    def loss(self, inputs: LossInputs, settings: LossSettings) -> LossOutput:
        """-J over the step's denominators, so that micro-batches add up to the full batch."""
        _require_inputs(inputs, settings)
        level, clip, aggregation = self.axes(settings)
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
    """Inputs whose gradient is zero at the tokens of Clip-Cov, and weighted by credit, or where the loss can't be.

    A loss per completion can't be weighted by token: there each token's own gradient is. Credit is gradient alone at
    every level, so that ratios, clips and the loss that is logged are those of the completion's advantage.
    """
    if settings.covariance_control == "clip-cov":
        inputs = inputs.with_gradient_times((~inputs.high_covariance_BT).to(inputs.logprobs_BT.dtype))
    if inputs.credit_BT is not None:
        inputs = inputs.with_gradient_times(inputs.credit_BT)
    if weights.ndim == 2 and level != "token":
        inputs = inputs.with_gradient_times(weights)
    return inputs


def _weighted(losses: Tensor, weights: Tensor) -> Tensor:
    if weights.ndim > losses.ndim:  # done by _held_back
        return losses
    return losses * (weights[:, None] if losses.ndim > weights.ndim else weights)


ALGORITHMS = {
    name: Algorithm(**{field.name: getattr(row, field.name) for field in dataclasses.fields(Row)})
    for name, row in ROWS.items()
}
