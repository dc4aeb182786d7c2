"""The recipes for GPUs load, fit together, and fit the machines that they are for."""

from pathlib import Path

import pytest

from in2x.artifacts import In2xError
from in2x.checks import warnings
from in2x.fits import refuse_what_cannot_fit
from in2x.machines import gpus
from in2x.plan import TRAINING, plan
from in2x.recipe import RecipeError, load
from in2x.sections import PretrainSection

RECIPES = Path(__file__).parents[1] / "recipes"
MACHINES = {"qwen3-4b-lora": gpus("rtx4090"), "qwen3-8b": gpus("h100", 8), "paper-72b": gpus("b200", 256)}
TEN = ["corpus", "pretrain", "instruct", "sft", "reward", "rl", "merge", "translate", "evaluate", "report"]


@pytest.fixture(autouse=True)
def nothing_has_been_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MACHINES)
def test_every_stage_is_planned(name):
    recipe = load(RECIPES / f"{name}.toml")
    assert list(recipe.stages) == TEN and warnings(recipe) == []
    planned = {stage.name: stage for stage in plan(recipe, MACHINES[name])}
    for stage in TRAINING:
        forecast = planned[stage].forecast
        assert planned[stage].seconds > 0 and forecast.flops > 0
        assert {"weights", "optimizer"} <= set(forecast.memory.parts) or forecast.memory.moment == "in generation"
    assert (planned["pretrain"].forecast.num_trained < planned["pretrain"].forecast.num_parameters) == ("lora" in name)


@pytest.mark.parametrize("name", ["qwen3-4b-lora", "qwen3-8b"])
def test_it_fits_its_machine_with_five_per_cent_to_spare(name):
    recipe, machine = load(RECIPES / f"{name}.toml"), MACHINES[name]
    refuse_what_cannot_fit(recipe, machine, recipe.stages)
    held = [stage.memory_bytes for stage in plan(recipe, machine) if stage.memory_bytes]
    assert max(held) < 0.95 * machine.memory_bytes


def test_the_papers_settings():
    recipe = load(RECIPES / "paper-72b.toml")
    knowledge, long, anneal = recipe.pretrain.phases
    assert (knowledge.tokens, anneal.tokens) == (2.5e12, 3e11)
    assert (knowledge.context_tokens, long.context_tokens) == (8192, 32_000)
    assert (knowledge.schedule, anneal.schedule, anneal.lr, anneal.end_lr_fraction) == ("constant", "linear", 3e-5, 0)
    assert (recipe.instruct.num_sft, recipe.instruct.num_rl, recipe.instruct.num_epochs) == (1_500_000, 500_000, 2)
    assert (recipe.sft.lr, recipe.sft.schedule) == (2e-5, "cosine")
    rl = recipe.rl
    assert (rl.batch_completions, rl.mini_batch_completions, rl.group_size) == (128, 32, 16)
    assert rl.num_batches * rl.batch_completions // rl.group_size == recipe.instruct.num_rl  # one epoch
    assert (rl.algorithm, rl.entropy_coefficient, rl.kl_coefficient) == ("tic-grpo", 0.01, None)


def test_left_out_the_phases_are_the_papers():
    assert PretrainSection(base="Qwen/Qwen2.5-72B").phases == load(RECIPES / "paper-72b.toml").pretrain.phases


def test_the_papers_model_is_trained_where_it_is_parted_and_refused_where_it_must_be_whole():
    recipe, machine = load(RECIPES / "paper-72b.toml"), MACHINES["paper-72b"]
    refuse_what_cannot_fit(recipe, machine, ["pretrain", "sft", "rl"])
    for stage in ("reward", "merge", "translate"):
        with pytest.raises(In2xError, match=f"{stage}: needs about .* 290.8 GB of it weights"):  # 4 bytes a parameter
            refuse_what_cannot_fit(recipe, machine, [stage])


def test_a_context_beyond_a_published_models_positions_is_refused():
    with pytest.raises(RecipeError, match="40000 tokens, but the model has 32768 positions"):
        load(RECIPES / "qwen3-4b-lora.toml", ["--pretrain.phases.1.context_tokens=40000"])
