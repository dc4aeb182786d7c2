"""What "auto" becomes on machines that multiply bfloat16 and on those that don't, and who asks."""

import pytest
import torch

from in2x.machines import gpus, processor
from in2x.memory import Load, training
from in2x.model import precision
from in2x.model.precision import training_dtype
from in2x.model_size import ModelSize, Shape
from in2x.plan import plan
from in2x.recipe import load
from in2x.sections import SftSection

SHAPE = Shape("qwen3", 1000, 64, 160, 3, 4, 2, 16, 2048)
RECIPE = """
[corpus]
[pretrain]
dtype = "auto"
scratch = { vocab_size = 500 }
phases = [{ name = "one", tokens = 10_000, context_tokens = 64, lr = 1e-3, mixture = { en = 1 } }]
"""


@pytest.fixture
def processor_with(monkeypatch):
    """Pretend that torch finds these instructions."""

    def pretend(**found):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
        precision.multiplies_bfloat16.cache_clear()

    yield pretend
    precision.multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx512_bf16": True, "avx2": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"architecture": "arm64", "bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(processor_with, found, expected):
    processor_with(**found)
    assert training_dtype("auto", "cpu") == expected
    assert (training_dtype("float32", "cpu"), training_dtype("bfloat16", "cpu")) == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("is_there", "is_supported", "expected"),
    [(False, False, "bfloat16"), (True, True, "bfloat16"), (True, False, "float32")],
)
def test_auto_on_a_gpu_that_is_planned_for_and_on_one_that_is_there(
    processor_with, monkeypatch, is_there, is_supported, expected
):
    processor_with()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: is_supported)
    assert training_dtype("auto", "cuda") == expected


def test_the_forecast_of_memory_follows_the_machine(processor_with):
    size, load_ = ModelSize(SHAPE.num_parameters, "a test", SHAPE), Load(128, 0, 1, 100)

    def parts(dtype, machine):
        return training(SftSection(dtype=dtype), size, load_, machine).parts

    one = processor(1e9)
    processor_with()
    assert parts("auto", one) == parts("float32", one) != parts("bfloat16", one)
    assert parts("auto", gpus("h100")) == parts("bfloat16", gpus("h100"))
    processor_with(avx512_bf16=True)
    assert parts("auto", one) == parts("bfloat16", one)


def test_the_plan_follows_the_machine(processor_with, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)

    def seconds(machine, *overrides):
        return plan(load("r.toml", overrides), machine)[1].seconds

    full, half = "--pretrain.dtype=float32", "--pretrain.dtype=bfloat16"
    processor_with()
    assert seconds(processor(1e9)) == seconds(processor(1e9), full)
    assert seconds(gpus("h100")) == seconds(gpus("h100"), half) == seconds(gpus("h100"), full) * 67 / 989
    processor_with(avx512_bf16=True)
    assert seconds(processor(1e9)) == seconds(processor(1e9), half) < seconds(processor(1e9), full)


@pytest.mark.parametrize(("found", "expected"), [({"avx512_bf16": True}, "bfloat16"), ({}, "float32")])
def test_a_loop_that_is_left_the_choice_trains_in_it(processor_with, make_model, tmp_path, found, expected):
    """Layers get what the machine multiplies; weights, gradients and the optimizer's state stay float32."""
    from in2x.sections import Optimizer, Training
    from in2x.training.loop import Loop

    processor_with(**found)
    settings = Training(optimizer=Optimizer(name="muon"), dtype="auto")
    loop = Loop(make_model(), settings, lambda step: 0.01, 1, tmp_path)
    assert loop.dtype == expected
    assert loop.optimizer.optimizer.dtype == getattr(torch, expected)
    before, seen, gradients = {name: x.detach().clone() for name, x in loop.model.named_parameters()}, [], []
    layer = loop.model.model.layers[0].mlp.up_proj
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    layer.weight.register_hook(lambda gradient: gradients.append(gradient.dtype))
    ids = torch.arange(8).repeat(2, 1)

    def loss(model, batch):
        return model(batch["input_ids"], labels=batch["input_ids"]).loss, {}

    loop.optimizer_step([{"input_ids": ids}], loss)
    loop.log.close()
    assert (seen, gradients) == ([getattr(torch, expected)], [torch.float32])
    after = dict(loop.model.named_parameters())
    assert all(x.dtype == torch.float32 for x in after.values())
    assert not torch.equal(after["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"])
    states = [x for state in loop.optimizer.optimizer.state.values() for x in state.values()]
    assert {x.dtype for x in states} == {torch.float32}
