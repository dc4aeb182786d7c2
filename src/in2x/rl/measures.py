"""What is watched at every step, as pairs (sum, count) that add up over micro-batches and ranks.

Shapes: B completions in a micro-batch, T tokens.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from in2x.rl.inputs import LOG_RATIO_LIMIT, LossInputs, LossSettings
from in2x.rl.kl import KL_ESTIMATORS, k3
from in2x.rl.mismatch import is_outside, sampler_ratio
from in2x.rl.surrogates import LEVELS, Surrogate

Metrics = dict[str, tuple[Tensor, Tensor]]  # name -> (sum, count)


def ref_kl_BT(inputs: LossInputs, settings: LossSettings) -> Tensor:
    """KL(pi || ref) per sampled token, in nats, zero where masked."""
    log_ratio_BT = inputs.masked(inputs.logprobs_BT - inputs.ref_logprobs_BT.detach())
    return KL_ESTIMATORS[settings.kl_estimator](log_ratio_BT)


@torch.no_grad()
def policy_metrics(surrogate: Surrogate, inputs: LossInputs, settings: LossSettings, per_token: bool) -> Metrics:
    """Ratio and clips at the surrogate's level, the rest per token; in nats where it applies.

    `*_chi2` is the mean of (w - 1)^2, the second moment of a weight whose mean is 1 on the policy that sampled: with
    the mean it gives variance and effective sample size (`importance_spread`), and unlike those it adds up.
    per_token: whether the mismatch is the tokens' or the completions'.
    """
    observed = {
        "ratio": _exp(surrogate.log_ratio),
        "ratio_chi2": (_exp(surrogate.log_ratio) - 1).square(),
        **{f"ratio/{name}": _exp(level(inputs.log_ratio_BT, inputs.lengths_B)) for name, level in LEVELS.items()},
        "clip_high_fraction": surrogate.clip_high,
        "clip_low_fraction": surrogate.clip_low,
        "dual_clip_fraction": surrogate.dual_clip,
        "approx_kl": k3(-inputs.log_ratio_BT),  # KL(pi_old || pi)
    }
    if inputs.sampling_logprobs_BT is not None:
        ratio = sampler_ratio(inputs, per_token)
        sampler_log_ratio_BT = inputs.masked(inputs.sampling_logprobs_BT - inputs.old_logprobs_BT)
        observed |= {
            "mismatch": ratio,
            "mismatch_chi2": (ratio - 1).square(),
            "mismatch_outside_fraction": is_outside(ratio, settings.mismatch_floor, settings.mismatch_cap),
            "mismatch_kl": k3(sampler_log_ratio_BT),  # KL(pi_sampler || pi_old)
        }
    if inputs.entropy_BT is not None:
        observed["entropy"] = inputs.entropy_BT
    if inputs.high_covariance_BT is not None:
        observed["high_covariance_fraction"] = inputs.high_covariance_BT
    if inputs.ref_logprobs_BT is not None:
        observed["ref_kl"] = ref_kl_BT(inputs, settings)
    return {name: _sum_and_count(values, inputs) for name, values in observed.items()}


def total_metrics(parts: Iterable[Metrics]) -> Metrics:
    """Add the sums and the counts of several micro-batches."""
    total: Metrics = {}
    for part in parts:
        for name, (value, count) in part.items():
            value_so_far, count_so_far = total.get(name, (0.0, 0.0))
            total[name] = (value_so_far + value, count_so_far + count)
    return total


def metric_means(metrics: Metrics) -> dict[str, float]:
    """sum / count per name, and the importance weights' spread; a metric without observations is left out."""
    means = {name: float(value) / float(count) for name, (value, count) in metrics.items() if count > 0}
    return means | importance_spread(means)


def importance_spread(means: Mapping[str, float]) -> dict[str, float]:
    """Variance and effective sample size, as a share of the sample, of every weight that has a `_chi2`.

    var w = E(w - 1)^2 - (E w - 1)^2; the share is (E w)^2 / E w^2 (Kish), 1 where all weights are equal.
    """
    spread = {}
    for name in [key.removesuffix("_chi2") for key in means if key.endswith("_chi2")]:
        mean, chi2 = means[name], means[f"{name}_chi2"]
        spread[f"{name}_variance"] = max(0.0, chi2 - (mean - 1) ** 2)
        spread[f"{name}_effective_fraction"] = mean**2 / (mean**2 + spread[f"{name}_variance"])
    return spread


def _exp(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def _sum_and_count(values: Tensor, inputs: LossInputs) -> tuple[Tensor, Tensor]:
    """Sum over the real tokens (B, T) or the real completions (B,), and how many they are."""
    counted = inputs.completion_mask_BT if values.ndim == 2 else inputs.lengths_B > 0
    return torch.where(counted, values.to(inputs.logprobs_BT.dtype), 0.0).sum(), counted.sum()
