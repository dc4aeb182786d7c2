"""The memory that `in2x check` forecasts for each stage that trains, beside the most that the stage held.

    python benchmarks/memory.py --out benchmarks/results/memory.json          # about nine minutes on a quiet core
    python benchmarks/memory.py --out benchmarks/results/memory.json --cases 1 2      # in pieces
    python benchmarks/memory.py --runs runs/tiny runs/small                   # only what the manifests of runs say

Short stages of two models from random weights are run on the CPU, each in a process of its own, on the corpus of
recipes/tiny.toml; `--corpus` takes a finished run's. The most is the high-water mark of resident memory (VmHWM) that
the manifest has. In a run of all stages the later ones inherit what the earlier ones left, which the forecast doesn't
know: those are shown, and not judged. Goal: forecast within 15 % of the most.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import report

from in2x import artifacts
from in2x.machines import processor
from in2x.model_size import model_size
from in2x.plan import plan
from in2x.recipe import Recipe, load
from in2x.stage_memory import as_it_stands, memory_of

GOAL = 0.15
STAGES = ("pretrain", "sft", "reward", "rl")
MODELS = {
    "4 M": {},
    "47 M": {"vocab_size": 16_384, "hidden_size": 640, "intermediate_size": 1728, "num_layers": 8, "num_heads": 10,
             "num_kv_heads": 5},
}  # fmt: skip
RECIPE = """
name = "memory"
threads = 1
[corpus]
num_dev = 500
num_test = 1000
[pretrain]
step_tokens = 2048
micro_batch_tokens = {micro}
optimizer = {{ name = "{optimizer}" }}
dtype = "{dtype}"
gradient_checkpointing = {checkpointing}
scratch = {{ {scratch} }}
phases = [{{ name = "only", tokens = 6144, context_tokens = 128, lr = 1e-3, mixture = {{ pairs = 1 }} }}]
measures = {{ by_domain = false, few_shot_segments = 0, retrieval_segments = 0, round_trip_segments = 0 }}
[instruct]
num_sft = 200
num_rl = 100
[sft]
step_tokens = 2048
micro_batch_tokens = {micro}
dtype = "{dtype}"
optimizer = {{ name = "{optimizer}" }}
gradient_checkpointing = {checkpointing}
measures = {{ by_domain = false, few_shot_segments = 0, retrieval_segments = 0, round_trip_segments = 0 }}
[reward]
num_pairs = 96
max_completion_tokens = 32
optimizer = {{ name = "{optimizer}" }}
[rl]
num_batches = 1
keep_checkpoints = 1
batch_completions = 64
group_size = 8
max_completion_tokens = 32
micro_batch_tokens = {micro}
dev_every_batches = 0
optimizer = {{ name = "{optimizer}" }}
gradient_checkpointing = {checkpointing}
"""
CASES = (
    {"model": "4 M", "optimizer": "muon", "micro": 1024, "checkpointing": "false"},
    {"model": "47 M", "optimizer": "adamw", "micro": 1024, "checkpointing": "false"},
    {"model": "47 M", "optimizer": "muon", "micro": 2048, "checkpointing": "false"},
    {"model": "47 M", "optimizer": "adamw", "micro": 2048, "checkpointing": "true"},
    {"model": "47 M", "optimizer": "adamw", "micro": 1024, "checkpointing": "false", "dtype": "bfloat16"},
    {"model": "47 M", "optimizer": "muon", "micro": 2048, "checkpointing": "false", "dtype": "bfloat16"},
)


def measured(case: dict, folder: Path, corpus: Path | None) -> list[dict]:
    """Run the stages of a case in `folder`; forecast and peak of each that trains."""
    scratch = ", ".join(f"{key} = {value}" for key, value in MODELS[case["model"]].items())
    file = folder / "recipe.toml"
    file.write_text(RECIPE.format(scratch=scratch, **{"dtype": "float32"} | case) + "[report]\n", encoding="utf-8")
    if corpus and not (folder / "corpus").exists():
        shutil.copytree(corpus, folder / "corpus")
    overrides = [f"--folder={folder}"]
    recipe = load(file, overrides)
    forecasts = _forecasts(recipe)
    for stage in ("corpus", "pretrain", "instruct", "sft", "reward", "rl"):
        command = [sys.executable, "-m", "in2x", stage, str(file), *overrides]
        done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return [{**case, **row} for row in _rows(recipe.folder, forecasts)]


def of_run(folder: Path) -> list[dict]:
    """Forecasts of the recipe that a finished run has beside it, as one process, and what its manifests say."""
    name = artifacts.read_json(folder / "recipe.resolved.json")["name"]
    recipe = load(Path("recipes") / f"{name}.toml", ["--folder=runs/not-run-yet"])
    forecasts = {stage.name: stage.forecast.memory for stage in plan(recipe, processor(1e9)) if stage.forecast}
    return [{"run": str(folder), **row} for row in _rows(folder, forecasts)]


def _forecasts(recipe: Recipe) -> dict:
    """By stage, each as the only one of its process."""
    size, machine = model_size(recipe.pretrain), processor(1e9)
    return {name: memory_of(recipe, name, size, as_it_stands(machine, name)) for name in STAGES}


def _rows(folder: Path, forecasts: dict) -> list[dict]:
    rows = []
    for stage in STAGES:
        peak = (artifacts.manifest(folder / stage) or {}).get("peak_memory_bytes")
        if peak and forecasts.get(stage) and _took_steps(folder / stage):
            forecast = forecasts[stage].total
            rows.append({"stage": stage, "peak": peak, "forecast": forecast, "ratio": forecast / peak,
                         "parts": dict(forecasts[stage].parts)})  # fmt: skip
    return rows


def _took_steps(folder: Path) -> bool:
    """RL of an untrained model may find nothing to learn from, and then holds neither gradients nor optimizer."""
    log = folder / "metrics.jsonl"
    return log.exists() and '"gradient_norm"' in log.read_text(encoding="utf-8")


def _kept(out: Path | None, wanted: list[int]) -> list[dict]:
    """The rows of earlier calls, of other cases than are wanted now."""
    if not (wanted and out and out.exists()):
        return []
    return [row for row in artifacts.read_json(out)["rows"] if row["number"] not in wanted]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="*", type=Path, help="folders of finished runs: read, and run nothing")
    parser.add_argument("--corpus", type=Path, help="folder of a finished corpus stage under the same settings")
    parser.add_argument("--cases", nargs="+", type=int, choices=range(1, len(CASES) + 1), help="only these: 1, 2, ...")
    parser.add_argument("--out", type=Path, help="rows of cases that are not measured now are kept in it")
    arguments = parser.parse_args()
    wanted = [] if arguments.runs else arguments.cases or list(range(1, len(CASES) + 1))
    rows = _kept(arguments.out, wanted)
    if arguments.runs:
        rows = [row for folder in arguments.runs for row in of_run(folder)]
    for number in wanted:
        with tempfile.TemporaryDirectory(prefix="in2x-memory-") as folder:
            rows += [{"number": number, **row} for row in measured(CASES[number - 1], Path(folder), arguments.corpus)]
        print(f"case {number} is done", file=sys.stderr)
    rows.sort(key=lambda row: row.get("number", 0))
    for row in rows:
        what = row.get("run") or f"{row['model']}, {row['optimizer']}, {row['micro']}, {row['checkpointing']}"
        what += f", {row['dtype']}" if "dtype" in row else ""
        print(f"{what:<28} {row['stage']:<9} {row['peak'] / 1e9:6.2f} GB  forecast {row['forecast'] / 1e9:6.2f} GB  "
              f"{row['ratio'] - 1:+.0%}")  # fmt: skip
    if arguments.out:
        report(arguments.out, {"goal": GOAL, "rows": rows})
    return int(not arguments.runs and any(abs(row["ratio"] - 1) > GOAL for row in rows))


if __name__ == "__main__":
    sys.exit(main())
