"""Weights pi_old / pi_sampler by hand."""

import math
from math import log

import pytest
import torch

from in2x.rl.inputs import LossSettings
from in2x.rl.mismatch import MISMATCHES, ignore, is_outside, is_per_token, mask, sampler_ratio, truncate

RATIO = torch.tensor([0.2, 0.5, 1.0, 2.0, 7.0], dtype=torch.float64)


@pytest.fixture
def inputs(make_inputs):
    """Two completions with token ratios 1.5, 0.5 and 7."""
    old = [[-1.0, -1.0], [-1.0]]
    sampling_BT = -1 - torch.tensor([[log(1.5), log(0.5)], [log(7.0), math.nan]], dtype=torch.float64)
    return make_inputs([[0.0, 0.0], [0.0]], [1.0, 1.0], logprobs=old, sampling_logprobs_BT=sampling_BT)


def test_the_ratio_is_the_tokens_or_their_product(inputs):
    token_BT = sampler_ratio(inputs, per_token=True)
    assert token_BT.flatten().tolist() == pytest.approx([1.5, 0.5, 7.0, 1.0])
    assert sampler_ratio(inputs, per_token=False).tolist() == pytest.approx([0.75, 7.0])


def test_the_ratio_is_that_of_the_old_policy_and_has_no_gradient(make_inputs):
    sampling_BT = torch.tensor([[-1.0]], dtype=torch.float64)
    # New policy -1, old policy -1.5: the sampler's -1 is compared with the old one.
    inputs = make_inputs([[0.5]], [1.0], sampling_logprobs_BT=sampling_BT)
    ratio = sampler_ratio(inputs, per_token=True)
    assert ratio.item() == pytest.approx(math.exp(-0.5))
    assert not ratio.requires_grad


@pytest.mark.parametrize("per_token", [True, False])
def test_a_generator_that_reports_nothing_is_taken_for_the_old_policy(make_inputs, per_token):
    ratio = sampler_ratio(make_inputs([[0.3, 0.2]], [1.0]), per_token)
    assert ratio.tolist() == ([[1.0, 1.0]] if per_token else [1.0])


def test_truncating_keeps_every_token_and_masking_leaves_out_what_is_outside():
    assert truncate(RATIO, 0.0, 2.0).tolist() == [0.2, 0.5, 1.0, 2.0, 2.0]
    assert truncate(RATIO, 0.5, 2.0).tolist() == [0.5, 0.5, 1.0, 2.0, 2.0]
    assert mask(RATIO, 0.0, 2.0).tolist() == [0.2, 0.5, 1.0, 2.0, 0.0]
    assert mask(RATIO, 0.5, 2.0).tolist() == [0.0, 0.5, 1.0, 2.0, 0.0]
    assert ignore(RATIO, 0.5, 2.0).tolist() == [1.0] * 5
    assert is_outside(RATIO, 0.5, 2.0).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("name", MISMATCHES)
def test_far_samplers_give_finite_weights(make_inputs, name):
    sampling_BT = torch.tensor([[-1e4, 1e4, math.nan]], dtype=torch.float64)
    inputs = make_inputs([[0.0, 0.0]], [1.0], width=3, sampling_logprobs_BT=sampling_BT)
    for per_token in (True, False):
        assert MISMATCHES[name](sampler_ratio(inputs, per_token), 0.0, math.inf).isfinite().all()


@pytest.mark.parametrize(
    ("mismatch_level", "importance_level", "expected"),
    [
        ("as-loss", "token", True),
        ("as-loss", "sequence", False),
        ("as-loss", "trajectory", False),
        ("token", "trajectory", True),
        ("sequence", "token", False),
    ],
)
def test_the_level_of_the_weights(mismatch_level, importance_level, expected):
    assert is_per_token(LossSettings(mismatch_level=mismatch_level), importance_level) is expected
