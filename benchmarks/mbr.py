"""Time exact chrF MBR beside mbrs (Deguchi et al. 2024): the same candidates, which are also the pseudo-references.

    python benchmarks/mbr.py --peer-python /tmp/mbrs-venv/bin/python --out benchmarks/results/mbr.json

mbrs pins other versions than this project, so it lives in an environment of its own:

    python3.11 -m venv /tmp/mbrs-venv
    /tmp/mbrs-venv/bin/pip install torch==2.13.0 mbrs==0.1.8 'setuptools<81'

Its chrF runs twice: by default (sacreBLEU in 8 processes) and with its option `fastchrf` (Rust, all processors).
Start-up, imports and a warm-up are not timed. The medians of `--repeats` are compared; mbrs' default, which takes
minutes, runs once.

Candidates are real Japanese: outputs of the WMT23 systems for sentences of about 20 characters, of WMT25 systems for
paragraphs of about 300. A seeded noiser splices outputs of the same segment until there are enough. Without that data
they are random characters. Every choice must be mbrs' own, or tie with it within float32; else the exit status is 1.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data" / "wmt"
TARGET_SECONDS = {20: 0.5, 300: 6.0}
TARGET_RATIOS = {"default": 100, "fastchrf": 4}
TIE = 1e-4  # mbrs averages in float32; scores run to 100


def candidate_lists(length: int, num_segments: int, num_candidates: int, data: Path, seed: int) -> tuple[str, list]:
    """Return where the candidates are from, and lists of distinct candidates of about `length` characters."""
    generator = random.Random(seed)
    name = "wmt23.en-ja.outputs.jsonl.gz" if length < 100 else "wmt25.en-ja.docs.jsonl.gz"
    if (data / name).exists():
        pools = [pool for pool in _outputs(data / name) if 0.8 <= statistics.mean(map(len, pool)) / length <= 1.2]
    else:
        name, alphabet = "random characters", [chr(code) for code in (*range(0x3041, 0x3094), *range(0x4E00, 0x4F00))]
        pools = [["".join(generator.choices(alphabet, k=length)) for _ in range(12)] for _ in range(num_segments)]
    if len(pools) < num_segments:
        raise SystemExit(f"{name}: only {len(pools)} segments of about {length} characters; --segments takes fewer")
    return name, [_grow(pool, num_candidates, generator) for pool in generator.sample(pools, num_segments)]


def _outputs(path: Path) -> Iterator[list[str]]:
    """Yield the distinct outputs of every segment: of sentences {system: text}, of documents {system: paragraphs}."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            outputs = list(json.loads(line)["hyps"].values())
            segments = [outputs] if isinstance(outputs[0], str) else zip(*outputs, strict=False)
            for texts in segments:
                distinct = list(dict.fromkeys(text for text in texts if text.strip()))
                if distinct:
                    yield distinct


def _grow(texts: list[str], number: int, generator: random.Random) -> list[str]:
    """Add splices of two texts, with a character changed where that gives nothing new, until there are enough."""
    found = dict.fromkeys(texts[:number])
    while len(found) < number:
        one, other = generator.choice(texts), generator.choice(texts)
        low, high = sorted((generator.random(), generator.random()))
        spliced = one[: round(low * len(one))] + other[round(low * len(other)) : round(high * len(other))]
        spliced += one[round(high * len(one)) :]
        if spliced in found and spliced:
            place = generator.randrange(len(spliced))
            spliced = spliced[:place] + generator.choice(generator.choice(texts)) + spliced[place + 1 :]
        if spliced.strip():
            found[spliced] = None
    grown = list(found)
    generator.shuffle(grown)
    return grown


def time_ours(lists: list[list[str]], repeats: int) -> tuple[dict, list]:
    from in2x.decoding.mbr import select_all
    from in2x.decoding.utilities import make_utility

    utility = make_utility("chrf")
    select_all([lists[0][:4]], utility)
    wall, cpu = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        choices = select_all(lists, utility)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return {"seconds": wall, "cpu_seconds": cpu}, choices


