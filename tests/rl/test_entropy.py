"""The adaptive coefficient, and the choice of tokens by covariance, by hand."""

import json
import math

import pytest
import torch

from in2x.rl.entropy import (
    EntropyControl,
    adapted_coefficient,
    drawn_from_band,
    high_covariance,
    highest,
    token_covariance,
)
from in2x.rl.inputs import LossSettings

CONTROL = EntropyControl(target=1.0, step=0.25, low=0.0, high=0.5)
MASK_BT = torch.tensor([[True, True], [True, False]])
LOGPROBS_BT = torch.tensor([[-1.0, -3.0], [-2.0, math.nan]], dtype=torch.float64)
ADVANTAGES_B = torch.tensor([2.0, -1.0], dtype=torch.float64)
# Means over the three tokens: log-probability -2, advantage (2 + 2 - 1) / 3 = 1.
COVARIANCE_BT = torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("coefficient", "entropy", "expected"),
    [
        (0.25, 0.9, 0.5),
        (0.25, 1.0, 0.5),  # at the target counts as below
        (0.25, 1.1, 0.0),
        (0.5, 0.1, 0.5),  # held by the upper bound
        (0.0, 3.0, 0.0),  # and by the lower
        (0.375, 0.1, 0.5),
    ],
)
def test_the_coefficient_moves_a_step_within_its_bounds(coefficient, entropy, expected):
    assert adapted_coefficient(coefficient, entropy, CONTROL) == expected


def test_the_coefficient_settles_around_the_one_that_holds_the_target():
    """An entropy of 40 times the coefficient has its target of 1 at 0.025."""
    control = EntropyControl(target=1.0)
    coefficient = 0.0
    for _ in range(200):
        coefficient = adapted_coefficient(coefficient, 40 * coefficient, control)
    assert coefficient == pytest.approx(0.025, abs=control.step)


def test_a_run_continued_from_the_saved_coefficient_is_the_same():
    entropies = [0.2, 1.4, 0.3, 0.1, 2.0, 0.7]
    control = EntropyControl(target=1.0, step=0.0037, high=0.1)
    whole = resumed = 0.01
    for step, entropy in enumerate(entropies):
        whole = adapted_coefficient(whole, entropy, control)
        resumed = adapted_coefficient(resumed, entropy, control)
        if step == 2:
            resumed = json.loads(json.dumps(resumed))
    assert whole == resumed


@pytest.mark.parametrize("entropy", [math.nan, math.inf])
def test_an_entropy_that_is_no_number_is_an_error(entropy):
    with pytest.raises(ValueError, match=f"entropy: expected a finite number, got {entropy}"):
        adapted_coefficient(0.01, entropy, CONTROL)


@pytest.mark.parametrize(
    ("name", "change"), [("target", {"target": 0.0}), ("step", {"step": 0.0}), ("low, high", {"low": 0.2, "high": 0.2})]
)
def test_a_control_without_meaning_is_refused(name, change):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        EntropyControl(**{"target": 1.0} | change)


def test_covariance_by_hand():
    covariance_BT = token_covariance(LOGPROBS_BT, ADVANTAGES_B, MASK_BT)
    torch.testing.assert_close(covariance_BT, COVARIANCE_BT)


def test_the_mean_covariance_is_that_of_the_two_variables():
    generator = torch.Generator().manual_seed(0)
    logprobs_BT = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    advantages_B = torch.randn(7, generator=generator, dtype=torch.float64)
    covariance_BT = token_covariance(logprobs_BT, advantages_B, torch.ones(7, 5, dtype=torch.bool))
    stacked = torch.stack([logprobs_BT.flatten(), advantages_B.repeat_interleave(5)])
    torch.testing.assert_close(covariance_BT.mean(), torch.cov(stacked, correction=0)[0, 1])


def test_the_highest_are_a_share_of_the_tokens_and_never_masked_ones():
    covariance_BT = torch.tensor([[0.3, -5.0], [-2.0, 99.0]])
    assert highest(covariance_BT, MASK_BT, 0.34).tolist() == [[True, False], [False, False]]
    assert highest(covariance_BT, MASK_BT, 0.67).tolist() == [[True, False], [True, False]]
    assert highest(covariance_BT, MASK_BT, 1e-4).sum() == 1  # at least one
    assert highest(covariance_BT, torch.zeros(2, 2, dtype=torch.bool), 0.5).sum() == 0


def test_the_band_excludes_both_its_ends_and_masked_tokens():
    covariance_BT = torch.tensor([[1.0, 1.1, 4.9], [5.0, -3.0, 2.0]])
    mask_BT = torch.tensor([[True, True, True], [True, True, False]])
    drawn_BT = drawn_from_band(covariance_BT, mask_BT, 1.0)
    assert drawn_BT.tolist() == [[False, True, True], [False, False, False]]
    assert drawn_from_band(covariance_BT, mask_BT, 0.2).sum() == 1
    assert drawn_from_band(covariance_BT, mask_BT, 1.0, low=6.0, high=7.0).sum() == 0


def test_the_draw_is_uniform_and_the_generators():
    covariance_BT, mask_BT = torch.full((1, 4), 2.0), torch.ones(1, 4, dtype=torch.bool)

    def draws(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([drawn_from_band(covariance_BT, mask_BT, 0.25, generator) for _ in range(400)])

    assert torch.equal(draws(1), draws(1))
    assert ((draws(1).sum(0) > 70) & (draws(1).sum(0) < 130)).all()  # 100 expected, deviation 8.7


def test_the_control_chooses_the_tokens():
    arguments = (10 * LOGPROBS_BT, ADVANTAGES_B, MASK_BT)  # covariances 10, -10, 0
    assert high_covariance(LossSettings(), *arguments) is None
    kl_cov = LossSettings(covariance_control="kl-cov", covariance_fraction=0.4)
    assert high_covariance(kl_cov, *arguments).tolist() == [[True, False], [False, False]]
    clip_cov = LossSettings(covariance_control="clip-cov", covariance_fraction=1.0)
    assert high_covariance(clip_cov, *arguments).sum() == 0
    assert high_covariance(clip_cov, 3 * LOGPROBS_BT, ADVANTAGES_B, MASK_BT).sum() == 1
