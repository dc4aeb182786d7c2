"""Prompts that are computed once: micro-batches, and what comes of them, against completions in rows of their own."""

import contextlib

import numpy as np
import pytest
import torch

from in2x.artifacts import In2xError
from in2x.records import Completion
from in2x.rewards.groups import Group
from in2x.rl import rollouts as rollouts_module
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.rollouts import Rollouts, collate, loss_batches, policy_loss
from in2x.rl.sharing import shared_batches, shares_prompts
from in2x.rl.window import Window, Windows

GROUPS = [
    ([5, 6, 7, 8, 9], [[10, 11], [12, 13, 14, 1], [15, 1], [16, 17, 18]]),
    ([20], [[21, 1], [22, 23, 24]]),
    ([30, 31, 32], [[33, 34, 35]]),
]
BUDGETS = (1, 12, 20, 1000)


def model_of(make_model, seed, family="qwen3"):
    model = make_model(seed=seed, family=family)
    for parameter in model.parameters():
        parameter.data.mul_(3)  # otherwise attention hardly matters to the logits
    return model


def collated(make_model, share, budget=20, family="qwen3", trained=None) -> Rollouts:
    groups = [
        Group(str(p), ids, "", "", "ja", [Completion(c, [-0.5] * len(c), "x", True) for c in completions])
        for p, (ids, completions) in enumerate(GROUPS)
    ]
    advantages_PG = np.array([[1.0, -0.5, 0.25, -2.0], [0.75, -1.0, 0, 0], [0.5, 0, 0, 0]])
    trained_PG = np.ones((3, 4), bool) if trained is None else trained
    reference = model_of(make_model, 8, family)
    policy = model_of(make_model, 4, family)
    return collate(
        groups, advantages_PG, trained_PG, policy, 0, 0.8, budget, lambda: contextlib.nullcontext(reference), share
    )


def losses_and_gradients(make_model, rollouts, name, budget, family):
    model = model_of(make_model, 5, family)  # not the one that sampled: ratios differ from 1
    settings = ALGORITHMS[name].settings(kl_coefficient=0.1, entropy_coefficient=0.02, clip_high=5.0, dual_clip=9.0)
    total, metrics = 0.0, {}
    for batch in loss_batches(rollouts, torch.arange(len(rollouts)), budget, max_completion_tokens=8):
        loss, sums = policy_loss(ALGORITHMS[name], settings)(model, batch)
        loss.backward()
        total += float(loss.detach())
        for key, (value, _) in sums.items():
            metrics[key] = metrics.get(key, 0.0) + float(value)
    return total, torch.cat([parameter.grad.flatten() for parameter in model.parameters()]), metrics


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_old_and_reference_logprobs_are_those_of_separate_rows(make_model, budget, family):
    plain, shared = (collated(make_model, share, budget, family) for share in (False, True))
    assert plain.ids == shared.ids and torch.equal(plain.input_ids, shared.input_ids)
    for name in ("old_logprobs", "ref_logprobs"):
        expected, found = getattr(plain, name), getattr(shared, name)
        assert expected[plain.completion_mask].lt(0).all() and found[~plain.completion_mask].eq(0).all()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["tic-grpo", "grpo", "gspo", "fspo"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_loss_gradient_and_measures_are_those_of_separate_rows(make_model, name, budget):
    sides = [
        losses_and_gradients(make_model, collated(make_model, share), name, budget, "qwen3") for share in (False, True)
    ]
    (loss, gradient, measures), (shared_loss, shared_gradient, shared_measures) = sides
    scale = gradient.abs().max()
    assert scale > 0 and shared_loss == pytest.approx(loss, rel=1e-5, abs=1e-5)
    torch.testing.assert_close(shared_gradient / scale, gradient / scale, rtol=0, atol=1e-5)
    # how ratios effective in a micro-batch add up depends on which rows it holds; all else does not
    for key in set(measures) - {"ratio_effective_fraction"}:
        assert shared_measures[key] == pytest.approx(measures[key], rel=1e-4, abs=1e-4), key


def test_micro_batches_hold_packs_and_are_filled_by_what_is_computed(make_model):
    rollouts = collated(make_model, True)
    for budget in BUDGETS:
        parts = shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(7), budget)
        assert sorted(torch.cat([rows for rows, _ in parts]).tolist()) == list(range(7))
        for rows, packs in parts:
            sizes = []
            for number in range(int(packs[-1]) + 1):
                members = rows[packs == number]
                first = rollouts.completion_mask[members].int().argmax(1)
                prompts = [rollouts.input_ids[row, :end] for row, end in zip(members, first, strict=True)]
                assert all(torch.equal(prompt, prompts[0]) for prompt in prompts)
                sizes.append(int(first[0]) + int(rollouts.completion_mask[members].sum()))
            assert packs.diff().ge(0).all() and (len(rows) == 1 or sum(sizes) <= budget)
    assert len(parts) == 1 and packs.tolist() == [0, 0, 1, 2, 2, 2, 2]
    parts = shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(7), 14)
    assert [len(rows) for rows, _ in parts] == [3, 3, 1]  # 6 + 6 tokens; 5 + 2 + 2 + 3; 5 + 4


