import dataclasses

import pytest
import torch

from in2x.rl.inputs import LossInputs, LossSettings


def test_accepts_a_full_batch(full_fields):
    assert LossInputs(**full_fields).lengths_B.tolist() == [5, 1, 3, 4, 2, 5]


@pytest.mark.parametrize(
    "name", ["old_logprobs_BT", "completion_mask_BT", "entropy_BT", "ref_logprobs_BT", "sampling_logprobs_BT"]
)
def test_wrong_shape_names_field_expected_and_actual(full_fields, name):
    full_fields[name] = full_fields[name][:, :4]
    with pytest.raises(ValueError, match=rf"{name}: expected shape \(6, 5\), got \(6, 4\)"):
        LossInputs(**full_fields)


def test_advantages_are_per_completion(full_fields):
    full_fields["advantages_B"] = full_fields["advantages_B"][:, None].expand(6, 5)
    with pytest.raises(ValueError, match=r"advantages_B: expected shape \(6,\), got \(6, 5\)"):
        LossInputs(**full_fields)


def test_unbatched_logprobs_are_refused(full_fields):
    full_fields["logprobs_BT"] = full_fields["logprobs_BT"][0]
    with pytest.raises(ValueError, match=r"logprobs_BT: expected shape \(B, T\), got \(5,\)"):
        LossInputs(**full_fields)


def test_half_precision_is_refused(full_fields):
    full_fields["old_logprobs_BT"] = full_fields["old_logprobs_BT"].bfloat16()
    with pytest.raises(ValueError, match="old_logprobs_BT: expected torch.float32 or torch.float64, got"):
        LossInputs(**full_fields)


def test_mask_is_boolean(full_fields):
    full_fields["completion_mask_BT"] = full_fields["completion_mask_BT"].long()
    with pytest.raises(ValueError, match="completion_mask_BT: expected torch.bool"):
        LossInputs(**full_fields)


@pytest.mark.parametrize(("name", "own"), [("num_completions", 6), ("num_tokens", 20), ("max_completion_tokens", 5)])
def test_denominators_cover_at_least_this_micro_batch(full_fields, name, own):
    full_fields[name] = own - 1
    with pytest.raises(ValueError, match=f"{name}: expected at least {own}, got {own - 1}"):
        LossInputs(**full_fields)


def test_masked_positions_never_reach_the_log_ratio(make_inputs):
    inputs = make_inputs([[0.5], [0.1, -0.2]], [1.0, 1.0], filler=float("nan"))
    torch.testing.assert_close(inputs.log_ratio_BT, torch.tensor([[0.5, 0.0], [0.1, -0.2]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_high", 0.0),
        ("clip_low", 1.0),
        ("dual_clip", 1.0),
        ("mismatch_cap", 0.0),
        ("band_width", -0.1),
        ("entropy_coefficient", -0.01),
        ("kl_coefficient", float("nan")),
        ("kl_estimator", "k1"),
        ("length_normalise", "tokens"),
    ],
)
def test_settings_refuse_what_has_no_meaning(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        LossSettings(**{name: value})


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LossSettings().clip_high = 0.5
