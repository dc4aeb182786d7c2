"""Memory and time to draw documents at random from a corpus on the disk: our streams, and Hugging Face's `datasets`.

    python benchmarks/streaming.py --peer-python PYTHON --out benchmarks/results/streaming.json

The corpus is --documents texts of sentences of the run's, drawn with a seed, in a parquet file. Each side makes of it
what it reads from (an Arrow file, mapped into memory), draws documents in a random order, and tokenises them to
--tokens tokens with the same tokenizer, in a process of its own; then once more, where the Arrow file is there. The
third side reads the table into memory, as polars does. Shown are the most memory that is the process's own, and the
most with the pages of the file that it has looked at, which the system takes back when it needs them; both beside what
the process had before it began.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from machine import MODEL, report, run_worker

SENTENCES = 20
"""Of a document."""


def make_corpus(pairs: Path, number: int, folder: Path) -> Path:
    """A folder as the corpus stage leaves it, with `number` texts in Japanese; returns text.parquet."""
    folder.mkdir()
    for name in ("pairs.parquet", "manifest.json"):
        shutil.copy(pairs / name, folder / name)
    sentences = pl.read_parquet(pairs / "pairs.parquet")["target"].unique(maintain_order=True)
    rng = np.random.default_rng(0)

    def texts(start: int, end: int) -> pl.DataFrame:
        drawn = sentences[rng.integers(0, len(sentences), (end - start) * SENTENCES).tolist()]
        frame = pl.DataFrame({"text": drawn, "document": np.arange(start, end).repeat(SENTENCES)})
        frame = frame.group_by("document", maintain_order=True).agg(pl.col("text").str.join(""))
        return frame.select(
            id=pl.format("text-{}", "document"), language=pl.lit("ja"), text="text", origin=pl.lit("made")
        )

    starts = range(0, number, 100_000)
    parts = [folder / f"part-{start:012}.parquet" for start in starts]
    for start, part in zip(starts, parts, strict=True):
        texts(start, min(start + 100_000, number)).write_parquet(part)
    pl.scan_parquet(parts).sink_parquet(folder / "text.parquet")
    for part in parts:
        part.unlink()
    return folder / "text.parquet"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has datasets")
    parser.add_argument("--corpus", type=Path, default=Path("runs/tiny/corpus"), help="folder of a corpus stage")
    parser.add_argument("--documents", type=int, default=2_000_000)
    parser.add_argument("--tokens", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = make_corpus(options.corpus, options.documents, folder / "corpus")
        text_bytes = pl.scan_parquet(file).select(pl.col("text").str.len_bytes().cast(pl.Int64).sum()).collect().item()
        print(f"{options.documents:,} documents, {text_bytes / 1e6:,.0f} MB of text")
        task = {"corpus": str(folder / "corpus"), "model": str(MODEL), "tokens": options.tokens, "folder": place,
                "threads": options.threads}  # fmt: skip
        runs = []
        for side, again in (("ours", 0), ("ours", 1), ("datasets", 0), ("datasets", 1), ("in memory", 0)):
            python = options.peer_python if side == "datasets" else sys.executable
            run = run_worker(python, "streaming_worker.py", task | {"side": side}, options.threads)
            runs.append({"side": side, "prepared": bool(again)} | run)
            print(f"{side + (', prepared' if again else ''):<20} {run['prepare_seconds']:6.1f} s to prepare, "
                  f"{run['draw_seconds']:5.1f} s for {run['tokens']:,} tokens, "
                  f"{run['own_bytes'] / 1e6:6,.0f} MB its own, {run['peak_bytes'] / 1e6:6,.0f} with pages")  # fmt: skip
    report(options.out, {"documents": options.documents, "text_bytes": text_bytes, "runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
