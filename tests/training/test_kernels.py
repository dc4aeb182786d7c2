import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from in2x.artifacts import In2xError
from in2x.sections import Optimizer, Training
from in2x.training import kernels
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.kernels import prepare_model
from in2x.training.loop import Loop
from in2x.training.packing import Document, pack


def one_step(make_model, folder, **changes):
    settings = Training(optimizer=Optimizer(name="adamw"), micro_batch_tokens=16, trackers=(), **changes)
    loop = Loop(make_model(), settings, lambda step: 0.01, 2, folder)
    documents = [Document(str(n), torch.arange(5 + n, 13 + n).int().numpy(), torch.ones(8).bool().numpy())
                 for n in range(2)]  # fmt: skip
    measured = loop.optimizer_step(micro_batches(pack(documents, 8, 0), 16), next_token_loss(14))
    return loop, measured


def test_what_is_trained_keeps_less_and_computes_the_same(make_model, tmp_path, monkeypatch):
    fused, measured = one_step(make_model, tmp_path / "fused")
    names = {type(module).__name__ for module in fused.model.modules()}
    assert {"FusedQwen3RMSNorm", "FusedQwen3MLP"} <= names
    monkeypatch.setattr(kernels, "use_fused", lambda model: model)
    plain, expected = one_step(make_model, tmp_path / "plain")
    assert measured["loss"] == expected["loss"]  # values are the same to the bit
    assert measured["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=1e-5)
    parameters = dict(plain.model.named_parameters())
    for name, value in fused.model.named_parameters():
        torch.testing.assert_close(value, parameters[name], rtol=0, atol=1e-4, msg=name)


class HalfCopies(TorchDispatchMode):
    """The bfloat16 copies of weights that are made, for as long as they live."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and found.dtype == torch.bfloat16 and args[0].is_leaf:
            self.made.append(weakref.ref(found))
        return found


@pytest.mark.parametrize(("recomputed", "alive"), [(False, 14), (True, 0)])
def test_recomputed_layers_leave_no_copies_of_their_weights(make_model, recomputed, alive):
    model = prepare_model(make_model().train(), Training(gradient_checkpointing=recomputed))
    with HalfCopies() as copies, torch.autocast("cpu", torch.bfloat16):
        states = model.get_decoder()(input_ids=torch.arange(5, 13)[None], use_cache=False).last_hidden_state
        assert len(copies.made) == 14  # seven matrices of two layers
        assert sum(copy() is not None for copy in copies.made) == alive
    assert states.requires_grad


def test_recomputed_activations_change_no_bit_of_the_step(make_model, tmp_path):
    plain, expected = one_step(make_model, tmp_path / "plain")
    calls = []
    model = make_model()
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    loop, measured = one_step(lambda: model, tmp_path / "recomputed", gradient_checkpointing=True)
    assert len(calls) == 2  # once forward, once more in the backward pass
    assert measured == expected
    parameters = dict(plain.model.named_parameters())
    assert all(torch.equal(parameters[name], value) for name, value in loop.model.named_parameters())


def test_layers_are_compiled_for_training_and_left_as_they_were(make_model, tmp_path, monkeypatch):
    seen = []

    def compiled(function, dynamic):
        def call(*arguments, **keywords):
            assert dynamic
            seen.append(function)
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    plain, expected = one_step(make_model, tmp_path / "plain")
    loop, measured = one_step(make_model, tmp_path / "compiled", compile=True)
    assert len(seen) == 2  # both layers, in training
    assert measured == expected
    loop.model(input_ids=torch.arange(5, 9)[None])
    assert len(seen) == 2  # and not where the model is used
    parameters = dict(plain.model.named_parameters())
    assert all(torch.equal(parameters[name], value) for name, value in loop.model.named_parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_what_needs_a_gpu_says_so(make_model, tmp_path):
    with pytest.raises(In2xError, match="liger: its kernels need a GPU"):
        prepare_model(make_model(), Training(liger=True))
    settings = Training(optimizer=Optimizer(name="adamw-8bit"))
    with pytest.raises(In2xError, match=r'"adamw-8bit" needs a GPU.*take "adamw"'):
        Loop(make_model(), settings, lambda step: 0.01, 2, tmp_path)


def test_eight_bits_and_shards_do_not_go_together():
    with pytest.raises(ValueError, match="adamw-8bit keeps its state whole"):
        Training(optimizer=Optimizer(name="adamw-8bit"), sharding="fsdp")
