import pytest
import torch

from in2x.rl.aggregation import AGGREGATIONS

# Completions of 1 and 3 tokens; the step has 4 completions, 10 tokens and a limit of 5 tokens.
STEP = {"num_completions": 4, "num_tokens": 10, "max_completion_tokens": 5}
TOKEN_LOSSES_BT = torch.tensor([[6.0, 99.0, float("nan")], [1.0, 2.0, 9.0]], dtype=torch.float64)
EXPECTED = {
    "trajectory-mean": (6 + 12) / 4,
    "sequence-mean": (6 / 1 + 12 / 3) / 4,
    "token-mean": (6 + 12) / 10,
    "constant-length": (6 + 12) / (4 * 5),
}


def test_every_aggregation_has_an_expected_value():
    assert EXPECTED.keys() == AGGREGATIONS.keys()


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_token_losses_hand_computed(make_inputs, name):
    inputs = make_inputs([[0.0], [0.0, 0.0, 0.0]], [1.0, 1.0], **STEP)
    assert AGGREGATIONS[name](TOKEN_LOSSES_BT, inputs).item() == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_trajectory_losses_are_sums_of_token_losses(make_inputs, name):
    inputs = make_inputs([[0.0], [0.0, 0.0, 0.0]], [1.0, 1.0], **STEP)
    losses_B = torch.tensor([6.0, 12.0], dtype=torch.float64)
    assert AGGREGATIONS[name](losses_B, inputs).item() == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_row_without_tokens_adds_nothing(make_inputs, name):
    inputs = make_inputs([[0.0], [0.0, 0.0, 0.0], []], [1.0, 1.0, 1.0], **STEP)
    losses_B = torch.tensor([6.0, 12.0, float("nan")], dtype=torch.float64)
    assert AGGREGATIONS[name](losses_B, inputs).item() == pytest.approx(EXPECTED[name])
