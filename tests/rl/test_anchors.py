"""The reference of a policy with an adapter, and the cross-entropy that every step takes along."""

from types import SimpleNamespace

import pytest
import torch

from in2x.artifacts import In2xError
from in2x.model.prompts import chat_turns
from in2x.rl.anchors import reference_of, sft_anchor

SECTION = SimpleNamespace(
    seed=1, sft_coefficient=0.5, sft_rows=3, micro_batch_tokens=16, directions=("en-ja",), max_completion_tokens=8
)


class Adapter(torch.nn.Linear):
    """As peft's layers: a matrix that can be put out of action."""

    def __init__(self):
        super().__init__(2, 2)
        self.lora_A, self.on = torch.nn.ModuleDict(), True

    def enable_adapters(self, enabled):
        self.on = enabled

    def forward(self, x):
        return super().forward(x) + (1.0 if self.on else 0.0)


def test_the_reference_of_an_adapter_is_the_policy_without_it():
    policy = torch.nn.Sequential(Adapter())
    x = torch.ones(1, 2)
    plain = torch.nn.functional.linear(x, policy[0].weight, policy[0].bias)
    reference = reference_of(policy, lambda: pytest.fail("no second model is loaded"))
    with reference() as model:
        torch.testing.assert_close(model(x), plain)
    torch.testing.assert_close(policy(x), plain + 1)


def test_without_an_adapter_the_reference_is_loaded_once():
    loads = []
    reference = reference_of(torch.nn.Linear(2, 2), lambda: loads.append(1) or "model")
    with reference() as first, reference() as second:
        assert first is second == "model" and loads == [1]


@pytest.fixture
def anchor(rl_stage, tokenizer, tmp_path):
    rl_stage.instructions().write_parquet(tmp_path / "sft.parquet")
    return sft_anchor(tmp_path / "sft.parquet", tokenizer, SECTION)


def test_translations_of_the_directions_are_drawn_by_seed_and_step(anchor):
    assert len(anchor.documents) == 12

    def drawn(step):
        return [batch["input_ids"].tolist() for batch in anchor.batches(step)]

    assert drawn(3) == drawn(3) != drawn(4)
    responses = sum(int(batch["loss_mask"].sum()) for batch in anchor.batches(3))
    assert {batch["num_sft_tokens"] for batch in anchor.batches(3)} == {responses}


@pytest.mark.parametrize("micro_batch_tokens", [1, 1000])
def test_the_loss_is_the_coefficient_times_the_mean_over_all_response_tokens(anchor, make_model, tokenizer, rl_stage,
                                                                             micro_batch_tokens):  # fmt: skip
    anchor.section = SimpleNamespace(**vars(SECTION) | {"micro_batch_tokens": micro_batch_tokens, "sft_rows": 99})
    model = make_model(seed=2)
    parts = [anchor.beside(None)(model, batch) for batch in anchor.batches(0)]
    table = rl_stage.instructions()
    nats, count = 0.0, 0
    for prompt, answer in zip(*chat_turns(tokenizer, table["prompt"], table["response"]), strict=True):
        logprobs = torch.log_softmax(model(torch.tensor([prompt + answer])).logits[0].detach().float(), -1)
        nats -= sum(float(logprobs[len(prompt) + i - 1, token]) for i, token in enumerate(answer))
        count += len(answer)
    assert float(sum(loss for loss, _ in parts).detach()) == pytest.approx(0.5 * nats / count, rel=1e-4)
    assert sum(sums["sft_loss"][0] for _, sums in parts) == pytest.approx(nats, rel=1e-4)


def test_rollouts_go_to_the_policys_loss(anchor):
    assert anchor.beside(lambda model, batch: (model, batch))("model", {"x": 1}) == ("model", {"x": 1})


def test_no_translations_are_refused_and_no_coefficient_is_no_anchor(rl_stage, tokenizer, tmp_path):
    rl_stage.instructions(task="paraphrase").write_parquet(tmp_path / "sft.parquet")
    with pytest.raises(In2xError, match="no translations in the directions.*rl.sft_coefficient needs some"):
        sft_anchor(tmp_path / "sft.parquet", tokenizer, SECTION)
    off = SimpleNamespace(**vars(SECTION) | {"sft_coefficient": 0.0})
    assert sft_anchor(tmp_path / "nothing.parquet", tokenizer, off) is None
