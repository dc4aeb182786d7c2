"""TRL's GRPOTrainer (1.16) with one of the rows of in2x.rl.algorithms as its loss.

TRL has no public hook for a loss: its own trainers override the private `_compute_loss`, and so does this one. What
TRL does before it is left alone: sampling, rewards, advantages (group-standardised with the sample deviation), old
log-probabilities.

Shapes: B completions in a micro-batch, T tokens.
"""

import torch

from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs
from in2x.rl.measures import metric_means
from in2x.rl.settings import LossSettings

try:
    from trl import GRPOTrainer
except ImportError as error:
    raise ImportError(f"in2x.rl.adapters.trl needs TRL 1.16: pip install 'trl==1.16.*' ({error})") from error


def trainer_class(algorithm: str = "tic-grpo", **chosen: object) -> type[GRPOTrainer]:
    """A GRPOTrainer whose loss is `algorithm`'s; `chosen` are LossSettings, and take the place of TRL's own knobs.

    Of TRL's arguments epsilon, epsilon_high, delta, loss_type and importance_sampling_level are read by nothing then;
    beta > 0 makes TRL compute reference log-probabilities, whose weight is kl_coefficient.

    Raises:
        ValueError: an unknown algorithm, or a setting that nothing reads beside the others.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {tuple(ALGORITHMS)}, got {algorithm!r}")
    row = ALGORITHMS[algorithm]
    for name, why in row.unread(**chosen).items():
        raise ValueError(f"{name}: {why}")
    settings = row.settings(**chosen)
    if settings.covariance_control != "none":
        raise ValueError("covariance_control: it needs the whole step's tokens, which TRL's loss does not see")

    class In2xTrainer(GRPOTrainer):
        in2x_settings = settings

        def _compute_loss(self, model, inputs):
            output = row.loss(loss_inputs(self, model, inputs, settings), settings)
            mode = "train" if self.model.training else "eval"
            for name, value in metric_means(output.metrics).items():
                self._metrics[mode][f"in2x/{name}"].append(value)
            return output.loss * self.accelerator.num_processes  # DDP averages the processes' gradients

    return In2xTrainer


def loss_inputs(trainer, model, inputs: dict, settings: LossSettings) -> LossInputs:
    """TRL's micro-batch as ours, after a forward pass of the model.

    The completions of a step are counted; its tokens TRL only knows for all steps of a batch of rollouts, so each
    step gets its even share (the denominator of the token means alone).
    """
    mask_BT = inputs["completion_mask"].bool()
    if "tool_mask" in inputs:
        mask_BT = mask_BT & inputs["tool_mask"].bool()
    logprobs_BT, entropy_BT, _ = trainer._get_per_token_logps_and_entropies(
        model,
        torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
        torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
        mask_BT.shape[1],
        compute_entropy=True,
    )
    old_logprobs_BT = inputs.get("old_per_token_logps")
    ref_logprobs_BT = inputs.get("ref_per_token_logps")
    if settings.kl_coefficient and ref_logprobs_BT is None:
        raise ValueError("kl_coefficient: TRL computes no reference log-probabilities unless its beta is above 0")
    accumulated = trainer.current_gradient_accumulation_steps if trainer.model.training else 1
    share = accumulated / trainer.args.steps_per_generation if trainer.model.training else 1.0
    return LossInputs(
        logprobs_BT=logprobs_BT,
        old_logprobs_BT=logprobs_BT.detach() if old_logprobs_BT is None else old_logprobs_BT,
        completion_mask_BT=mask_BT,
        advantages_B=inputs["advantages"],
        num_completions=len(mask_BT) * accumulated * trainer.accelerator.num_processes,
        num_tokens=max(int(mask_BT.sum()), round(float(inputs["num_items_in_batch"]) * share), 1),
        max_completion_tokens=trainer.max_completion_length,
        entropy_BT=entropy_BT,
        ref_logprobs_BT=ref_logprobs_BT,
        sampling_logprobs_BT=inputs.get("sampling_per_token_logps"),
    )
