"""Reward components as scores of a segment store: what `in2x score STORE --reward NAME` does.

A component's column is `score.reward-<name>`, and it is marked as the reward of every system, so that it never stands
in a headline. "gates" is 1 where all gates are passed, else 0; a component is measured whether or not they are.
`length` needs a policy's tokens, which a store doesn't have; what reads prompts measures nothing, for a store has none.

Legend: P segments, G systems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError
from in2x.evaluation import store
from in2x.records import Completion
from in2x.rewards.components import COMPONENTS, Resources, check_resources
from in2x.rewards.gates import check_gates
from in2x.rewards.groups import Group
from in2x.rewards.measure import measure, refuse_unscorable

GATES = "gates"
PREFIX = "reward-"
MAX_UNSCORABLE_FRACTION = 0.1


@dataclass(frozen=True)
class RewardScore:
    """One system's mean by one component. num_unscorable: segments that the component failed on."""

    pair: str
    system: str
    name: str
    mean: float | None
    num_scores: int
    num_unscorable: int
    first_reason: str = ""


def score_rewards(
    frame: pl.DataFrame,
    names: Sequence[str],
    resources: Resources,
    max_unscorable_fraction: float = MAX_UNSCORABLE_FRACTION,
) -> tuple[pl.DataFrame, list[RewardScore]]:
    """Add the components `names` as scores of every row; the first reference of a segment is the one that is read.

    Raises:
        In2xError: an unknown component, one that lacks what it needs or fails on too many rows, or a gate for a
            language whose script is not known.
    """
    check_resources([name for name in names if name != GATES], resources)
    indexed = frame.with_row_index("row")
    values: dict[str, list[float | None]] = {name: [None] * len(frame) for name in names}
    found = []
    for (pair,), rows in indexed.group_by("pair", maintain_order=True):
        groups, row_PG = _groups(rows, pair)
        every_PG = np.ones(row_PG.shape, dtype=bool)
        for name in names:
            if name == GATES:
                values_PG, reasons = _gates(groups), {}
            else:
                measured = measure(name, groups, every_PG, resources)
                values_PG, reasons = measured.values_PG, measured.reasons
                refuse_unscorable(name, reasons, every_PG.size, max_unscorable_fraction, groups)
            for row, value in zip(row_PG.ravel(), values_PG.ravel(), strict=True):
                values[name][row] = float(value) if np.isfinite(value) else None
            found += _means(pair, name, rows, row_PG, values_PG, reasons)
    for name in names:
        frame = store.add_scores(frame, PREFIX + name, values[name], replace=True)
    roles = {PREFIX + name: dict.fromkeys(store.systems(frame), "reward") for name in names}
    return store.mark_roles(frame, roles), found


def reward_command(
    path: Path,
    names: Sequence[str],
    out: Path | None = None,
    *,
    on_missing: store.OnMissing = "refuse",
    reward_stage: Path | None = None,
    embedding_model: Path | None = None,
    endpoint: str | None = None,
    judge_model: str | None = None,
    estimator: str | None = None,
    python: Path | None = None,
    estimator_model: str | None = None,
) -> None:
    """Score a store by reward components, write it to `out` (by default in place), and print the systems' means.

    `reward_stage` is the folder of a run's stage reward: its preference model and its lexicon, and beside it the sft
    stage, whose model translates back.

    Raises:
        In2xError: see `score_rewards`.
    """
    if on_missing == "intersect" and out in (None, path):
        raise In2xError(f"{path} would lose the segments that not every system has; write to another file with --out")
    frame = store.read_store(path, on_missing=on_missing)
    needs = {need for name in names if name in COMPONENTS for need in COMPONENTS[name].needs}
    resources = Resources(
        preference=_preference(reward_stage) if "preference" in needs else None,
        lexicon=_lexicon(reward_stage) if "lexicon" in needs else None,
        reconstructor=_reconstructor(reward_stage) if "reconstructor" in needs else None,
        embedder=_embedder(embedding_model) if "embedder" in needs else None,
        judge=_judge(endpoint, judge_model) if "judge" in needs else None,
        estimator=_estimator(estimator, python, estimator_model) if "estimator" in needs else None,
    )
    try:
        frame, found = score_rewards(frame, list(dict.fromkeys(names)), resources)
    finally:
        if resources.estimator is not None:
            resources.estimator.close()
    store.write_store(frame, out or path)
    for score in found:
        mean = "no score" if score.mean is None else f"{score.mean:.3f}"
        failed = f"; {score.num_unscorable:,} unscorable, such as: {score.first_reason}" if score.num_unscorable else ""
        print(f"{score.pair}  {score.system}  {PREFIX}{score.name}: {mean} over {score.num_scores:,} segments{failed}")
    print(out or path)


