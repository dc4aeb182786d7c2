from pathlib import Path

import pytest

from in2x import artifacts
from in2x.describe import describe, facts, outcome_line
from in2x.machines import gpus, processor
from in2x.model_size import PUBLISHED, model_size
from in2x.plan import plan
from in2x.recipe import load
from in2x.sections import Architecture, PretrainSection
from in2x.stages import Outcome, fingerprints

ONE = processor(1e9)
"""A processor of 1 GFLOPS."""
PHASE = {"name": "one", "tokens": 1, "context_tokens": 1, "lr": 1, "mixture": {"en": 1}}
RECIPE = """
[corpus]
[pretrain]
scratch = { vocab_size = 500 }
phases = [{ name = "one", tokens = 10_000, context_tokens = 64, lr = 1e-3, mixture = { en = 1 } }]
step_tokens = 1000
[report]
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE)
    return load("r.toml")


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_parameters_are_those_that_torch_counts(make_model, tokenizer, tmp_path, family):
    from in2x.model.loading import save_model

    model = make_model(family=family)
    expected = sum(parameter.numel() for parameter in model.parameters())
    scratch = Architecture(family=family, vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_layers=2,
                           num_heads=2, num_kv_heads=1, head_dim=8, max_position_tokens=64)  # fmt: skip
    assert model_size(PretrainSection(scratch=scratch, phases=[PHASE])).num_parameters == expected
    save_model(model, tokenizer, tmp_path / "model")
    found = model_size(PretrainSection(base=tmp_path / "model", phases=[PHASE]))
    assert (found.num_parameters, found.shape.num_layers, found.shape.max_position_tokens) == (expected, 2, 64)
    assert found.shape.num_parameters == expected


@pytest.mark.parametrize(
    ("name", "number"),
    [("Qwen/Qwen3-0.6B", 6e8), ("Qwen/Qwen2.5-32B-Instruct", 3.2e10), ("org/smol-135M", 1.35e8), ("org/gpt", None)],
)
def test_the_size_of_a_hub_model_is_in_its_name(name, number):
    found = model_size(PretrainSection(base=name, phases=[PHASE]))
    assert (found and found.num_parameters) == number


@pytest.mark.parametrize(
    ("name", "number"),
    [("Qwen/Qwen3-4B-Base", 4_022_468_096), ("Qwen/Qwen3-8B", 8_190_735_360), ("Qwen/Qwen2.5-72B", 72_706_203_648)],
)
def test_published_shapes_have_the_parameters_that_transformers_counts(name, number):
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3Config

    shape = PUBLISHED[name]
    config = {"qwen2": Qwen2Config, "qwen3": Qwen3Config}[shape.family](
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers, num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads, head_dim=shape.head_dim, tie_word_embeddings=shape.is_tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.num_parameters == number
    assert model_size(PretrainSection(base=name, phases=[PHASE])).num_parameters == number


def test_time_is_six_operations_a_parameter_and_token(recipe):
    pretrain = plan(recipe, ONE)[1]
    number = model_size(recipe.pretrain).num_parameters
    attention = 12 * 4 * 256 * 64  # layers, width of the queries, tokens of a row
    assert pretrain.seconds == pytest.approx((6 * number + attention) * 10_000 / (0.95 * 1e9))
    assert pretrain.forecast.flops == (6 * number + attention) * 10_000
    assert pretrain.what == "10,000 tokens, 10 steps, 1 phase"


def test_memory_counts_weights_gradients_and_optimizer(recipe):
    size = model_size(recipe.pretrain)
    parts = plan(recipe, ONE)[1].forecast.memory.parts
    assert (parts["weights"], parts["gradients"]) == (4 * size.num_parameters,) * 2
    assert parts["optimizer"] == 8 * size.num_parameters
    muon = plan(load("r.toml", ["--pretrain.optimizer.name=muon"]), ONE)[1].forecast.memory.parts
    assert muon["optimizer"] == 4 * size.num_parameters + 4 * 500 * 256  # two moments of the embedding


def test_an_adapter_trains_with_two_thirds_of_the_operations(recipe):
    number = model_size(recipe.pretrain).num_parameters
    full, adapter = plan(recipe, ONE)[1], plan(load("r.toml", ["--pretrain.lora.rank=4"]), ONE)[1]
    assert full.forecast.flops - adapter.forecast.flops == 2 * number * 10_000
    # 4 (inputs + outputs) of 256x256, 2 of 256x128, 256x256; 3 of 256x640, in 4 layers
    assert adapter.forecast.num_trained == 4 * 4 * (2 * (256 + 256) + 2 * (256 + 128) + 3 * (256 + 640))
    again = plan(load("r.toml", ["--pretrain.gradient_checkpointing=true"]), ONE)[1]
    assert again.forecast.flops - full.forecast.flops == 2 * number * 10_000


def test_time_on_gpus(recipe):
    """35 % of 989 TFLOPS in bfloat16 and of 67 in float32, of each."""
    flops = plan(recipe, ONE)[1].forecast.flops
    assert plan(recipe, gpus("h100"))[1].seconds == pytest.approx(flops / (0.35 * 67e12))
    half = load("r.toml", ["--pretrain.dtype=bfloat16"])
    assert plan(half, gpus("h100", 4))[1].seconds == pytest.approx(flops / (0.35 * 989e12 * 4))
    assert plan(half, gpus("h100"))[0].memory_bytes is None  # the corpus is none of the GPU's business


def test_time_of_bfloat16_on_a_processor(recipe, monkeypatch):
    """1.4 times float32's rate where the processor multiplies it, a third of it where it doesn't."""
    half, seconds = load("r.toml", ["--pretrain.dtype=bfloat16"]), plan(recipe, ONE)[1].seconds
    for is_multiplied, gain in ((True, 1.4), (False, 1 / 3)):
        monkeypatch.setattr("in2x.machines.multiplies_bfloat16", lambda device_type, found=is_multiplied: found)
        assert plan(half, ONE)[1].seconds == pytest.approx(seconds / gain)
        assert plan(recipe, ONE)[1].seconds == seconds


def test_a_group_that_shares_its_prompt_has_it_computed_once(recipe):
    """Of 39 tokens of a rollout 26 are the prompt's; what generation takes stays the same."""
    tables = "[instruct]\n[sft]\n[reward]\n[rl]\nnum_batches = 10\nbatch_completions = 128\ndev_every_batches = 0\n"
    Path("rl.toml").write_text(RECIPE.replace("[report]", tables + "[report]"))
    alone, shared = (
        plan(load("rl.toml", [f"--rl.share_prompts={value}", "--rl.group_size=4"]), ONE)[5].forecast.tokens
        for value in ("false", "true")
    )
    assert (alone, shared) == (1280 * 39, 1280 * (13 + 26 / 4))


