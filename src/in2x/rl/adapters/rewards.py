"""The translation reward behind the signatures that verl and TRL call.

verl asks for one completion at a time: nothing can be standardised within a group there, so it gets the weighted sum
of the raw components, and each of them by name. TRL asks for whole groups: it gets the composed reward of our own loop.

Legend: P prompts, G group size.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

from in2x.records import Completion
from in2x.rewards.translation import Group, TranslationReward

WEIGHTS = {"adequacy": 1.0, "repetition": 0.1}
GATE_SCORE = -1.0
"""Score of a completion that fails a gate: below every sum of these weights."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping | None = None,
    weights: Mapping[str, float] | None = None,
    gate_score: float = GATE_SCORE,
    **ignored,
) -> dict[str, float | str]:
    """verl's custom reward function: the weighted sum of one completion's components, and these one by one.

    extra_info: what prompts.prompt_set wrote. verl decodes a completion without its end token, so that one cut at the
    limit is not told from a finished one: verl's own overlong penalty is for that. A component that is not defined for
    the completion counts 0.

    Raises:
        ValueError: extra_info is not that of the prompt set.
    """
    group = _group(_known(extra_info), ground_truth, [Completion([], [], solution_str.strip(), True)])
    rewarded = _reward(tuple(sorted((weights or WEIGHTS).items())))([group])
    failure = rewarded.failures_PG[0][0]
    values = {name: float(values_PG[0, 0]) for name, values_PG in rewarded.components_PG.items()}
    finite = {name: 0.0 if math.isnan(value) else value for name, value in values.items()}
    score = sum(weight * finite[name] for name, weight in (weights or WEIGHTS).items() if weight)
    return {"score": score if failure is None else gate_score, "failed_gate": failure or "", **finite}


def group_reward(reward: TranslationReward, group_size: int, stop_ids: set[int]) -> Callable[..., list[float]]:
    """A reward function for TRL's GRPOTrainer: gates, components standardised within the group, weights.

    Its batches must hold whole groups: on each process, per_device_train_batch_size * steps_per_generation must be a
    multiple of `group_size` (num_generations). `stop_ids` tell a finished completion from one cut at the limit.
    """

    def in2x_reward(completions, completion_ids, id, source, reference, direction, task, **columns) -> list[float]:
        _check_groups(id, group_size)
        rows = [
            {"id": one, "source": s, "reference": r, "direction": d, "task": t}
            for one, s, r, d, t in zip(id, source, reference, direction, task, strict=True)
        ]
        made = [
            Completion(list(ids), [], _text(one).strip(), bool(ids) and ids[-1] in stop_ids)
            for one, ids in zip(completions, completion_ids, strict=True)
        ]
        groups = [
            _group(rows[start], rows[start]["reference"], made[start : start + group_size])
            for start in range(0, len(rows), group_size)
        ]
        return reward(groups).composed.rewards_PG.flatten().tolist()

    return in2x_reward


def _check_groups(ids: Sequence[str], group_size: int) -> None:
    groups = [set(ids[start : start + group_size]) for start in range(0, len(ids), group_size)]
    if len(ids) % group_size or any(len(group) > 1 for group in groups):
        raise ValueError(
            f"{len(ids)} completions are not whole groups of {group_size} of one prompt; on each process "
            "per_device_train_batch_size * steps_per_generation must be a multiple of num_generations, and the ids of "
            "the prompts must differ"
        )


def _group(row: Mapping, reference: str | None, completions: list[Completion]) -> Group:
    source_language, target_language = row["direction"].split("-")
    return Group(
        id=row["id"],
        prompt_ids=[],
        source=row["source"],
        reference=reference,
        target_language=target_language,
        completions=completions,
        source_language=source_language,
        task=row["task"],
        prompt=row.get("instruction", ""),
    )


def _known(extra_info: Mapping | None) -> Mapping:
    missing = [name for name in ("id", "source", "direction", "task") if name not in (extra_info or {})]
    if missing:
        raise ValueError(f"extra_info: {missing} missing; make the prompt set with in2x.rl.adapters.prompts")
    return extra_info


def _text(completion) -> str:
    """Plain text, or the last message of a chat."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


@functools.cache
def _reward(weights: tuple[tuple[str, float], ...]) -> TranslationReward:
    return TranslationReward(dict(weights))
