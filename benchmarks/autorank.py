"""Time AutoRank and its stability on WMT25's scores: 43 systems, 87 documents, 332 segments, 5 metrics.

    python benchmarks/autorank.py automatic_scores.en-ja_JP.jsonl.gz --out benchmarks/results/autorank.json

Each part runs `--repeats` times; best and median of the wall clock are shown, and the least processor time, which other
work on the machine does not stretch. Set OMP_NUM_THREADS=1 there. Target: AutoRank with 2,000 resamples in under 3 s,
reading included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from in2x import artifacts
from in2x.evaluation import autorank, autorank_report, stability
from in2x.evaluation.autorank_files import pools, read_rows

TARGET = "read, rank and resample"
TARGET_SECONDS = 3.0


def measure(path: Path, num_resamples: int, repeats: int) -> dict:
    """Time every part on one file; the first pair of the file is ranked."""
    rows = read_rows(path)
    pool = next(iter(pools(rows).values()))
    groups = {autorank_report.WHOLE: pool.pool}
    draws = (num_resamples, autorank_report.SEED)

    def read_and_rank():
        fresh = next(iter(pools(read_rows(path)).values()))
        return stability.overall(fresh, groups, *draws)

    parts: dict[str, Callable[[], object]] = {
        "read the file": lambda: read_rows(path),
        "check and lay out": lambda: pools(rows),
        "rank": lambda: autorank.autorank(autorank.system_means(pool)),
        "resample documents": lambda: stability.overall(pool, groups, *draws),
        "resample without each metric": lambda: stability.without_each_metric(pool, groups, *draws),
        "resample within each domain": lambda: stability.by_domain(pool, groups, *draws),
        "everything of the command": lambda: autorank_report.rank_pool(pool, None, (), *draws),
        TARGET: read_and_rank,
    }
    return {
        "file": path.name,
        "pair": pool.pair,
        "pool": autorank.pool_hash(pool),
        "num_systems": len(pool.systems),
        "num_documents": len(pool.documents),
        "num_segments": len(pool.document_of_N),
        "num_metrics": len(pool.metrics),
        "num_resamples": num_resamples,
        "repeats": repeats,
        "seconds": {name: _seconds(call, repeats) for name, call in parts.items()},
        "target_seconds": {TARGET: TARGET_SECONDS},
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": os.getloadavg()[0],
        "machine": artifacts.machine(),
        "versions": artifacts.versions(),
        "git_commit": artifacts.git_commit(),
    }


def _seconds(call: Callable[[], object], repeats: int) -> dict[str, float]:
    wall, processor = [], []
    for _ in range(repeats):
        start, start_processor = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return {"best": min(wall), "median": statistics.median(wall), "processor": min(processor)}


def show(found: dict) -> None:
    title = (
        f"{found['pair']}: {found['num_systems']} systems, {found['num_documents']} documents, "
        f"{found['num_segments']} segments, {found['num_metrics']} metrics, {found['num_resamples']:,} resamples; "
        f"load {found['load_average']:.1f}"
    )
    table = Table()
    for head in ("part", "best, ms", "median, ms", "processor, ms", "target, ms"):
        table.add_column(head, justify="left" if head == "part" else "right", no_wrap=True)
    for name, seconds in found["seconds"].items():
        target = found["target_seconds"].get(name)
        cells = [f"{1000 * seconds[key]:,.1f}" for key in ("best", "median", "processor")]
        table.add_row(name, *cells, f"{1000 * target:,.0f}" if target else "")
    Console(width=160, highlight=False).print(title, table, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path, help="per-segment scores, .jsonl or .jsonl.gz")
    parser.add_argument("--resamples", type=int, default=autorank_report.NUM_RESAMPLES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    options = parser.parse_args()
    if min(options.resamples, options.repeats) < 1:
        parser.error("--resamples and --repeats: expected at least 1")
    found = measure(options.scores, options.resamples, options.repeats)
    show(found)
    if options.out:
        artifacts.write_json(options.out, found)


if __name__ == "__main__":
    main()
