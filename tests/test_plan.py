from pathlib import Path

import pytest

from in2x import artifacts
from in2x.describe import facts, outcome_line
from in2x.model_size import model_size
from in2x.plan import plan
from in2x.recipe import load
from in2x.sections import Architecture, PretrainSection
from in2x.stages import Outcome, fingerprints

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
    assert (found.num_parameters, found.num_layers, found.max_position_tokens) == (expected, 2, 64)


@pytest.mark.parametrize(
    ("name", "number"),
    [("Qwen/Qwen3-0.6B", 6e8), ("Qwen/Qwen2.5-72B-Instruct", 7.2e10), ("org/smol-135M", 1.35e8), ("org/gpt", None)],
)
def test_the_size_of_a_hub_model_is_in_its_name(name, number):
    found = model_size(PretrainSection(base=name, phases=[PHASE]))
    assert (found and found.num_parameters) == number


def test_time_is_six_operations_a_parameter_and_token(recipe):
    pretrain = plan(recipe, flops_per_second=1e9)[1]
    number = model_size(recipe.pretrain).num_parameters
    assert pretrain.seconds == pytest.approx(6 * number * 10_000 / (0.6 * 1e9))
    assert pretrain.what == "10,000 tokens, 10 steps, 1 phase"


def test_memory_counts_weights_gradients_and_optimizer(recipe):
    adamw = plan(recipe, 1e9)[1].memory_bytes
    muon = plan(load("r.toml", ["--pretrain.optimizer.name=muon"]), 1e9)[1].memory_bytes
    assert adamw - muon == 4 * model_size(recipe.pretrain).num_parameters


def test_what_is_complete_is_skipped_and_shows_what_it_took(recipe):
    assert [stage.state for stage in plan(recipe, 1e9)] == ["to run"] * 3
    prints = fingerprints(recipe)
    artifacts.open_stage(recipe.folder / "corpus", "corpus", prints["corpus"], {}, {})
    artifacts.open_stage(recipe.folder / "pretrain", "pretrain", prints["pretrain"], {}, {})
    artifacts.update_manifest(recipe.folder / "corpus", status="complete", seconds=12.5, peak_memory_bytes=3,
                              results={"num_pairs": {"train": 2000, "dev": 5}})  # fmt: skip
    corpus, pretrain, report = plan(recipe, 1e9)
    assert (corpus.is_skipped, corpus.seconds, corpus.memory_bytes) == (True, 12.5, 3)
    assert corpus.what == "pairs: 2,000 train, 5 dev"
    assert (pretrain.is_skipped, pretrain.state) == (False, "to be continued")
    corpus, pretrain, report = plan(load("r.toml", ["--corpus.seed=9"]), 1e9)
    assert (corpus.is_skipped, corpus.seconds) == (False, 12.5)  # what it took before, where nothing else tells it
    assert corpus.state.startswith("to run again") and pretrain.state.startswith("to run again")


def test_the_report_is_made_again_after_any_stage(recipe):
    for name in recipe.stages:  # the report last: it depends on the manifests of the others
        artifacts.open_stage(recipe.folder / name, name, fingerprints(recipe)[name], {}, {})
        artifacts.update_manifest(recipe.folder / name, status="complete")
    assert [stage.is_skipped for stage in plan(recipe, 1e9)] == [True, True, True]
    changed = load("r.toml", ["--pretrain.seed=3"])
    assert [stage.is_skipped for stage in plan(changed, 1e9)] == [True, False, False]


def test_the_whole_method_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = "".join(f"[{name}]\n" for name in ("instruct", "sft", "reward", "rl", "merge", "translate", "evaluate"))
    Path("r.toml").write_text(RECIPE.replace("[report]", tables + "[report]"))
    planned = {stage.name: stage for stage in plan(load("r.toml"), 1e9)}
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
