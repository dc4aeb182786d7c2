"""Completions that share their prompt get the log-probabilities and gradients that they have in rows of their own."""

import pytest
import torch

from in2x.model import prefixes
from in2x.model.logprobs import completion_logprobs, shared_completion_logprobs
from in2x.model.prefixes import WHOLE, share_prompts, shared_hidden_states, unsupported

PACKS = [([5, 6, 7], [[8, 9], [10, 11, 12], [8], list(range(40, 65))]), ([20, 21, 22, 23, 24], [[30, 31, 32, 33]])]


def alone(model, temperature):
    """The same, each completion in a row with a prompt of its own."""
    pairs = [(prompt, completion) for prompt, completions in PACKS for completion in completions]
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    input_ids, mask = torch.zeros(len(pairs), width, dtype=torch.long), torch.zeros(len(pairs), width, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion)
        input_ids[row, :end], mask[row, len(prompt) : end] = torch.tensor(prompt + completion), True
    positions = torch.arange(width).repeat(len(pairs), 1)
    logprobs, entropy = completion_logprobs(model, input_ids, positions, mask, temperature)
    return logprobs[mask], entropy[mask]


def loud(model):
    """Random weights so large that attention matters to the logits."""
    for parameter in model.parameters():
        parameter.data.mul_(4)
    return model


def gradients(model, values):
    weights = torch.linspace(-1, 2, len(values[0]))
    return torch.autograd.grad((weights * values[0]).sum() + (weights * values[1]).sum(), list(model.parameters()))


@pytest.mark.parametrize(("family", "heads"), [("qwen3", {"num_heads": 4, "num_kv_heads": 2}), ("llama", {})])
def test_log_probabilities_and_gradients_are_those_of_separate_rows(make_model, family, heads):
    model, shared = loud(make_model(family=family, **heads)), share_prompts(PACKS)
    assert len(shared.grids) == 3  # prompts, short completions, a long one
    found, expected = shared_completion_logprobs(model, shared, 0.7), alone(model, 0.7)
    torch.testing.assert_close(list(found), list(expected), rtol=1e-4, atol=1e-5)
    found, expected = (torch.cat([x.flatten() for x in gradients(model, values)]) for values in (found, expected))
    torch.testing.assert_close(found / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=1e-5)


def test_activations_computed_anew_are_the_same(make_model):
    model = loud(make_model()).train()
    plain = gradients(model, shared_completion_logprobs(model, share_prompts(PACKS)))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    shared = share_prompts(PACKS)
    anew = gradients(model, shared_completion_logprobs(model, shared))
    assert len(shared.attended) == 2 * model.config.num_hidden_layers
    torch.testing.assert_close(anew, plain, rtol=0, atol=0)


def test_a_row_by_hand():
    shared = share_prompts([([5, 6], [[7], [8, 9]]), ([4], [[3]])])
    assert shared.input_ids.shape == (1, WHOLE)
    assert shared.input_ids[0, :8].tolist() == [5, 6, 7, 8, 9, 4, 3, 0]
    assert shared.position_ids[0, :8].tolist() == [0, 1, 2, 2, 3, 0, 1, 0]
    assert shared.targets.tolist() == [7, 8, 9, 3] and shared.sources.tolist() == [1, 1, 3, 5]
    prompts, completions = shared.grids
    assert prompts.queries.tolist() == [[0, 1], [5, 6]] and prompts.bias[0, 0].exp().tolist() == [[1, 0], [1, 1]]
    assert completions.queries.tolist() == [[2, 3], [3, 4], [6, 7]]
    assert completions.keys.tolist() == [[2, 3, 0, 1], [3, 4, 0, 1], [6, 7, 5, 0]]
    assert completions.bias[1, 0].exp().tolist() == [[1, 0, 1, 1], [1, 1, 1, 1]]
    assert completions.bias[2, 0, 0].exp().tolist() == [1, 0, 1, 0]  # the other prompt is longer
    assert shared.places[:7].tolist() == [0, 1, 4, 6, 7, 2, 8]


def test_rows_are_filled_up_to_few_shapes():
    sizes = {share_prompts([([5] * n, [[6] * n, [7]])]).input_ids.shape[1] for n in range(1, 100)}
    assert sizes == {WHOLE * n for n in range(1, 5)}


def test_everything_else_attends_as_it_did(make_model):
    model, tokens = loud(make_model()), torch.tensor([[5, 6, 7, 8, 9, 10]])
    before = [model(tokens, position_ids=ids, use_cache=False).logits for ids in (None, torch.arange(6)[None] % 3)]
    shared_completion_logprobs(model, share_prompts(PACKS))
    after = [model(tokens, position_ids=ids, use_cache=False).logits for ids in (None, torch.arange(6)[None] % 3)]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_a_model_that_cannot_be_told_is_refused(make_model):
    model = make_model()
    assert unsupported(model) is None
    model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="not all of its layers have full attention"):
        shared_completion_logprobs(model, share_prompts(PACKS))
    model = make_model()
    model.config._attn_implementation = "eager"
    with pytest.raises(ValueError, match="its attention is eager"):
        shared_completion_logprobs(model, share_prompts(PACKS))


def test_a_model_that_reads_nothing_of_it_is_found_out(make_model, monkeypatch):
    monkeypatch.setattr(prefixes, "attend", lambda query, *given: query[0].transpose(0, 1))
    model, shared = make_model(), share_prompts(PACKS)
    layer = model.model.layers[1].self_attn
    plain = layer.forward
    layer.forward = lambda *given, shared_prompts=None, **named: plain(*given, **named)
    with pytest.raises(ValueError, match="1 of its 2 layers"):
        shared_hidden_states(model, shared)
