"""What every row of the table must satisfy, and In2x's objective by hand."""

import dataclasses
import math

import pytest
import torch

from in2x.rl.advantages import ADVANTAGES
from in2x.rl.aggregation import AGGREGATIONS
from in2x.rl.algorithms import ALGORITHMS, metric_means, total_metrics
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.surrogates import SURROGATES

TENSORS = [field.name for field in dataclasses.fields(LossInputs) if field.name.endswith(("_BT", "_B"))]
PLAIN = LossSettings(entropy_coefficient=0.0)
every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def with_all_terms(name):
    """The row's published settings, with entropy and KL switched on."""
    published = ALGORITHMS[name].published
    return dataclasses.replace(published, entropy_coefficient=0.05, kl_coefficient=0.1)


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
    assert row.aggregation in AGGREGATIONS


def test_every_published_algorithm_is_there():
    expected = {"in2x", "grpo", "dr-grpo", "dapo", "gspo", "cispo", "fspo", "reinforce", "rloo"}
    assert ALGORITHMS.keys() == expected


def test_every_surrogate_and_aggregation_is_used():
    assert {row.surrogate for row in ALGORITHMS.values()} == SURROGATES.keys()
    assert {row.aggregation for row in ALGORITHMS.values()} == AGGREGATIONS.keys()


def test_advantage_is_the_rows_own():
    rewards_PG = torch.tensor([[0.0, 1.0, 5.0]])
    for row in ALGORITHMS.values():
        torch.testing.assert_close(row.advantage(rewards_PG), ADVANTAGES[row.advantages](rewards_PG))


def test_in2x_by_hand(make_inputs):
    # Ratios 1.5 (clipped to 1.28), 1.1, 4 (dual-clipped to 3), 0.5; the step has 8 completions, 20 tokens.
    log_ratio = [[math.log(1.5)], [math.log(1.1) - 0.2, 0.2], [math.log(2.0)] * 2, [math.log(0.5)]]
    inputs = make_inputs(
        log_ratio,
        [1.0, 2.0, -1.0, -2.0],
        entropy_BT=torch.tensor([[0.5, 9], [1.0, 2.0], [0.5, 0.5], [1.5, 9]], dtype=torch.float64),
        num_completions=8,
        num_tokens=20,
    )
    output = ALGORITHMS["in2x"].loss(inputs, LossSettings())
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
def test_in2x_length_normalisation_is_a_choice(make_inputs, length_normalise, divisors):
    inputs = make_inputs([[0.0], [0.1, -0.1, 0.2]], [1.0, -1.0])
    settings = dataclasses.replace(PLAIN, length_normalise=length_normalise)
    expected = -1.0 / divisors[0] + math.exp(0.2) / divisors[1]
    assert ALGORITHMS["in2x"].loss(inputs, settings).loss.item() == pytest.approx(expected)


@every_algorithm
def test_on_policy_gradient_is_that_of_reinforce(full_fields, name):
    """d loss / d logprob = -A_i / (what the aggregation divides by); GSPO's mean divides by L_i once more."""
    fields = full_fields | {
        "old_logprobs_BT": full_fields["logprobs_BT"].clone(),
        "sampling_logprobs_BT": full_fields["logprobs_BT"].clone(),
    }
    settings = dataclasses.replace(ALGORITHMS[name].published, entropy_coefficient=0.0, kl_coefficient=0.0)
    _, gradient_BT = policy_gradient(name, fields, settings)
    lengths_B = fields["completion_mask_BT"].sum(1).double()
    divisor_B = {
        "trajectory-mean": torch.full_like(lengths_B, 6),
        "sequence-mean": 6 * lengths_B,
        "token-mean": torch.full_like(lengths_B, 20),
        "constant-length": torch.full_like(lengths_B, 6 * 8),
    }[ALGORITHMS[name].aggregation]
    if name == "gspo":
        divisor_B = divisor_B * lengths_B
    expected_BT = -(fields["advantages_B"] / divisor_B)[:, None] * fields["completion_mask_BT"]
    torch.testing.assert_close(gradient_BT, expected_BT)


@every_algorithm
@pytest.mark.parametrize("cuts", [(1,), (3,), (2, 3)])
def test_micro_batches_add_up(full_fields, name, cuts):
    settings = with_all_terms(name)
    whole, whole_gradients = loss_and_gradients(name, full_fields, settings)
    parts = [
        loss_and_gradients(name, rows(full_fields, index), settings) for index in torch.arange(6).tensor_split(cuts)
    ]
    torch.testing.assert_close(sum(output.loss for output, _ in parts), whole.loss)
    for i, expected in enumerate(whole_gradients):
        torch.testing.assert_close(torch.cat([gradients[i] for _, gradients in parts]), expected)
    total = metric_means(total_metrics(output.metrics for output, _ in parts))
    assert total == pytest.approx(metric_means(whole.metrics))


@every_algorithm
@pytest.mark.parametrize("garbage", [0.0, 1e4, float("nan"), float("-inf"), float("inf")])
def test_padding_changes_nothing(full_fields, name, garbage):
    """Garbage in masked positions, two more columns, and a row without a completion."""
    settings = with_all_terms(name)
    whole, whole_gradients = loss_and_gradients(name, full_fields, settings)
    mask_BT = torch.nn.functional.pad(full_fields["completion_mask_BT"], (0, 2, 0, 1), value=False)
    padded = full_fields | {"completion_mask_BT": mask_BT}
    for key in TENSORS:
        if key == "advantages_B":
            padded[key] = torch.nn.functional.pad(full_fields[key], (0, 1), value=garbage)
        elif key != "completion_mask_BT":
            widened_BT = torch.nn.functional.pad(full_fields[key], (0, 2, 0, 1))
            padded[key] = widened_BT.masked_fill(~mask_BT, garbage)
    output, gradients = loss_and_gradients(name, padded, settings)
    torch.testing.assert_close(output.loss, whole.loss)
    for gradient_BT, expected_BT in zip(gradients, whole_gradients, strict=True):
        torch.testing.assert_close(gradient_BT, torch.nn.functional.pad(expected_BT, (0, 2, 0, 1)))
    assert metric_means(output.metrics) == pytest.approx(metric_means(whole.metrics))


