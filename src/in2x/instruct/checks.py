"""What of a mixture of tasks can be found wrong in a recipe, before any step; nothing here imports polars or torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from in2x.problems import Problem

if TYPE_CHECKING:
    from in2x.recipe import Recipe

PROBLEM_WEIGHTS = "{ answer = 1.0, format = 0.1 }"
RUBRIC_WEIGHTS = "{ rubric = 1.0 }"
NEED_REFERENCE = ("answer", "adequacy", "bleu", "names")
"""Components that measure nothing at a prompt without a reference."""


def recipe_problems(recipe: Recipe) -> Iterator[Problem]:
    """Files that aren't there or ask for too much, and tasks of RL that no reward or direction of rl is for."""
    if not recipe.instruct:
        return
    for place, extra in enumerate(recipe.instruct.extra):
        if not extra.path.is_file():
            yield Problem(("instruct", "extra", place, "path"), f"there is no file {extra.path}")
    yield from _too_many(recipe.instruct)
    if recipe.rl:
        yield from _rl(recipe)


def _too_many(section) -> Iterator[Problem]:
    for use, total in (("sft", section.num_sft), ("rl", section.num_rl)):
        asked = sum(one.count or round(one.share * total) for one in section.extra if one.use == use)
        if asked > total:
            message = f"its files ask for {asked:,} rows for {use}, more than instruct.num_{use}, {total:,}"
            yield Problem(("instruct", "extra"), message)


def _rl(recipe: Recipe) -> Iterator[Problem]:
    directions, weights = recipe.rl.directions, recipe.rl.reward_task_weights
    if made := _tasks_of_rl(recipe):
        from in2x.rewards.gates import TRANSLATION_TASKS  # numpy comes with it
    for (place, task, has_reference), its_directions in made.items():
        if task not in TRANSLATION_TASKS and task not in weights:
            example = PROBLEM_WEIGHTS if has_reference else RUBRIC_WEIGHTS
            message = f"RL's prompts of the task {task!r} have no rewards: add {task} = {example} to it"
            yield Problem(("rl", "reward_task_weights"), message)
        blind = [name for name in NEED_REFERENCE if weights.get(task, {}).get(name)]
        if blind and not has_reference:
            message = f"rl.reward_task_weights.{task} has {blind[0]!r}, which needs answers: name the answer_column"
            yield Problem(place, message)
        for direction in sorted(set(its_directions) - set(directions)):
            message = f"leaves out {direction!r}, the direction of {task!r}: add it, or take the task out"
            yield Problem(("rl", "directions"), message)
    if not recipe.corpus:
        return
    within = {direction for direction in directions if len(set(direction.split("-"))) == 1}
    for direction in sorted(within - {one for its_directions in made.values() for one in its_directions}):
        message = f"no task gives RL prompts in {direction!r}: arithmetic does, or a file of instruct.extra for rl"
        yield Problem(("rl", "directions"), message)


def _tasks_of_rl(recipe: Recipe) -> dict[tuple[tuple, str, bool], tuple[str, ...]]:
    """(place in the recipe, task, whether its prompts have a reference) -> directions, of what is not made of pairs."""
    section = recipe.instruct
    found = {
        (("instruct", "extra", place), extra.task, bool(extra.answer_column)): (extra.direction,)
        for place, extra in enumerate(section.extra)
        if extra.use == "rl"
    }
    if "arithmetic" in section.tasks and recipe.corpus:
        source, target = recipe.corpus.pair.split("-")
        shares = {target: section.target_fraction, source: 1 - section.target_fraction}
        used = tuple(f"{language}-{language}" for language, share in shares.items() if share)
        found[("instruct", "tasks"), "arithmetic", True] = used
    return found
