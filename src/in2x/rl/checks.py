"""What of rl can be found wrong before any step; nothing here imports torch.

Settings that have no effect beside the others; a chat template under which no answer ends; prompts that leave no room
for a completion in the model's positions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from in2x.artifacts import In2xError
from in2x.model_size import is_hub_id
from in2x.problems import Problem
from in2x.rl.chat_templates import prompt_lengths, template_problem
from in2x.rl.rows import ROWS
from in2x.rl.settings import LossSettings

if TYPE_CHECKING:
    from in2x.recipe import Recipe
    from in2x.sections import RlSection

WITH_SPANS = ("untranslated", "script")
"""Components of the reward that tell the places which they find fault with."""


def unread(section: RlSection) -> dict[str, str]:
    """Settings that nothing reads, or that contradict others, by name, and why."""
    row = ROWS[section.algorithm]
    chosen = {field.name: getattr(section, field.name) for field in dataclasses.fields(LossSettings)}
    found = row.unread(**chosen)
    checks = (
        (("start_competence",), section.prompt_order == "easy-to-hard", "unless prompt_order is 'easy-to-hard'"),
        (
            ("entropy_step", "entropy_low", "entropy_high"),
            section.entropy_target is not None,
            "unless entropy_target is set",
        ),
        (("sft_rows",), section.sft_coefficient > 0, "unless sft_coefficient is above 0"),
    )
    for names, read, why in checks:
        changed = [name for name in names if getattr(section, name) != type(section).model_fields[name].default]
        found |= {name: f"nothing reads it {why}" for name in changed if not read}
    return found | _old_logprobs(section) | _credit(section, row.settings(**chosen))


def _old_logprobs(section: RlSection) -> dict[str, str]:
    """Why the sampler's can't stand for the trainer's."""
    if section.old_logprobs == "trainer" or (section.generator.kind == "built-in" and section.dtype == "float32"):
        return {}
    why = "the sampler has the trainer's log-probabilities only with generator.kind 'built-in' and dtype 'float32'"
    return {"old_logprobs": why}


def _credit(section: RlSection, settings: LossSettings) -> dict[str, str]:
    """Why credit by token can't be given."""
    every = [section.reward_weights, *section.reward_task_weights.values()]
    if not section.span_credit:
        return {}
    if not any(own.get(name) for own in every for name in WITH_SPANS):
        return {"span_credit": f"nothing reads it unless {' or '.join(WITH_SPANS)} has a weight: they find the places"}
    if settings.covariance_control != "none":
        why = "it goes by token, and covariance_control chooses its tokens by the advantage of whole completions"
        return {"span_credit": why}
    return {}


def recipe_problems(recipe: Recipe) -> Iterator[Problem]:
    """What rl's settings, or the base's chat template, make impossible."""
    if recipe.rl:
        for name, why in unread(recipe.rl).items():
            yield Problem(("rl", name), f"{why}; take it out, or change what it depends on")
    base = recipe.pretrain.base if recipe.pretrain else None
    if recipe.sft and base is not None and not is_hub_id(base) and (message := template_problem(Path(base))):
        yield Problem(("pretrain", "base"), message)


def long_prompts(recipe: Recipe, limit: int | None) -> str | None:
    """A warning where prompts of an earlier run of this recipe leave no room for completions; `limit`: positions."""
    table = recipe.folder / "instruct" / "rl.parquet"
    if not (recipe.rl and limit and table.exists()):
        return None
    import polars as pl

    rows = pl.read_parquet(table, columns=["id", "prompt", "direction"])
    rows = rows.filter(pl.col("direction").is_in(recipe.rl.directions))
    base = recipe.pretrain.base if recipe.pretrain else None
    folders = [recipe.folder / "sft" / "model", recipe.folder / "pretrain" / "model"]
    folders += [Path(base)] if base is not None else []
    for folder in folders:
        if lengths := prompt_lengths(folder, rows["prompt"].to_list()):
            return _too_long(rows["id"].to_list(), lengths, limit, recipe.rl.max_completion_tokens)
    return None


def refuse_long_prompts(table, tokenizer, config, section: RlSection) -> None:
    """Refuse prompts that, with a completion of rl.max_completion_tokens, are longer than the model's positions.

    table: columns of in2x.records.INSTRUCTIONS. Raises In2xError, naming the longest.
    """
    from in2x.model.prompts import chat_prompts

    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        return
    lengths = [len(ids) for ids in chat_prompts(tokenizer, table["prompt"])]
    if message := _too_long(table["id"].to_list(), lengths, limit, section.max_completion_tokens):
        raise In2xError(f"rl: {message}")


def _too_long(ids: list[str], lengths: list[int], limit: int, max_completion_tokens: int) -> str | None:
    room = limit - max_completion_tokens
    number = sum(length > room for length in lengths)
    if not number:
        return None
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    return (
        f"{number:,} of {len(lengths):,} prompts are longer than {room} tokens, the {limit} positions of the model "
        f"less rl.max_completion_tokens; the longest is {ids[longest]}, with {lengths[longest]} tokens: take a lower "
        "max_completion_tokens, or a model with more positions, or shorter tasks"
    )
