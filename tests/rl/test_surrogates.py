"""Losses, gradients and clip flags by hand. Log-ratios are given as logs of round ratios."""

import math
from math import log

import pytest
import torch

from in2x.rl.inputs import LossSettings
from in2x.rl.surrogates import SURROGATES, sampler_weight

IN2X = LossSettings()  # ratio below 1.28, dual clip at 3, no lower bound
PPO = LossSettings(clip_low=0.2, clip_high=0.28, dual_clip=None)


def run(name, inputs, settings):
    """Surrogate and the gradient of its summed loss with respect to the log-probabilities."""
    surrogate = SURROGATES[name](inputs, settings)
    (gradient_BT,) = torch.autograd.grad(surrogate.losses.sum(), inputs.logprobs_BT)
    return surrogate, gradient_BT


def flags(surrogate):
    """Names of the clips that were active, if any."""
    return [name for name in ("clip_high", "clip_low", "dual_clip") if getattr(surrogate, name).any()]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "active"),
    [
        (1.2, 2.0, -2.4, -2.4, []),
        (1.5, 2.0, -2.56, 0.0, ["clip_high"]),  # 1.28 * 2; the minimum is a constant
        (0.01, 2.0, -0.02, -0.02, []),  # no lower bound
        (1.5, 0.0, 0.0, 0.0, ["clip_high"]),  # zero is on the side of the positive
        (1.5, -2.0, 3.0, 3.0, []),  # the upper clip is not for negative advantages
        (2.9, -2.0, 5.8, 5.8, []),
        (4.0, -2.0, 6.0, 0.0, ["dual_clip"]),  # 3 * 2
        (0.01, -2.0, 0.02, 0.02, []),  # no lower bound here either
    ],
)
def test_trajectory_corrected(make_inputs, ratio, advantage, loss, gradient, active):
    # The ratio of the trajectory is the product of three token ratios.
    inputs = make_inputs([[log(ratio) - 0.3, 0.5, -0.2]], [advantage])
    surrogate, gradient_BT = run("trajectory-corrected", inputs, IN2X)
    assert surrogate.losses.tolist() == pytest.approx([loss])
    assert gradient_BT[0].tolist() == pytest.approx([gradient] * 3)
    assert flags(surrogate) == active


def test_trajectory_corrected_has_a_lower_bound_only_on_request(make_inputs):
    inputs = make_inputs([[log(0.5)]], [-2.0])
    surrogate, gradient_BT = run("trajectory-corrected", inputs, LossSettings(clip_low=0.2))
    assert surrogate.losses.tolist() == pytest.approx([1.6])
    assert gradient_BT.tolist() == [[0.0]]
    assert flags(surrogate) == ["clip_low"]


def test_a_bounded_ratio_never_overflows(make_inputs):
    inputs = make_inputs([[600.0, 600.0], [600.0, 600.0]], [1.0, -1.0])
    surrogate, gradient_BT = run("trajectory-corrected", inputs, IN2X)
    assert surrogate.losses.tolist() == pytest.approx([-1.28, 3.0])
    assert gradient_BT.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_without_a_dual_clip_a_negative_advantage_is_unbounded(make_inputs):
    inputs = make_inputs([[log(50.0)]], [-1.0])
    surrogate, _ = run("trajectory-corrected", inputs, LossSettings(dual_clip=None))
    assert surrogate.losses.tolist() == pytest.approx([50.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "active"),
    [
        (1.5, 2.0, -2.56, 0.0, ["clip_high"]),
        (0.5, 2.0, -1.0, -1.0, []),
        (1.5, -2.0, 3.0, 3.0, []),
        (0.5, -2.0, 1.6, 0.0, ["clip_low"]),
    ],
)
def test_token_ppo_is_the_minimum_of_both_products(make_inputs, ratio, advantage, loss, gradient, active):
    inputs = make_inputs([[log(ratio), 0.0]], [advantage])
    surrogate, gradient_BT = run("token-ppo", inputs, PPO)
    assert surrogate.losses[0].tolist() == pytest.approx([loss, -advantage])
    assert gradient_BT[0].tolist() == pytest.approx([gradient, -advantage])
    assert flags(surrogate) == active


def test_token_ppo_takes_a_dual_clip(make_inputs):
    inputs = make_inputs([[log(5.0)]], [-2.0])
    surrogate, gradient_BT = run("token-ppo", inputs, LossSettings(clip_low=0.2, dual_clip=3.0))
    assert surrogate.losses.tolist() == [pytest.approx([6.0])]
    assert gradient_BT.tolist() == [[0.0]]
    assert flags(surrogate) == ["dual_clip"]


