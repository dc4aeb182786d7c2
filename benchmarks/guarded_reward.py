"""RL with the guarded sum (docs/rewards.md) against the sum without rules, from one SFT model.

    python benchmarks/guarded_reward.py recipes/tiny.toml --run runs/tiny --work /tmp/guarded --num-batches 30
    python benchmarks/guarded_reward.py ... --arms guarded --seeds 2       # one run; what is done is not done again
    python benchmarks/guarded_reward.py ... --report --out benchmarks/results/guarded_reward.json

Arms: `full` is the sum that the recipes had before; `guarded` has the guards, and numbers, markup, untranslated,
script, coverage, polarity, names and style beside it, weight 1, and relative_length, 0.5; `credit` is `guarded` with
rl.span_credit = 0.5; `back` is `guarded` with reconstruction, weight 1. Each run ends with greedy translations of the
test set. BLEU, which nothing is rewarded by, is compared over segments and seeds together (in2x.ablation.analysis).
The alignment lexicon is trained here, on --lexicon-pairs pairs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path

import polars as pl

from in2x.ablation.analysis import last_quarter, results
from in2x.artifacts import read_json, write_json, write_parquet
from in2x.evaluation.metrics import bleu_statistics, chrf_statistics
from in2x.recipe import Recipe, load
from in2x.report.folders import read_json_lines

OWN = {"adequacy": 1.0, "naturalness": 0.1, "length": 0.1, "repetition": 0.1}
RULES = dict.fromkeys(("numbers", "markup", "untranslated", "script", "coverage", "polarity", "names", "style"), 1.0)
RULES["relative_length"] = 0.5
GUARDED = {"reward_weights": OWN | RULES, "reward_guards": True, "reward_expected_length": "source"}
ARMS = {
    "full": {"reward_weights": OWN, "reward_guards": False},
    "guarded": GUARDED,
    "credit": GUARDED | {"span_credit": 0.5},
    "back": GUARDED | {"reward_weights": OWN | RULES | {"reconstruction": 1.0}},
}
MEASURES = ("reward", "gate_pass_fraction", "completion_tokens", "entropy", "span_fraction", "credit_moved",
            "informative_fraction", *(f"component/{name}" for name in (*OWN, *RULES, "reconstruction")))  # fmt: skip


def prepared(recipe: Recipe, run: Path, work: Path, num_pairs: int) -> dict[str, Path]:
    """The inputs of RL: those of the run, with a lexicon beside its preference model."""
    from in2x.rewards.alignment import train_lexicon

    inputs = {name: run / name for name in ("corpus", "instruct", "sft")} | {"reward": work / "reward"}
    if not (inputs["reward"] / "lexicon.parquet").exists():
        inputs["reward"].mkdir(parents=True, exist_ok=True)
        (inputs["reward"] / "naturalness").symlink_to((run / "reward" / "naturalness").resolve())
        pairs = pl.read_parquet(run / "corpus" / "pairs.parquet").filter(split="train").sample(num_pairs, seed=0)
        languages = recipe.corpus.pair.split("-")
        lexicon = train_lexicon(pairs["source"].to_list(), pairs["target"].to_list(), *languages)
        lexicon.save(inputs["reward"] / "lexicon.parquet")
    return inputs


def take(recipe: Recipe, inputs: dict[str, Path], folder: Path, changes: dict, seed: int, num_batches: int) -> None:
    """One run, and its translations."""
    from in2x.rl.train import run as run_rl

    settings = {"seed": seed, "num_batches": num_batches, "keep_checkpoints": 1, "dev_every_batches": 0}
    section = recipe.rl.model_validate(recipe.rl.model_dump() | changes | settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "manifest.json", {"section": section.model_dump(mode="json")})
    if not (folder / "model").exists():
        run_rl(section, folder, inputs)  # goes on from its checkpoint
    translate(recipe, inputs["corpus"], folder / "model", folder / "hypotheses.parquet")


def translate(recipe: Recipe, corpus: Path, model: Path, out: Path) -> None:
    from in2x.decoding.translate import held_out_segments, translate_greedy
    from in2x.model.loading import load_model, load_tokenizer, on_device

    section = recipe.translate
    test, (_, language) = held_out_segments(corpus, "test", section.num_segments)
    options = {"max_completion_tokens": section.max_completion_tokens, "batch_size": section.batch_size}
    loaded = on_device(load_model(model)), load_tokenizer(model)
    hypotheses = translate_greedy(*loaded, test["source"].to_list(), language, **options)
    columns = test.select("id", "source", reference="target")
    write_parquet(columns.with_columns(hypothesis=pl.Series(hypotheses)), out)


def compared(recipe: Recipe, work: Path, arms: list[str], seeds: list[int]) -> dict:
    """Scores of the arms, each against `full`, what their last quarter was like, and the SFT model's scores."""
    language = recipe.corpus.pair.split("-")[1]
    measures = {
        "BLEU": lambda one, other: bleu_statistics(one, other, language),
        "chrF2": lambda one, other: chrf_statistics(one, other),
    }

    def of(path: Path, metric: str):
        rows = pl.read_parquet(path).sort("id")
        return measures[metric](rows["hypothesis"].to_list(), rows["reference"].to_list())

    folders = {arm: [work / arm / f"seed-{seed}" for seed in seeds] for arm in arms}
    scores = {
        metric: [
            dataclasses.asdict(row)
            for row in results(
                {arm: [of(f / "hypotheses.parquet", metric) for f in own] for arm, own in folders.items()}, metric
            )
        ]
        for metric in measures
    }
    logs = {arm: [read_json_lines(folder / "metrics.jsonl") for folder in own] for arm, own in folders.items()}
    watched = {
        arm: {name: statistics.fmean(last_quarter(log, name) for log in own) for name in MEASURES}
        for arm, own in logs.items()
    }
    watched = {arm: {name: value for name, value in own.items() if value == value} for arm, own in watched.items()}
    return {
        "sft": {metric: of(work / "sft.parquet", metric).value for metric in measures},
        "scores": scores,
        "last_quarter": watched,
        "num_batches": read_json(folders[arms[0]][0] / "manifest.json")["section"]["num_batches"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["full", "guarded"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--num-batches", type=int, default=30)
    parser.add_argument("--lexicon-pairs", type=int, default=30_000)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    recipe = load(arguments.recipe)
    if not arguments.report:
        inputs = prepared(recipe, arguments.run, arguments.work, arguments.lexicon_pairs)
        if not (arguments.work / "sft.parquet").exists():
            translate(recipe, inputs["corpus"], inputs["sft"] / "model", arguments.work / "sft.parquet")
        for seed in arguments.seeds:
            for arm in arguments.arms:
                folder = arguments.work / arm / f"seed-{seed}"
                if not (folder / "hypotheses.parquet").exists():
                    take(recipe, inputs, folder, ARMS[arm], seed, arguments.num_batches)
        return
    found = compared(recipe, arguments.work, arguments.arms, arguments.seeds)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if arguments.out:
        write_json(arguments.out, found)


if __name__ == "__main__":
    main()
