"""What of the reward can be found wrong in a recipe, before any step; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from in2x.problems import Problem, did_you_mean

if TYPE_CHECKING:
    from in2x.recipe import Recipe

PAIR_KINDS = ("sampled", "shuffled", "particles", "pronouns", "passives", "register")


def recipe_problems(recipe: Recipe) -> Iterator[Problem]:
    """Components that are unknown or lack what they need, a cap by nothing, kinds of pairs that there are not."""
    if recipe.rl:
        yield from _components(recipe.rl)
        yield from _missing(recipe)
    if recipe.reward:
        yield from _reward(recipe.reward)


def _components(section) -> Iterator[Problem]:
    from in2x.checks import REWARDS

    tables = {("rl", "reward_weights"): section.reward_weights}
    tables |= {("rl", "reward_task_weights", task): own for task, own in section.reward_task_weights.items()}
    for place, weights in tables.items():
        for name in weights:
            if name not in REWARDS:
                yield Problem((*place, name), f"unknown component; {did_you_mean(name, REWARDS)}")
        if not any(weights.values()):
            yield Problem(place, "at least one component needs a weight other than 0")
    capped = section.reward_cap_quantile is not None or section.reward_cap_floor is not None
    if capped and section.reward_cap_by not in _weighted(section):
        yield Problem(("rl", "reward_cap_by"), f"{section.reward_cap_by!r} has no weight, so that it can't cap")


def _missing(recipe: Recipe) -> Iterator[Problem]:
    section, names = recipe.rl, _weighted(recipe.rl)
    if "rubric" in names and not (section.reward_judge_url and section.reward_judge_model):
        yield Problem(("rl", "reward_judge_url"), "the component rubric needs a server and reward_judge_model")
    if "embedding" in names and section.reward_embedding_model is None:
        yield Problem(("rl", "reward_embedding_model"), "the component embedding needs a model's folder")
    if "qe" in names and section.reward_estimator is None:
        yield Problem(("rl", "reward_estimator"), "the component qe needs comet, metricx or the path of a script")
    if "coverage" in names and recipe.reward and not recipe.reward.lexicon_pairs:
        yield Problem(("reward", "lexicon_pairs"), "rl's component coverage needs a lexicon: 40000 pairs are enough")


def _reward(section) -> Iterator[Problem]:
    for kind in section.pair_kinds:
        if kind not in PAIR_KINDS:
            yield Problem(("reward", "pair_kinds", kind), f"unknown kind; {did_you_mean(kind, PAIR_KINDS)}")
    paths = [(("preference_files", n), path) for n, path in enumerate(section.preference_files)]
    paths += [((name,), getattr(section, name)) for name in ("sampling_model", "continue_from")]
    for place, path in paths:
        if path is not None and not Path(path).exists():
            yield Problem(("reward", *place), f"{path} is not there")


def _weighted(section) -> set[str]:
    every = [section.reward_weights, *section.reward_task_weights.values()]
    return {name for weights in every for name, weight in weights.items() if weight}
