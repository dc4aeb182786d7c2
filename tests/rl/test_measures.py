"""What is watched, by hand; that the sums add up is test_algorithms.py's."""

import math
from math import log

import pytest
import torch

from in2x.rl.inputs import LossSettings
from in2x.rl.measures import importance_spread, metric_means, policy_metrics, total_metrics
from in2x.rl.surrogates import SURROGATES


def measured(inputs, settings=None, level="trajectory", clip="upper-only", per_token=False):
    settings = settings or LossSettings()
    surrogate = SURROGATES["clipped-ratio"](inputs, settings, level, clip)
    return metric_means(policy_metrics(surrogate, inputs, settings, per_token))


def test_the_ratio_at_every_level(make_inputs):
    inputs = make_inputs([[log(2.0), log(8.0)], [log(0.5)], []], [1.0, 1.0, 1.0], filler=math.nan)
    means = measured(inputs, level="sequence")
    assert means["ratio/token"] == pytest.approx((2 + 8 + 0.5) / 3)
    assert means["ratio/sequence"] == means["ratio"] == pytest.approx((4 + 0.5) / 2)
    assert means["ratio/trajectory"] == pytest.approx((16 + 0.5) / 2)


def test_variance_and_effective_sample_size_of_the_weights(make_inputs):
    # Weights 1.5, 0.5, 1, 3: mean 1.5, squares 2.25 + 0.25 + 1 + 9 = 12.5.
    inputs = make_inputs([[log(1.5)], [log(0.5)], [log(1.0)], [log(3.0)]], [1.0, -1.0, 1.0, -1.0])
    means = measured(inputs)
    assert means["ratio_variance"] == pytest.approx(12.5 / 4 - 1.5**2)
    assert means["ratio_effective_fraction"] == pytest.approx(6.0**2 / 12.5 / 4)


def test_small_deviations_survive_single_precision():
    weights = 1 + 1e-4 * torch.tensor([1.0, -1.0] * 500)
    pairs = {"w": (weights.sum(), torch.tensor(1000)), "w_chi2": ((weights - 1).square().sum(), torch.tensor(1000))}
    assert metric_means(pairs)["w_variance"] == pytest.approx(1e-8, rel=1e-2)


def test_equal_weights_are_all_effective():
    spread = importance_spread({"w": 1.0, "w_chi2": 0.0, "entropy": 2.0})
    assert spread == {"w_variance": 0.0, "w_effective_fraction": 1.0}


def test_shares_clipped_above_below_and_by_the_dual_clip(make_inputs):
    inputs = make_inputs([[log(2.0)], [log(0.5)], [log(4.0)], [log(5.0)], [0.0]], [1.0, -1.0, -1.0, -1.0, 1.0])
    means = measured(inputs, clip="two-sided")
    assert means["clip_high_fraction"] == pytest.approx(1 / 5)
    assert means["clip_low_fraction"] == pytest.approx(1 / 5)
    assert means["dual_clip_fraction"] == pytest.approx(2 / 5)


def test_approx_kl_is_that_of_the_old_policy_to_the_new(make_inputs):
    # E_old over two equally likely tokens with new/old = 1.2 and 0.8: KL = -(log 1.2 + log 0.8) / 2.
    means = measured(make_inputs([[log(1.2)], [log(0.8)]], [1.0, -1.0]))
    assert means["approx_kl"] == pytest.approx(-(log(1.2) + log(0.8)) / 2)


def test_the_mismatch_and_its_kl(make_inputs):
    # pi_old / pi_sampler = 1.2 and 0.8 on two tokens that the sampler finds equally likely, then 3.
    sampling_BT = -1 - torch.tensor([[log(1.2), log(0.8)], [log(3.0), math.nan]], dtype=torch.float64)
    inputs = make_inputs([[0.0, 0.0], [0.0]], [1.0, 1.0], sampling_logprobs_BT=sampling_BT)
    settings = LossSettings(mismatch_floor=0.9)
    by_token = measured(inputs, settings, per_token=True)
    assert by_token["mismatch"] == pytest.approx((1.2 + 0.8 + 3) / 3)
    assert by_token["mismatch_outside_fraction"] == pytest.approx(2 / 3)
    kl = -(log(1.2) + log(0.8) + log(3.0) - 2.0) / 3
    assert by_token["mismatch_kl"] == pytest.approx(kl)
    assert 0 < by_token["mismatch_effective_fraction"] < 1
    assert measured(inputs, settings)["mismatch"] == pytest.approx((0.96 + 3) / 2)


def test_a_batch_without_tokens_reports_nothing(make_inputs):
    inputs = make_inputs([[]], [1.0], width=2, num_completions=1, num_tokens=1)
    assert measured(inputs) == {}


def test_totals_add_sums_and_counts():
    parts = [
        {"a": (torch.tensor(1.0), torch.tensor(2))},
        {"a": (torch.tensor(5.0), torch.tensor(1)), "b": (torch.tensor(4.0), torch.tensor(4))},
    ]
    assert metric_means(total_metrics(parts)) == {"a": 2.0, "b": 1.0}
