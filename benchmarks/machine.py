"""What the benchmarks of training have in common: the matmul peak, a worker's memory and time, texts, FLOPs.

No import of this project or of torch at the top: workers run in peers' environments, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "base-tiny"


def matmul_peak(threads: int, seconds: float = 1.5) -> float:
    """FLOP/s of float32 matrix products here: the best of several shapes, by torch's default library and by oneDNN."""
    import torch

    torch.set_num_threads(threads)
    products = [torch.matmul]
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        products.append(lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))
    best = 0.0
    for product in products:
        for size in (256, 512, 1024):
            a, b = torch.rand(size, size), torch.rand(size, size)
            deadline = time.perf_counter() + seconds / 6
            while time.perf_counter() < deadline:
                start = time.perf_counter()
                product(a, b)
                best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def peak_bytes() -> int:
    """The largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Clock:
    """Wall-clock and processor seconds between begin() and end()."""

    def begin(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def end(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self.wall,
            "processor_seconds": time.process_time() - self.processor,
        }


def serve(train) -> None:
    """A worker's side of `run_worker`: task from standard input, figures to standard output, the rest aside."""
    import torch

    task = json.load(sys.stdin)
    torch.set_num_threads(task["threads"])
    with contextlib.redirect_stdout(sys.stderr):
        found = train(task)
    json.dump(found, sys.stdout)


def run_worker(python: str, script: str, task: dict, threads: int, *arguments: str) -> dict:
    """Run benchmarks/`script` with `task` on standard input, in a process of its own; the last line it prints."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [python, str(Path(__file__).with_name(script)), *arguments]
    finished = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, env=environment)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stderr[-3000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def seeded_documents(number: int, seed: int, vocabulary: int, prompt=(12, 44), completion=(6, 32)) -> list[dict]:
    """Random tokens with the lengths of sentence pairs as chat turns: input_ids and completion_mask."""
    draw = random.Random(seed)
    documents = []
    for _ in range(number):
        asked, answered = draw.randint(*prompt), round(draw.triangular(*completion))
        documents.append(
            {
                "input_ids": [draw.randrange(10, vocabulary) for _ in range(asked + answered)],
                "completion_mask": [0] * asked + [1] * answered,
            }
        )
    return documents


def distinct_share(token_ids: list[int], limit: int) -> float:
    """A reward that costs nothing: distinct tokens of a completion, as a share of the longest one."""
    return len(set(token_ids)) / limit


def training_flops(config, token_rows: list[int], num_predicted: int) -> float:
    """FLOPs that a step of training needs, forward and backward: no padding, logits of the predicted tokens alone.

    6 for each weight of the layers and token, 6 for each weight of the head and predicted token, and causal
    attention: 6 x width x (length + 1) for each layer and token.
    """
    heads = config.num_attention_heads * config.head_dim
    both = 2 * heads + 2 * config.num_key_value_heads * config.head_dim
    layer = config.hidden_size * (both + 3 * config.intermediate_size)
    tokens = sum(token_rows)
    attention = sum(6 * heads * length * (length + 1) for length in token_rows)
    return (
        6 * layer * config.num_hidden_layers * tokens
        + attention * config.num_hidden_layers
        + 6 * config.hidden_size * config.vocab_size * num_predicted
    )


def median_and_least(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f})"


def report(out: Path | None, figures: dict) -> None:
    """Write the figures with what is needed to judge them."""
    if out is None:
        return
    sys.path.insert(0, str(ROOT / "src"))
    from in2x import artifacts

    about = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg(),
        "machine": artifacts.machine(),
        "versions": artifacts.versions(),
        "git_commit": artifacts.git_commit(),
    }
    artifacts.write_json(out, figures | about)
