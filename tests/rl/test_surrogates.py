"""Losses, gradients and clip flags by hand. Log-ratios are given as logs of round ratios."""

import math
from itertools import product
from math import log

import pytest
import torch

from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.surrogates import CLIPS, LEVELS, SURROGATES

IN2X = LossSettings()  # ratio below 1.28, dual clip at 3
PPO = LossSettings(clip_low=0.2, clip_high=0.28, dual_clip="none")


def run(name, inputs, settings, level="trajectory", clip="upper-only"):
    """Surrogate and the gradient of its summed loss with respect to the log-probabilities."""
    surrogate = SURROGATES[name](inputs, settings, level, clip)
    (gradient_BT,) = torch.autograd.grad(surrogate.losses.sum(), inputs.logprobs_BT)
    return surrogate, gradient_BT


def flags(surrogate):
    """Names of the clips that were active, if any."""
    return [name for name in ("clip_high", "clip_low", "dual_clip") if getattr(surrogate, name).any()]


# --- levels and clips -----------------------------------------------------------------------------------------


def test_levels_are_the_tokens_their_geometric_mean_and_their_product(make_inputs):
    inputs = make_inputs([[log(2.0), log(8.0)], [log(0.5)]], [1.0, 1.0], filler=float("nan"))
    ratios = {name: level(inputs.log_ratio_BT, inputs.lengths_B).exp() for name, level in LEVELS.items()}
    assert ratios["token"].flatten().tolist() == pytest.approx([2.0, 8.0, 0.5, 1.0])
    assert ratios["sequence"].tolist() == pytest.approx([4.0, 0.5])
    assert ratios["trajectory"].tolist() == pytest.approx([16.0, 0.5])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("clip", "low", "high"), [("two-sided", 0.8, 1.28), ("upper-only", 0.0, 1.28), ("none", 0.0, math.inf)]
)
def test_fixed_clips_bound_the_ratio_at_every_level(make_inputs, level, clip, low, high):
    inputs = make_inputs([[0.0, 0.0]], [1.0])
    bounds = CLIPS[clip](inputs, PPO, level)
    assert [bound.exp().item() for bound in bounds] == pytest.approx([low, high])
    # In the inputs' precision: 1.28 in float32 would be off by 1e-8.
    torch.testing.assert_close(bounds[1].exp(), torch.tensor(high, dtype=torch.float64), rtol=1e-14, atol=0.0)


@pytest.mark.parametrize(
    ("level", "half"), [("token", [0.1, 0.1]), ("sequence", [0.1 / 2, 0.1 / 3]), ("trajectory", [0.1 * 2, 0.1 * 3])]
)
def test_the_length_fair_band_is_the_same_at_every_level(make_inputs, level, half):
    inputs = make_inputs([[0.0] * 4, [0.0] * 9], [1.0, 1.0])
    low, high = CLIPS["length-fair"](inputs, LossSettings(band_width=0.1), level)
    assert high.flatten().tolist() == pytest.approx(half)
    assert (-low).flatten().tolist() == pytest.approx(half)


@pytest.mark.parametrize(
    ("level", "centre"),
    [
        ("token", [log(1.5) - 0.5, log(0.7) + 0.3]),
        ("sequence", [(log(1.05) - 0.2) / 2]),
        ("trajectory", [log(1.05) - 0.2]),
    ],
)
def test_the_length_fair_band_centred_on_the_drift(make_inputs, level, centre):
    # log-ratio - (ratio - 1) for each token, summed: log 1.05 - (0.5 - 0.3)
    inputs = make_inputs([[log(1.5), log(0.7)]], [1.0])
    low, high = CLIPS["length-fair"](inputs, LossSettings(band_width=0.1, band_centred=True), level)
    assert ((low + high) / 2).flatten().tolist() == pytest.approx(centre)


def by_definition(ratio, advantage, low, high, dual):
    """-max(min(w A, clip(w) A), c A) of arXiv 1912.09729, as it is written."""
    clipped = min(max(ratio, low), high)
    objective = min(ratio * advantage, clipped * advantage)
    return -max(objective, dual * advantage) if advantage < 0 else -objective


