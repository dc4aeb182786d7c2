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
OVERRIDES = [f"--{stage}.{key}={value}" for stage, own in CHANGES.items() for key, value in own.items()]


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory, write_recipe):
    """The folders of the run by one process and by two."""
    folder = tmp_path_factory.mktemp("processes")
    file = write_recipe(folder)
    (folder / "launched.py").write_text(LAUNCHED.format(seconds=SECONDS), encoding="utf-8")
    recipe = load(file, [*OVERRIDES, f"--folder={folder / 'one'}"])
    for name in recipe.stages:
        stages.run_stage(recipe, name)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, folder / "launched.py", "run", file, *OVERRIDES, f"--folder={folder / 'two'}"],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=SECONDS + 60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("translate: ") == 1  # the main process alone speaks of the outcome
    return folder / "one", folder / "two"


def log(run, stage):
    return pl.read_ndjson(run / stage / "metrics.jsonl", infer_schema_length=None)


def test_every_step_of_pretraining_and_sft_is_the_same(one_and_two):
    for stage in ("pretrain", "sft", "reward"):
        one, two = (log(run, stage) for run in one_and_two)
        for name in ("loss", "gradient_norm", "learning_rate"):
            assert two[name].to_list() == pytest.approx(one[name].to_list(), rel=2e-3), (stage, name)
        assert two["loss"][0] == pytest.approx(one["loss"][0], rel=1e-5)
        assert two["gradient_norm"][0] == pytest.approx(one["gradient_norm"][0], rel=1e-4)


def test_the_first_rollout_batch_is_the_same(one_and_two):
    one, two = (
        {name: value for name, value in log(run, "rl").row(0, named=True).items() if value is not None}
        for run in one_and_two
    )
    assert one.keys() == two.keys() >= {"reward", "ratio", "entropy", "loss", "gradient_norm", "approx_kl"}
    for name in ("seconds_left", "memory_bytes"):
        one.pop(name)
    assert one["gate_pass_fraction"] == two["gate_pass_fraction"]
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=2e-3, abs=2e-4), name


def test_pretraining_sft_and_rl_end_with_the_same_weights(one_and_two):
    for stage in ("pretrain", "sft", "rl"):
        one, two = (load_file(run / stage / "model/model.safetensors") for run in one_and_two)
        for name, tensor in one.items():
            torch.testing.assert_close(
                two[name], tensor, atol=2e-3, rtol=0, msg=lambda text, of=f"{stage} {name}": f"{of}: {text}"
            )


def test_the_stages_report_the_same_results(one_and_two):
    one, two = ([manifest(run / stage) for run in one_and_two] for stage in ("pretrain", "merge"))
    perplexities = [[phase["perplexity"]["pairs"] for phase in found["results"]["phases"]] for found in one]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=1e-3)
    names = [[candidate["name"] for candidate in found["results"]["candidates"]] for found in two]
    assert names[0] == names[1]


def test_both_translate_every_segment_with_every_system(one_and_two):
    one, two = (pl.read_parquet(run / "translate" / "hypotheses.parquet") for run in one_and_two)
    assert one.select("segment_id", "system", "decoding").equals(two.select("segment_id", "system", "decoding"))
    same = (one["hypothesis"] == two["hypothesis"]).mean()
    assert same > 0.9  # near ties of two tokens may fall the other way


def test_the_recipe_is_that_of_a_run_that_can_be_continued_by_one_process(one_and_two):
    recipe = load(one_and_two[0].parent / "recipe.toml", [*OVERRIDES, f"--folder={one_and_two[1]}"])
    assert all(manifest(recipe.folder / stage)["status"] == "complete" for stage in recipe.stages)