@every_algorithm
def test_permuting_completions_permutes_gradients(full_fields, name):
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    settings = with_all_terms(name)
    output, gradients = loss_and_gradients(name, full_fields, settings)
    permuted, permuted_gradients = loss_and_gradients(name, rows(full_fields, order), settings)
    torch.testing.assert_close(permuted.loss, output.loss)
    torch.testing.assert_close(permuted_gradients[0], gradients[0][order])


@every_algorithm
def test_a_step_down_the_loss_favours_the_better_completion(full_fields, name):
    settings = dataclasses.replace(ALGORITHMS[name].published, kl_coefficient=0.0)
    fields = full_fields | {"old_logprobs_BT": full_fields["logprobs_BT"].clone()}
    _, gradient_BT = policy_gradient(name, fields, settings)
    direction_B = torch.sign(-gradient_BT[:, 0])
    torch.testing.assert_close(direction_B, torch.sign(fields["advantages_B"]))


@every_algorithm
def test_more_entropy_lowers_the_loss_by_its_token_mean(full_fields, name):
    settings = dataclasses.replace(ALGORITHMS[name].published, entropy_coefficient=0.5)
    _, (_, entropy_gradient_BT) = loss_and_gradients(name, full_fields, settings)
    expected_BT = -0.5 / 20 * full_fields["completion_mask_BT"].double()
    torch.testing.assert_close(entropy_gradient_BT, expected_BT)


def test_kl_raises_the_loss_by_its_sequence_mean(make_inputs):
    # log pi/ref = 0.2 | 0.1, -0.3; k2 halves the squares.
    ref_BT = torch.tensor([[-1.2, float("nan")], [-1.1, -0.7]], dtype=torch.float64)
    inputs = make_inputs([[0.0], [0.0, 0.0]], [1.0, -1.0], ref_logprobs_BT=ref_BT)
    settings = dataclasses.replace(PLAIN, kl_coefficient=0.5)
    output = ALGORITHMS["in2x"].loss(inputs, settings)
    penalty = 0.5 * (0.02 + (0.005 + 0.045) / 2) / 2
    assert output.loss.item() == pytest.approx(0.0 + penalty)
    assert metric_means(output.metrics)["ref_kl"] == pytest.approx((0.02 + 0.005 + 0.045) / 3)
    k3 = dataclasses.replace(settings, kl_estimator="k3")
    estimates = [math.exp(-x) - 1 + x for x in (0.2, 0.1, -0.3)]
    expected = 0.5 * (estimates[0] + (estimates[1] + estimates[2]) / 2) / 2
    assert ALGORITHMS["in2x"].loss(inputs, k3).loss.item() == pytest.approx(expected)


@every_algorithm
def test_sampler_mismatch_is_a_capped_factor_without_gradient(full_fields, name):
    """One token per completion, each sampled with its probability under pi_old over 1.7, then over e^5."""
    fields = full_fields | {"completion_mask_BT": torch.arange(5).expand(6, 5) == 0}
    settings = dataclasses.replace(ALGORITHMS[name].published, entropy_coefficient=0.0, kl_coefficient=0.0)

    def sampled_at(log_weight):
        sampling_BT = fields["old_logprobs_BT"] - log_weight
        return policy_gradient(name, fields | {"sampling_logprobs_BT": sampling_BT}, settings)

    plain, plain_gradient_BT = policy_gradient(name, fields | {"sampling_logprobs_BT": None}, settings)
    scaled, scaled_gradient_BT = sampled_at(math.log(1.7))
    torch.testing.assert_close(scaled.loss, 1.7 * plain.loss)
    torch.testing.assert_close(scaled_gradient_BT, 1.7 * plain_gradient_BT)
    capped, _ = sampled_at(5.0)
    torch.testing.assert_close(capped.loss, 2.0 * plain.loss)
    assert metric_means(capped.metrics)["sampler_weight"] == pytest.approx(2.0)
    assert "sampler_weight" not in plain.metrics


def test_approx_kl_is_that_of_the_old_policy_to_the_new(make_inputs):
    # E_old over two equally likely tokens with new/old = 1.2 and 0.8: KL = -(log 1.2 + log 0.8) / 2.
    inputs = make_inputs([[math.log(1.2)], [math.log(0.8)]], [1.0, -1.0])
    metrics = ALGORITHMS["in2x"].loss(inputs, PLAIN).metrics
    assert metric_means(metrics)["approx_kl"] == pytest.approx(-(math.log(1.2) + math.log(0.8)) / 2)


@pytest.mark.parametrize(
    ("setting", "name"), [("entropy_coefficient", "entropy_BT"), ("kl_coefficient", "ref_logprobs_BT")]
)
def test_a_coefficient_without_its_tensor_is_an_error(make_inputs, setting, name):
    inputs = make_inputs([[0.0]], [1.0])
    with pytest.raises(ValueError, match=f"{name}: expected a tensor for a coefficient of 0.1, got None"):
        ALGORITHMS["in2x"].loss(inputs, dataclasses.replace(PLAIN, **{setting: 0.1}))


def test_metrics_carry_no_graph(full_fields):
    output, _ = loss_and_gradients("in2x", full_fields, with_all_terms("in2x"))
    assert not any(tensor.requires_grad for pair in output.metrics.values() for tensor in pair)
