"""Tokens per second of rollouts: the built-in generator, transformers' generate and vLLM, side by side in one run.

    python benchmarks/rollouts.py --model runs/tiny/sft/model --prompts runs/tiny/instruct/rl.parquet \
        --vllm-python /path/to/vllm-venv/bin/python --out benchmarks/results/rollouts.json

The same weights (float32), the same prompts in groups, the same number of threads; temperature 1, plain sampling. Each
repeat runs every side once, in turn; ratios are taken within a repeat, and their median is reported with its range.
Fixed: every completion has exactly --tokens tokens. Natural: a completion ends at the model's end of turn. vLLM runs in
a process and an environment of its own, and times itself. About a minute a repeat on one core.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

VLLM_WORKER = """
import json, sys, time
import vllm
settings = json.loads(sys.stdin.readline())
llm = vllm.LLM(model=settings["model"], dtype="float32", max_model_len=settings["context"], enforce_eager=True,
               logprobs_mode="processed_logprobs", load_format="safetensors", max_num_seqs=settings["rows"])
print("READY", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    sampling = vllm.SamplingParams(n=asked["group"], temperature=1.0, top_p=1.0, top_k=0, max_tokens=asked["tokens"],
                                   ignore_eos=not asked["natural"], logprobs=0, detokenize=False, seed=None,
                                   stop_token_ids=asked["stops"] if asked["natural"] else [])
    llm.reset_prefix_cache()
    start = time.perf_counter()
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in settings["prompts"]], sampling, use_tqdm=False)
    seconds = time.perf_counter() - start
    print("RESULT " + json.dumps([sum(len(c.token_ids) for o in outputs for c in o.outputs), seconds]), flush=True)
"""


class Vllm:
    """vLLM in a subprocess that stays, so that every repeat finds it warm."""

    def __init__(self, python: str, settings: dict, threads: int):
        environment = os.environ | {
            "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [python, "-c", VLLM_WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._send(settings)
        self._expect("READY")

    def __call__(self, **asked) -> tuple[int, float]:
        self._send(asked)
        return tuple(json.loads(self._expect("RESULT ")))

    def _send(self, record: dict) -> None:
        self.process.stdin.write(json.dumps(record) + "\n")
        self.process.stdin.flush()

    def _expect(self, start: str) -> str:
        for line in self.process.stdout:
            if line.startswith(start):
                return line.removeprefix(start)
        raise SystemExit(f"vLLM ended with status {self.process.wait()}; its messages stand above")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def built_in(model, tokenizer, prompts, group, tokens, stops, seed) -> tuple[int, float]:
    from in2x.decoding.generate import generate

    start = time.perf_counter()
    made = generate(
        model, tokenizer, prompts, stop_ids=stops, max_completion_tokens=tokens, num_samples=group, temperature=1.0,
        batch_size=len(prompts) * group, seed=seed,
    )  # fmt: skip
    return sum(len(c.token_ids) for samples in made for c in samples), time.perf_counter() - start


def transformers_generate(model, tokenizer, prompts, group, tokens, stops, rows) -> tuple[int, float]:
    """transformers' own, at most `rows` completions at a time."""
    import torch

    per_batch, count = max(1, rows // group), 0
    start = time.perf_counter()
    for place in range(0, len(prompts), per_batch):
        part = prompts[place : place + per_batch]
        longest = max(map(len, part))
        ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(prompt)) + prompt for prompt in part])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in part])
        ending = {"eos_token_id": sorted(stops)} if stops else {"min_new_tokens": tokens}
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                num_return_sequences=group, max_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id, **ending,
            )[:, longest:]  # fmt: skip
        ends = torch.isin(out, torch.tensor(sorted(stops), dtype=torch.long)) if stops else out < 0
        count += int(torch.where(ends.any(1), ends.int().argmax(1) + 1, tokens).sum())
    return count, time.perf_counter() - start


def breakdown(model, tokenizer, prompts, group, tokens) -> dict[str, float]:
    """Seconds of the built-in generator's parts, in one run of a fixed length with the parts timed."""
    from in2x.decoding import generate as module
    from in2x.decoding.decoder import GroupDecoder

    seconds = dict.fromkeys(("prefill", "decode", "head and sampling"), 0.0)

    def timed(name, function):
        def call(*given):
            start = time.perf_counter()
            result = function(*given)
            seconds[name] += time.perf_counter() - start
            return result

        return call

    kept = GroupDecoder.start, GroupDecoder.step, module.choose_tokens
    GroupDecoder.start, GroupDecoder.step = timed("prefill", kept[0]), timed("decode", kept[1])
    module.choose_tokens = timed("head and sampling", kept[2])
    try:
        _, total = built_in(model, tokenizer, prompts, group, tokens, set(), 0)
    finally:
        GroupDecoder.start, GroupDecoder.step, module.choose_tokens = kept
    return seconds | {"the rest": total - sum(seconds.values())}