def _groups(rows: pl.DataFrame, pair: str) -> tuple[list[Group], np.ndarray]:
    """A group for each segment with every system's hypothesis, and the rows' numbers in that shape."""
    source_language, target_language = store.languages(pair)
    groups, numbers = [], []
    for (segment,), own in rows.group_by("segment", maintain_order=True):
        own = own.sort("system", maintain_order=True)
        references = own["references"][0].to_list()
        completions = [Completion([], [], text, True) for text in own["hypothesis"]]
        groups.append(
            Group(
                segment, [], own["source"][0], references[0] if references else None, target_language, completions,
                source_language=source_language,
            )
        )  # fmt: skip
        numbers.append(own["row"].to_list())
    return groups, np.array(numbers)


def _gates(groups: Sequence[Group]) -> np.ndarray:
    try:
        return np.array([
            [float(check_gates(text, group.source, group.target_language, True) is None) for text in group.texts]
            for group in groups
        ])  # fmt: skip
    except ValueError as error:
        raise In2xError(f"gates: {error}; or leave this score out") from error


def _means(pair: str, name: str, rows: pl.DataFrame, row_PG, values_PG, reasons) -> list[RewardScore]:
    systems = dict(zip(rows["row"], rows["system"], strict=True))
    found = []
    for g in range(values_PG.shape[1]):
        own = values_PG[:, g][np.isfinite(values_PG[:, g])]
        failed = [reason for (_, member), reason in reasons.items() if member == g]
        first = Counter(failed).most_common(1)[0][0] if failed else ""
        mean = float(own.mean()) if own.size else None
        found.append(RewardScore(pair, systems[row_PG[0, g]], name, mean, own.size, len(failed), first))
    return found


def _preference(stage: Path | None) -> tuple | None:
    if stage is None:
        return None
    from in2x.model.loading import load_tokenizer, on_device
    from in2x.rewards import naturalness

    return on_device(naturalness.load(stage / "naturalness")), load_tokenizer(stage / "naturalness")


def _lexicon(stage: Path | None):
    from in2x.rewards.alignment import load_lexicon

    return None if stage is None else load_lexicon(stage / "lexicon.parquet")


def _reconstructor(stage: Path | None):
    from in2x.evaluation.reconstruction import load_reconstructor

    return None if stage is None else load_reconstructor(stage.parent / "sft" / "model")


def _embedder(path: Path | None):
    from in2x.rewards.embedding import load_embedder

    return None if path is None else load_embedder(path)


def _judge(endpoint: str | None, model: str | None):
    if not (endpoint and model):
        return None
    from in2x.judging.cache import AnswerCache, default_path
    from in2x.judging.client import JudgeClient
    from in2x.judging.transport import Server, endpoint_url
    from in2x.rewards.remote import RubricJudge

    return RubricJudge(JudgeClient(Server(endpoint_url(endpoint)), model, AnswerCache(default_path())))


def _estimator(plugin: str | None, python: Path | None, model: str | None):
    from in2x.rewards.remote import QualityEstimator

    return QualityEstimator(plugin, python, model) if plugin and python and model else None
