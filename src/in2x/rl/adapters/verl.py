"""The rows of in2x.rl.algorithms as policy losses of verl (0.9), named "in2x-tic-grpo", "in2x-fspo" and so on.

verl imports this module in every worker when it is named as an external library, and then finds the losses:

    actor_rollout_ref.model.external_lib=in2x.rl.adapters.verl
    actor_rollout_ref.actor.policy_loss.loss_mode=in2x-tic-grpo

The knobs that verl's actor has are obeyed: clip_ratio_low, clip_ratio_high, clip_ratio_c (the dual clip) and
loss_agg_mode. The rest is as the algorithm's paper has it. Entropy bonus and KL are added by verl itself.

Shapes: B completions in a micro-batch, T tokens.
"""

from collections.abc import Callable

import torch

from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs
from in2x.rl.measures import metric_means

try:
    from verl.trainer.ppo.core_algos import register_policy_loss
except ImportError as error:
    raise ImportError(
        f"in2x.rl.adapters.verl needs verl 0.9 and its imports: pip install verl==0.9.1 ({error})"
    ) from error

from in2x.rl.adapters.rewards import compute_score

__all__ = ["compute_score", "policy_loss"]

AGGREGATIONS = {
    "seq-mean-token-sum": "trajectory-mean",
    "seq-mean-token-mean": "sequence-mean",
    "token-mean": "token-mean",
    "seq-mean-token-sum-norm": "constant-length",
}
LEAST_WEIGHT = 4.6e-5
"""Weights for the sampler are kept in the log domain, within exp(-10): what is below is zero."""


def policy_loss(name: str) -> Callable:
    """The algorithm's policy term in the signature of verl.trainer.ppo.core_algos."""
    algorithm = ALGORITHMS[name]

    def loss(
        old_log_prob,
        log_prob,
        advantages,
        response_mask,
        loss_agg_mode: str = "token-mean",
        config=None,
        rollout_is_weights=None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        settings = _settings(algorithm, loss_agg_mode, config, rollout_is_weights is not None)
        batch = config.global_batch_info
        inputs = _inputs(old_log_prob, log_prob, advantages, response_mask, batch, rollout_is_weights)
        output = algorithm.loss(inputs, settings)
        means = {f"actor/in2x/{key}": value for key, value in metric_means(output.metrics).items()}
        return output.loss * (batch.get("dp_size") or 1), means  # verl's workers average the ranks' gradients

    loss.__name__ = f"in2x_{name.replace('-', '_')}"
    return loss


def _settings(algorithm, loss_agg_mode: str, config, has_weights: bool):
    """The algorithm's settings with those of the actor's knobs that it reads."""
    if loss_agg_mode not in AGGREGATIONS:
        raise ValueError(f"loss_agg_mode: expected one of {tuple(AGGREGATIONS)}, got {loss_agg_mode!r}")
    if has_weights:
        mismatch = {"mismatch": "mask", "mismatch_level": "token"}
        mismatch |= {"mismatch_floor": LEAST_WEIGHT, "mismatch_cap": float("inf")}
    else:
        mismatch = {"mismatch": "none"}
    low = config.clip_ratio if config.clip_ratio_low is None else config.clip_ratio_low
    high = config.clip_ratio if config.clip_ratio_high is None else config.clip_ratio_high
    knobs = {"clip_low": low, "clip_high": high, "dual_clip": config.get("clip_ratio_c", 3.0)}
    chosen = {"entropy_coefficient": 0.0, "kl_coefficient": 0.0, "length_normalise": AGGREGATIONS[loss_agg_mode]}
    unread = algorithm.unread(**knobs)
    read = {name: value for name, value in knobs.items() if name not in unread}
    return algorithm.settings(**chosen, **mismatch, **read)


def _inputs(old_log_prob, log_prob, advantages, response_mask, batch: dict, weights) -> LossInputs:
    mask_BT = response_mask.bool()
    sampling_BT = None
    if weights is not None:  # as if the sampler had reported them: pi_old / pi_sampler = weight
        sampling_BT = old_log_prob.detach() - weights.clamp(min=LEAST_WEIGHT / 2).log()
    return LossInputs(
        logprobs_BT=log_prob,
        old_logprobs_BT=old_log_prob,
        completion_mask_BT=mask_BT,
        advantages_B=_by_completion(advantages, mask_BT),
        num_completions=int(batch.get("global_batch_size") or max(1, int((mask_BT.sum(1) > 0).sum()))),
        num_tokens=int(batch.get("batch_num_tokens") or max(1, int(mask_BT.sum()))),
        max_completion_tokens=int(batch.get("loss_scale_factor") or mask_BT.shape[1]),
        sampling_logprobs_BT=sampling_BT,
    )


def _by_completion(advantages_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """One advantage for each completion.

    Raises ValueError where its tokens differ: a ratio of the whole completion has no place for that.
    """
    masked_BT = torch.where(mask_BT, advantages_BT, 0.0)
    means_B = masked_BT.sum(1) / mask_BT.sum(1).clamp(min=1)
    spread = torch.where(mask_BT, advantages_BT - means_B[:, None], 0.0).abs().max() if mask_BT.any() else 0.0
    if spread > 1e-4 * (1 + means_B.abs().max()):
        raise ValueError(
            "advantages: expected the same one for all tokens of a completion, as grpo, rloo and gdpo give it; they "
            f"differ by up to {float(spread):.3g}: set algorithm.adv_estimator to one of these"
        )
    return means_B


for _name in ALGORITHMS:
    register_policy_loss(f"in2x-{_name}")(policy_loss(_name))
