"""Time the paired bootstrap beside sacreBLEU's own (`PairedTest`), same texts, same draws, one run.

    python benchmarks/bootstrap.py --data ../shared/data/wmt --out benchmarks/results/bootstrap.json

All systems but the first are compared with it by chrF2 and BLEU. `--data` is a folder with WMT23's en-ja outputs and
references (wmt23.en-ja.outputs.jsonl.gz, wmt23.en-ja.tsv.gz); segments are repeated where more are asked for than
there are. Without it, Japanese-like texts are made up. Both sides count statistics of the texts first, sacreBLEU
within its test; that part is timed apart. The processor's time is not stretched by other work on the machine; set
OMP_NUM_THREADS=1 to give both sides one core.

Targets: the bootstrap at least 20 times as fast and under 0.5 s, with the same p-values within Monte-Carlo noise.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from in2x import artifacts
from in2x.evaluation import bootstrap, metrics

METRICS = ("chrF2", "BLEU")
LANGUAGE = "ja"
SEED = 12345  # sacreBLEU's default
OTHER_SEED = 54321
TARGET_RATIO, TARGET_SECONDS = 20, 0.5
SUBJECTS = ["彼", "私の友人", "新しい大統領", "東京の大学生", "その会社", "猫", "専門家", "昨日の試合"]
OBJECTS = ["長い手紙", "古い映画", "難しい問題", "新製品の発表", "朝ご飯", "計画の詳細", "白い花", "その結果"]
PLACES = ["駅の前で", "静かな図書館で", "会議のあとに", "昨日の夜", "二〇二三年に", "インターネット上で", "海の近くで"]
VERBS = [
    "を読みました。",
    "を見ていた。",
    "について説明した。",
    "を待っています。",
    "を批判しました。",
    "を忘れられない。",
]


@dataclass
class Clock:
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu

    def __sub__(self, other: Clock) -> Clock:
        return Clock(self.wall_seconds - other.wall_seconds, self.cpu_seconds - other.cpu_seconds)

    def over(self, other: Clock) -> dict[str, float]:
        """How many times as long as the other."""
        return {"wall": self.wall_seconds / other.wall_seconds, "cpu": self.cpu_seconds / other.cpu_seconds}


def read_wmt23(folder: Path, num_systems: int, num_segments: int) -> tuple[dict[str, list[str]], list[str]]:
    """Read outputs and references, from the first segment on and over again until there are enough."""
    with gzip.open(folder / "wmt23.en-ja.tsv.gz", "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    place = rows[0].index("ref")
    by_id = {row[0]: row[place] for row in rows[1:]}
    with gzip.open(folder / "wmt23.en-ja.outputs.jsonl.gz", "rt", encoding="utf-8") as stream:
        outputs = [json.loads(line) for line in stream]
    names = sorted(outputs[0]["hyps"])
    if num_systems > len(names):
        raise artifacts.In2xError(f"{folder}: holds {len(names)} systems; --systems {num_systems} is more")
    chosen = [outputs[i % len(outputs)] for i in range(num_segments)]
    systems = {name: [row["hyps"][name] for row in chosen] for name in names[:num_systems]}
    return systems, [by_id[row["id"]] for row in chosen]


def make_up(num_systems: int, num_segments: int) -> tuple[dict[str, list[str]], list[str]]:
    """Make sentences of one to three clauses, and systems that get more and more of their parts wrong."""
    draw = random.Random(0)
    parts = (PLACES, SUBJECTS, ["が", "は"], OBJECTS, VERBS)
    clauses = [[[draw.choice(part) for part in parts] for _ in range(draw.randint(1, 3))] for _ in range(num_segments)]
    systems = {}
    for number in range(num_systems):
        noise = 0.3 + 0.004 * number
        systems[f"system{number}"] = [
            "".join(
                draw.choice(part) if draw.random() < noise else word
                for clause in segment
                for word, part in zip(clause, parts, strict=True)
            )
            for segment in clauses
        ]
    return systems, ["".join(word for clause in segment for word in clause) for segment in clauses]


def run_sacrebleu(systems: dict[str, list[str]], references: list[str], num_resamples: int):
    """Return their p-values by metric, one per system but the first, the time of it all, and of counting alone."""
    counting, everything = Clock(), Clock()

    def timed(metric):
        count = metric._extract_corpus_statistics

        def counted(*arguments):
            with counting.running():
                return count(*arguments)

        metric._extract_corpus_statistics = counted
        return metric

    with everything.running():
        theirs = {"chrF2": timed(CHRF()), "BLEU": timed(BLEU(tokenize=metrics.tokenizer_for(LANGUAGE)))}
        _, rows = PairedTest(list(systems.items()), theirs, [references], "bs", num_resamples)()
    return {name: [result.p_value for result in rows[name][1:]] for name in METRICS}, everything, counting


def run_ours(systems: dict[str, list[str]], references: list[str], num_resamples: int, repeats: int):
    """Return our comparisons by seed and definition, the time of counting, and the best time of the bootstrap."""
    counting = Clock()
    with counting.running():
        statistics = {
            name: {
                "chrF2": metrics.chrf_statistics(texts, references),
                "BLEU": metrics.bleu_statistics(texts, references, LANGUAGE),
            }
            for name, texts in systems.items()
        }
    baseline = next(iter(systems))
    clocks = []
    for _ in range(repeats):
        clocks.append(Clock())
        with clocks[-1].running():
            two_sided = bootstrap.paired_bootstraps(
                statistics, baseline=baseline, num_resamples=num_resamples, seed=SEED
            )
    best = Clock(min(clock.wall_seconds for clock in clocks), min(clock.cpu_seconds for clock in clocks))
    as_sacrebleu = {
        seed: bootstrap.paired_bootstraps(
            statistics, baseline=baseline, num_resamples=num_resamples, seed=seed, definition="sacrebleu"
        )
        for seed in (SEED, OTHER_SEED)
    }
    return two_sided, as_sacrebleu, counting, best


def measure(systems: dict[str, list[str]], references: list[str], num_resamples: int, repeats: int) -> dict:
    """Run both sides and set their times and p-values beside each other."""
    their_p_values, everything, counting = run_sacrebleu(systems, references, num_resamples)
    two_sided, as_sacrebleu, our_counting, cached = run_ours(systems, references, num_resamples, repeats)
    baseline, *others = systems
    rows = [
        {
            "metric": metric,
            "system": name,
            "delta": two_sided[metric, name, baseline].delta,
            "p_sacrebleu": their_p_values[metric][number],
            "p_same_draws": as_sacrebleu[SEED][metric, name, baseline].p_value,
            "p_other_draws": as_sacrebleu[OTHER_SEED][metric, name, baseline].p_value,
            "p_two_sided": two_sided[metric, name, baseline].p_value,
        }
        for metric in METRICS
        for number, name in enumerate(others)
    ]
    ours = Clock(our_counting.wall_seconds + cached.wall_seconds, our_counting.cpu_seconds + cached.cpu_seconds)
    return {
        "num_systems": len(systems),
        "num_segments": len(references),
        "characters_per_segment": sum(map(len, references)) / len(references),
        "num_resamples": num_resamples,
        "sacrebleu_everything": vars(everything),
        "sacrebleu_counting": vars(counting),
        "sacrebleu_bootstrap": vars(everything - counting),
        "in2x_counting": vars(our_counting),
        "in2x_bootstrap": vars(cached),
        "ratio_bootstrap": (everything - counting).over(cached),
        "ratio_with_counting": everything.over(ours),
        "largest_p_difference_same_draws": max(abs(row["p_sacrebleu"] - row["p_same_draws"]) for row in rows),
        "largest_z_other_draws": max(_z(row["p_sacrebleu"], row["p_other_draws"], num_resamples) for row in rows),
        "p_values": rows,
    }


def _z(p: float, q: float, num_resamples: int) -> float:
    """Difference of two Monte-Carlo p-values in standard errors; at least one draw's worth of error is allowed."""
    mean = (p + q) / 2
    return abs(p - q) / max(np.sqrt(2 * mean * (1 - mean) / num_resamples), 1 / num_resamples)


