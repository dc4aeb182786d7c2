"""From groups of completions to the tensors of a loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from in2x.decoding.generate import generate
from in2x.model.logprobs import completion_logprobs
from in2x.records import Completion
from in2x.rewards.translation import Group
from in2x.rl import rollouts as rollouts_module
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossSettings
from in2x.rl.rollouts import collate, loss_batches, micro_batches, policy_loss

TEMPERATURE = 0.8


def group(number, prompt_ids, completions):
    made = [Completion(ids, [-0.5] * len(ids), "x", True) for ids in completions]
    return Group(str(number), prompt_ids, "source", "reference", "ja", made)


@pytest.fixture
def groups():
    return [group(0, [5, 6, 7], [[8, 9], [10, 11, 12, 1]]), group(1, [20], [[21, 1], [22, 23, 24]]),
            group(2, [30, 31], [[32], [33, 34]])]  # fmt: skip


@pytest.fixture
def rollouts(groups, make_model, tokenizer):
    advantages_PG = np.array([[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]])
    informative_P = np.array([True, False, True])
    return collate(groups, advantages_PG, informative_P, make_model(seed=4), tokenizer.pad_token_id, TEMPERATURE, 16)


def test_uninformative_groups_are_left_out_and_advantages_stay_with_their_completion(rollouts):
    assert rollouts.ids == ["2", "2", "0", "0"]
    assert rollouts.advantages.tolist() == [0.5, -0.5, 1.0, -1.0]
    completions = [ids[mask].tolist() for ids, mask in zip(rollouts.input_ids, rollouts.completion_mask, strict=True)]
    assert completions == [[32], [33, 34], [8, 9], [10, 11, 12, 1]]


def test_single_completions_may_be_left_out(groups, make_model, tokenizer):
    advantages_PG = np.array([[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]])
    trained_PG = np.array([[True, False], [False, False], [True, True]])
    made = collate(groups, advantages_PG, trained_PG, make_model(seed=4), tokenizer.pad_token_id, TEMPERATURE, 16)
    assert made.ids == ["2", "2", "0"] and made.advantages.tolist() == [0.5, -0.5, 1.0]


def test_credit_stays_with_its_completion(groups, make_model, tokenizer):
    advantages_PG = np.array([[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]])
    credit = {(0, 1): np.array([0.0, 2.0, 2.0, 0.0]), (2, 0): np.array([1.0]), (1, 0): np.array([3.0, 4.0])}
    trained = np.array([True, False, True])
    made = collate(groups, advantages_PG, trained, make_model(seed=4), tokenizer.pad_token_id, TEMPERATURE, 16,
                   credit=credit)  # fmt: skip
    weights = [row[mask].tolist() for row, mask in zip(made.credit, made.completion_mask, strict=True)]
    assert weights == [[1], [1, 1], [1, 1], [0, 2, 2, 0]]
    (batch,) = loss_batches(made, torch.arange(4), 1000, 8)
    assert batch["credit"].shape == batch["input_ids"].shape
    assert "credit" not in loss_batches(replace(made, credit=None), torch.arange(4), 1000, 8)[0]


def test_old_logprobs_are_the_trainers_own_at_the_sampling_temperature(rollouts, make_model):
    model = make_model(seed=4)
    ids = torch.tensor([[5, 6, 7, 10, 11, 12, 1]])
    with torch.no_grad():
        logprobs = torch.log_softmax(model(ids).logits[0].float() / TEMPERATURE, -1)
    expected = [float(logprobs[position - 1, ids[0, position]]) for position in range(3, 7)]
    row = rollouts.ids.index("0") + 1
    assert rollouts.old_logprobs[row][rollouts.completion_mask[row]].tolist() == pytest.approx(expected, abs=1e-5)
    assert (rollouts.sampling_logprobs[rollouts.completion_mask] == -0.5).all()


def test_old_logprobs_may_be_those_that_were_sampled_with(groups, make_model, tokenizer, monkeypatch):
    """No pass is made for them, and the trainer's generator has them up to rounding."""
    model, prompts = make_model(seed=4), [[5, 6, 7], [20]]
    for parameter in model.parameters():
        parameter.data.mul_(3)  # otherwise all tokens are nearly as likely
    made = generate(model, tokenizer, prompts, stop_ids=set(), num_samples=3, temperature=TEMPERATURE,
                    max_completion_tokens=6, seed=1)  # fmt: skip
    groups = [Group(str(p), ids, "", "", "ja", made[p]) for p, ids in enumerate(prompts)]
    given = (groups, np.ones((2, 3)), np.ones(2, bool), model, tokenizer.pad_token_id, TEMPERATURE, 16)
    own = collate(*given)
    monkeypatch.setattr(rollouts_module, "_policy_logprobs", None)
    sampled = collate(*given, old_from_sampler=True)
    assert torch.equal(sampled.old_logprobs, sampled.sampling_logprobs)
    torch.testing.assert_close(sampled.old_logprobs, own.old_logprobs, rtol=0, atol=1e-5)
    assert own.old_logprobs.min() < -3


def test_mini_batches_cover_every_completion_once(rollouts):
    parts = rollouts.mini_batches(3, np.random.default_rng(0))
    assert len(parts) == 3
    assert sorted(torch.cat(parts).tolist()) == [0, 1, 2, 3]


def test_micro_batches_respect_their_size_and_keep_all_rows(rollouts):
    rows = torch.arange(4)
    for size in (1, 8, 14, 100):
        parts = micro_batches(rollouts, rows, size)
        assert torch.cat(parts).tolist() == [0, 1, 2, 3]
        lengths = [3, 4, 5, 7]
        assert all(len(part) == 1 or len(part) * max(lengths[row] for row in part) <= size for part in parts)


def test_micro_batches_want_their_rows_sorted(rollouts):
    with pytest.raises(ValueError, match="shortest first"):
        micro_batches(rollouts, torch.tensor([3, 0]), 100)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_gradient_does_not_depend_on_the_micro_batches(rollouts, make_model, name):
    gradients = []
    for size in (1, 100):
        model = make_model(seed=5)  # another policy than the one that sampled: ratios differ from 1
        for batch in loss_batches(rollouts, torch.arange(4), size, max_completion_tokens=8):
            loss, _ = policy_loss(ALGORITHMS[name], LossSettings(clip_high=5.0, dual_clip=9.0))(model, batch)
            loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)  # sums in another order, float32


def test_entropy_is_that_of_the_tempered_distribution(make_model):
    model, ids = make_model(seed=6), torch.tensor([[5, 6, 7, 8]])
    mask = torch.tensor([[False, False, True, True]])
    _, entropy = completion_logprobs(model, ids, torch.arange(4)[None], mask, TEMPERATURE)
    expected = torch.distributions.Categorical(logits=model(ids).logits[0, 1:3].float() / TEMPERATURE).entropy()
    torch.testing.assert_close(entropy[0, 2:], expected, rtol=1e-4, atol=1e-5)
    assert entropy[0, :2].tolist() == [0, 0]
