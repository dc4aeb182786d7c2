"""The check that an engine's log-probabilities are the policy's."""

import pytest
import torch

from in2x.artifacts import In2xError
from in2x.generators.agreement import MAX_NATS, mean_difference, refuse_disagreement
from in2x.records import Completion


def completions_of(model, prompt, ids, temperature, shift=0.0):
    made = []
    for number, token_ids in enumerate(ids):
        logits = model(torch.tensor([prompt + token_ids])).logits[0].float() / temperature
        logprobs = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
        own = logprobs.gather(1, torch.tensor(token_ids).unsqueeze(1)).squeeze(1)
        made.append(Completion(token_ids, (own + shift * (-1) ** number).tolist(), "", False))
    return made


def test_the_mean_is_over_the_tokens_and_needs_the_temperature(make_model):
    model, prompt, ids = make_model(seed=2), [5, 6, 7], [[8, 9], [10, 11, 12, 13]]
    for shift in (0.0, 0.3, -0.3):
        found = mean_difference(model, prompt, completions_of(model, prompt, ids, 0.5, shift), 0.5)
        assert found == pytest.approx(abs(shift), abs=1e-5)


@pytest.mark.parametrize("shift", [MAX_NATS * 1.1, float("nan")])
def test_disagreement_is_refused(make_model, shift):
    model, prompt = make_model(seed=2), [5, 6]
    refuse_disagreement(model, prompt, completions_of(model, prompt, [[8, 9]], 1.0, MAX_NATS * 0.9), 1.0, "engine")
    with pytest.raises(In2xError, match="engine: its log-probabilities differ"):
        refuse_disagreement(model, prompt, completions_of(model, prompt, [[8, 9]], 1.0, shift), 1.0, "engine")
