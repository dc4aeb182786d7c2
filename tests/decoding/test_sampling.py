"""One uniform number, one token: against the cumulative distribution in double precision."""

import pytest
import torch

from in2x.decoding.sampling import CPU_ROWS, choose, choose_tokens, first_above


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 320, 1000])
def test_the_chosen_token_is_where_the_uniform_number_falls(vocabulary):
    torch.manual_seed(vocabulary)
    logits_NV, uniforms_N = torch.randn(300, vocabulary) * 4, torch.rand(300)
    chosen_N, logprobs_N = choose(logits_NV, 1, False, uniforms_N)
    cumulative_NV = torch.softmax(logits_NV.double(), -1).cumsum(-1)
    below_N = torch.where(chosen_N > 0, cumulative_NV[torch.arange(300), chosen_N - 1], 0.0)
    above_N = cumulative_NV[torch.arange(300), chosen_N]
    assert (below_N - 1e-6 <= uniforms_N).all() and (uniforms_N < above_N + 1e-6).all()
    torch.testing.assert_close(logprobs_N, torch.log_softmax(logits_NV, -1)[torch.arange(300), chosen_N])


def test_a_token_without_probability_is_never_chosen():
    logits_V = torch.full((200,), float("-inf"))
    logits_V[[3, 130]] = 0.0  # blocks and places before, between and after are empty
    uniforms_N = torch.tensor([0.0, 0.49, 0.5, 1 - 2**-24])
    chosen_N, logprobs_N = choose(logits_V.repeat(4, 1), 1, False, uniforms_N)
    assert chosen_N.tolist() == [3, 3, 130, 130]
    torch.testing.assert_close(logprobs_N, torch.full((4,), 0.5).log())


def test_a_threshold_that_rounding_put_at_the_sum_takes_the_last_token_with_probability():
    cumulative = torch.tensor([[0.25, 0.5, 0.5], [0.25, 0.5, 0.5], [0.0, 0.0, 1.0]])
    place_N1, before_N1 = first_above(cumulative, torch.tensor([[0.5], [0.25], [0.0]]))
    assert place_N1.flatten().tolist() == [1, 1, 2] and before_N1.flatten().tolist() == [0.25, 0.25, 0.0]


def test_rows_in_parts_and_repeated_states_equal_all_at_once():
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 70, bias=False)
    hidden, uniforms_N = torch.randn(2 * CPU_ROWS // 3 + 1, 8), torch.rand(3 * (2 * CPU_ROWS // 3 + 1))
    with torch.no_grad():
        found = choose_tokens(head, hidden, 3, 0.7, uniforms_N)
        expected = choose(head(hidden.repeat_interleave(3, 0)) / 0.7, 1, False, uniforms_N)
    assert (found[0] == expected[0]).all()
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-5)


def test_temperature_zero_takes_the_likeliest_with_its_probability_at_one():
    logits_NV = torch.tensor([[0.0, 2.0, 1.0]])
    chosen_N, logprobs_N = choose_tokens(lambda states: states, logits_NV, 2, 0.0, torch.tensor([0.9, 0.1]))
    assert chosen_N.tolist() == [1, 1]
    torch.testing.assert_close(logprobs_N, torch.log_softmax(logits_NV, -1)[0, [1, 1]])
