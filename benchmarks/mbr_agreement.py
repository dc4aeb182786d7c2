"""How often MBR's approximations choose as exact MBR does, what they lose, and how many utilities they ask for.

    python benchmarks/mbr_agreement.py --out benchmarks/results/mbr_agreement.json

Candidates and pseudo-references are the outputs of the 16 WMT23 systems (English to Japanese, 2,074 segments), an
ensemble as it comes: no samples of one model, so few duplicates and much disagreement. `lost` is in points of the
utility, exact expectation of the exact choice less that of the approximate one.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from in2x import artifacts
from in2x.decoding.approximate import select_aggregated, select_coarse_to_fine, select_pruned
from in2x.decoding.mbr import select
from in2x.decoding.utilities import make_utility

OUTPUTS = Path(__file__).parents[2] / "shared" / "data" / "wmt" / "wmt23.en-ja.outputs.jsonl.gz"
METHODS = {
    "aggregated": lambda candidates, utility: select_aggregated(candidates),
    "coarse to fine, keep 4": lambda candidates, utility: select_coarse_to_fine(candidates, utility, keep=4),
    "coarse to fine, keep 8": lambda candidates, utility: select_coarse_to_fine(candidates, utility, keep=8),
    "pruned, first 8": select_pruned,
    "pruned, first 4, confidence 0.9": lambda candidates, utility: select_pruned(
        candidates, utility, num_first=4, confidence=0.9
    ),
}


def measure(candidate_lists: list[list[str]], name: str) -> list[dict]:
    utility = make_utility(name, target_language="ja")
    num_asked = 0

    def counted(hypotheses, references):
        nonlocal num_asked
        num_asked += len(hypotheses) * len(references)
        return utility(hypotheses, references)

    exact = [select(candidates, counted) for candidates in candidate_lists]
    num_all = num_asked
    found = []
    for label, method in METHODS.items():
        num_asked = 0
        indices = [method(candidates, counted).index for candidates in candidate_lists]
        lost = np.array([c.expected_utility - c.expected_utilities[i] for c, i in zip(exact, indices, strict=True)])
        agreement = {"agree_fraction": float((lost < 1e-9).mean()), "mean_lost": float(lost.mean())}
        asked = {"max_lost": float(lost.max()), "asked_fraction": num_asked / num_all}
        found.append({"utility": name, "method": label} | agreement | asked)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, default=OUTPUTS, help="JSON lines with hyps: {system: text}")
    parser.add_argument("--every", type=int, default=1, help="take every n-th segment")
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    with gzip.open(options.outputs, "rt", encoding="utf-8") as stream:
        segments = [list(json.loads(line)["hyps"].values()) for line in stream][:: options.every]
    candidate_lists = [[text for text in texts if text.strip()] for texts in segments]
    found = [row for name in ("chrf", "bleu") for row in measure(candidate_lists, name)]
    table = Table(title=f"{len(candidate_lists)} segments", title_justify="left")
    for head in ("utility", "method", "agree", "lost, mean", "lost, most", "utilities asked for"):
        table.add_column(head, justify="left" if head in ("utility", "method") else "right")
    for row in found:
        shares = [f"{row[key]:.1%}" for key in ("agree_fraction", "asked_fraction")]
        table.add_row(
            row["utility"], row["method"], shares[0], f"{row['mean_lost']:.3f}", f"{row['max_lost']:.2f}", shares[1]
        )
    Console(width=120).print(table)
    if options.out:
        about = {"versions": artifacts.versions(), "git_commit": artifacts.git_commit()}
        artifacts.write_json(options.out, {"num_segments": len(candidate_lists), "rows": found} | about)


if __name__ == "__main__":
    main()