def time_peer(peer_python: str, lists: list[list[str]], fastchrf: bool, repeats: int, choices: list) -> dict:
    """Time one variant of mbrs, and compare its choices with ours."""
    task = json.dumps({"candidate_lists": lists, "fastchrf": fastchrf, "repeats": repeats})
    command = [peer_python, str(Path(__file__).with_name("mbr_peer.py"))]
    finished = subprocess.run(command, input=task, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    found = json.loads(finished.stdout.splitlines()[-1])
    indices, scores = found.pop("indices"), found.pop("scores")
    gaps = [
        choice.expected_utility - choice.expected_utilities[index]
        for choice, index in zip(choices, indices, strict=True)
    ]
    found["num_equal"] = sum(choice.index == index for choice, index in zip(choices, indices, strict=True))
    found["num_different"] = sum(gap > TIE for gap in gaps)
    found["largest_score_difference"] = max(
        abs(choice.expected_utility - score) for choice, score in zip(choices, scores, strict=True)
    )
    return found


def measure(length: int, options: argparse.Namespace) -> dict:
    origin, lists = candidate_lists(length, options.segments, options.candidates, options.data, options.seed)
    ours, choices = time_ours(lists, options.repeats)
    found = {
        "length": length,
        "candidates_from": origin,
        "mean_characters": statistics.mean(len(text) for texts in lists for text in texts),
        "in2x": ours,
    }
    if options.peer_python:
        for name, repeats in ((name, 1 if name == "default" else options.repeats) for name in options.variants):
            found[name] = time_peer(options.peer_python, lists, name == "fastchrf", repeats, choices)
            found[name]["ratio"] = _median(found[name]) / _median(ours)
            found[name]["cpu_ratio"] = _median(found[name], "cpu_seconds") / _median(ours, "cpu_seconds")
    return found


def _median(timed: dict, key: str = "seconds") -> float:
    return statistics.median(timed[key])


def show(lengths: list[dict], options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    size = f"{options.segments} segments, {options.candidates} candidates each, {options.repeats} repeats"
    table = Table(title=f"Exact chrF MBR: {size}; load {os.getloadavg()[0]:.1f}", title_justify="left")
    for head in (
        "characters",
        "decoder",
        "seconds",
        "CPU seconds",
        "times ours",
        "CPU, times ours",
        "target",
        "choices",
    ):
        table.add_column(head, justify="left" if head == "decoder" else "right", no_wrap=True)
    for found in lengths:
        mean = f"{found['mean_characters']:.0f}"
        target = TARGET_SECONDS.get(found["length"])
        ours = found["in2x"]
        cells = (f"{_median(ours):,.3f}", f"{_median(ours, 'cpu_seconds'):,.3f}", "1", "1")
        table.add_row(mean, "in2x", *cells, f"< {target} s" if target else "", "")
        for name, ratio in TARGET_RATIOS.items():
            if name in found:
                timed = found[name]
                cells = (f"{_median(timed):,.3f}", f"{_median(timed, 'cpu_seconds'):,.3f}")
                cells += (f"{timed['ratio']:,.1f}", f"{timed['cpu_ratio']:,.1f}", f">= {ratio}")
                agreement = f"{timed['num_equal']} equal, {timed['num_different']} different"
                table.add_row(mean, f"mbrs, {name}", *cells, agreement)
    Console(width=130).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="the Python of the environment with mbrs; without it ours runs alone")
    parser.add_argument("--variants", nargs="+", choices=TARGET_RATIOS, default=["fastchrf", "default"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[20, 300], help="characters of a candidate, about")
    parser.add_argument("--segments", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the WMT outputs")
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    if min(options.segments, options.candidates, options.repeats, *options.lengths) < 1:
        parser.error("--segments, --candidates, --repeats and --lengths: expected at least 1")
    found = [measure(length, options) for length in options.lengths]
    show(found, options)
    if options.out:
        write(options, found)
    return int(any(timed.get(name, {}).get("num_different") for timed in found for name in TARGET_RATIOS))


def write(options: argparse.Namespace, found: list[dict]) -> None:
    from in2x import artifacts

    settings = {key: value for key, value in vars(options).items() if key not in ("out", "peer_python", "data")}
    about = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": os.getloadavg()[0],
        "machine": artifacts.machine(),
        "versions": artifacts.versions(),
        "git_commit": artifacts.git_commit(),
    }
    artifacts.write_json(options.out, settings | {"lengths_measured": found} | about)


if __name__ == "__main__":
    sys.exit(main())