def show(found: dict, console: Console) -> None:
    times = Table(
        title=f"{found['num_systems']} systems, {found['num_segments']} segments, B = {found['num_resamples']}"
    )
    for title in ("", "wall seconds", "processor seconds"):
        times.add_column(title)
    for key in ("sacrebleu_counting", "sacrebleu_bootstrap", "in2x_counting", "in2x_bootstrap"):
        times.add_row(key.replace("_", ", "), *(f"{value:.3f}" for value in found[key].values()))
    console.print(times)
    for key, of in (("ratio_bootstrap", "statistics cached"), ("ratio_with_counting", "counting from text included")):
        ratio = found[key]
        console.print(
            f"{ratio['wall']:.1f} times as fast by the wall clock, {ratio['cpu']:.1f} in processor time ({of})"
        )
    fast = found["in2x_bootstrap"]["wall_seconds"]
    met = min(found["ratio_bootstrap"].values()) >= TARGET_RATIO and fast < TARGET_SECONDS
    console.print(
        f"targets (ratio {TARGET_RATIO}, {TARGET_SECONDS} s, statistics cached): {'met' if met else 'missed'}"
    )
    table = Table(title="p-values: sacreBLEU's; ours by its definition, same and other draws; ours two-sided")
    for title in ("metric", "system", "delta", "sacreBLEU", "same draws", "other draws", "two-sided"):
        table.add_column(title)
    for row in found["p_values"]:
        numbers = [row["delta"], row["p_sacrebleu"], row["p_same_draws"], row["p_other_draws"], row["p_two_sided"]]
        table.add_row(row["metric"], row["system"], *(f"{number:.4f}" for number in numbers))
    console.print(table)
    console.print(
        f"largest difference of p: {found['largest_p_difference_same_draws']:.4f} on the same draws; "
        f"{found['largest_z_other_draws']:.1f} standard errors on other draws"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with WMT23's en-ja outputs and references")
    parser.add_argument("--systems", type=int, default=10)
    parser.add_argument("--segments", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5, help="runs of our bootstrap; the best is reported")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    os.environ.pop("SACREBLEU_SEED", None)
    texts = read_wmt23(options.data, options.systems, options.segments) if options.data else None
    systems, references = texts or make_up(options.systems, options.segments)
    found = measure(systems, references, options.resamples, options.repeats)
    show(found, Console(width=120, highlight=False))
    if options.out:
        about = {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "git_commit": artifacts.git_commit(),
            "versions": artifacts.versions(),
            "machine": artifacts.machine(),
            "texts": "WMT23 en-ja" if options.data else "made up",
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        artifacts.write_json(options.out, about | found)


if __name__ == "__main__":
    main()
