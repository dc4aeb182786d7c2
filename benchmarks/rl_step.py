"""Time a whole RL step beside TRL's GRPOTrainer: rollouts, reward, old log-probabilities, and the updates.

    python benchmarks/rl_step.py --peer-python /tmp/trl-venv/bin/python --out benchmarks/results/rl-step.json \\
        --model runs/tiny/sft/model --chat

Same model, prompts, group size, limit of tokens, reward function, mini-batches, optimizer and precision; TRL samples
with transformers' `generate`. Each measurement is a process of its own, so that memory is comparable; the two sides
alternate, and the first rollout batch of each is not timed. The model of an sft stage, asked in chat turns, ends its
completions; the base model hardly ever does, and then all are as long as the limit. Both stop at the end token, so
lengths differ by chance: what is compared is the time for a completion token. Ours trains `tic-grpo` (with the entropy
bonus), TRL its default loss. The peer's micro-batch is the largest power of two of rows that is not above ours in
tokens: with the defaults 8 rows of 84 tokens, as many as ours may have. Memory is the process's largest; "grown" is
what came on top of the imports and the model, which is what a step takes. Both are compared: most of the whole is torch
and transformers, the same on both sides.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from pathlib import Path

from machine import MODEL, median_and_least, report, run_worker

TARGETS = "goal: 3 times as fast, half of the memory"
WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "is",
    "was",
    "very",
    "not",
    "in",
    "of",
    "station",
    "Kobe",
    "rain",
    "book",
    "why",
    "I",
)


def task_of(options: argparse.Namespace, **changes) -> dict:
    draw = random.Random(options.seed)
    sentences = [" ".join(draw.choices(WORDS, k=draw.randint(4, 20))) for _ in range(256)]
    prompts = [f"Translate into Japanese:\n{text}" if options.chat else f"{text}\n" for text in sentences]
    rows = max(1, options.micro_batch_tokens // (options.max_completion_tokens + 20))
    micro_batch = min(options.mini_batch, 1 << (rows.bit_length() - 1))
    names = ("group_size", "completions", "mini_batch", "max_completion_tokens", "micro_batch_tokens")
    shared = {name: getattr(options, name) for name in (*names, "warm_up", "steps", "threads", "old_logprobs")}
    plain = {"model": str(options.model), "prompts": prompts, "micro_batch": micro_batch, "chat": options.chat}
    return shared | plain | {"algorithm": "tic-grpo", "stops": True} | changes


def per_token(runs: list[dict], key: str) -> list[float]:
    return [run[key] / run["completion_tokens"] for run in runs]


def ratios(found: dict, key: str) -> list[float]:
    pairs = zip(per_token(found["in2x"], key), per_token(found["trl"], key), strict=True)
    return [theirs / ours for ours, theirs in pairs]


def memory_shares(found: dict, grown: bool) -> list[float]:
    """Our memory over the peer's, of each repeat; `grown`: without what was there before the first step."""

    def size(run: dict) -> int:
        return run["peak_bytes"] - (run["start_bytes"] if grown else 0)

    return [size(ours) / size(theirs) for ours, theirs in zip(found["in2x"], found["trl"], strict=True)]


def show(found: dict, options: argparse.Namespace) -> None:
    title = f"{options.threads} threads, {options.repeats} repeats, load {os.getloadavg()[0]:.1f}"
    print(f"RL step, float32: {options.completions} completions, groups of {options.group_size}; {title}")
    for side in ("in2x", "trl"):
        for_side = found[side]
        if not for_side:
            continue
        seconds = statistics.median(run["seconds"] for run in for_side) / options.steps
        mean = statistics.mean(run["completion_tokens"] / run["completions"] for run in for_side)
        peak = statistics.median(run["peak_bytes"] for run in for_side) / 1e6
        grown = statistics.median(run["peak_bytes"] - run["start_bytes"] for run in for_side) / 1e6
        sizes = f"peak {peak:,.0f} MB, grown by {grown:,.0f} MB"
        print(f"  {side:5} {seconds:8.2f} s a step, {mean:5.1f} tokens a completion, {sizes}")
    if found["trl"]:
        wall, processor = (median_and_least(ratios(found, key)) for key in ("seconds", "processor_seconds"))
        whole, grown = (statistics.median(memory_shares(found, part)) for part in (False, True))
        print(f"  times TRL's speed, median (least): {wall}; by processor time {processor}")
        print(f"  memory: {whole:.0%} of TRL's, and {grown:.0%} where imports and model are left out")
        print(f"  {TARGETS}")
    total = sum(found["in2x"][0]["phases"].values())
    for name in found["in2x"][0]["phases"]:
        share = statistics.median(run["phases"][name] / sum(run["phases"].values()) for run in found["in2x"])
        print(f"    {name:14} {share:6.1%}")
    print(f"  (phases of the first repeat: {total:.2f} s)")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--chat", action="store_true", help="prompts are chat turns, for a model that has been tuned")
    parser.add_argument("--group-size", type=int, default=16)
    parser.add_argument("--completions", type=int, default=128)
    parser.add_argument("--mini-batch", type=int, default=32)
    parser.add_argument("--max-completion-tokens", type=int, default=64)
    parser.add_argument("--micro-batch-tokens", type=int, default=672, help="8 rows of 64 tokens with a prompt of 20")
    parser.add_argument("--old-logprobs", choices=("trainer", "sampler"), default="trainer", help="rl.old_logprobs")
    parser.add_argument("--warm-up", type=int, default=1, help="rollout batches that are not timed")
    parser.add_argument("--steps", type=int, default=3, help="rollout batches that are")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="the Python of the environment with TRL; without it ours runs alone")
    add_options(parser)
    options = parser.parse_args()
    if options.completions % options.group_size or options.completions % options.mini_batch:
        parser.error("--completions: expected a multiple of --group-size and of --mini-batch")
    task, found = task_of(options), {"in2x": [], "trl": []}
    for _ in range(options.repeats):
        found["in2x"].append(run_worker(sys.executable, "rl_ours.py", task, options.threads))
        if options.peer_python:
            found["trl"].append(run_worker(options.peer_python, "rl_peer.py", task, options.threads))
    show(found, options)
    settings = {name: str(value) for name, value in vars(options).items() if name != "peer_python"}
    ratios_found = {}
    if found["trl"]:
        ratios_found = {name: ratios(found, name) for name in ("seconds", "processor_seconds")}
        ratios_found |= {"memory": memory_shares(found, False), "memory_grown": memory_shares(found, True)}
    report(options.out, {"settings": settings, "times_as_fast_and_shares_of_memory": ratios_found} | found)


if __name__ == "__main__":
    main()
