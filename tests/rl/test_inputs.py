import dataclasses

import pytest
import torch

from in2x.rl.inputs import LossInputs, LossSettings


def test_accepts_a_full_batch(full_fields):
    assert LossInputs(**full_fields).lengths_B.tolist() == [5, 1, 3, 4, 2, 5]


@pytest.mark.parametrize(
    "name",
    [
        "old_logprobs_BT",
        "completion_mask_BT",
        "entropy_BT",
        "ref_logprobs_BT",
        "sampling_logprobs_BT",
        "high_covariance_BT",
    ],
)
def test_wrong_shape_names_field_expected_and_actual(full_fields, name):
    full_fields["high_covariance_BT"] = full_fields["completion_mask_BT"]
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_before_anything_is_summed(full_fields, dtype):
    leaf = torch.full((6, 5), -1.0, dtype=dtype, requires_grad=True)
    half = {"logprobs_BT": leaf, "old_logprobs_BT": torch.full((6, 5), -2.0, dtype=dtype)}
    inputs = LossInputs(**full_fields | half | {"advantages_B": full_fields["advantages_B"].to(dtype)})
    assert inputs.log_ratio_BT.dtype == inputs.advantages_B.dtype == torch.float32
    inputs.log_ratio_BT.sum().backward()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.sum().item() == 20


def test_integers_are_refused(full_fields):
    full_fields["old_logprobs_BT"] = full_fields["old_logprobs_BT"].long()
    with pytest.raises(ValueError, match="old_logprobs_BT: expected torch.float32 or .*, got torch.int64"):
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


def test_a_factor_scales_the_gradient_and_not_the_value(make_inputs):
    inputs = make_inputs([[0.5, 0.1], [0.2]], [1.0, 1.0], filler=float("nan"))
    factors_BT = torch.tensor([[0.0, 3.0], [0.5, float("nan")]], dtype=torch.float64)
    scaled = inputs.with_gradient_times(factors_BT)
    torch.testing.assert_close(scaled.log_ratio_BT, inputs.log_ratio_BT)
    (gradient_BT,) = torch.autograd.grad(
        scaled.log_ratio_BT[:, :1].sum() + scaled.log_ratio_BT[0, 1], inputs.logprobs_BT
    )
    assert gradient_BT[0].tolist() == [0.0, 3.0]
    assert gradient_BT[1, 0].item() == 0.5


def test_none_takes_the_dual_clip_away():
    assert LossSettings(dual_clip="none").dual_clip == "none"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("importance_level", "word"),
        ("clip", "lower-only"),
        ("clip_high", 0.0),
        ("clip_low", 1.0),
        ("clip_low", 0.0),
        ("dual_clip", 1.0),
        ("dual_clip", "nothing"),
        ("mismatch", "clip"),
        ("mismatch_level", "trajectory"),
        ("mismatch_floor, mismatch_cap", {"mismatch_cap": 0.0}),
        ("mismatch_floor, mismatch_cap", {"mismatch_floor": 2.0}),
        ("covariance_control", "cov"),
        ("covariance_fraction", 0.0),
        ("covariance_kl_coefficient", -1.0),
        ("band_width", -0.1),
        ("entropy_coefficient", -0.01),
        ("kl_coefficient", float("nan")),
        ("kl_estimator", "k1"),
        ("length_normalise", "tokens"),
    ],
)
def test_settings_refuse_what_has_no_meaning(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        LossSettings(**(value if isinstance(value, dict) else {name: value}))


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LossSettings().clip_high = 0.5
