"""A synthetic run: every stage folder in its documented form, with the numbers of a small model."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

HOSTILE = '<script>alert("x")</script> & <img src=http://evil.example/a.png onerror=alert(1)>'
STAGES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("synthetic_run.json").read_text("utf-8"))
SYSTEMS = ("base", "pretrain/knowledge", "pretrain/long", "pretrain/anneal", "sft", "rl", "merge")
PAIRS = (
    ("What are you doing?", "何してるの？"),
    ("I can't help falling in love with you.", "あなたを好きにならずにはいられない。"),
    ("It's raining cats and dogs, so let's call it a day.", "土砂降りだし、今日はここまでにしよう。"),
    ("Could you please tell me how to get to the station?", "駅への行き方を教えていただけますか。"),
    (
        "He has been living in Osaka for more than ten years, and yet he has never once eaten takoyaki.",
        "彼は大阪に十年以上住んでいるのに、たこ焼きを一度も食べたことがない。",
    ),
)
DRAFTS = (
    "あなたは何をしていますか？",
    "私はあなたと恋に落ちることを助けることができません。",
    "それは猫と犬を降らせています、だから私たちはそれを一日と呼びましょう。",
    "駅への行き方を私に教えてください。",
    "彼は大阪に住んでいます十年以上、そして彼は決してたこ焼きを食べたことがありません。",
)


@pytest.fixture
def run_folder(tmp_path: Path) -> dict[str, Path]:
    """Return the stage folders of a complete synthetic run."""
    return build_run(tmp_path / "run")


def build_run(root: Path) -> dict[str, Path]:
    rng = random.Random(1)
    folders = {name: root / name for name in STAGES}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        write(folder / "manifest.json", manifest(name))
    for name, rows in (("pretrain", pretrain_log), ("sft", sft_log), ("reward", reward_log), ("rl", rl_log)):
        lines = [json.dumps(row) for row in rows(rng)]
        (folders[name] / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 99', encoding="utf-8")
    write_hypotheses(folders["translate"] / "hypotheses.parquet")
    write(folders["evaluate"] / "scores.json", scores())
    write(folders["evaluate"] / "comparisons.json", comparisons())
    write(folders["evaluate"] / "samples.json", samples())
    write(folders["evaluate"] / "easy_samples.json", samples()[:2])
    write(folders["evaluate"] / "by_difficulty.json", by_difficulty())
    return folders


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def manifest(stage: str) -> dict[str, Any]:
    return {
        "stage": stage,
        "status": "complete",
        "fingerprint": f"{sum(stage.encode()):08x}",
        "inputs": {"corpus": "0badf00d"} if stage != "corpus" else {},
        "section": STAGES[stage]["section"],
        "versions": {"in2x": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"},
        "seed": 1,
        "git_commit": "a1b2c3d4e5f6",
        "machine": {"cpu": "AMD EPYC 9R14", "num_cores": 2, "num_threads": 2, "memory_bytes": 8 * 2**30},
        "started_at": "2026-03-02T09:15:00+00:00",
        "seconds": STAGES[stage]["seconds"],
        "peak_memory_bytes": int(STAGES[stage]["seconds"] % 900 + 300) * 2**20,
        "results": results(stage),
    }


def results(stage: str) -> dict[str, Any]:
    """Return a stage's results with the examples that it would hold."""
    drafted = [(s, r, d) for (s, r), d in zip(PAIRS, DRAFTS, strict=True)]
    examples = {
        "instruct": [
            {"task": "translate", "prompt": f"Translate into Japanese:\n{s}", "response": r} for s, r in PAIRS
        ],
        "reward": [
            {"source": s, "chosen": r, "rejected": d, "margin": 2.41 - i} for i, (s, r, d) in enumerate(drafted)
        ],
        "rl": [
            {
                "source": s,
                "reference": r,
                "rollouts": [rollout(i, t) for i, t in enumerate((d, r, HOSTILE, "の" * 900))],
            }
            for s, r, d in drafted[:3]
        ],
    }
    return STAGES[stage]["results"] | ({"examples": examples[stage]} if stage in examples else {})


def rollout(index: int, text: str) -> dict[str, Any]:
    components = {"adequacy": 0.7 - 0.2 * index, "naturalness": 1.2 - index, "length": 0.0, "repetition": 0.0}
    return {"text": text, "reward": 0.8 - 0.4 * index, "components": components}


def pretrain_log(rng: random.Random) -> list[dict[str, Any]]:
    rows, total = [], 0
    for number, phase in enumerate(("knowledge", "long", "anneal")):
        for step in range(1, 480 // (number + 1) + 1):
            total += 1
            loss = 3.2 + 4.5 * math.exp(-total / 130) - 0.3 * number + rng.gauss(0, 0.09)
            rows.append(
                {
                    "step": step,
                    "phase": phase,
                    "loss": loss,
                    "tokens": total * 8192,
                    "learning_rate": 6e-4 if number < 2 else 6e-4 * (1 - step / 161),
                    "gradient_norm": abs(rng.gauss(0.8, 0.2)),
                    "tokens_per_second": rng.gauss(1100, 40),
                }
            )
    return rows


def sft_log(rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, 301):
        loss = 1.3 + 1.9 * math.exp(-step / 60) + rng.gauss(0, 0.08)
        row = {
            "step": step,
            "loss": loss,
            "learning_rate": 2e-4 * (1 + math.cos(math.pi * step / 300)) / 2,
            "gradient_norm": abs(rng.gauss(1.1, 0.3)),
            "tokens_per_second": rng.gauss(900, 60),
        }
        rows.append(row | ({"dev_loss": 1.4 + 1.8 * math.exp(-step / 60)} if step % 50 == 0 else {}))
    return rows


def reward_log(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "step": s,
            "loss": 0.3 + 0.4 * math.exp(-s / 20) + rng.gauss(0, 0.04),
            "accuracy": min(1.0, 0.9 - 0.4 * math.exp(-s / 15) + rng.gauss(0, 0.03)),
        }
        for s in range(1, 63)
    ]


