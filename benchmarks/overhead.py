"""Time from a stage's start to its first optimizer step, for every stage that trains, on a warm cache.

    python benchmarks/overhead.py recipes/tiny.toml --out benchmarks/results/overhead.json

The recipe must have been run (`in2x run`): its stages' folders are copied, without their checkpoints, and each stage is
begun in its copy again and again, each time in a process of its own, and left at its first step. What a stage does
before that and keeps on the disk (selected documents, sampled preference pairs, tokenised instructions) is there: it is
work, not overhead. The first start, which may have to make it, is told apart as `cold`. `ready` is the time from the
start of the process to where the loop stands: imports, data, model, optimizer. `first step` is when the first optimizer
step begins; in RL a whole batch of rollouts is sampled and rewarded in between. Goal: ready within 5 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from machine import report, run_worker

GOAL_SECONDS = 5.0
STAGES = ("pretrain", "sft", "reward", "rl")


class FirstStep(BaseException):
    """The first optimizer step is about to begin."""


def work(task: dict) -> dict:
    """In a process of its own: begin a stage, and tell when its loop was ready and when its first step began."""
    from in2x import artifacts, stages
    from in2x.recipe import load
    from in2x.training.loop import Loop

    recipe, name, times = load(task["recipe"], task["overrides"]), task["stage"], {}
    init = Loop.__init__

    def timed_init(loop, *arguments, **keywords):
        init(loop, *arguments, **keywords)
        times["ready"] = time.time() - task["started"]
        times["ready_processor"] = time.process_time()

    def first_step(loop, *_, **__):
        times["first_step"] = time.time() - task["started"]
        raise FirstStep

    Loop.__init__, Loop.optimizer_step = timed_init, first_step
    folder = Path(task["folder"])
    prints = stages.fingerprints(recipe)
    artifacts.update_manifest(folder, status="running", fingerprint=prints[name])
    inputs = {need: recipe.folder / need for need in stages.STAGES[name].reads(recipe)}
    try:
        stages.run_in(folder, recipe, name, inputs, prints)
    except FirstStep:
        return times
    raise SystemExit(f"{name}: ended without an optimizer step")


def measure(name: str, options: argparse.Namespace, run_folder: Path) -> dict:
    if not (run_folder / name / "manifest.json").exists():
        raise SystemExit(f"{run_folder / name}: has not been run; run `in2x run {options.recipe}` first")
    runs = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        copy = Path(scratch) / name
        shutil.copytree(run_folder / name, copy, ignore=shutil.ignore_patterns("checkpoint*", "tensorboard", "best"))
        for _ in range(options.repeats + 1):
            task = {"recipe": str(options.recipe), "stage": name, "folder": str(copy), "started": time.time(),
                    "overrides": options.overrides}  # fmt: skip
            runs.append(run_worker(sys.executable, "overhead.py", task, options.threads, "--work"))
    return {"stage": name, "cold": runs[0], "runs": runs[1:]}


def line(found: dict) -> str:
    ready, processor, first = (statistics.median(run[key] for run in found["runs"])
                               for key in ("ready", "ready_processor", "first_step"))  # fmt: skip
    verdict, cold = "met" if ready < GOAL_SECONDS else "missed", found["cold"]["ready"]
    return (f"{found['stage']:<9} ready {ready:5.1f} s ({processor:4.1f} s of processor time), "
            f"cold {cold:5.1f} s, first step {first:5.1f} s; goal {GOAL_SECONDS:.0f} s {verdict}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("recipes/tiny.toml"))
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", type=Path, help="where the folders are copied to")
    parser.add_argument("--override", dest="overrides", action="append", default=[], help="such as --folder=runs/other")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from in2x.recipe import load

    run_folder = load(options.recipe, options.overrides).folder
    measured = []
    for name in options.stages:
        measured.append(measure(name, options, run_folder))
        print(line(measured[-1]), flush=True)
    report(options.out, {"goal_seconds": GOAL_SECONDS, "stages": measured})


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        print(json.dumps(work(json.load(sys.stdin))))
    else:
        main()
