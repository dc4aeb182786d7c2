"""The evaluate stage: corpus BLEU and chrF2 of every system, with bootstrap intervals, and paired comparisons.

A metric that a system was rewarded or selected by is marked (`in2x.evaluation.roles`): it says how well that worked,
not how good the Japanese is. By default that is chrF2, the reward's adequacy and the utility of MBR; BLEU remains a
judge, of the same family.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import read_json, write_json
from in2x.evaluation.bootstrap import interval, paired_bootstrap
from in2x.evaluation.by_difficulty import EASY, score_by_difficulty, segment_classes
from in2x.evaluation.metrics import bleu_statistics, chrf_statistics
from in2x.evaluation.roles import rewards_of, role, selectors_of
from in2x.sections import EvaluateSection

METRICS = ("chrF2", "BLEU")


def run(section: EvaluateSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    hypotheses = pl.read_parquet(inputs["translate"] / "hypotheses.parquet")
    target_language = read_json(inputs["translate"] / "manifest.json")["results"]["target_language"]
    systems = dict(hypotheses.group_by("system", "decoding", maintain_order=True))
    statistics = {
        (system, metric): _statistics(metric, rows, target_language)
        for system, rows in systems.items()
        for metric in METRICS
    }
    run_folder = inputs["translate"].parent
    involved = selectors_of(run_folder), rewards_of(run_folder)
    scores = [_score(system, metric, found, section, involved) for (system, metric), found in statistics.items()]
    write_json(folder / "scores.json", scores)
    _plot(scores, folder)
    comparisons = [
        _compare(after, before, statistics[after, metric], statistics[before, metric], section)
        for before, after in pairwise(systems)
        for metric in METRICS
    ]
    write_json(folder / "comparisons.json", comparisons)
    classes = segment_classes(hypotheses, inputs["corpus"])
    write_json(folder / "by_difficulty.json", score_by_difficulty(statistics, systems, classes, section, involved))
    write_json(folder / "samples.json", samples(hypotheses, section.num_samples, section.seed))
    easy = hypotheses.filter(pl.col("segment_id").is_in([name for name, kind in classes.items() if kind in EASY]))
    write_json(folder / "easy_samples.json", samples(easy, section.num_samples, section.seed))
    return {
        "scores": {f"{row['system']}/{row['decoding']} {row['metric']}": round(row["value"], 2) for row in scores},
        "num_segments": hypotheses["segment_id"].n_unique(),
    }


def samples(hypotheses: pl.DataFrame, number: int, seed: int) -> list[dict]:
    """The same segments through every system: drawn at random, shown from the shortest source to the longest."""
    segments = hypotheses.select("segment_id", "source", "reference").unique(maintain_order=True)
    chosen = np.random.default_rng(seed).choice(len(segments), min(number, len(segments)), replace=False)
    drawn = segments[np.sort(chosen)].sort(pl.col("source").str.len_chars(), maintain_order=True)
    by_segment = hypotheses.filter(pl.col("segment_id").is_in(drawn["segment_id"].implode())).partition_by(
        "segment_id", as_dict=True
    )
    return [
        segment
        | {
            "hypotheses": {
                f"{row['system']}/{row['decoding']}": row["hypothesis"]
                for row in by_segment[segment["segment_id"],].iter_rows(named=True)
            }
        }
        for segment in drawn.to_dicts()
    ]


def _statistics(metric: str, rows: pl.DataFrame, target_language: str):
    texts = rows["hypothesis"].to_list(), rows["reference"].to_list()
    return chrf_statistics(*texts) if metric == "chrF2" else bleu_statistics(*texts, target_language)


def _score(system: tuple[str, str], metric: str, statistics, section: EvaluateSection, involved) -> dict:
    low, high = interval(statistics, num_resamples=section.num_resamples, seed=section.seed)
    return {
        "system": system[0],
        "decoding": system[1],
        "metric": metric,
        "value": statistics.value,
        "low": low,
        "high": high,
        "signature": statistics.signature,
        "num_segments": len(statistics.counts_NK),
        "role": role(*system, metric, *involved),
    }


def _plot(scores: list[dict], folder: Path) -> None:
    """The stage table as TensorBoard curves: the step is the system's place in the pipeline."""
    from torch.utils.tensorboard import SummaryWriter

    places = list(dict.fromkeys((row["system"], row["decoding"]) for row in scores))
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for row in scores:
            place = places.index((row["system"], row["decoding"]))
            for name in ("value", "low", "high"):
                writer.add_scalar(f"{row['metric']}/{name}", row[name], place)
        writer.add_text("systems", "  \n".join(f"{place}: {' '.join(names)}" for place, names in enumerate(places)))


def _compare(after, before, statistics_after, statistics_before, section: EvaluateSection) -> dict:
    found = paired_bootstrap(
        statistics_after, statistics_before, num_resamples=section.num_resamples, seed=section.seed
    )
    return {
        "system_a": after[0],
        "decoding_a": after[1],
        "system_b": before[0],
        "decoding_b": before[1],
        "metric": found.metric,
        "delta": found.delta,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
    }