@pytest.mark.parametrize(("level", "clip"), list(product(LEVELS, CLIPS)))
@pytest.mark.parametrize("dual_clip", [3.0, "none"])
def test_any_level_with_any_clip_is_the_pessimistic_objective(make_inputs, level, clip, dual_clip):
    settings = LossSettings(clip_low=0.2, clip_high=0.28, band_width=0.15, dual_clip=dual_clip)
    log_ratios = [[log(x), log(y)] for x, y in product((0.3, 0.75, 0.9, 1.0, 1.2, 2.5, 4.0), repeat=2)] * 2
    advantages = [2.0] * 49 + [-2.0] * 49
    inputs = make_inputs(log_ratios, advantages)
    low, high = {
        "two-sided": (0.8, 1.28),
        "upper-only": (0.0, 1.28),
        "none": (0.0, math.inf),
        "length-fair": tuple(
            math.exp(sign * 0.15 * {"token": 1, "sequence": 1 / math.sqrt(2), "trajectory": math.sqrt(2)}[level])
            for sign in (-1, 1)
        ),
    }[clip]
    surrogate, _ = run("clipped-ratio", inputs, settings, level, clip)
    expected = [
        by_definition(math.exp(value), advantage, low, high, math.inf if dual_clip == "none" else dual_clip)
        for row, advantage in zip(log_ratios, advantages, strict=True)
        for value in {"token": row, "sequence": [sum(row) / 2], "trajectory": [sum(row)]}[level]
    ]
    assert surrogate.losses.flatten().tolist() == pytest.approx(expected)


# --- golden values of each named objective --------------------------------------------------------------------


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
def test_trajectory_upper_only(make_inputs, ratio, advantage, loss, gradient, active):
    # The ratio of the trajectory is the product of three token ratios.
    inputs = make_inputs([[log(ratio) - 0.3, 0.5, -0.2]], [advantage])
    surrogate, gradient_BT = run("clipped-ratio", inputs, IN2X)
    assert surrogate.losses.tolist() == pytest.approx([loss])
    assert gradient_BT[0].tolist() == pytest.approx([gradient] * 3)
    assert flags(surrogate) == active


def test_trajectory_two_sided(make_inputs):
    inputs = make_inputs([[log(0.5)]], [-2.0])
    surrogate, gradient_BT = run("clipped-ratio", inputs, IN2X, clip="two-sided")
    assert surrogate.losses.tolist() == pytest.approx([1.6])
    assert gradient_BT.tolist() == [[0.0]]
    assert flags(surrogate) == ["clip_low"]


def test_without_a_dual_clip_a_negative_advantage_pays_the_whole_ratio(make_inputs):
    inputs = make_inputs([[log(50.0)]], [-1.0])
    surrogate, _ = run("clipped-ratio", inputs, LossSettings(dual_clip="none"))
    assert surrogate.losses.tolist() == pytest.approx([50.0])
    assert flags(surrogate) == []


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "active"),
    [
        (1.5, 2.0, -2.56, 0.0, ["clip_high"]),
        (0.5, 2.0, -1.0, -1.0, []),
        (1.5, -2.0, 3.0, 3.0, []),
        (0.5, -2.0, 1.6, 0.0, ["clip_low"]),
    ],
)
def test_token_two_sided(make_inputs, ratio, advantage, loss, gradient, active):
    inputs = make_inputs([[log(ratio), 0.0]], [advantage])
    surrogate, gradient_BT = run("clipped-ratio", inputs, PPO, "token", "two-sided")
    assert surrogate.losses[0].tolist() == pytest.approx([loss, -advantage])
    assert gradient_BT[0].tolist() == pytest.approx([gradient, -advantage])
    assert flags(surrogate) == active


@pytest.mark.parametrize(
    ("level", "log_ratio"), [("token", [log(5.0)]), ("sequence", [log(5.0)] * 2), ("trajectory", [log(5.0) / 2] * 2)]
)
def test_the_dual_clip_holds_at_every_level(make_inputs, level, log_ratio):
    inputs = make_inputs([log_ratio], [-2.0])
    surrogate, gradient_BT = run("clipped-ratio", inputs, LossSettings(dual_clip=3.0), level, "two-sided")
    assert surrogate.losses.flatten().tolist() == [pytest.approx(6.0)]
    assert gradient_BT.tolist() == [[0.0] * len(log_ratio)]
    assert flags(surrogate) == ["dual_clip"]


def test_sequence_takes_the_geometric_mean(make_inputs):
    # Token ratios 1.1 and 1.21: mean log-ratio 1.5 log 1.1; every token has half of the gradient.
    inputs = make_inputs([[log(1.1), log(1.21)], [log(4.0), log(1.0)]], [2.0, 2.0])
    surrogate, gradient_BT = run("clipped-ratio", inputs, PPO, "sequence", "two-sided")
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
    surrogate, gradient_BT = run("clipped-ratio", inputs, LossSettings(band_width=0.1), clip="length-fair")
    assert surrogate.losses.tolist() == pytest.approx([-math.exp(log_weight)])
    assert flags(surrogate) == active
    assert (gradient_BT == 0).all() == bool(active)


def test_length_fair_band_bounds_negative_advantages_from_below(make_inputs):
    inputs = make_inputs([[-0.5, 0.0, 0.0, 0.0]], [-1.0])
    surrogate, gradient_BT = run("clipped-ratio", inputs, LossSettings(band_width=0.1), clip="length-fair")
    assert surrogate.losses.tolist() == pytest.approx([math.exp(-0.2)])
    assert flags(surrogate) == ["clip_low"]
    assert gradient_BT.tolist() == [[0.0] * 4]


