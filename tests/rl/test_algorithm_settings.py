"""What settings make of a row: the ablation, bounds taken away, and settings that nothing reads."""

import math

import pytest

from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs

# Ratios 1.5 and 0.5 of two tokens each, as in the ablation: completion 0 has A = 1, completion 1 has A = -1.
ABLATION = [
    ({}, -1.28 + 0.25),  # upper clip of 2.25, no lower one of 0.25
    ({"importance_level": "token"}, -2 * 1.28 + 2 * 0.5),
    ({"importance_level": "sequence"}, -1.28 + 0.5),
    ({"clip": "length-fair"}, -math.exp(0.06 * math.sqrt(2)) + math.exp(-0.06 * math.sqrt(2))),
    ({"clip": "two-sided"}, -1.28 + 0.8),
    ({"clip": "none"}, -2.25 + 0.25),
]


@pytest.mark.parametrize(("chosen", "loss"), ABLATION)
def test_settings_alone_express_the_ablation(make_inputs, chosen, loss):
    inputs = make_inputs([[math.log(1.5)] * 2, [math.log(0.5)] * 2], [1.0, -1.0])
    row = ALGORITHMS["tic-grpo"]
    output = row.loss(inputs, row.settings(entropy_coefficient=0.0, **chosen))
    assert output.loss.item() == pytest.approx(loss / 2)


def test_none_takes_the_dual_clip_away(make_inputs):
    inputs = make_inputs([[math.log(2.5)] * 2], [-1.0])
    row = ALGORITHMS["tic-grpo"]
    for chosen, loss in (({}, 3.0), ({"dual_clip": "none"}, 6.25)):
        output = row.loss(inputs, row.settings(entropy_coefficient=0.0, **chosen))
        assert output.loss.item() == pytest.approx(loss)


def test_a_setting_that_is_none_is_the_rows_own():
    assert ALGORITHMS["gspo"].settings(clip_low=None, dual_clip=2.0).clip_low == 3e-4
    assert ALGORITHMS["gspo"].settings(clip_low=None, dual_clip=2.0).dual_clip == 2.0


@pytest.mark.parametrize(
    ("name", "chosen", "unread", "reason"),
    [
        ("tic-grpo", {"clip_low": 0.1}, ["clip_low"], "unless clip is 'two-sided'"),
        ("tic-grpo", {"clip_low": 0.1, "clip": "two-sided"}, [], None),
        ("tic-grpo", {"clip_high": 0.1, "dual_clip": 2.0}, [], None),
        ("fspo", {"clip_high": 0.1, "band_width": 0.1}, ["clip_high"], "unless clip is 'two-sided' or 'upper-only'"),
        ("grpo", {"band_centred": True}, ["band_centred"], "unless clip is 'length-fair'"),
        ("grpo", {"kl_estimator": "k2"}, [], None),
        ("grpo", {"kl_estimator": "k2", "kl_coefficient": 0.0}, ["kl_estimator"], "unless kl_coefficient is above 0"),
        ("dapo", {"mismatch": "none", "mismatch_cap": 3.0}, ["mismatch_cap"], "where mismatch is 'none'"),
        ("dapo", {"covariance_fraction": 0.1}, ["covariance_fraction"], "unless covariance_control is set"),
        (
            "dapo",
            {"covariance_kl_coefficient": 0.1, "covariance_control": "clip-cov"},
            ["covariance_kl_coefficient"],
            "unless covariance_control is 'kl-cov'",
        ),
        (
            "rloo",
            {"clip": "two-sided", "clip_low": 0.1, "entropy_coefficient": 0.1},
            ["clip", "clip_low"],
            "in an algorithm without a ratio",
        ),
    ],
)
def test_a_setting_without_effect_is_told(name, chosen, unread, reason):
    assert ALGORITHMS[name].unread(**chosen) == dict.fromkeys(unread, f"nothing reads it {reason}")


@pytest.mark.parametrize("chosen", [{"clip": "two-sided", "clip_low": 0.1}, {"clip_high": 0.1}, {"dual_clip": 1.1}])
def test_what_is_not_called_unread_changes_the_loss(full_fields, chosen):
    row = ALGORITHMS["tic-grpo"]
    assert row.unread(**chosen) == {}
    inputs = LossInputs(**full_fields)
    assert row.loss(inputs, row.settings(**chosen)).loss != row.loss(inputs, row.settings()).loss
