"""What is watched of a rollout batch beside its updates: rewards, components, gates, lengths, and how they move.

Legend: P groups drawn, refills included; G group size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from in2x.rl.draw import Drawn
from in2x.rl.measures import importance_spread
from in2x.rl.spread import stds_P

STABILITY_BATCHES = 10
REASONS_LOGGED = 5


def batch_measures(drawn: Drawn, section, temperature: float) -> dict[str, float]:
    """Means over the completions of a batch; raw components over those that passed the gates and were measured.

    spread/<component>: mean over the groups of its std within a group; groups/<component>: share of the groups that it
    was measured in, where it wasn't in all; reward: the raw components' means by the
    weights of their task.
    """
    components_PG, passed_PG = drawn.scored.components_PG, drawn.scored.passed_PG
    means = {name: _mean(values_PG) for name, values_PG in components_PG.items()}
    completions = [completion for group in drawn.groups for completion in group.completions]
    lost = [reason is not None for reason in drawn.scored.unscorable_P]
    return {
        "reward": _reward(drawn, section),
        **{f"component/{name}": value for name, value in means.items() if np.isfinite(value)},
        **_spreads(components_PG),
        "gate_pass_fraction": float(passed_PG.mean()),
        **_gates(drawn.scored.failures_PG, len(completions)),
        **_wrong_language(drawn),
        "informative_fraction": float(drawn.informative_P.mean()),
        "drawn_prompts": len(drawn.groups),
        "refills": drawn.num_refills,
        "unscorable_fraction": float(np.mean(lost)),
        "unscorable_completions": int(drawn.scored.unscorable_PG.sum()),
        **_unscorable(drawn.scored.unscorable_counts),
        "completion_tokens": float(np.mean([len(completion.token_ids) for completion in completions])),
        "truncated_fraction": float(np.mean([not completion.finished for completion in completions])),
        "temperature": temperature,
    }


def _reward(drawn: Drawn, section) -> float:
    """The mean of the tasks' rewards, each counting for its prompts."""
    tasks = np.array([group.task for group in drawn.groups])
    total = 0.0
    for task in dict.fromkeys(tasks.tolist()):
        own_P = tasks == task
        for name, weight in section.reward_task_weights.get(task, section.reward_weights).items():
            mean = _mean(drawn.scored.components_PG[name][own_P]) if name in drawn.scored.components_PG else np.nan
            if weight and np.isfinite(mean):
                total += weight * mean * own_P.sum() / len(tasks)
    return float(total)


def update_means(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of what the updates of a batch measured, and the spread of their importance weights."""
    measured = {name: float(np.mean([update[name] for update in updates])) for name in (updates[0] if updates else ())}
    return measured | importance_spread(measured)


def stability(batches: Sequence[Mapping[str, float]], measured: Mapping[str, float]) -> dict[str, float]:
    """Variance of the batches' mean reward over the last ones: how steady the reward is from step to step."""
    rewards = [batch["reward"] for batch in batches[-(STABILITY_BATCHES - 1) :]] + [measured["reward"]]
    return {"reward_step_variance": float(np.var(rewards))} if len(rewards) > 1 else {}


def _gates(failures_PG: list[list[str | None]], number: int) -> dict[str, float]:
    gates = [reason.split(":")[0] for row in failures_PG for reason in row if reason]
    return {f"gate/{gate}": gates.count(gate) / number for gate in sorted(set(gates))}


def _spreads(components_PG: Mapping[str, np.ndarray]) -> dict[str, float]:
    found = {}
    for name, values_PG in components_PG.items():
        measured_P = np.isfinite(values_PG).any(axis=1)
        if measured_P.any():
            found[f"spread/{name}"] = float(stds_P(values_PG)[measured_P].mean())
        if not measured_P.all():
            found[f"groups/{name}"] = float(measured_P.mean())
    return found


def _unscorable(counts: Mapping[str, Mapping[str, int]]) -> dict:
    """Completions that each component failed on, and why: the commonest reasons of each."""
    reasons = [
        {"component": name, "reason": reason, "completions": number}
        for name, own in counts.items()
        for reason, number in Counter(own).most_common(REASONS_LOGGED)
    ]
    numbers = {f"unscorable/{name}": sum(own.values()) for name, own in counts.items()}
    return numbers | ({"unscorable_reasons": reasons} if reasons else {})


def _wrong_language(drawn: Drawn) -> dict[str, float]:
    """Share of the completions that fail the language gate, by the language asked for."""
    by_language: dict[str, list[bool]] = {}
    for group, row in zip(drawn.groups, drawn.scored.failures_PG, strict=True):
        by_language.setdefault(group.target_language, []).extend(bool(r) and r.startswith("language") for r in row)
    return {f"wrong_language/{name}": float(np.mean(found)) for name, found in sorted(by_language.items())}


def _mean(values_PG: np.ndarray) -> float:
    known = values_PG[np.isfinite(values_PG)]
    return float(known.mean()) if known.size else float("nan")
