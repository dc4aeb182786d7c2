"""Sufficient statistics of BLEU, chrF2, chrF++ and TER for texts with one or more references, kept between runs.

Counting is what takes time (TER above all); resampling is quick. So the counts of one system's texts are kept in a
file of the cache folder, under the SHA-256 of metric, language, versions and all texts: no text, no stale number.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import in2x
from in2x.artifacts import atomic, cache_folder
from in2x.evaluation.metrics import (
    SegmentStatistics,
    bleu_statistics,
    chrf_statistics,
    multi_reference_statistics,
    score_function,
    ter_statistics,
)

METRICS = ("BLEU", "chrF2", "chrF++", "TER")


def text_statistics(
    metric: str,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    target_language: str,
    cache: Path | None = None,
) -> SegmentStatistics:
    """Count the statistics of one of `METRICS`, or read them from the folder `cache` where they were counted before.

    Raises:
        ValueError: see `in2x.evaluation.metrics`.
        RuntimeError: the language's tokenizer is not installed.
    """
    if cache is None:
        return _counted(metric, hypotheses, references, target_language)
    path = cache / f"{_key(metric, hypotheses, references, target_language)}.npz"
    found = _read(path, metric, len(hypotheses))
    if found is None:
        found = _counted(metric, hypotheses, references, target_language)
        _write(path, found)
    return found


def default_cache() -> Path:
    return cache_folder() / "statistics"


def _counted(metric: str, hypotheses, references, target_language: str) -> SegmentStatistics:
    if max(map(len, references), default=0) > 1:
        return multi_reference_statistics(metric, hypotheses, references, target_language)
    first = [texts[0] for texts in references]
    if metric.startswith("chrF"):
        return chrf_statistics(hypotheses, first, word_order=2 if metric == "chrF++" else 0)
    return (bleu_statistics if metric == "BLEU" else ter_statistics)(hypotheses, first, target_language)


def _key(metric: str, hypotheses, references, target_language: str) -> str:
    import sacrebleu

    about = [metric, target_language, sacrebleu.__version__, in2x.__version__]
    texts = json.dumps([about, list(hypotheses), [list(texts) for texts in references]], ensure_ascii=False)
    return hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read(path: Path, metric: str, num_segments: int) -> SegmentStatistics | None:
    """What the file holds; None where there is none, or it can't be read: then it is counted anew."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            counts_NK, columns, signature = (arrays[name] for name in ("counts_NK", "columns", "signature"))
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
        return None
    if len(counts_NK) != num_segments:
        return None
    return SegmentStatistics(metric, str(signature), counts_NK, tuple(columns.tolist()), score_function(metric))


def _write(path: Path, found: SegmentStatistics) -> None:
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, counts_NK=found.counts_NK, columns=np.array(found.reference_columns, dtype=int),
                            signature=np.array(found.signature))  # fmt: skip
