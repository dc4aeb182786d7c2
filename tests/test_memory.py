import pytest
import torch

from in2x.artifacts import In2xError
from in2x.fits import refuse_what_cannot_fit
from in2x.machines import GPUS, gpus, processor
from in2x.memory import (
    Load,
    Samples,
    activation_bytes,
    adapter_parameters,
    cache_bytes,
    inference,
    logits_bytes,
    training,
)
from in2x.model_size import ModelSize, Shape
from in2x.recipe import load
from in2x.sections import SftSection
from in2x.sections.training import Lora

SHAPE = Shape("qwen3", 1000, 64, 160, 3, 4, 2, 16, 2048)
SIZE = ModelSize(SHAPE.num_parameters, "a test", SHAPE)
ONE = processor(1e9)


# --- against what autograd keeps ------------------------------------------------------------------------------


def kept_bytes(family: str, half: bool, recomputed: bool, packed: bool) -> int:
    """Bytes of the distinct storages that autograd keeps of a forward pass, weights and their copies left out."""
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

    from in2x.model.fused import use_fused
    from in2x.model.logprobs import hidden_states

    config = {"qwen3": Qwen3Config, "llama": LlamaConfig, "qwen2": Qwen2Config}[family](
        vocab_size=1000, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16,
    )  # fmt: skip
    model = use_fused(AutoModelForCausalLM.from_config(config)).train()
    if recomputed:
        from in2x.training.kernels import _recompute

        _recompute(model)
    shapes = {tuple(parameter.shape) for parameter in model.parameters() if parameter.ndim == 2}
    shapes |= {shape[::-1] for shape in shapes}
    kept = {}

    def pack(tensor):
        if tuple(tensor.shape) not in shapes:
            kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    positions = torch.arange(32).repeat(2) if packed else torch.arange(64)
    ids, positions = torch.randint(0, 1000, (4, 64)), positions.repeat(4, 1)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        hidden_states(model, ids, positions)
    return sum(number for number, _ in kept.values())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("family", ["qwen3", "llama", "qwen2"])
@pytest.mark.parametrize("packed", [True, False])
def test_activations_are_what_autograd_keeps(family, half, packed):
    shape = Shape(family, 1000, 64, 160, 3, 4, 2, 16, 2048)
    forecast = activation_bytes(shape, 4 * 64, 64 if packed else 0, half, False)
    assert forecast == pytest.approx(kept_bytes(family, half, False, packed), rel=0.03)  # small tensors are left out


def test_recomputed_layers_keep_their_input_and_one_is_at_work():
    kept = kept_bytes("qwen3", False, True, False)
    layer = activation_bytes(SHAPE, 256, 0, False, False) / 3
    forecast = activation_bytes(SHAPE, 256, 0, False, True)
    assert kept < forecast < kept + 1.05 * layer


# --- by hand --------------------------------------------------------------------------------------------------


def test_parts_of_a_step_by_hand():
    section = SftSection(micro_batch_tokens=128)
    memory = training(section, SIZE, Load(128, 0, 100), ONE)
    number = 1000 * 64 + 3 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 160 + 2 * 64 + 2 * 16) + 64
    layer = 16 * 64 + 4 * (3 * 160 + 2 * 64 + 2 * 32) + 4 * (64 + 32)
    expected = {
        "weights": 4 * number,
        "optimizer": 8 * number,
        "gradients": 4 * number,
        "activations": 128 * (3 * layer + 4 * 64),
        "logits": 8 * 100 * 1000 + 3 * 4 * 64_000,
        "runtime": 0,
    }
    assert memory.moment == "in a step"
    assert {part: held for part, held in memory.parts.items() if part != "fragments"} == expected
    assert memory.total == pytest.approx(1.1 * sum(expected.values()))
    on_gpu = training(section, SIZE, Load(128, 0, 100), gpus("a10")).parts
    assert on_gpu["fragments"] == pytest.approx(
        0.1 * sum(expected[part] for part in ("gradients", "activations", "logits"))
    )


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_muons_step_by_hand(dtype, size):
    """Momenta in float32; the iterate, its multiple, a list of products and their stack, and two Gram matrices."""
    section = SftSection(micro_batch_tokens=16, optimizer={"name": "muon"}, dtype=dtype)
    wide = Shape("qwen3", 100, 640, 1728, 3, 4, 2, 16, 2048)
    whole = ModelSize(wide.num_parameters, "a test", wide)
    found = {machine.device_type: training(section, whole, Load(16, 0, 10), machine) for machine in (ONE, gpus("a10"))}
    copies = 4 * 640 * 1728 + size * (4 * 640 * 1728 + 2 * 640 * 640)
    for memory in found.values():
        assert memory.moment == "in the optimizer's step"
        assert memory.parts["orthogonalisation"] == 2 * 3 * copies
    assert "activations" not in found["cuda"].parts
    assert found["cpu"].parts["activations"] == activation_bytes(wide, 16, 0, size == 2, False)


