"""A training step of a small Qwen3 with torch's own linear layers beside oneDNN's, in turns, in one process.

    python benchmarks/linear.py --out benchmarks/results/linear.json

The same model, rows and losses; float32, on the CPU. The median of each side's forward and backward passes is compared.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from in2x.artifacts import write_json
from in2x.model.loading import load_model
from in2x.model.onednn import OneDnnLinear, use_onednn
from in2x.training.batches import next_token_loss

CONTEXT_TOKENS = 128


def use_torch(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if type(module) is OneDnnLinear:
            module.__class__ = nn.Linear
    return model


def seconds_of_step(model: nn.Module, batch: dict) -> float:
    start = time.perf_counter()
    loss, _ = next_token_loss(batch["input_ids"].numel())(model, batch)
    loss.backward()
    model.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/base-tiny"))
    parser.add_argument("--tokens", type=int, default=1024, help="of one pass")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(args.model)
    shape = (args.tokens // CONTEXT_TOKENS, CONTEXT_TOKENS)
    mask = torch.ones(shape, dtype=torch.bool)
    mask[:, 0] = False
    batch = {
        "input_ids": torch.randint(10, model.config.vocab_size, shape),
        "position_ids": torch.arange(CONTEXT_TOKENS).expand(shape).contiguous(),
        "loss_mask": mask,
    }
    sides = {"torch": use_torch, "onednn": use_onednn}
    seconds = {name: [] for name in sides}
    for repeat in range(args.repeats + 2):
        for name, use in sides.items():
            taken = seconds_of_step(use(model), batch)
            if repeat >= 2:  # the first ones warm up
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["torch"] / medians["onednn"]
    for name, value in medians.items():
        print(f"{name:8}{value * 1e3:8.1f} ms  {args.tokens / value:8,.0f} tokens/s")
    print(f"oneDNN is {ratio:.2f} times as fast, with {torch.get_num_threads()} threads")
    if args.out:
        write_json(args.out, {"seconds": seconds, "ratio": ratio, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
