import pytest
import torch
from safetensors.torch import load_file

from in2x.artifacts import In2xError
from in2x.model.loading import load_model, save_model
from in2x.sections import Optimizer, Training
from in2x.sections.training import Lora
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.lora import add_adapter, has_adapter, is_adapter, without_adapter
from in2x.training.packing import Document, pack

peft = pytest.importorskip("peft", reason="the extra `lora` is not installed")
KINDS = [Lora(rank=4), Lora(rank=4, dora=True, targets=("q_proj", "down_proj"))]


def make_loop(make_model, folder, lora, **changes):
    settings = Training(optimizer=Optimizer(name="adamw"), micro_batch_tokens=16, trackers=(), lora=lora, **changes)
    torch.manual_seed(5)
    return Loop(make_model(), settings, lambda step: 0.05, 4, folder)


def train(loop, until):
    rows = pack([Document("a", torch.arange(5, 13).int().numpy(), torch.ones(8).bool().numpy())], 8, 0)
    with loop.signals():
        while loop.step < until:
            loop.after_step(**loop.optimizer_step(micro_batches(rows, 16), next_token_loss(7)))
    return loop


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=torch.arange(5, 13)[None], use_cache=False).logits


def test_only_the_adapter_is_trained(make_model, tmp_path):
    before = make_model().state_dict()
    loop = train(make_loop(make_model, tmp_path, KINDS[0]), 2)
    trained = {name for name, parameter in loop.model.named_parameters() if parameter.requires_grad}
    assert trained and all(is_adapter(name) for name in trained)
    assert len(trained) == 2 * 2 * 7  # A and B of seven matrices in each of two layers, not of the head
    for name, tensor in loop.model.state_dict().items():
        if not is_adapter(name):
            assert torch.equal(tensor, before[name.replace(".base_layer", "")])


@pytest.mark.parametrize("lora", KINDS)
def test_what_is_saved_is_an_ordinary_model_that_computes_the_same(make_model, tokenizer, tmp_path, lora):
    loop = train(make_loop(make_model, tmp_path, lora), 3)
    expected = logits(loop.model)
    save_model(loop.model, tokenizer, tmp_path / "model")
    assert load_file(tmp_path / "model/model.safetensors").keys() == trimmed(make_model().state_dict()).keys()
    torch.testing.assert_close(logits(load_model(tmp_path / "model")), expected, atol=1e-5, rtol=1e-4)
    assert (logits(make_model()) - expected).abs().max() > 0.01
    assert torch.equal(logits(loop.model), expected)  # saving leaves the model as it is


def trimmed(state):
    return {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}  # tied


@pytest.mark.parametrize("lora", KINDS)
def test_peft_loads_the_adapter_and_merges_it_to_the_same_model(make_model, tokenizer, tmp_path, lora):
    loop = train(make_loop(make_model, tmp_path, lora), 3)
    save_model(loop.model, tokenizer, tmp_path / "model")
    theirs = peft.PeftModel.from_pretrained(make_model(), tmp_path / "model/adapter")
    torch.testing.assert_close(logits(theirs), logits(loop.model), atol=1e-6, rtol=1e-5)
    state = load_file(tmp_path / "model/model.safetensors")
    for name, tensor in trimmed(theirs.merge_and_unload().state_dict()).items():
        torch.testing.assert_close(state[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("lora", KINDS)
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(make_model, tmp_path, lora):
    lora = lora.model_copy(update={"dropout": 0.3})
    whole = train(make_loop(make_model, tmp_path / "whole", lora), 4)
    train(make_loop(make_model, tmp_path / "parts", lora), 2).save()
    assert not (tmp_path / "parts/checkpoint/model.safetensors").exists()  # the frozen weights are the input's
    torch.manual_seed(77)
    again = train(make_loop(make_model, tmp_path / "parts", lora), 4)
    expected = whole.model.state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in again.model.state_dict().items())


def test_without_the_adapter_it_is_the_model_that_was_begun_with(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path, KINDS[0]), 2)
    expected = logits(loop.model)
    with without_adapter(loop.model) as reference:
        assert torch.equal(logits(reference), logits(make_model()))
    assert torch.equal(logits(loop.model), expected)
    assert has_adapter(loop.model) and not has_adapter(make_model())


def test_the_best_model_has_the_adapter_merged(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path, KINDS[0]), 2)
    loop.keep_best("dev_chrf", 1.0)
    best = logits(loop.model)
    torch.testing.assert_close(logits(load_model(tmp_path / "best")), best, atol=1e-5, rtol=1e-4)
    assert not torch.equal(logits(train(loop, 4).model), best)
    loop.use_best()
    assert torch.equal(logits(loop.model), best)


def test_a_layer_that_the_model_does_not_have_is_refused(make_model):
    with pytest.raises(In2xError, match=r"lora.targets: .*no_such_proj"):
        add_adapter(make_model(), Lora(targets=("no_such_proj",)))