def test_a_group_beyond_the_budget_is_computed_in_parts(make_model):
    rollouts = collated(make_model, True, trained=np.array([True, False, False]))
    parts = shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(4), 12)  # 5 + 2 + 2 + 3 + 4
    assert [len(rows) for rows, _ in parts] == [3, 1]
    parts = shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(4), 11)
    assert [len(rows) for rows, _ in parts] == [2, 1, 1]
    assert all(packs.eq(0).all() for _, packs in parts)


def test_micro_batches_are_as_few_as_the_budget_allows_and_even(make_model):
    rollouts = collated(make_model, True)
    parts = shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(7), 19)
    # 6 + 6 and 16 tokens, rather than 6 + 6 + 7 and 14: one is to be as small as the other
    assert [(len(rows), packs.tolist()) for rows, packs in parts] == [(3, [0, 0, 1]), (4, [0, 0, 0, 0])]
    assert shared_batches(rollouts.input_ids, rollouts.completion_mask, torch.arange(0), 19) == []


def test_prompts_are_shared_where_that_is_asked_for_and_only_there(make_model, monkeypatch):
    calls, real = [], rollouts_module.shared_logprobs
    monkeypatch.setattr(rollouts_module, "shared_logprobs", lambda *given: calls.append(1) or real(*given))
    for share, number in ((False, 0), (True, 3)):
        losses_and_gradients(make_model, collated(make_model, share, 1000), "grpo", 1000, "qwen3")
        assert len(calls) == number  # old and reference log-probabilities, and the loss


def test_a_prompt_of_two_draws_is_one_prompt(make_model):
    rollouts = collated(make_model, True)
    rows = torch.tensor([0, 0, 1])
    ((found, packs),) = shared_batches(rollouts.input_ids, rollouts.completion_mask, rows, 1000)
    assert sorted(found.tolist()) == [0, 0, 1] and packs[found == 0].unique().numel() == 1


def test_a_window_on_disk_keeps_whether_prompts_are_shared(make_model, tmp_path):
    for share in (False, True):
        Windows(tmp_path, 0).save(Window(0, collated(make_model, share), {}))
        assert Windows(tmp_path, 0).load(0, inside=True).rollouts.share_prompts is share


def test_a_sliding_window_is_refused_by_the_name_of_the_setting(make_model):
    model, told = make_model(), []
    assert shares_prompts(model, True, told.append)
    model.config.layer_types = ["full_attention", "sliding_attention"]
    assert not shares_prompts(model, False, told.append)
    with pytest.raises(In2xError, match=r"rl\.share_prompts: .*not all of its layers have full attention"):
        shares_prompts(model, True, told.append)
    assert not told


def test_left_out_it_is_on_where_the_model_allows_it_and_else_it_says_so(make_model):
    model, told = make_model(), []
    assert shares_prompts(model, None, told.append) and not told
    model.config.layer_types = ["full_attention", "sliding_attention"]
    assert not shares_prompts(model, None, told.append)
    assert told == [
        "rl.share_prompts: off, as not all of its layers have full attention; "
        "each completion is computed with a prompt of its own"
    ]
