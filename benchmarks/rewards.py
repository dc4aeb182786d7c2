"""Throughput of the reward, and how a judge's concurrency is used.

    POLARS_MAX_THREADS=1 python benchmarks/rewards.py --run runs/tiny --threads 2 --out benchmarks/results/rewards.json

Parts (`--parts`, both by default):
    local   2,048 completions of about 60 characters: seconds of gates, of each component, and of the whole with gates,
            rules, chrF and the preference model, beside the seconds of an RL step where the run has logged them
    judge   the rubric component against a server on this machine that answers after --pause seconds: requests in
            flight, and seconds beside those that the concurrency given allows

The completions are Japanese sentences of the run's corpus, joined to the wanted length, as rollouts of their sources in
groups of 16: the reference with one to three phrases exchanged or left out. Every figure is the median of --repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import read_json, write_json
from in2x.records import Completion
from in2x.rewards.groups import Group

GROUP_SIZE, NUM_CHARS, SEED = 16, 60, 12345
WEIGHTS = {"adequacy": 1.0, "naturalness": 0.2, "length": 0.1, "repetition": 0.1, "numbers": 0.2, "dates": 0.1,
           "markup": 0.2, "untranslated": 0.2, "script": 0.1, "register": 0.1, "terms": 0.1}  # fmt: skip


def groups_of(run: Path, num_completions: int) -> list[Group]:
    """Rollouts of distinct texts, so that nothing is found in a cache."""
    from in2x.rewards.naturalness import shuffled_phrases

    rng = np.random.default_rng(SEED)
    pairs = pl.read_parquet(run / "corpus" / "pairs.parquet", columns=["split", "source", "target"])
    rows = pairs.filter(split="train").sample(fraction=1.0, shuffle=True, seed=SEED).select("source", "target").rows()
    groups, used = [], 0
    for number in range(num_completions // GROUP_SIZE):
        source, target = "", ""
        while len(target) < NUM_CHARS - 8:
            source, target, used = f"{source} {rows[used][0]}".strip(), target + rows[used][1], used + 1
        texts = [target]
        while len(texts) < GROUP_SIZE:
            text = texts[-1] if len(texts) % 4 else target
            for _ in range(int(rng.integers(1, 4))):
                text = shuffled_phrases(text, rng)
            texts.append(text)
        completions = [Completion([7] * 45, [-1.0] * 45, text, True) for text in texts]
        prompt = f"Translate into polite Japanese:\n{source}"
        groups.append(Group(str(number), [1], source, target, "ja", completions, "en", "register", prompt))
    return groups


def seconds(act: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median wall and processor seconds."""
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {"wall": statistics.median(walls), "processor": statistics.median(processors)}


def local(run: Path, num_completions: int, repeats: int, dtype: str) -> dict:
    import torch

    from in2x.model.loading import load_tokenizer
    from in2x.model.precision import training_dtype
    from in2x.rewards import naturalness
    from in2x.rewards.components import Resources
    from in2x.rewards.gates import check_gates
    from in2x.rewards.measure import measure
    from in2x.rewards.translation import TranslationReward

    folder = run / "reward" / "naturalness"
    dtype = training_dtype(dtype, "cpu")
    model = naturalness.load(folder).to(getattr(torch, dtype))
    resources = Resources(max_tokens=64, buffer_tokens=16, preference=(model, load_tokenizer(folder)))
    groups = groups_of(run, num_completions)
    passed_PG = np.ones((len(groups), GROUP_SIZE), dtype=bool)
    clear_caches()

    def gates():
        return [check_gates(text, g.source, "ja", True, prompt=g.prompt) for g in groups for text in g.texts]

    found = {"gates": seconds(gates, repeats)}
    for name in WEIGHTS:
        found[name] = seconds(lambda name=name: (clear_caches(), measure(name, groups, passed_PG, resources)), repeats)
    reward = TranslationReward(WEIGHTS, resources=resources)
    whole = seconds(lambda: (clear_caches(), reward(groups)), repeats)
    lengths = [len(text) for group in groups for text in group.texts]
    step = step_seconds(run)
    return {
        "num_completions": len(lengths),
        "preference_dtype": dtype,
        "mean_chars": statistics.fmean(lengths),
        "parts": found,
        "whole": whole,
        "rl_step_seconds": step,
        "share_of_step": None if step is None else whole["wall"] / step["per_completion"] / len(lengths),
    }


