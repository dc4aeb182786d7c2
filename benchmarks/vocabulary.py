"""How time and memory of our RL step grow with group size, completion length and vocabulary.

    python benchmarks/vocabulary.py --out benchmarks/results/growth.json --plot benchmarks/results/growth.svg

Each point is a process of its own; one quantity is varied at a time, and completions never stop before the limit. The
exponent is the slope of log time over log quantity between the two largest points: 1 is linear. The vocabulary is
grown around the same layers, 150,000 tokens included; peak memory is shown without what it was before the first step's
model, that is, of the whole process: imports and weights are in it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from machine import report, run_worker
from rl_step import add_options, task_of

AXES = {
    "group_size": (4, 8, 16, 32),
    "max_completion_tokens": (16, 32, 64, 128),
    "vocabulary": (6144, 32_000, 75_000, 150_000),
}


def measure(axis: str, value: int, options: argparse.Namespace) -> dict:
    """One point: prompts stay as many while groups grow."""
    changes = {axis: value, "stops": False}
    if axis == "group_size":
        changes |= {"completions": options.prompts * value, "mini_batch": options.prompts * value // 4}
    task = task_of(options, **changes)
    run = run_worker(sys.executable, "rl_ours.py", task, options.threads)
    return {"axis": axis, "value": value} | run


def exponents(points: list[dict], key: str) -> list[float | None]:
    """Slope of log `key` over log value from each point to the next."""
    slopes: list[float | None] = [None]
    for one, other in zip(points, points[1:], strict=False):
        slopes.append(math.log(other[key] / one[key]) / math.log(other["value"] / one["value"]))
    return slopes


def plot(found: dict[str, list[dict]], path: Path) -> None:
    """Bars of time and memory, relative to the largest point of each axis, as SVG without any library."""
    rows, y = [], 20
    for axis, points in found.items():
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{axis}</text>')
        for point in points:
            y += 22
            time = 220 * point["processor_seconds"] / max(p["processor_seconds"] for p in points)
            memory = 220 * point["peak_bytes"] / max(p["peak_bytes"] for p in points)
            rows.append(f'<text x="90" y="{y}" text-anchor="end">{point["value"]:,}</text>')
            rows.append(f'<rect x="100" y="{y - 12}" width="{time:.1f}" height="14" fill="#4477aa"/>')
            rows.append(f'<text x="{105 + time:.1f}" y="{y}">{point["processor_seconds"]:.1f} s</text>')
            rows.append(f'<rect x="400" y="{y - 12}" width="{memory:.1f}" height="14" fill="#cc6677"/>')
            rows.append(f'<text x="{405 + memory:.1f}" y="{y}">{point["peak_bytes"] / 1e6:,.0f} MB</text>')
        y += 34
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{y}" font-family="sans-serif" font-size="12">'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows, "</svg>"]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.set_defaults(warm_up=1, steps=1, completions=64, mini_batch=16)
    parser.add_argument("--prompts", type=int, default=4, help="while the group size varies")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--points", type=int, default=4, help="take the first so many of each axis")
    parser.add_argument("--plot", type=Path, help="draw the points to this SVG file")
    options = parser.parse_args()
    found = {axis: [measure(axis, value, options) for value in AXES[axis][: options.points]] for axis in options.axes}
    print(f"RL step of {options.threads} threads, load {os.getloadavg()[0]:.1f}: processor seconds, peak MB, exponent")
    for axis, points in found.items():
        for point, slope in zip(points, exponents(points, "processor_seconds"), strict=True):
            told = "" if slope is None else f"{slope:6.2f}"
            cells = f"{point['processor_seconds']:9.2f} s {point['peak_bytes'] / 1e6:9,.0f} MB {told}"
            print(f"  {axis:22} {point['value']:>8,} {cells}")
    if options.plot:
        plot(found, options.plot)
    settings = {name: str(value) for name, value in vars(options).items()}
    report(options.out, {"settings": settings, "points": found})


if __name__ == "__main__":
    main()