def test_sequence_ppo_takes_the_geometric_mean(make_inputs):
    # Token ratios 1.1 and 1.21: mean log-ratio 1.5 log 1.1; every token has half of the gradient.
    inputs = make_inputs([[log(1.1), log(1.21)], [log(4.0), log(1.0)]], [2.0, 2.0])
    surrogate, gradient_BT = run("sequence-ppo", inputs, PPO)
    assert surrogate.losses.tolist() == pytest.approx([-2 * 1.1**1.5, -2 * 1.28])
    assert gradient_BT[0].tolist() == pytest.approx([-(1.1**1.5)] * 2)
    assert gradient_BT[1].tolist() == [0.0, 0.0]
    assert surrogate.clip_high.tolist() == [False, True]


@pytest.mark.parametrize(
    ("length", "log_weight", "active"),
    [(4, 0.2, ["clip_high"]), (16, 0.4, ["clip_high"]), (36, 0.5, [])],
)
def test_length_fair_band_grows_with_the_root_of_the_length(make_inputs, length, log_weight, active):
    inputs = make_inputs([[0.5 / length] * length], [1.0], max_completion_tokens=36)
    settings = LossSettings(band_width=0.1, dual_clip=None)
    surrogate, gradient_BT = run("length-fair", inputs, settings)
    assert surrogate.losses.tolist() == pytest.approx([-math.exp(log_weight)])
    assert flags(surrogate) == active
    assert (gradient_BT == 0).all() == bool(active)


def test_length_fair_band_bounds_negative_advantages_from_below(make_inputs):
    inputs = make_inputs([[-0.5, 0.0, 0.0, 0.0]], [-1.0])
    surrogate, gradient_BT = run("length-fair", inputs, LossSettings(band_width=0.1, dual_clip=None))
    assert surrogate.losses.tolist() == pytest.approx([math.exp(-0.2)])
    assert flags(surrogate) == ["clip_low"]
    assert gradient_BT.tolist() == [[0.0] * 4]


def test_length_fair_band_centred_on_the_drift(make_inputs):
    # sum_t (ratio_t - 1) = 0.5 - 0.3 = 0.2 and S = log 1.05, so the centre is log 1.05 - 0.2.
    inputs = make_inputs([[log(1.5), log(0.7)]], [1.0])
    settings = LossSettings(band_width=0.1, dual_clip=None)
    assert flags(run("length-fair", inputs, settings)[0]) == []
    centred, gradient_BT = run("length-fair", inputs, LossSettings(band_width=0.1, band_centred=True))
    assert centred.losses.tolist() == pytest.approx([-1.05 * math.exp(-0.2 + 0.1 * math.sqrt(2))])
    assert flags(centred) == ["clip_high"]
    assert gradient_BT.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("ratio", "clip_low", "weight", "active"),
    [
        (1.1, None, 1.1, []),
        (3.0, None, 1.28, ["clip_high"]),
        (0.1, None, 0.1, []),
        (0.1, 0.2, 0.8, ["clip_low"]),
    ],
)
def test_clipped_weight_keeps_the_gradient_of_clipped_tokens(make_inputs, ratio, clip_low, weight, active):
    inputs = make_inputs([[log(ratio)]], [2.0], logprobs=[[-0.7]])
    surrogate, gradient_BT = run("clipped-weight", inputs, LossSettings(clip_low=clip_low))
    assert surrogate.losses.tolist() == [pytest.approx([weight * 2.0 * 0.7])]
    assert gradient_BT.tolist() == [pytest.approx([-weight * 2.0])]
    assert flags(surrogate) == active


def test_reinforce_ignores_the_ratio(make_inputs):
    inputs = make_inputs([[5.0, -9.0]], [2.0], logprobs=[[-0.7, -0.4]])
    surrogate, gradient_BT = run("reinforce", inputs, IN2X)
    assert surrogate.losses.tolist() == pytest.approx([2.2])
    assert gradient_BT.tolist() == [[-2.0, -2.0]]
    assert flags(surrogate) == []


def test_sampler_weight_is_truncated_per_token_or_per_trajectory(make_inputs):
    inputs = make_inputs([[0.0, 0.0], [0.0]], [1.0, 1.0], logprobs=[[-1.0, -1.0], [-1.0]])
    sampling_BT = inputs.old_logprobs_BT - torch.tensor(
        [[log(1.5), log(0.5)], [log(7.0), float("nan")]], dtype=torch.float64
    )
    inputs = make_inputs([[0.0, 0.0], [0.0]], [1.0, 1.0], sampling_logprobs_BT=sampling_BT)
    token_BT = sampler_weight(inputs, LossSettings(mismatch_cap=2.0), per_token=True)
    assert token_BT[0].tolist() == pytest.approx([1.5, 0.5])
    assert token_BT[1, 0].item() == pytest.approx(2.0)
    trajectory_B = sampler_weight(inputs, LossSettings(mismatch_cap=2.0), per_token=False)
    assert trajectory_B.tolist() == pytest.approx([0.75, 2.0])
    uncapped_B = sampler_weight(inputs, LossSettings(mismatch_cap=math.inf), per_token=False)
    assert uncapped_B.tolist() == pytest.approx([0.75, 7.0])
