"""Reinforcement learning: the reward and its components, the health of the policy, and groups of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report.curves import curves
from in2x.report.folders import Run
from in2x.report.markup import (
    Html,
    element,
    facts,
    fixed,
    fold,
    join,
    note,
    number,
    prose,
    setting,
    table,
    words,
)


def render(run: Run) -> Html:
    stage = run["rl"]
    results, section = stage.results, stage.section
    figures = [
        ("algorithm", results.get("algorithm") or section.get("algorithm")),
        ("steps", number(results.get("num_steps"))),
        ("rollouts", number(results.get("num_rollouts"))),
        ("group size", number(section.get("group_size"))),
    ]
    weights = section.get("reward_weights")
    told = ", ".join(f"{words(n)} × {setting(w)}" for n, w in weights.items()) if isinstance(weights, Mapping) else ""
    said = f"Weights of the reward: {told}." if told else ""
    return join([
        facts((name, value) for name, value in figures if value not in (None, "–")),
        note(said) if said else None,
        curves("rl", stage.metrics()) or note("No steps were logged."),
        _examples(results.get("examples") or []),
    ])  # fmt: skip


def _examples(examples: list[Mapping[str, Any]]) -> Html | None:
    if not examples:
        return None
    groups = [_group(example) for example in examples]
    return join([element("h3", "Rollouts"), *groups])


def _group(example: Mapping[str, Any]) -> Html:
    """Return one prompt's rollouts, best first, with the components of their rewards."""
    rollouts = [rollout for rollout in example.get("rollouts") or [] if isinstance(rollout, Mapping)]
    rollouts = sorted(rollouts, key=lambda rollout: -_value(rollout.get("reward")))
    names = list(dict.fromkeys(name for rollout in rollouts for name in rollout.get("components") or {}))
    rows = [
        [
            prose(r.get("text")),
            element("strong", fixed(r.get("reward"), 2, signed=True)),
            *_components(r, names),
        ]
        for r in rollouts
    ]
    head = ["Rollout", "Reward", *(words(name) for name in names)]
    shown = table(head, rows, range(1, len(head)), "Rollouts, best first")
    texts = [element("dt", "Reference"), element("dd", prose(example.get("reference")))]
    summary = element("span", str(example.get("source") or "")[:160], class_="quote")
    return fold(summary, element("dl", *texts, class_="stages"), element("div", shown, class_="texts rollouts"))


def _components(rollout: Mapping[str, Any], names: list[str]) -> list[str]:
    found = rollout.get("components") or {}
    return [fixed(found.get(name), 2) for name in names]


def _value(reward: Any) -> float:
    return reward if isinstance(reward, int | float) and reward == reward else float("-inf")