def test_logits_stay_within_the_budget_and_a_trained_head_has_its_gradient_twice():
    head = 4 * 64_000
    assert logits_bytes(SHAPE, 7_999, "policy", False, True, False) == 24 * 7_999_000
    assert logits_bytes(SHAPE, 80_000, "policy", False, True, False) == 24 * 8_000_000 + 3 * head
    assert logits_bytes(SHAPE, 80_000, "cross-entropy", False, False, True) == 8 * 8_000_000
    assert logits_bytes(SHAPE, 100, "cross-entropy", False, True, True) == 8 * 100_000 + 3 * head
    assert logits_bytes(SHAPE, 80_000, "cross-entropy", False, True, False) == 8 * 256_000 + 3 * head
    untied = Shape("qwen3", 1000, 64, 160, 3, 4, 2, 16, 2048, is_tied=False)
    assert logits_bytes(untied, 80_000, "cross-entropy", False, True, True) == 8 * 8_000_000 + 2 * head


def test_the_budget_of_logits_is_the_one_in_use():
    from in2x import memory
    from in2x.model import chunks

    assert (memory.LOGITS_BUDGET, memory.SUMMED_ROWS) == (chunks.LOGITS_BUDGET, chunks.SUMMED_ROWS)


def test_a_prompt_is_kept_once_for_its_group():
    samples = Samples(num_rows=8, num_prompts=2, tokens=10)
    assert cache_bytes(SHAPE, samples, True) == 2 * 4 * 32 * 3 * (2 * 64 + 8 * 10)
    assert cache_bytes(SHAPE, samples, False) == 2 * 4 * 32 * 3 * (8 * 64 + 8 * 10)


def test_an_adapter_has_what_peft_puts_in(make_model, tokenizer):
    pytest.importorskip("peft")
    from in2x.training.lora import add_adapter

    shape = Shape("qwen3", len(tokenizer), 16, 32, 2, 2, 1, 8, 64)
    for lora in (Lora(rank=4), Lora(rank=2, dora=True), Lora(rank=3, targets=("q_proj", "down_proj"))):
        model = add_adapter(make_model(), lora)
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert adapter_parameters(lora, shape) == trained


def test_sharding_parts_what_is_kept_and_gathers_the_whole_for_generation_alone():
    machine = gpus("h100", 8)
    section = SftSection(sharding="fsdp")
    number = SIZE.num_parameters
    one = training(section, SIZE, Load(128, 0, 100), machine)
    assert one.parts["weights"] == one.parts["gradients"] == 4 * number / 8 and one.parts["optimizer"] == number
    deep = Shape("qwen3", 1000, 64, 160, 30, 4, 2, 16, 2048)
    size, samples = ModelSize(deep.num_parameters, "a test", deep), (Samples(1, 1, 1),)
    whole = training(section, size, Load(1, 0, 1, samples=samples), machine)
    assert whole.moment == "between the steps" and whole.parts["gathered"] == 4 * deep.num_parameters
    layers = training(section, size, Load(1, 0, 1), machine)
    assert layers.moment == "in a step" and layers.total < whole.total
    assert layers.parts["gathered"] == 4 * (2 * deep.table_parameters + 3 * deep.layer_parameters)
    assert training(SftSection(), SIZE, Load(128, 0, 100), machine).parts["gradients"] == 2 * 4 * number  # DDP


