"""Reads stage folders for the report; a missing or damaged file is a gap on the page, never an error.

A stage folder holds manifest.json, perhaps metrics.jsonl (one object per logged step), and for
translate and evaluate the files named below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("corpus", "pretrain", "instruct", "sft", "reward", "rl", "merge", "translate", "evaluate")


def read_json(path: Path) -> Any:
    """Return the parsed file, or None where it is absent or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file; a line cut short by a crash is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [row for row in map(_parse_line, lines) if isinstance(row, dict)]


def _parse_line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


@dataclass(frozen=True)
class Stage:
    """One stage of the run; `folder` is None where the stage never ran."""

    name: str
    folder: Path | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_run(self) -> bool:
        return bool(self.manifest)

    @property
    def status(self) -> str:
        return str(self.manifest.get("status", "unknown")) if self.has_run else "not run"

    @property
    def results(self) -> Mapping[str, Any]:
        return self.mapping("results")

    @property
    def section(self) -> Mapping[str, Any]:
        return self.mapping("section")

    @property
    def seconds(self) -> float:
        return float(self.manifest.get("seconds") or 0.0)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a nested object of the manifest, empty where it is absent."""
        value = self.manifest.get(key)
        return value if isinstance(value, Mapping) else {}

    def metrics(self) -> list[dict[str, Any]]:
        return read_json_lines(self.folder / "metrics.jsonl") if self.folder else []

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a JSON file that holds a list."""
        rows = read_json(self.folder / name) if self.folder else None
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


@dataclass(frozen=True)
class Run:
    """All stages, in pipeline order; asking for one that is absent gives an empty stage."""

    stages: Mapping[str, Stage]

    @classmethod
    def read(cls, folders: Mapping[str, Path]) -> Run:
        names = [*STAGES, *(name for name in folders if name not in STAGES)]
        return cls({name: _read_stage(name, folders.get(name)) for name in names})

    def __getitem__(self, name: str) -> Stage:
        return self.stages.get(name, Stage(name))

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages.values())


def _read_stage(name: str, folder: Path | None) -> Stage:
    manifest = read_json(Path(folder) / "manifest.json") if folder else None
    return Stage(name, Path(folder) if folder else None, manifest if isinstance(manifest, dict) else {})


def finished_fractions(stage: Stage) -> dict[tuple[str, str], float]:
    """Return, by (system, decoding), the share of hypotheses that ended before the length limit."""
    path = stage.folder / "hypotheses.parquet" if stage.folder else None
    if path is None or not path.is_file():
        return {}
    import polars as pl

    try:
        table = pl.read_parquet(path, columns=["system", "decoding", "finished"])
    except (pl.exceptions.PolarsError, OSError):
        return {}
    means = table.group_by("system", "decoding").agg(pl.col("finished").mean())
    return {(system, decoding): share for system, decoding, share in means.iter_rows()}
