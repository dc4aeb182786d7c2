"""Scores by how hard a segment is, judged by its source alone: no system's output, and no reference, decides it.

The classes are those of the instruction data (`in2x.instruct.difficulty`): length and rarity of the words, among all
sources of the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import read_json
from in2x.evaluation.bootstrap import interval
from in2x.evaluation.roles import role
from in2x.instruct.difficulty import source_difficulty
from in2x.sections import DIFFICULTIES

EASY = DIFFICULTIES[3:]
"""The easiest fifth of the corpus: simple and very simple."""


def segment_classes(hypotheses: pl.DataFrame, corpus: Path) -> dict[str, str]:
    """Difficulty of each segment's source, by segment id."""
    language = read_json(corpus / "manifest.json")["section"]["pair"].split("-")[0]
    segments = hypotheses.select("segment_id", "source").unique("segment_id", maintain_order=True)
    train = pl.read_parquet(corpus / "pairs.parquet", columns=["split", "source"]).filter(split="train")["source"]
    classes = source_difficulty(pl.concat([segments["source"], train]), language).head(len(segments))
    return dict(zip(segments["segment_id"], classes, strict=True))


def score_by_difficulty(
    statistics: Mapping, systems: Mapping, classes: Mapping[str, str], section, involved
) -> list[dict]:
    """A row for each system, decoding, metric and class that occurs: value and 95 % interval over its segments.

    statistics: (system, metric) -> SegmentStatistics of the rows of systems[system], in their order. involved: the
    selectors and the rewards of the run.
    """
    found = []
    for (system, metric), whole in statistics.items():
        own_N = np.array([classes[segment] for segment in systems[system]["segment_id"]])
        for name in DIFFICULTIES:
            if not (own_N == name).any():
                continue
            part = replace(whole, counts_NK=whole.counts_NK[own_N == name])
            low, high = interval(part, num_resamples=section.num_resamples, seed=section.seed)
            found.append(
                {
                    "system": system[0], "decoding": system[1], "metric": metric, "difficulty": name,
                    "num_segments": len(part.counts_NK), "value": part.value, "low": low, "high": high,
                    "role": role(*system, metric, *involved),
                }
            )  # fmt: skip
    return found
