"""Completions that share their prompt get the log-probabilities and gradients that they have in rows of their own."""

import pytest
import torch

from in2x.model.logprobs import completion_logprobs, shared_completion_logprobs
from in2x.model.prefixes import share_prompts, unsupported, visible

ROWS = [([5, 6, 7], [[8, 9], [10, 11, 12], [8]]), ([20, 21, 22, 23, 24], [[30, 31, 32, 33]])]


def alone(model, temperature):
    """The same, each completion in a row with a prompt of its own."""
    pairs = [(prompt, completion) for prompt, completions in ROWS for completion in completions]
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    input_ids, mask = torch.zeros(len(pairs), width, dtype=torch.long), torch.zeros(len(pairs), width, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion)
        input_ids[row, :end], mask[row, len(prompt) : end] = torch.tensor(prompt + completion), True
    positions = torch.arange(width).repeat(len(pairs), 1)
    logprobs, entropy = completion_logprobs(model, input_ids, positions, mask, temperature)
    return logprobs[mask], entropy[mask]


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_log_probabilities_and_gradients_are_those_of_separate_rows(make_model, family):
    model, shared = make_model(family=family), share_prompts(ROWS, 0)
    for parameter in model.parameters():
        parameter.data.mul_(4)  # otherwise attention hardly matters to the logits
    found = [values[shared.segments > 0] for values in shared_completion_logprobs(model, shared, 0.7)]
    expected = alone(model, 0.7)
    torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-5)
    weights = torch.linspace(-1, 2, len(found[0]))
    gradients = [
        torch.autograd.grad((weights * values[0]).sum() + values[1].sum(), list(model.parameters()))
        for values in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
    assert shared_completion_logprobs(model, shared)[0][1, :5].eq(0).all()


def test_rows_by_hand():
    shared = share_prompts([([5, 6], [[7], [8, 9]]), ([4], [[3]])], 0)
    assert shared.input_ids.tolist() == [[5, 6, 7, 8, 9], [4, 3, 0, 0, 0]]
    assert shared.position_ids[0].tolist() == [0, 1, 2, 2, 3]
    assert shared.segments.tolist() == [[0, 0, 1, 2, 2], [0, 1, -1, -1, -1]]
    assert shared.sources[0, 2:].tolist() == [1, 1, 3] and shared.sources[1, 1] == 0
    seen = visible(shared.segments)[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]


def test_a_sliding_window_is_refused(make_model):
    model = make_model()
    assert unsupported(model) is None
    model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="not all of its layers have full attention"):
        shared_completion_logprobs(model, share_prompts(ROWS, 0))