@pytest.mark.parametrize("rows", [16, 128])
def test_a_generated_token_is_a_pass_over_the_weights_for_all_rows(recipe, rows):
    """With few rows the memory's bandwidth is the limit (3,350 GB/s), with many the rate (35 % of 67 TFLOPS)."""
    tables = "[instruct]\n[sft]\n[reward]\n[rl]\n"
    Path("rl.toml").write_text(RECIPE.replace("[report]", tables + "[report]"))
    few = [f"--rl.batch_completions={rows}", "--rl.mini_batch_completions=16", "--rl.num_batches=10",
           "--rl.dev_every_batches=0"]  # fmt: skip
    server = ["--rl.generator.kind=vllm-server", "--rl.generator.endpoint=http://localhost:8000"]
    own, served = (plan(load("rl.toml", given), gpus("h100"))[5].seconds for given in (few, few + server))
    number, tokens = model_size(recipe.pretrain).num_parameters, 10 * rows * 13
    bandwidth = 2 * tokens / rows * 4 * number / 3350e9  # the longest completion is twice the mean
    rate = 2 * number * tokens / (0.35 * 67e12)
    assert (bandwidth > rate) == (rows == 16)
    assert own - served == pytest.approx(max(bandwidth, rate))


def test_the_line_of_a_stage_that_trains(recipe):
    lines = list(describe(recipe, gpus("rtx4090")))
    (line,) = [line for line in lines if line.startswith("pretrain:")]
    number = model_size(recipe.pretrain).num_parameters
    assert line.startswith(f"pretrain: {number:,} parameters, all trained; 10,000 tokens, ")
    assert "GB in a step: runtime 1.5, " in line and "weights 0.012" in line
    assert any("NVIDIA GeForce RTX 4090, 24 GB each, at 35% of their 165 TFLOPS" in line for line in lines)


