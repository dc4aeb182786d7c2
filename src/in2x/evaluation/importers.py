"""Segment stores from parallel text files and from runs of this project; WMT's files are in `importers_wmt`.

Texts are taken as they are; nothing is normalised but line ends and a byte-order mark. Each importer returns a checked
store (`in2x.evaluation.store`); what it can't read it refuses, with every problem and its line.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, read_json
from in2x.corpus.files import read_lines
from in2x.evaluation import store, store_checks
from in2x.evaluation.roles import run_roles
from in2x.records import HYPOTHESES


def import_plain(
    source: Path,
    systems: Mapping[str, Path],
    references: Sequence[Path] = (),
    *,
    pair: str,
    documents: Path | None = None,
) -> pl.DataFrame:
    """Import text files that are parallel line by line, as sacreBLEU takes them; segments are numbered from 1.

    `documents` has on each line a document's id, and after a tab maybe its domain. Files may be gzipped.

    Raises:
        In2xError: no systems, files of different numbers of lines, or lines that are not UTF-8.
    """
    if not systems:
        raise In2xError(f"{source}: no file of a system's hypotheses was given")
    paths = [source, *references, *systems.values(), *([documents] if documents else [])]
    lines = {path: text_lines(path) for path in dict.fromkeys(map(Path, paths))}
    if len(set(map(len, lines.values()))) > 1:
        counts = [f"  {len(found):>9,} lines in {path}" for path, found in lines.items()]
        mend = "The n-th lines of all files must belong together: find the missing lines, or get the files again"
        raise In2xError("\n".join(["files of different numbers of lines", *counts, mend]))
    sources = lines[Path(source)]
    document_of = _documents(documents, lines[Path(documents)]) if documents else [(None, None)] * len(sources)
    rows = (
        (n + 1, {
            "pair": pair, "domain": document_of[n][1], "document": document_of[n][0], "segment": str(n + 1),
            "system": system, "source": text, "hypothesis": lines[Path(path)][n],
            "references": [lines[Path(reference)][n] for reference in references],
        })
        for n, text in enumerate(sources)
        for system, path in systems.items()
    )  # fmt: skip
    return store.from_rows(rows, source)


def text_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, plain or gzipped, blank ones at its end too; only LF or CRLF ends a line.

    Raises:
        In2xError: no such file, empty, or not UTF-8: as a whole, or in the lines named.
    """
    path = Path(path)
    frame = read_lines(path)
    wrong = frame.filter(pl.col("reason").is_not_null())
    mend = "unlike other lines of this file; write the line anew in UTF-8"
    store_checks.refuse(path, [(line, f"{reason}, {mend}") for line, _, reason in wrong.iter_rows()], "line")
    return frame["raw"].to_list() + [""] * (_num_lines(path) - len(frame))


def import_run(folder: Path) -> pl.DataFrame:
    """Import what the systems of a run of this project translated; a system is named "stage/decoding".

    Metrics that rewarded or selected a system's output are marked as such.

    Raises:
        In2xError: the run has no translate stage, or it is not complete.
    """
    path = folder / "translate" / "hypotheses.parquet"
    if not path.exists():
        raise In2xError(f"{path}: not there; give the folder of a run whose stage translate is complete")
    hypotheses = store.read_parquet(path)
    lacking = [name for name in HYPOTHESES if name not in hypotheses.columns]
    if lacking:
        raise In2xError(f"{path}: no column {', '.join(lacking)}; run the stage translate again")
    pair = read_json(folder / "corpus" / "manifest.json")["section"]["pair"]
    pairs = store.read_parquet(folder / "corpus" / "pairs.parquet").select("id", "domain")
    frame = hypotheses.join(pairs, left_on="segment_id", right_on="id", how="left", maintain_order="left").select(
        pair=pl.lit(pair),
        domain="domain",
        document=pl.lit(None, pl.String),
        segment="segment_id",
        system=pl.format("{}/{}", "system", "decoding"),
        source="source",
        hypothesis="hypothesis",
        references=pl.concat_list("reference"),
    )
    known = hypotheses.select("system", "decoding").unique(maintain_order=True).rows()
    return store.mark_roles(store.check_store(frame, path), run_roles(folder, known))


def use_as_reference(frame: pl.DataFrame, system: str) -> pl.DataFrame:
    """Take a system's hypotheses as references, before those that are there, and the system out of the systems.

    Raises:
        In2xError: there is no such system, or it is the only one.
    """
    names = store.systems(frame)
    if system not in names or len(names) == 1:
        raise In2xError(f"no system {system!r} beside others to take as reference; there are {', '.join(names)}")
    own = frame.filter(system=system).select("pair", "segment", own=pl.concat_list("hypothesis"))
    others = frame.filter(pl.col("system") != system)
    joined = others.join(own, on=("pair", "segment"), how="left", maintain_order="left")
    return joined.with_columns(references=pl.concat_list(pl.col("own").fill_null([]), "references")).drop("own")


def _num_lines(path: Path) -> int:
    with path.open("rb") as raw:
        is_gzipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if is_gzipped else path.open("rb") as stream:
        return sum(1 for _ in stream)


def _documents(path: Path, lines: Sequence[str]) -> list[tuple[str, str | None]]:
    """(document, domain) by line: "bbc.1" or "bbc.1<tab>news"."""
    problems, found = [], []
    for number, line in enumerate(lines, 1):
        document, *domain = line.split("\t")
        if not document.strip() or len(domain) > 1:
            problems.append((number, f"expected a document's id, and after a tab maybe its domain, got {line!r}"))
        found.append((document, domain[0] if domain else None))
    store_checks.refuse(path, problems, "line")
    return found