def rl_log(rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, 401):
        learned = 1 - math.exp(-step / 150)
        row = {
            "step": step,
            "reward": 0.3 + 0.35 * learned + rng.gauss(0, 0.06),
            "adequacy": 0.28 + 0.1 * learned + rng.gauss(0, 0.02),
            "naturalness": -0.4 + learned + rng.gauss(0, 0.2),
            "length_penalty": -abs(rng.gauss(0, 0.02)),
            "gate_pass_fraction": min(1.0, 0.86 + 0.12 * learned + rng.gauss(0, 0.02)),
            "component/repetition": -abs(rng.gauss(0.05, 0.02)) * (1 - learned),
            "component/<b>own</b>": rng.random(),
            "entropy": 1.9 - 0.7 * learned + rng.gauss(0, 0.05),
            "clip_high_fraction": abs(rng.gauss(0.12, 0.03)),
            "dual_clip_fraction": abs(rng.gauss(0.02, 0.01)),
            "completion_tokens": rng.gauss(17, 1),
            "temperature": 1.0 - 0.3 * step / 400,
            "gradient_norm": abs(rng.gauss(0.5, 0.1)),
            "ratio": rng.gauss(1, 0.02),
            "approx_kl": abs(rng.gauss(0.004, 0.002)),
            "informative_fraction": min(1.0, rng.gauss(0.9, 0.04)),
            "loss": rng.gauss(-0.02, 0.05),
            "queue_length": rng.randint(0, 8),
        }
        if step in (50, 51):
            row |= {"gradient_norm": math.nan, "loss": math.inf}
        rows.append(row)
    return rows


def write_hypotheses(path: Path) -> None:
    rows = [
        {
            "system": system,
            "decoding": decoding,
            "segment_id": f"tatoeba:{i}",
            "source": s,
            "reference": r,
            "hypothesis": d,
            "num_tokens": 12,
            "finished": system != "base" or i > 1,
        }
        for system in SYSTEMS
        for decoding in ("greedy", "mbr")
        for i, ((s, r), d) in enumerate(zip(PAIRS, DRAFTS, strict=True))
    ]
    pl.DataFrame(rows).write_parquet(path)


def by_difficulty() -> list[dict[str, Any]]:
    return [score | {"difficulty": name, "num_segments": number}
            for name, number in (("difficult", 300), ("very-simple", 50)) for score in scores()]  # fmt: skip


def scores() -> list[dict[str, Any]]:
    chrf = dict(zip(SYSTEMS, (2.1, 14.8, 15.6, 20.2, 27.4, 29.9, 30.3), strict=True))
    rows = []
    for system, value in chrf.items():
        for decoding, gain in (("greedy", 0.0), ("mbr", 1.7)):
            role = "selector" if decoding == "mbr" else "reward" if system in ("rl", "merge") else "judge"
            for metric, number, said in (
                ("chrF2", value + gain, role),
                ("BLEU", 0.82 * value + gain / 2, "judge"),
            ):
                rows.append(
                    {
                        "system": system,
                        "decoding": decoding,
                        "metric": metric,
                        "value": number,
                        "low": number - 0.8,
                        "high": number + 0.9,
                        "num_segments": 1000,
                        "role": said,
                        "signature": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
                        if metric == "chrF2"
                        else "nrefs:1|case:mixed|eff:no|tok:ja-mecab-0.996-IPA|smooth:exp|version:2.6.0",
                    }
                )
    return rows


def comparisons() -> list[dict[str, Any]]:
    rows = []
    for a, b, delta, p in (
        ("sft", "base", 25.3, 0.0002),
        ("rl", "sft", 2.05, 0.003),
        ("merge", "rl", 0.33, 0.21),
    ):
        rows.append(
            {
                "system_a": a,
                "decoding_a": "greedy",
                "system_b": b,
                "decoding_b": "greedy",
                "metric": "BLEU",
                "delta": delta,
                "low": delta - 0.6,
                "high": delta + 0.6,
                "p_value": p,
            }
        )
    return rows


def samples() -> list[dict[str, Any]]:
    rows = []
    for index in range(20):
        (source, reference), draft = PAIRS[index % 5], DRAFTS[index % 5]
        texts = (
            HOSTILE if index == 0 else "the the " * (120 if index == 2 else 6),
            draft[:4] * 3,
            draft[:8],
            draft[:12],
            draft,
            reference,
            reference,
        )
        hypotheses = {f"{system}/greedy": text for system, text in zip(SYSTEMS, texts, strict=True)}
        hypotheses |= {"sft/mbr": draft, "rl/mbr": reference, "merge/mbr": reference if index % 2 else draft}
        rows.append(
            {
                "segment_id": f"tatoeba:{4704 + index}",
                "source": source,
                "reference": reference,
                "hypotheses": hypotheses,
            }
        )
    return rows


@pytest.fixture
def page() -> Callable[..., str]:
    """Return the builder of pages under its public name."""
    from in2x.report.build import build_page

    return build_page
