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
from in2x.report.parts.measures import after_training, base_perplexity
from in2x.report.parts.rollouts import browser

MAX_ALARMS = 20
MAX_REASONS = 20


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
    log = stage.metrics()
    return join([
        facts((name, value) for name, value in figures if value not in (None, "–")),
        note(said) if said else None,
        after_training(results.get("measures") or {}, base_perplexity(run)),
        _alarms(log),
        _unscorable(log),
        curves("rl", log) or note("No steps were logged."),
        browser(stage.folder, _updates(section)) or _examples(results.get("examples") or []),
    ])  # fmt: skip


def _updates(section: Mapping[str, Any]) -> int:
    """Optimizer steps of a rollout batch."""
    whole, part = section.get("batch_completions"), section.get("mini_batch_completions")
    return max(1, whole // part) if isinstance(whole, int) and isinstance(part, int) and part else 1


def _alarms(log: list[Mapping[str, Any]]) -> Html | None:
    """Return what was alarming, the last first, and how often each alarm rang."""
    told = [(row.get("step"), str(alarm)) for row in log for alarm in _list(row.get("alarms"))]
    if not told:
        return None
    counts: dict[str, int] = {}
    for _, alarm in told:
        name = alarm.split(":")[0]
        counts[name] = counts.get(name, 0) + 1
    said = ", ".join(f"{words(name)} {number} ×" for name, number in counts.items())
    rows = [[number(step), alarm] for step, alarm in told[::-1][:MAX_ALARMS]]
    shown = table(["Step", "Alarm"], rows, [0], "Alarms, the last first")
    return join(
        [element("h3", "Alarms"), note(f"Batches with an alarm: {said}."), fold(f"The last {len(rows)}", shown)]
    )


def _unscorable(log: list[Mapping[str, Any]]) -> Html | None:
    """Return which components of the reward failed on completions, and why; in most runs none did."""
    counts: dict[tuple[str, str], int] = {}
    for told in (told for row in log for told in _list(row.get("unscorable_reasons"))):
        place = str(told.get("component")), str(told.get("reason"))
        counts[place] = counts.get(place, 0) + told.get("completions", 0)
    if not counts:
        return None
    most = sorted(counts.items(), key=lambda item: -item[1])[:MAX_REASONS]
    rows = [[words(component), reason, number(count)] for (component, reason), count in most]
    said = note("They have no reward, and are left out of their groups; a component's failure is never a score of 0.")
    head = ["Component", "Why it gave no score", "Completions"]
    return join([element("h3", "Completions that could not be scored"), table(head, rows, [2], "By reason"), said])


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


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