def clear_caches() -> None:
    """What is cached by text would make a repetition cheaper than a new batch."""
    parts = ("in2x.rewards", "in2x.evaluation")
    for module in [module for name, module in sys.modules.items() if name.startswith(parts)]:
        for name, value in vars(module).items():
            if hasattr(value, "cache_clear") and name != "_tagger":
                value.cache_clear()


def step_seconds(run: Path) -> dict[str, float] | None:
    """Seconds of one rollout batch of the run, from its manifest: sampling, reward and updates."""
    manifest = run / "rl" / "manifest.json"
    if not manifest.exists():
        return None
    found = read_json(manifest)
    if not found.get("seconds"):
        return None
    batch = found["seconds"] / found["section"]["num_batches"]
    return {"batch": batch, "per_completion": batch / found["section"]["batch_completions"]}


class Judge(ThreadingHTTPServer):
    """Answers every principle yes, after a pause; counts the requests that are in flight."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, pause: float):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pause, self.lock = pause, threading.Lock()
        self.in_flight = self.most = self.num_requests = 0
        self.busy = 0.0


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.in_flight += 1
            self.server.num_requests += 1
            self.server.most = max(self.server.most, self.server.in_flight)
        time.sleep(self.server.pause)
        content = json.dumps(
            {"model": "judge", "choices": [{"message": {"content": _answer(body)}, "finish_reason": "stop"}]}
        ).encode()
        with self.server.lock:
            self.server.in_flight -= 1
            self.server.busy += self.server.pause
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Nothing is printed for each request."""


def _answer(body: dict) -> str:
    import re

    from in2x.judging.parsing import answer_id

    system, user = (message["content"] for message in body["messages"])
    nonce = re.search(r"<data-([0-9a-f]{16})>", system)[1]
    data = json.loads(re.search(rf"(?s)<data-{nonce}>\n(.*)\n</data-{nonce}>", user)[1])
    if "principles" not in data:
        return json.dumps({"id": answer_id(nonce), "principles": ["It is said."]})
    items = ["yes"] * len(data["principles"])
    return json.dumps(
        {"id": answer_id(nonce), "notes": "", "answers": {item["label"]: items for item in data["translations"]}}
    )


def judge(run: Path, num_groups: int, concurrency: int, pause: float) -> dict:
    from in2x.judging.client import JudgeClient
    from in2x.judging.transport import Server, endpoint_url
    from in2x.rewards.components import Resources
    from in2x.rewards.measure import measure
    from in2x.rewards.remote import RubricJudge

    groups = groups_of(run, num_groups * GROUP_SIZE)
    server = Judge(pause)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    client = JudgeClient(Server(endpoint_url(f"http://127.0.0.1:{server.server_port}")), "judge", None, concurrency)
    passed_PG = np.ones((len(groups), GROUP_SIZE), dtype=bool)
    started = time.perf_counter()
    found = measure("rubric", groups, passed_PG, Resources(judge=RubricJudge(client)))
    took = time.perf_counter() - started
    server.shutdown()
    server.server_close()
    # Principles first, then both orders of every group: neither part can use more threads than it has requests.
    least = pause * (-(-num_groups // concurrency) + -(-2 * num_groups // concurrency))
    return {
        "num_requests": server.num_requests,
        "num_unscorable": len(found.reasons),
        "concurrency": concurrency,
        "most_in_flight": server.most,
        "mean_in_flight": server.busy / took,
        "seconds": took,
        "least_seconds": least,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--parts", nargs="+", choices=("local", "judge"), default=("local", "judge"))
    parser.add_argument("--num-completions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="of the preference model"
    )
    parser.add_argument("--groups", type=int, default=128)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.25)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    found = {}
    if "local" in arguments.parts:
        found["local"] = local(arguments.run, arguments.num_completions, arguments.repeats, arguments.dtype)
    if "judge" in arguments.parts:
        found["judge"] = judge(arguments.run, arguments.groups, arguments.concurrency, arguments.pause)
    print(json.dumps(found, indent=1))
    if arguments.out:
        write_json(arguments.out, found)


if __name__ == "__main__":
    main()
