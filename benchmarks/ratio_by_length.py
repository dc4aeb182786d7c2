"""What importance ratios do as completions grow longer: who is clipped, and how many samples still count.

    python benchmarks/ratio_by_length.py recipes/tiny.toml --out benchmarks/results/ratio_by_length.json

Needs the recipe's run, up to its reward stage. From the SFT model, RL takes 1, 2 and 4 updates on one rollout
batch with the recipe's settings: the policies that a mini-batch meets. The SFT model also samples texts that go on to
the longest length, stops ignored; their log-ratios are then measured on their first 8, 16, ... tokens, so that only the
length differs. Each rule meets all of them twice, with advantage +1 and with -1.

Effective sample size is Kish's share (E w)^2 / E w^2, of the weights as each clip leaves them; 1 is all samples.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import polars as pl
import torch

from in2x import stages
from in2x.artifacts import write_json
from in2x.decoding.generate import generate
from in2x.model.loading import load_model, load_tokenizer
from in2x.model.logprobs import completion_logprobs
from in2x.model.prompts import chat_prompts
from in2x.recipe import load
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs
from in2x.rl.train import run as run_rl
from in2x.sections import RlSection

RULES = {"trajectory, capped": "tic-grpo", "length-fair band": "fspo", "sequence": "gspo", "token": "grpo"}
BATCH_ROWS = 16


def updated_models(section: RlSection, folder: Path, num_updates: tuple[int, ...], scratch: Path):
    """(updates, model) after so many mini-batch updates of one rollout batch from the run's SFT model."""
    inputs = {name: folder / name for name in ("corpus", "instruct", "sft", "reward")}
    for number in num_updates:
        settings = {
            "num_batches": 1,
            "batch_completions": section.mini_batch_completions * number,
            "keep_checkpoints": 1,
            "dev_every_batches": 0,
        }
        where = scratch / str(number)
        where.mkdir()
        run_rl(section.model_validate(section.model_dump() | settings), where, inputs)
        yield number, load_model(where / "model")


def long_samples(folder: Path, temperature: float, num_samples: int, num_tokens: int, seed: int):
    """Prompts and completions of `num_tokens` tokens each, sampled from the SFT model without a stop."""
    model, tokenizer = load_model(folder / "sft" / "model"), load_tokenizer(folder / "sft" / "model")
    prompts = pl.read_parquet(folder / "instruct" / "rl.parquet")["prompt"].head(num_samples).to_list()
    prompt_ids = chat_prompts(tokenizer, prompts)
    options = {"stop_ids": set(), "max_completion_tokens": num_tokens, "temperature": temperature, "seed": seed}
    completions = generate(model, tokenizer, prompt_ids, **options)
    return model, [(prompt, group[0].token_ids) for prompt, group in zip(prompt_ids, completions, strict=True)]


@torch.inference_mode()
def logprobs_of(model, samples, temperature: float) -> torch.Tensor:
    """Log-probability of each completion token, N x T."""
    model.eval()
    rows = []
    for start in range(0, len(samples), BATCH_ROWS):
        part = samples[start : start + BATCH_ROWS]
        longest = max(len(prompt) + len(tokens) for prompt, tokens in part)
        ids, mask = torch.zeros((len(part), longest), dtype=torch.long), torch.zeros((len(part), longest)).bool()
        for row, (prompt, tokens) in enumerate(part):
            end = len(prompt) + len(tokens)
            ids[row, :end] = torch.tensor(prompt + tokens)
            mask[row, len(prompt) : end] = True
        positions = torch.arange(longest).expand(ids.shape)
        values = completion_logprobs(model, ids, positions, mask, temperature)[0]
        rows.append(values[mask].reshape(len(part), -1))
    return torch.cat(rows)


def measure(new_NT: torch.Tensor, old_NT: torch.Tensor, length: int) -> dict:
    """Log-ratios of the first `length` tokens, and what each rule makes of them: see `_under`."""
    new_NT, old_NT = new_NT[:, :length], old_NT[:, :length]
    found = {"mean_abs_log_ratio": float((new_NT - old_NT).sum(1).abs().mean())}
    for rule, name in RULES.items():
        found[rule] = {
            "positive": _under(ALGORITHMS[name], new_NT, old_NT, 1.0),
            "negative": _under(ALGORITHMS[name], new_NT, old_NT, -1.0),
        }
    return found


def _under(algorithm, new_NT: torch.Tensor, old_NT: torch.Tensor, advantage: float) -> dict[str, float]:
    """The share of units that the clip silences, and their effective sample size.

    A unit is what has a weight of its own: a token at token level, else a completion. Its weight is what the loss
    passes back to its log-probabilities.
    """
    inputs = LossInputs(
        logprobs_BT=new_NT.clone().requires_grad_(),
        old_logprobs_BT=old_NT,
        completion_mask_BT=torch.ones_like(new_NT, dtype=torch.bool),
        advantages_B=torch.full((len(new_NT),), advantage),
        entropy_BT=torch.zeros_like(new_NT),
        num_completions=len(new_NT),
        num_tokens=new_NT.numel(),
        max_completion_tokens=new_NT.shape[1],
    )
    algorithm.loss(inputs, algorithm.settings(kl_coefficient=0.0)).loss.backward()
    size_NT = inputs.logprobs_BT.grad.abs()
    weights = size_NT.flatten() if algorithm.level == "token" else size_NT.sum(1)
    return {"silenced_fraction": float((weights == 0).float().mean()), "effective_fraction": _effective(weights)}


def _effective(weights: torch.Tensor) -> float:
    total = float(weights.square().sum())
    return float(weights.sum()) ** 2 / (len(weights) * total) if total else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, help="folder of the run; left out, the recipe's")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--lengths", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--updates", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    stages.silence_transformers()
    recipe = load(args.recipe)
    folder, temperature = args.run or recipe.folder, recipe.rl.start_temperature
    sft, samples = long_samples(folder, temperature, args.samples, max(args.lengths), args.seed)
    old_NT, rows = logprobs_of(sft, samples, temperature), []
    with tempfile.TemporaryDirectory() as scratch:
        for number, model in updated_models(recipe.rl, folder, tuple(args.updates), Path(scratch)):
            new_NT = logprobs_of(model, samples, temperature)
            for length in args.lengths:
                rows.append({"updates": number, "tokens": length} | measure(new_NT, old_NT, length))
                print(_line(rows[-1]), flush=True)
    if args.out:
        write_json(args.out, {"samples": args.samples, "seed": args.seed, "rows": rows})


def _line(row: dict) -> str:
    parts = [f"{row['updates']} updates, {row['tokens']:4} tokens: |S| {row['mean_abs_log_ratio']:.3f}"]
    for rule in RULES:
        signs = (row[rule]["positive"], row[rule]["negative"])
        silenced = "/".join(f"{sign['silenced_fraction']:.0%}" for sign in signs)
        effective = "/".join(f"{sign['effective_fraction']:.0%}" for sign in signs)
        parts.append(f"{rule} {silenced} silenced, {effective} effective")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
