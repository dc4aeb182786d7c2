"""What every row of the table must satisfy, and tic-grpo's objective by hand."""

import dataclasses
import math

import pytest
import torch

from in2x.rl.advantages import ADVANTAGES, informative_groups
from in2x.rl.aggregation import AGGREGATIONS
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.measures import metric_means, total_metrics
from in2x.rl.surrogates import CLIPS, LEVELS, SURROGATES

NAMES = ("tic-grpo", "fspo", "grpo", "dr-grpo", "dapo", "gspo", "cispo", "rloo", "reinforce")
TENSORS = [field.name for field in dataclasses.fields(LossInputs) if field.name.endswith(("_BT", "_B"))]
PLAIN = LossSettings(entropy_coefficient=0.0)
every_algorithm = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def full_fields(full_fields):
    """Some tokens, chosen at random, are of high covariance."""
    generator = torch.Generator().manual_seed(3)
    chosen_BT = torch.rand(6, 5, generator=generator) < 0.3
    return full_fields | {"high_covariance_BT": chosen_BT & full_fields["completion_mask_BT"]}


@pytest.fixture
def credited_fields(full_fields):
    """Every tensor that there is: each token has a credit of its own, too."""
    credit_BT = 2 * torch.rand(6, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return full_fields | {"credit_BT": credit_BT}


def with_all_terms(name, covariance_control="kl-cov"):
    """The row's published settings, with entropy, KL and control of covariance switched on."""
    return ALGORITHMS[name].settings(
        entropy_coefficient=0.05, kl_coefficient=0.1, covariance_control=covariance_control
    )


def bare(name, **chosen):
    """The row's published settings, with nothing but the policy term."""
    return ALGORITHMS[name].settings(entropy_coefficient=0.0, kl_coefficient=0.0, **chosen)


def loss_and_gradients(name, fields, settings):
    """Output and its gradients with respect to log-probabilities and entropy."""
    leaves = {key: fields[key].clone().requires_grad_() for key in ("logprobs_BT", "entropy_BT")}
    output = ALGORITHMS[name].loss(LossInputs(**fields | leaves), settings)
    return output, torch.autograd.grad(output.loss, list(leaves.values()))


def policy_gradient(name, fields, settings):
    """Output and its gradient with respect to the log-probabilities."""
    leaf = fields["logprobs_BT"].clone().requires_grad_()
    output = ALGORITHMS[name].loss(LossInputs(**fields | {"logprobs_BT": leaf}), settings)
    return output, torch.autograd.grad(output.loss, leaf)[0]


def rows(fields, index):
    """The same step, seen through a micro-batch of some of its rows."""
    return fields | {key: fields[key][index] for key in TENSORS}


@every_algorithm
def test_rows_refer_to_entries_of_the_axes(name):
    row = ALGORITHMS[name]
    assert row.advantages in ADVANTAGES
    assert row.surrogate in SURROGATES
    assert row.level in LEVELS
    assert row.clip in CLIPS
    assert row.aggregation in AGGREGATIONS


def test_every_published_algorithm_is_there():
    assert ALGORITHMS.keys() == set(NAMES)


def test_every_entry_of_an_axis_is_used():
    for axis, entries in (
        ("surrogate", SURROGATES),
        ("level", LEVELS),
        ("clip", CLIPS),
        ("aggregation", AGGREGATIONS),
    ):
        assert {getattr(row, axis) for row in ALGORITHMS.values()} == entries.keys()


def test_advantage_is_the_rows_own_or_the_chosen_one():
    rewards_PG = torch.tensor([[0.0, 1.0, 5.0]])
    for row in ALGORITHMS.values():
        torch.testing.assert_close(row.advantage(rewards_PG), ADVANTAGES[row.advantages](rewards_PG))
        for name in ADVANTAGES:
            torch.testing.assert_close(row.advantage(rewards_PG, name), ADVANTAGES[name](rewards_PG))
    with pytest.raises(ValueError, match="estimator: expected 'as-published' or one of .*, got 'median'"):
        ALGORITHMS["grpo"].advantage(rewards_PG, "median")


@every_algorithm
def test_dropped_groups_have_no_advantage(name):
    rewards_PG = torch.tensor([[0.3, 0.3, 0.3], [0.0, 1.0, 5.0]])
    advantages_PG = ALGORITHMS[name].advantage(rewards_PG, informative_P=informative_groups(rewards_PG))
    assert advantages_PG[0].tolist() == [0.0, 0.0, 0.0]
    assert advantages_PG[1].abs().sum() > 0


def test_tic_grpo_by_hand(make_inputs):
    # Ratios 1.5 (clipped to 1.28), 1.1, 4 (dual-clipped to 3), 0.5; the step has 8 completions, 20 tokens.
    log_ratio = [[math.log(1.5)], [math.log(1.1) - 0.2, 0.2], [math.log(2.0)] * 2, [math.log(0.5)]]
    inputs = make_inputs(
        log_ratio,
        [1.0, 2.0, -1.0, -2.0],
        entropy_BT=torch.tensor([[0.5, 9], [1.0, 2.0], [0.5, 0.5], [1.5, 9]], dtype=torch.float64),
        num_completions=8,
        num_tokens=20,
    )
    output = ALGORITHMS["tic-grpo"].loss(inputs, LossSettings())
    policy = (1.28 * 1 + 1.1 * 2 + 3 * -1 + 0.5 * -2) / 8
    entropy = (0.5 + 1.0 + 2.0 + 0.5 + 0.5 + 1.5) / 20
    assert output.loss.item() == pytest.approx(-policy - 0.01 * entropy)
    means = metric_means(output.metrics)
    assert means["ratio"] == pytest.approx((1.5 + 1.1 + 4.0 + 0.5) / 4)
    assert means["clip_high_fraction"] == means["dual_clip_fraction"] == 0.25
    assert means["clip_low_fraction"] == 0.0
    assert means["entropy"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("length_normalise", "divisors"),
    [
        ("as-published", (2, 2)),
        ("trajectory-mean", (2, 2)),
        ("sequence-mean", (2 * 1, 2 * 3)),
        ("token-mean", (4, 4)),
        ("constant-length", (2 * 10, 2 * 10)),
    ],
)
def test_tic_grpo_length_normalisation_is_a_choice(make_inputs, length_normalise, divisors):
    inputs = make_inputs([[0.0], [0.1, -0.1, 0.2]], [1.0, -1.0])
    settings = dataclasses.replace(PLAIN, length_normalise=length_normalise)
    expected = -1.0 / divisors[0] + math.exp(0.2) / divisors[1]
    assert ALGORITHMS["tic-grpo"].loss(inputs, settings).loss.item() == pytest.approx(expected)


@every_algorithm
def test_on_policy_gradient_is_that_of_reinforce(full_fields, name):
    """d loss / d logprob = -A_i / (what the aggregation divides by); GSPO's mean divides by L_i once more."""
    fields = full_fields | {
        "old_logprobs_BT": full_fields["logprobs_BT"].clone(),
        "sampling_logprobs_BT": full_fields["logprobs_BT"].clone(),
    }
    _, gradient_BT = policy_gradient(name, fields, bare(name))
    lengths_B = fields["completion_mask_BT"].sum(1).double()
    divisor_B = {
        "trajectory-mean": torch.full_like(lengths_B, 6),
        "sequence-mean": 6 * lengths_B,
        "token-mean": torch.full_like(lengths_B, 20),
        "constant-length": torch.full_like(lengths_B, 6 * 8),
    }[ALGORITHMS[name].aggregation]
    if ALGORITHMS[name].level == "sequence":
        divisor_B = divisor_B * lengths_B
    expected_BT = -(fields["advantages_B"] / divisor_B)[:, None] * fields["completion_mask_BT"]
    torch.testing.assert_close(gradient_BT, expected_BT)


@every_algorithm
@pytest.mark.parametrize("cuts", [(1,), (3,), (2, 3)])
@pytest.mark.parametrize("control", ["clip-cov", "kl-cov"])
def test_micro_batches_add_up(credited_fields, name, cuts, control):
    settings = with_all_terms(name, control)
    whole, whole_gradients = loss_and_gradients(name, credited_fields, settings)
    parts = [
        loss_and_gradients(name, rows(credited_fields, index), settings) for index in torch.arange(6).tensor_split(cuts)
    ]
    torch.testing.assert_close(sum(output.loss for output, _ in parts), whole.loss)
    for i, expected in enumerate(whole_gradients):
        torch.testing.assert_close(torch.cat([gradients[i] for _, gradients in parts]), expected)
    total = metric_means(total_metrics(output.metrics for output, _ in parts))
    assert total == pytest.approx(metric_means(whole.metrics))


@every_algorithm
@pytest.mark.parametrize("mismatch_level", ["token", "sequence"])
@pytest.mark.parametrize("garbage", [0.0, 1e4, float("nan"), float("-inf"), float("inf")])
def test_padding_changes_nothing(credited_fields, name, garbage, mismatch_level):
    """Garbage in masked positions, two more columns, and a row without a completion."""
    settings = dataclasses.replace(with_all_terms(name), mismatch_level=mismatch_level)
    whole, whole_gradients = loss_and_gradients(name, credited_fields, settings)
    mask_BT = torch.nn.functional.pad(credited_fields["completion_mask_BT"], (0, 2, 0, 1), value=False)
    padded = credited_fields | {"completion_mask_BT": mask_BT}
    for key in TENSORS:
        if key == "advantages_B":
            padded[key] = torch.nn.functional.pad(credited_fields[key], (0, 1), value=garbage)
        elif key == "high_covariance_BT":
            padded[key] = torch.nn.functional.pad(credited_fields[key], (0, 2, 0, 1), value=True)
        elif key != "completion_mask_BT":
            widened_BT = torch.nn.functional.pad(credited_fields[key], (0, 2, 0, 1))
            padded[key] = widened_BT.masked_fill(~mask_BT, garbage)
    output, gradients = loss_and_gradients(name, padded, settings)
    torch.testing.assert_close(output.loss, whole.loss)
    for gradient_BT, expected_BT in zip(gradients, whole_gradients, strict=True):
        torch.testing.assert_close(gradient_BT, torch.nn.functional.pad(expected_BT, (0, 2, 0, 1)))
    assert metric_means(output.metrics) == pytest.approx(metric_means(whole.metrics))


@every_algorithm
def test_permuting_completions_permutes_gradients(credited_fields, name):
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    settings = with_all_terms(name)
    output, gradients = loss_and_gradients(name, credited_fields, settings)
    permuted, permuted_gradients = loss_and_gradients(name, rows(credited_fields, order), settings)
    torch.testing.assert_close(permuted.loss, output.loss)
    torch.testing.assert_close(permuted_gradients[0], gradients[0][order])


@every_algorithm
def test_a_step_down_the_loss_favours_the_better_completion(full_fields, name):
    settings = ALGORITHMS[name].settings(kl_coefficient=0.0)
    fields = full_fields | {"old_logprobs_BT": full_fields["logprobs_BT"].clone()}
    _, gradient_BT = policy_gradient(name, fields, settings)
    direction_B = torch.sign(-gradient_BT[:, 0])
    torch.testing.assert_close(direction_B, torch.sign(fields["advantages_B"]))


@every_algorithm
def test_more_entropy_lowers_the_loss_by_its_token_mean(full_fields, name):
    settings = ALGORITHMS[name].settings(entropy_coefficient=0.5)
    _, (_, entropy_gradient_BT) = loss_and_gradients(name, full_fields, settings)
    expected_BT = -0.5 / 20 * full_fields["completion_mask_BT"].double()
    torch.testing.assert_close(entropy_gradient_BT, expected_BT)


def test_kl_raises_the_loss_by_its_sequence_mean(make_inputs):
    # log pi/ref = 0.2 | 0.1, -0.3; k2 halves the squares.
    ref_BT = torch.tensor([[-1.2, float("nan")], [-1.1, -0.7]], dtype=torch.float64)
    inputs = make_inputs([[0.0], [0.0, 0.0]], [1.0, -1.0], ref_logprobs_BT=ref_BT)
    settings = dataclasses.replace(PLAIN, kl_coefficient=0.5)
    output = ALGORITHMS["tic-grpo"].loss(inputs, settings)
    penalty = 0.5 * (0.02 + (0.005 + 0.045) / 2) / 2
    assert output.loss.item() == pytest.approx(0.0 + penalty)
    assert metric_means(output.metrics)["ref_kl"] == pytest.approx((0.02 + 0.005 + 0.045) / 3)
    k3 = dataclasses.replace(settings, kl_estimator="k3")
    estimates = [math.exp(-x) - 1 + x for x in (0.2, 0.1, -0.3)]
    expected = 0.5 * (estimates[0] + (estimates[1] + estimates[2]) / 2) / 2
    assert ALGORITHMS["tic-grpo"].loss(inputs, k3).loss.item() == pytest.approx(expected)


@every_algorithm
def test_sampler_mismatch_is_a_capped_factor_without_gradient(full_fields, name):
    """One token per completion, each sampled with its probability under pi_old over 1.7, then over e^5."""
    fields = full_fields | {"completion_mask_BT": torch.arange(5).expand(6, 5) == 0}

    def sampled_at(log_weight, **chosen):
        sampling_BT = fields["old_logprobs_BT"] - log_weight
        return policy_gradient(name, fields | {"sampling_logprobs_BT": sampling_BT}, bare(name, **chosen))

    plain, plain_gradient_BT = policy_gradient(name, fields | {"sampling_logprobs_BT": None}, bare(name))
    scaled, scaled_gradient_BT = sampled_at(math.log(1.7))
    torch.testing.assert_close(scaled.loss, 1.7 * plain.loss)
    torch.testing.assert_close(scaled_gradient_BT, 1.7 * plain_gradient_BT)
    assert metric_means(scaled.metrics)["mismatch"] == pytest.approx(1.7)
    capped, _ = sampled_at(5.0)
    torch.testing.assert_close(capped.loss, 2.0 * plain.loss)
    assert metric_means(capped.metrics)["mismatch_outside_fraction"] == 1.0
    masked, masked_gradient_BT = sampled_at(5.0, mismatch="mask")
    assert masked.loss == 0 and not masked_gradient_BT.any()
    ignored, _ = sampled_at(5.0, mismatch="none")
    torch.testing.assert_close(ignored.loss, plain.loss)
    assert "mismatch" not in plain.metrics


@every_algorithm
@pytest.mark.parametrize("mismatch_level", ["token", "sequence"])
@pytest.mark.parametrize("mismatch", ["truncate", "mask"])
def test_mismatch_weighs_gradients_by_token_or_by_completion(full_fields, name, mismatch_level, mismatch):
    """On the old policy, whatever the level of the ratio; hence equal to REINFORCE with that weight."""
    fields = full_fields | {"old_logprobs_BT": full_fields["logprobs_BT"].clone()}
    ratio_BT = (fields["old_logprobs_BT"] - fields["sampling_logprobs_BT"]).exp()
    if mismatch_level == "sequence":
        ones_BT = torch.where(fields["completion_mask_BT"], ratio_BT, 1.0)
        ratio_BT = ones_BT.prod(dim=1, keepdim=True).expand(6, 5)
    cap = 1.3
    assert 0 < ((ratio_BT > cap) & fields["completion_mask_BT"]).sum() < 20
    weight_BT = ratio_BT.clamp(max=cap) if mismatch == "truncate" else ratio_BT * (ratio_BT <= cap)
    settings = bare(name, mismatch=mismatch, mismatch_level=mismatch_level, mismatch_cap=cap)
    _, gradient_BT = policy_gradient(name, fields, settings)
    _, plain_gradient_BT = policy_gradient(name, fields, bare(name, mismatch="none"))
    torch.testing.assert_close(gradient_BT, weight_BT * plain_gradient_BT)


@every_algorithm
def test_clip_cov_takes_the_gradient_of_its_tokens_and_nothing_else(full_fields, name):
    chosen_BT = full_fields["high_covariance_BT"]
    held, held_gradient_BT = policy_gradient(name, full_fields, bare(name, covariance_control="clip-cov"))
    plain, plain_gradient_BT = policy_gradient(name, full_fields, bare(name))
    torch.testing.assert_close(held.loss, plain.loss)
    torch.testing.assert_close(held_gradient_BT, torch.where(chosen_BT, 0.0, plain_gradient_BT))
    assert (plain_gradient_BT[chosen_BT] != 0).any()


@every_algorithm
def test_credit_moves_the_push_among_a_completions_tokens_and_nothing_else(off_policy_fields, name):
    """d loss / d logprob of every token is multiplied by its weight: an advantage of its own, with the same ratio."""
    credit_BT = torch.rand(off_policy_fields["logprobs_BT"].shape, generator=torch.Generator().manual_seed(2)).double()
    given, gradient_BT = policy_gradient(name, off_policy_fields | {"credit_BT": credit_BT}, bare(name))
    plain, plain_gradient_BT = policy_gradient(name, off_policy_fields, bare(name))
    torch.testing.assert_close(given.loss, plain.loss)
    torch.testing.assert_close(gradient_BT, credit_BT * plain_gradient_BT)
    assert metric_means(given.metrics) == pytest.approx(metric_means(plain.metrics))
    ones, ones_gradient_BT = policy_gradient(
        name, off_policy_fields | {"credit_BT": torch.ones_like(credit_BT)}, bare(name)
    )
    torch.testing.assert_close(ones_gradient_BT, plain_gradient_BT)


@every_algorithm
def test_credit_is_for_the_policy_term_alone(full_fields, name):
    settings = ALGORITHMS[name].settings(kl_coefficient=0.3, entropy_coefficient=0.2)
    silent = full_fields | {"advantages_B": torch.zeros_like(full_fields["advantages_B"])}
    _, plain = loss_and_gradients(name, silent, settings)
    _, given = loss_and_gradients(name, silent | {"credit_BT": torch.full_like(silent["logprobs_BT"], 5.0)}, settings)
    for one, other in zip(given, plain, strict=True):
        torch.testing.assert_close(one, other)


@every_algorithm
def test_kl_cov_pulls_its_tokens_back_to_the_old_policy(full_fields, name):
    chosen_BT = full_fields["high_covariance_BT"]
    log_ratio_BT = full_fields["logprobs_BT"] - full_fields["old_logprobs_BT"]
    settings = bare(name, covariance_control="kl-cov", covariance_kl_coefficient=0.5)
    pulled, pulled_gradient_BT = policy_gradient(name, full_fields, settings)
    plain, plain_gradient_BT = policy_gradient(name, full_fields, bare(name))
    torch.testing.assert_close(pulled.loss - plain.loss, 0.5 * log_ratio_BT[chosen_BT].abs().sum() / 20)
    expected_BT = torch.where(chosen_BT, 0.5 * log_ratio_BT.sign() / 20, 0.0)
    torch.testing.assert_close(pulled_gradient_BT - plain_gradient_BT, expected_BT)


@every_algorithm
def test_a_constant_added_to_the_rewards_changes_nothing(full_fields, name):
    rewards_PG = torch.tensor([[0.2, 0.9, 0.4], [1.0, 0.0, 0.3]], dtype=torch.float64)

    def loss_of(rewards_PG):
        advantages_B = ALGORITHMS[name].advantage(rewards_PG).flatten()
        return policy_gradient(name, full_fields | {"advantages_B": advantages_B}, bare(name))

    (plain, plain_gradient_BT), (moved, moved_gradient_BT) = loss_of(rewards_PG), loss_of(rewards_PG + 7)
    torch.testing.assert_close(moved.loss, plain.loss)
    torch.testing.assert_close(moved_gradient_BT, plain_gradient_BT)


@every_algorithm
@pytest.mark.parametrize("far", [100.0, -100.0, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_far_policies_give_a_finite_loss_and_gradient(name, far, dtype):
    """Every term switched on, both signs of the advantage, the generator and the reference as far away."""
    near_BT = torch.full((4, 2), -0.5, dtype=dtype)
    far_BT = near_BT - torch.tensor([[far, 0.0]] * 4, dtype=dtype)
    leaves = {"logprobs_BT": near_BT.clone().requires_grad_(), "entropy_BT": near_BT.abs().requires_grad_()}
    inputs = LossInputs(
        **leaves,
        old_logprobs_BT=far_BT,
        ref_logprobs_BT=far_BT,
        sampling_logprobs_BT=near_BT,
        high_covariance_BT=torch.ones(4, 2, dtype=torch.bool),
        completion_mask_BT=torch.ones(4, 2, dtype=torch.bool),
        advantages_B=torch.tensor([-2.0, 2.0, -0.1, 0.1], dtype=dtype),
        num_completions=4,
        num_tokens=8,
        max_completion_tokens=8,
    )
    for chosen in ({}, {"dual_clip": "none", "clip": "none", "mismatch": "none", "kl_estimator": "k3"}):
        settings = dataclasses.replace(with_all_terms(name), **chosen)
        output = ALGORITHMS[name].loss(inputs, settings)
        gradients = torch.autograd.grad(output.loss, list(leaves.values()))
        assert output.loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert all(math.isfinite(value) for value in metric_means(output.metrics).values())


@pytest.mark.parametrize(
    ("setting", "value", "name"),
    [
        ("entropy_coefficient", 0.1, "entropy_BT"),
        ("kl_coefficient", 0.1, "ref_logprobs_BT"),
        ("covariance_control", "clip-cov", "high_covariance_BT"),
    ],
)
def test_a_term_without_its_tensor_is_an_error(make_inputs, setting, value, name):
    inputs = make_inputs([[0.0]], [1.0])
    with pytest.raises(ValueError, match=f"{name}: expected a tensor for {setting} = {value}, got None"):
        ALGORITHMS["tic-grpo"].loss(inputs, dataclasses.replace(PLAIN, **{setting: value}))


@every_algorithm
def test_only_the_current_policy_has_a_gradient(full_fields, name):
    fixed = ("old_logprobs_BT", "ref_logprobs_BT", "sampling_logprobs_BT")
    leaves = {key: full_fields[key].clone().requires_grad_() for key in (*fixed, "logprobs_BT")}
    output = ALGORITHMS[name].loss(LossInputs(**full_fields | leaves), with_all_terms(name))
    gradients = torch.autograd.grad(output.loss, list(leaves.values()), allow_unused=True)
    assert [gradient is None for gradient in gradients] == [True, True, True, False]


def test_metrics_carry_no_graph(full_fields):
    output, _ = loss_and_gradients("tic-grpo", full_fields, with_all_terms("tic-grpo"))
    assert not any(tensor.requires_grad for pair in output.metrics.values() for tensor in pair)