def peaks() -> dict[str, float]:
    """Best GFLOP/s of a product of two 1024 x 1024 float32 matrices, by torch's default kernel and by oneDNN's."""
    import torch
    from torch.nn import functional as F

    from in2x.model.onednn import linear

    a, layer = torch.randn(1024, 1024), torch.nn.Linear(1024, 1024, bias=False)
    found = {}
    with torch.inference_mode():
        products = {"default": lambda: F.linear(a, layer.weight), "oneDNN": lambda: linear(a, layer.weight)}
        for name, product in products.items():
            best = float("inf")
            for _ in range(12):
                start = time.perf_counter()
                product()
                best = min(best, time.perf_counter() - start)
            found[name] = 2 * 1024**3 / best / 1e9
    return found


def matrix_flops_per_token(model) -> int:
    """Of the projections and the head: two for each weight. Attention over the cache is not counted."""
    import torch

    return 2 * sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))


def rates_of(arguments, given: tuple, stops: set[int], vllm: Vllm | None) -> dict[str, dict[str, list[float]]]:
    """Tokens per second by mode and side, one number for each repeat; within a repeat the sides take turns."""
    rates: dict[str, dict[str, list[float]]] = {"fixed": {}, "natural": {}}
    for repeat in range(-1, arguments.repeats):  # the first warms up, with fewer tokens
        tokens = arguments.tokens if repeat >= 0 else 4
        for mode, ends in (("fixed", set()), ("natural", stops)):
            sides = {
                "built-in": partial(built_in, *given, tokens, ends, repeat + 1),
                "transformers": partial(transformers_generate, *given, tokens, ends, sys.maxsize),
                "transformers, 128 rows": partial(transformers_generate, *given, tokens, ends, 128),
            }
            if vllm:
                asked = {"group": arguments.group, "tokens": tokens, "natural": bool(ends), "stops": sorted(stops)}
                sides["vllm"] = partial(vllm, **asked)
            for name, run in sides.items():
                count, seconds = run()
                if repeat >= 0:
                    rates[mode].setdefault(name, []).append(count / seconds)
                    print(f"{mode} {name}: {count:,} tokens, {count / seconds:,.0f} tokens/s", file=sys.stderr)
    return rates


def measure(arguments) -> dict:
    import polars as pl
    import torch

    from in2x.model.loading import load_model, load_tokenizer
    from in2x.model.prompts import chat_prompts, chat_stops

    torch.set_num_threads(arguments.threads)
    model, tokenizer = load_model(arguments.model), load_tokenizer(arguments.model)
    texts = pl.read_parquet(arguments.prompts)["prompt"].head(arguments.num_prompts)
    prompts, stops = chat_prompts(tokenizer, texts), chat_stops(tokenizer)
    rows, context = len(prompts) * arguments.group, max(map(len, prompts)) + arguments.tokens + 1
    vllm = None
    if arguments.vllm_python:
        settings = {"model": str(arguments.model.absolute()), "prompts": prompts, "rows": rows, "context": context}
        vllm = Vllm(arguments.vllm_python, settings, arguments.threads)
    given = (model, tokenizer, prompts, arguments.group)
    rates = rates_of(arguments, given, stops, vllm)
    if vllm:
        vllm.close()
    peak = peaks()
    best = max(rates["fixed"]["built-in"]) * matrix_flops_per_token(model) / 1e9
    return {
        "prompts": len(prompts), "group": arguments.group, "tokens": arguments.tokens, "threads": arguments.threads,
        "repeats": arguments.repeats,
        "tokens_per_second": {m: {n: statistics.median(v) for n, v in sides.items()} for m, sides in rates.items()},
        "built_in_times": {m: _ratios(sides) for m, sides in rates.items()},
        "built_in_seconds": breakdown(*given, arguments.tokens),
        "matmul_gflops": peak | {"built-in": best, "share_of_peak": best / max(peak.values())},
    }  # fmt: skip


def _ratios(rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The built-in generator's speed as a multiple of each other's: median, lowest and highest over the repeats."""
    found = {}
    for name, values in rates.items():
        if name != "built-in":
            ratios = [ours / theirs for ours, theirs in zip(rates["built-in"], values, strict=True)]
            found[name] = {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("runs/tiny/sft/model"))
    parser.add_argument("--prompts", type=Path, default=Path("runs/tiny/instruct/rl.parquet"))
    parser.add_argument("--vllm-python", help="python of an environment with vLLM; left out, vLLM is not measured")
    parser.add_argument("--num-prompts", type=int, default=32)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments), indent=1)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