def test_what_one_process_has_held_stays(recipe):
    """The tables of earlier stages are the runtime of SFT too, unless they are skipped."""
    tables = "[instruct]\n[sft]\n"
    Path("more.toml").write_text(RECIPE.replace("[report]", tables + "[report]"))
    runtime = {stage.name: stage.forecast for stage in plan(load("more.toml"), ONE)}
    assert runtime["pretrain"].memory.parts["runtime"] == 1.06e9
    assert runtime["sft"].memory.parts["runtime"] == 1.4e9  # instruct's


def test_what_is_complete_is_skipped_and_shows_what_it_took(recipe):
    assert [stage.state for stage in plan(recipe, ONE)] == ["to run"] * 3
    prints = fingerprints(recipe)
    artifacts.open_stage(recipe.folder / "corpus", "corpus", prints["corpus"], {}, {})
    artifacts.open_stage(recipe.folder / "pretrain", "pretrain", prints["pretrain"], {}, {})
    artifacts.update_manifest(recipe.folder / "corpus", status="complete", seconds=12.5, peak_memory_bytes=3,
                              results={"num_pairs": {"train": 2000, "dev": 5}})  # fmt: skip
    corpus, pretrain, report = plan(recipe, ONE)
    assert (corpus.is_skipped, corpus.seconds, corpus.memory_bytes) == (True, 12.5, 3)
    assert corpus.what == "pairs: 2,000 train, 5 dev"
    assert (pretrain.is_skipped, pretrain.state) == (False, "to be continued")
    corpus, pretrain, report = plan(load("r.toml", ["--corpus.seed=9"]), ONE)
    assert (corpus.is_skipped, corpus.seconds) == (False, 12.5)  # what it took before, where nothing else tells it
    assert corpus.state.startswith("to run again") and pretrain.state.startswith("to run again")


def test_the_report_is_made_again_after_any_stage(recipe):
    for name in recipe.stages:  # the report last: it depends on the manifests of the others
        artifacts.open_stage(recipe.folder / name, name, fingerprints(recipe)[name], {}, {})
        artifacts.update_manifest(recipe.folder / name, status="complete")
    assert [stage.is_skipped for stage in plan(recipe, ONE)] == [True, True, True]
    changed = load("r.toml", ["--pretrain.seed=3"])
    assert [stage.is_skipped for stage in plan(changed, ONE)] == [True, False, False]


def test_the_whole_method_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = "".join(f"[{name}]\n" for name in ("instruct", "sft", "reward", "rl", "merge", "translate", "evaluate"))
    Path("r.toml").write_text(RECIPE.replace("[report]", tables + "[report]"))
    planned = {stage.name: stage for stage in plan(load("r.toml"), ONE)}
    assert len(planned) == 10
    assert planned["rl"].what == "12,800 rollouts, 400 steps"  # 100 batches of 128, steps of 32
    assert planned["sft"].what == "40,000 instructions, about 190 steps"  # of 39 tokens; steps of 8,192
    assert planned["merge"].what.startswith("6 candidates")  # linear at 2 weights over 2 states, obim at 2 densities
    assert planned["translate"].what.startswith("1,000 segments by 4 systems")


def test_a_line_tells_the_first_facts_or_the_stages_own():
    outcome = Outcome("rl", False, 93.4, {"algorithm": "tic-grpo", "table": [], "steps": 1200, "loss": 0.12345, "x": 1})
    assert outcome_line(outcome) == "rl: 93 s, algorithm tic-grpo, steps 1,200, loss 0.1235"
    assert outcome_line(Outcome("rl", True, 93.4)) == "rl: unchanged, skipped (93 s when it ran)"
    assert outcome_line(Outcome("rl", False, 2.35)) == "rl: 2.4 s"
    assert facts({"a": 1, "summary": "chrF 24.3"}) == ["chrF 24.3"]
