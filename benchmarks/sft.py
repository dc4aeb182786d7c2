"""Time SFT and CPT steps beside TRL's SFTTrainer: same model, tokens, optimizer, batch and precision.

    python benchmarks/sft.py --peer-python /tmp/trl-venv/bin/python --out benchmarks/results/sft.json

TRL lives in an environment of its own: pip install torch==2.13.0 trl==1.16.0. Each measurement is a process of its own,
so that memory is comparable; the two sides alternate, and the first steps of each are not timed. Rates are label
tokens (those that are predicted) a second of wall clock; the loads of both sides differ, so processor time is compared
too. Padded is compared with padded and packed with packed, over rows of the same length and as many rows a step and a
micro-batch; what differs is what either does with them. Documents are random tokens with the lengths of sentence pairs
as chat turns (SFT), or of paragraphs (CPT): neither speed nor memory depends on what they say. `cpt-packed-150k` is CPT
with the same layers around a vocabulary of 150,000 tokens, whose logits are what there is to keep small.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from machine import MODEL, matmul_peak, median_and_least, report, run_worker, seeded_documents

TARGETS = {"sft-padded": 1.6, "sft-packed": 1.6, "cpt-packed": 1.3, "cpt-packed-150k": 1.3}
LARGE_VOCABULARY = 150_000


def task_of(mode: str, options: argparse.Namespace) -> dict:
    """What a worker reads. A micro-batch holds micro_batch_tokens in packed rows, or as many documents padded."""
    packing = "packed" in mode
    tokens_of_a_document = 48 if mode.startswith("sft") else 72
    rows = options.micro_batch_tokens // (options.context_tokens if packing else tokens_of_a_document)
    micro_batches = max(1, options.step_tokens // options.micro_batch_tokens)
    number = 2 * (options.warm_up + options.steps) * options.step_tokens // tokens_of_a_document
    lengths = {} if mode.startswith("sft") else {"prompt": (0, 0), "completion": (16, options.context_tokens)}
    return {
        "model": str(options.model),
        "documents": seeded_documents(number, options.seed, 6000, **lengths),
        "packing": packing,
        "micro_batch_rows": rows,
        "micro_batches": micro_batches,
        "step_rows": rows * micro_batches,
        "micro_batch_tokens": options.micro_batch_tokens,
        "context_tokens": options.context_tokens,
        "warm_up": options.warm_up,
        "steps": options.steps,
        "threads": options.threads,
    }


def with_vocabulary(model: Path, number: int, folder: Path) -> Path:
    """The model and its tokenizer in `folder`, with an embedding of so many rows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    larger = AutoModelForCausalLM.from_pretrained(model)
    larger.resize_token_embeddings(number, mean_resizing=False)
    larger.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def measure(mode: str, options: argparse.Namespace) -> dict:
    task = task_of(mode, options)
    runs: dict[str, list[dict]] = {"in2x": [], "trl": []}
    with tempfile.TemporaryDirectory() as folder:
        if mode.endswith("150k"):
            task["model"] = str(with_vocabulary(options.model, LARGE_VOCABULARY, Path(folder)))
        for _ in range(options.repeats):
            runs["in2x"].append(run_worker(sys.executable, "sft_ours.py", task, options.threads))
            if options.peer_python:
                runs["trl"].append(run_worker(options.peer_python, "sft_peer.py", task, options.threads))
    return {"mode": mode, "target": TARGETS[mode]} | runs


def rates(runs: list[dict], key: str) -> list[float]:
    return [run["label_tokens"] / run[key] for run in runs]


def ratios(found: dict, key: str) -> list[float]:
    """How many times the peer's rate ours was, repeat by repeat."""
    pairs = zip(rates(found["in2x"], key), rates(found["trl"], key), strict=True)
    return [ours / theirs for ours, theirs in pairs]


def memory(runs: list[dict]) -> str:
    """The largest of the process, and what came after imports and model were there, in MB."""
    peak = statistics.median(run["peak_bytes"] for run in runs)
    grown = statistics.median(run["peak_bytes"] - run["start_bytes"] for run in runs)
    return f"{peak / 1e6:,.0f} ({grown / 1e6:,.0f})"


def show(measured: list[dict], peak: float, options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{options.threads} threads, {options.repeats} repeats, load {os.getloadavg()[0]:.1f}; median (least)"
    table = Table(title=f"Training steps, float32: {title}", title_justify="left")
    for head in (
        "mode",
        "label tokens/s",
        "TRL's",
        "times TRL",
        "times TRL, CPU time",
        "goal",
        "peak MB (grown)",
        "TRL's",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("share of matmul peak", justify="right")
    for found in measured:
        ours, peer = found["in2x"], found["trl"]
        share = statistics.median(run["flops"] / run["processor_seconds"] for run in ours) * options.threads / peak
        table.add_row(
            found["mode"],
            f"{statistics.median(rates(ours, 'seconds')):,.0f}",
            f"{statistics.median(rates(peer, 'seconds')):,.0f}" if peer else "",
            median_and_least(ratios(found, "seconds")) if peer else "",
            median_and_least(ratios(found, "processor_seconds")) if peer else "",
            f">= {found['target']}",
            memory(ours),
            memory(peer) if peer else "",
            f"{share:.0%}",
        )
    Console(width=150).print(table)
    print(f"Matmul peak measured before: {peak / 1e9:.0f} GFLOP/s. Its share is of processor time: without the load.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="the Python of the environment with TRL; without it ours runs alone")
    parser.add_argument("--modes", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--context-tokens", type=int, default=128)
    parser.add_argument("--micro-batch-tokens", type=int, default=1024)
    parser.add_argument("--step-tokens", type=int, default=4096)
    parser.add_argument("--warm-up", type=int, default=2, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    if min(options.steps, options.repeats, options.warm_up, options.threads) < 1:
        parser.error("--steps, --repeats, --warm-up and --threads: expected at least 1")
    peak = matmul_peak(options.threads)
    measured = [measure(mode, options) for mode in options.modes]
    show(measured, peak, options)
    settings = {name: str(value) for name, value in vars(options).items() if name != "peer_python"}
    report(options.out, {"settings": settings, "matmul_flops_per_second": peak, "modes": measured})


if __name__ == "__main__":
    main()