def test_the_drift_of_a_centred_band_has_no_gradient(make_inputs):
    inputs = make_inputs([[log(1.5), log(0.7)]], [1.0])
    settings = LossSettings(band_width=0.1)
    assert flags(run("clipped-ratio", inputs, settings, clip="length-fair")[0]) == []
    centred, gradient_BT = run(
        "clipped-ratio", inputs, LossSettings(band_width=0.1, band_centred=True), clip="length-fair"
    )
    assert centred.losses.tolist() == pytest.approx([-1.05 * math.exp(-0.2 + 0.1 * math.sqrt(2))])
    assert flags(centred) == ["clip_high"]
    assert gradient_BT.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "clip", "weight", "active"),
    [
        (1.1, 2.0, "upper-only", 1.1, []),
        (3.0, 2.0, "upper-only", 1.28, ["clip_high"]),
        (3.0, -2.0, "upper-only", 1.28, ["clip_high"]),  # whatever the sign
        (0.1, 2.0, "upper-only", 0.1, []),
        (0.1, 2.0, "two-sided", 0.8, ["clip_low"]),
        (5.0, 2.0, "none", 5.0, []),
        (5.0, -2.0, "none", 3.0, ["dual_clip"]),
    ],
)
def test_clipped_weight_keeps_the_gradient_of_clipped_tokens(make_inputs, ratio, advantage, clip, weight, active):
    inputs = make_inputs([[log(ratio)]], [advantage], logprobs=[[-0.7]])
    surrogate, gradient_BT = run("clipped-weight", inputs, IN2X, "token", clip)
    assert surrogate.losses.tolist() == [pytest.approx([weight * advantage * 0.7])]
    assert gradient_BT.tolist() == [pytest.approx([-weight * advantage])]
    assert flags(surrogate) == active


def test_clipped_weight_of_a_completion_multiplies_its_whole_log_probability(make_inputs):
    inputs = make_inputs([[log(1.2), log(1.2)]], [2.0], logprobs=[[-0.7, -0.4]])
    for level, weight in (("sequence", 1.2), ("trajectory", 1.28)):
        surrogate, gradient_BT = run("clipped-weight", inputs, IN2X, level)
        assert surrogate.losses.tolist() == pytest.approx([weight * 2.0 * 1.1])
        assert gradient_BT[0].tolist() == pytest.approx([-weight * 2.0] * 2)


@pytest.mark.parametrize("level", LEVELS)
def test_reinforce_ignores_the_ratio(make_inputs, level):
    inputs = make_inputs([[5.0, -9.0]], [2.0], logprobs=[[-0.7, -0.4]])
    surrogate, gradient_BT = run("reinforce", inputs, IN2X, level)
    assert surrogate.losses.sum().item() == pytest.approx(2.2)
    assert gradient_BT.tolist() == [[-2.0, -2.0]]
    assert flags(surrogate) == []


# --- numbers that overflow ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "level", "clip"), list(product(SURROGATES, LEVELS, CLIPS)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_far_log_ratios_give_finite_losses_and_gradients(name, level, clip, dtype):
    """+-100 and +-1e4 with either sign of the advantage, without a dual clip; NaN where masked."""
    far = torch.tensor([100.0, -100.0, 1e4, -1e4, 9.0], dtype=dtype).repeat(2)[:, None]
    nan_B1 = torch.full((10, 1), torch.nan, dtype=dtype)
    old_BT = torch.cat([-far / 2, nan_B1], dim=1)
    leaf = torch.cat([far / 2, nan_B1], dim=1).requires_grad_()
    inputs = LossInputs(
        logprobs_BT=leaf,
        old_logprobs_BT=old_BT,
        completion_mask_BT=torch.tensor([[True, False]]).expand(10, 2),
        advantages_B=torch.tensor([-1.5] * 5 + [1.5] * 5, dtype=dtype),
        num_completions=10,
        num_tokens=10,
        max_completion_tokens=8,
    )
    for settings in (LossSettings(dual_clip="none"), LossSettings(dual_clip="none", band_centred=True)):
        surrogate = SURROGATES[name](inputs, settings, level, clip)
        losses = inputs.masked(surrogate.losses) if level == "token" else surrogate.losses
        (gradient_BT,) = torch.autograd.grad(losses.sum(), leaf)
        assert losses.dtype == torch.float32
        assert losses.isfinite().all()
        assert gradient_BT.isfinite().all()


def test_a_bounded_ratio_has_its_bound_however_far_it_is(make_inputs):
    inputs = make_inputs([[600.0, 600.0], [600.0, 600.0]], [1.0, -1.0])
    surrogate, gradient_BT = run("clipped-ratio", inputs, IN2X)
    assert surrogate.losses.tolist() == pytest.approx([-1.28, 3.0])
    assert gradient_BT.tolist() == [[0.0, 0.0], [0.0, 0.0]]
