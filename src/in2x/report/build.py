"""Stage entry: reads the folders of a run and writes report.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from in2x.artifacts import atomic
from in2x.report.folders import Run
from in2x.report.page import render
from in2x.sections import ReportSection


def build_page(stages: Mapping[str, Path], title: str, max_samples: int = 20) -> str:
    """Render the run whose stage folders are given; what is absent is shown as not run."""
    return render(Run.read(stages), title, max_samples)


def run(section: ReportSection, folder: Path, inputs: Mapping[str, Path]) -> None:
    """Write `folder`/report.html, never half of it."""
    page = build_page(inputs, section.title, section.max_samples)
    with atomic(folder / "report.html") as unfinished:
        unfinished.write_text(page, encoding="utf-8")