def test_only_generation():
    memory = inference(SIZE, gpus("a100"), Samples(4, 4, 16), num_models=2)
    assert memory.parts["weights"] == 2 * 4 * SIZE.num_parameters and memory.parts["runtime"] == 1.5e9


# --- machines -------------------------------------------------------------------------------------------------


def test_gpus_of_the_table():
    machine = gpus("h100", 8)
    assert (machine.memory_bytes, machine.flops["bfloat16"], machine.num_devices) == (80e9, 989e12, 8)
    with pytest.raises(In2xError, match="there is no 'rtx4091' in the table; did you mean 'rtx4090'"):
        gpus("rtx4091")
    for gpu in GPUS.values():
        assert gpu.bfloat16 > gpu.float32 > 1 and gpu.memory >= 24 and gpu.bandwidth >= 300


# --- what can't fit -------------------------------------------------------------------------------------------

RECIPE = """
[corpus]
[pretrain]
base = "Qwen/Qwen3-8B"
dtype = "bfloat16"
gradient_checkpointing = true
step_tokens = 8192
micro_batch_tokens = 8192
phases = [{ name = "one", tokens = 10_000, context_tokens = 1024, lr = 1e-5, mixture = { en = 1 } }]
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    return lambda *overrides: load("r.toml", overrides)


def test_what_cannot_fit_is_refused_with_what_to_change(recipe):
    with pytest.raises(In2xError) as caught:
        refuse_what_cannot_fit(recipe(), gpus("h100", 8), ["corpus", "pretrain"])
    (line,) = str(caught.value).splitlines()
    assert line.startswith("pretrain: needs about ") and "there are 80 GB (8 x NVIDIA H100 SXM)" in line
    assert "65.5 GB of it optimizer" in line  # 8 bytes a parameter
    assert "--pretrain.sharding=fsdp (" in line


def test_what_is_named_as_a_change_makes_it_fit(recipe):
    with pytest.raises(In2xError) as caught:
        refuse_what_cannot_fit(recipe(), gpus("a100"), ["pretrain"])
    (named,) = [part for part in str(caught.value).split("; ") if "--pretrain." in part]
    change = named[named.index("--pretrain.") :].split(" (")[0]
    assert change == "--pretrain.lora.rank=16"
    with pytest.raises(In2xError):  # activations of 8,192 tokens are too many even so
        refuse_what_cannot_fit(recipe("--pretrain.micro_batch_tokens=65536", "--pretrain.step_tokens=65536", change),
                               gpus("a100"), ["pretrain"])  # fmt: skip
    refuse_what_cannot_fit(recipe(change), gpus("a100"), ["pretrain"])


def test_two_changes_are_named_where_one_is_not_enough(recipe):
    with pytest.raises(In2xError) as caught:
        refuse_what_cannot_fit(recipe("--pretrain.gradient_checkpointing=false"), gpus("a100"), ["pretrain"])
    assert "--pretrain.gradient_checkpointing=true --pretrain.lora.rank=16 (" in str(caught.value)


def test_check_refuses_on_the_command_line(recipe, capsys):
    from in2x.cli import main

    assert main(["check", "r.toml", "--gpu", "rtx4090"]) == 1
    out, err = capsys.readouterr()
    assert "pretrain: 8,190,735,360 parameters, all trained" in out
    assert "pretrain: needs about" in err and "24 GB (1 x NVIDIA GeForce RTX 4090)" in err
    assert main(["check", "r.toml", "--gpu", "h100", "--num-gpus", "8", "--pretrain.sharding=fsdp"]) == 0
    assert main(["check", "r.toml", "--gpu", "h101"]) == 1
    assert main(["check", "r.toml", "--num-gpus", "8"]) == 2
