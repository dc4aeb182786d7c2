"""A whole rl stage in a second: a random model, a dozen prompts, and a reward that can be computed by hand."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

from in2x.artifacts import write_json
from in2x.model.loading import save_model
from in2x.rewards.compose import compose
from in2x.rewards.translation import Rewarded
from in2x.rl import train
from in2x.sections import RlSection

WORDS = ("are", "Kobe", "live", "Thank", "doing", "you", "in", "What")
DIFFICULTIES = ("simple", "moderate", "difficult")
MEASURES = {"by_domain": False, "few_shot_segments": 2, "round_trip_segments": 1, "retrieval_segments": 5,
            "few_shot_examples": [0], "max_completion_tokens": 3}  # fmt: skip


def instructions(number: int = 12, task: str = "translate") -> pl.DataFrame:
    rows = [
        {
            "id": f"p{place}", "epoch": 0, "task": task, "direction": "en-ja", "difficulty": DIFFICULTIES[place % 3],
            "prompt": f"{WORDS[place % 8]} {WORDS[place % 5]}", "response": "神戸", "source": "Kobe",
            "reference": "神戸", "group": place,
        }
        for place in range(number)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def even_share(groups) -> Rewarded:
    """Adequacy is the share of a completion's tokens with an even id; nothing fails a gate."""
    values_PG = np.array([[np.mean([i % 2 == 0 for i in c.token_ids]) for c in g.completions] for g in groups])
    passed_PG = np.ones(values_PG.shape, bool)
    return Rewarded(compose({"adequacy": values_PG}, passed_PG, {"adequacy": 1.0}), {"adequacy": values_PG},
                    [[None] * values_PG.shape[1] for _ in groups])  # fmt: skip


@dataclass
class RlStage:
    """`run(folder, **settings)` runs the stage there, or goes on with it; `reward` may be replaced."""

    root: Path
    inputs: dict
    monkeypatch: object
    reward: object = even_share
    num_closed: int = 0
    plain = staticmethod(even_share)

    def __call__(self, groups) -> Rewarded:
        return self.reward(groups)

    def close(self) -> None:
        self.num_closed += 1

    def section(self, **settings) -> RlSection:
        return RlSection(
            **{
                "lr": 5e-3, "num_batches": 3, "batch_completions": 16, "mini_batch_completions": 4, "group_size": 4,
                "max_completion_tokens": 6, "length_buffer_tokens": 2, "reward_weights": {"adequacy": 1.0},
                "length_normalise": "sequence-mean", "dev_every_batches": 0, "keep_checkpoints": 1,
                "micro_batch_tokens": 64, "measures": MEASURES,
            }
            | settings
        )  # fmt: skip

    def run(self, name: str, **settings) -> SimpleNamespace:
        folder, section = self.root / name, self.section(**settings)
        folder.mkdir(exist_ok=True)
        write_json(folder / "manifest.json", {"section": section.model_dump(mode="json")})
        self.monkeypatch.setattr(train, "build_reward", lambda *a: self)
        return SimpleNamespace(results=train.run(section, folder, self.inputs), **self.made(name))

    def made(self, name: str) -> dict:
        """Weights, tables and log of a finished stage."""
        folder = self.root / name
        tables = [pl.read_parquet(path) for path in sorted((folder / "rollouts").glob("*.parquet"))]
        log = [line for line in pl.read_ndjson(folder / "metrics.jsonl", infer_schema_length=None).to_dicts()]
        return {"weights": (folder / "model/model.safetensors").read_bytes(), "tables": tables, "log": log,
                "folder": folder}  # fmt: skip


def make_inputs(root: Path, model, tokenizer, corpus: Path) -> dict:
    inputs = {name: root / name for name in ("instruct", "sft", "reward")}
    for folder in inputs.values():
        folder.mkdir(parents=True)
    inputs["corpus"] = corpus
    save_model(model, tokenizer, inputs["sft"] / "model")
    instructions().write_parquet(inputs["instruct"] / "rl.parquet")
    instructions().write_parquet(inputs["instruct"] / "sft.parquet")
    return inputs
