"""Two processes, as torchrun starts them, against one: the same run up to the order of summation.

The second process is held up before it looks at what the first one may have written meanwhile: the order in which
they come must not matter. Where they wait for each other, the stacks of both are printed.
"""

import os
import subprocess
import sys

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from in2x import stages
from in2x.artifacts import manifest
from in2x.recipe import load

SECONDS = 240
LAUNCHED = """
import faulthandler, os, sys, time
faulthandler.dump_traceback_later({seconds}, exit=True)
from in2x.training import pretrain
load_data = pretrain.load_data
def late(*arguments):
    time.sleep(1.5 * int(os.environ["RANK"]))
    return load_data(*arguments)
pretrain.load_data = late
from in2x.cli import main
code = main()
import torch.distributed
assert not torch.distributed.is_initialized(), "gloo's threads may still run while the interpreter ends"
sys.exit(code)
"""

PHASE = "context_tokens = 64, lr = 4e-3"
KNOWLEDGE = f"name = 'knowledge', tokens = 10_240, {PHASE}, mixture = {{ en = 0.4, ja = 0.4, pairs = 0.2 }}"
SELECT = "select = { pool_documents = 60, keep_fraction = 0.5 }"
ANNEAL = f"name = 'anneal', tokens = 2_048, {PHASE}, schedule = 'linear', mixture = {{ pairs = 1.0 }}, {SELECT}"
CHANGES = {
    "corpus": {"num_dev": 20, "num_test": 20},
    "pretrain": {"micro_batch_tokens": 128, "phases": f"[{{ {KNOWLEDGE} }}, {{ {ANNEAL} }}]"},
    "instruct": {"num_sft": 360, "num_rl": 40},
    "sft": {"micro_batch_tokens": 192},
    "reward": {"num_pairs": 24},
    "rl": {
        "lr": 1e-4, "num_batches": 2, "batch_completions": 20, "mini_batch_completions": 10, "group_size": 4,
        "micro_batch_tokens": 192, "length_buffer_tokens": 4, "dev_every_batches": 2, "num_dev": 10,
    },
    "merge": {"num_dev": 10, "num_saliency_segments": 4},
    "translate": {"num_segments": 20, "num_candidates": 4},
}  # fmt: skip
"""What is smaller than in the recipe of the other probes."""
TRAINED = "pretrain", "sft", "reward", "rl"
OVERRIDES = [f"--{stage}.{key}={value}" for stage, own in CHANGES.items() for key, value in own.items()]


@pytest.fixture(scope="module")
def file(tmp_path_factory, write_recipe):
    return write_recipe(tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def one(file):
    """The folder of the run by one process."""
    recipe = load(file, [*OVERRIDES, f"--folder={file.parent / 'one'}"])
    for name in recipe.stages:
        stages.run_stage(recipe, name)
    return recipe.folder


@pytest.fixture(scope="module", params=["none", "fsdp"])
def two(file, request):
    """The folder of the run by two processes, with the whole model in each, or with its weights parted."""
    folder, launched = file.parent / f"two-{request.param}", file.parent / "launched.py"
    launched.write_text(LAUNCHED.format(seconds=SECONDS), encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    sharding = [f"--{stage}.sharding={request.param}" for stage in TRAINED]
    done = subprocess.run(
        [*launch, launched, "run", file, *OVERRIDES, *sharding, f"--folder={folder}"],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=SECONDS + 60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("translate: ") == 1  # the main process alone speaks of the outcome
    left = {path.name for path in (folder / "pretrain").iterdir()}
    assert not left & {"streams", "base-float32"}  # what was made for the stage alone
    return folder


def log(run, stage):
    return pl.read_ndjson(run / stage / "metrics.jsonl", infer_schema_length=None)


def test_every_step_of_pretraining_and_sft_is_the_same(one, two):
    for stage in ("pretrain", "sft", "reward"):
        alone, together = (log(run, stage) for run in (one, two))
        for name in ("loss", "gradient_norm", "learning_rate"):
            assert together[name].to_list() == pytest.approx(alone[name].to_list(), rel=2e-3), (stage, name)
        assert together["loss"][0] == pytest.approx(alone["loss"][0], rel=1e-5)
        assert together["gradient_norm"][0] == pytest.approx(alone["gradient_norm"][0], rel=1e-4)


def test_the_first_rollout_batch_is_the_same(one, two):
    alone, together = (
        {name: value for name, value in log(run, "rl").row(0, named=True).items() if value is not None}
        for run in (one, two)
    )
    assert alone.keys() == together.keys() >= {"reward", "ratio", "entropy", "loss", "gradient_norm", "approx_kl"}
    for name in ("seconds_left", "memory_bytes"):
        alone.pop(name)
    assert alone["gate_pass_fraction"] == together["gate_pass_fraction"]
    for name, value in alone.items():
        assert together[name] == pytest.approx(value, rel=2e-3, abs=2e-4), name


def test_pretraining_sft_and_rl_end_with_the_same_weights(one, two):
    for stage in ("pretrain", "sft", "rl"):
        alone, together = (load_file(run / stage / "model/model.safetensors") for run in (one, two))
        for name, tensor in alone.items():
            torch.testing.assert_close(
                together[name], tensor, atol=2e-3, rtol=0, msg=lambda text, of=f"{stage} {name}": f"{of}: {text}"
            )


def test_the_stages_report_the_same_results(one, two):
    pretrain, merge = ([manifest(run / stage) for run in (one, two)] for stage in ("pretrain", "merge"))
    perplexities = [[phase["perplexity"]["pairs"] for phase in found["results"]["phases"]] for found in pretrain]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=1e-3)
    names = [[candidate["name"] for candidate in found["results"]["candidates"]] for found in merge]
    assert names[0] == names[1]


def test_both_translate_every_segment_with_every_system(one, two):
    alone, together = (pl.read_parquet(run / "translate" / "hypotheses.parquet") for run in (one, two))
    columns = "segment_id", "system", "decoding"
    assert alone.select(columns).equals(together.select(columns))
    same = (alone["hypothesis"] == together["hypothesis"]).mean()
    assert same > 0.9  # near ties of two tokens may fall the other way


def test_the_recipe_is_that_of_a_run_that_can_be_continued_by_one_process(one, two):
    recipe = load(two.parent / "recipe.toml", [*OVERRIDES, f"--folder={two}"])
    assert all(manifest(recipe.folder / stage)["status"] == "complete" for stage in recipe.stages)
