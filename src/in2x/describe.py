"""Lines that the command line prints: the plan of a recipe, and what came of a stage."""

from collections.abc import Iterator, Mapping

import psutil

from in2x.model_size import model_size
from in2x.plan import EFFICIENCY, SENTENCE_TOKENS, StagePlan, measure_flops, plan
from in2x.recipe import Recipe
from in2x.stages import Outcome
from in2x.training.metrics import duration

NUM_FACTS = 3


def describe(recipe: Recipe) -> Iterator[str]:
    """The plan of a recipe, a line for each stage, and what it adds up to."""
    flops = measure_flops(recipe.threads)
    planned = plan(recipe, flops)
    yield f"{recipe.name}: {', '.join(recipe.stages)} fit together; the run's folder is {recipe.folder}"
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    if size:
        yield f"model: {_short(size.num_parameters)} parameters ({size.origin})"
    elif recipe.pretrain:
        yield f"model: {recipe.pretrain.base}; its size isn't known before it is loaded, so neither time nor memory is"
    width = max(len(stage.what) for stage in planned)
    for stage in planned:
        yield f"  {stage.name:<10}{stage.what:<{width}}  {_memory(stage):>9}  {_time(stage):>9}  {stage.state}"
    yield from _totals(planned, flops)


def _totals(planned: list[StagePlan], flops: float) -> Iterator[str]:
    to_run = [stage for stage in planned if not stage.is_skipped]
    if not to_run:
        yield "nothing to run: every stage is complete and unchanged"
        return
    unknown = [stage.name for stage in to_run if stage.seconds is None]
    rest = f", and {', '.join(unknown)}" if unknown else ""
    yield f"about {duration(sum(stage.seconds or 0 for stage in to_run))} to run{rest}"
    yield (f"~ is an estimate: {EFFICIENCY:.0%} of the {flops / 1e9:,.0f} GFLOPS just measured on this processor, and "
           f"sentences of {SENTENCE_TOKENS} tokens; a GPU, or a busy machine, differs")  # fmt: skip
    memory = psutil.virtual_memory().total
    for stage in to_run:
        if (stage.memory_bytes or 0) > memory:
            yield f"note: {stage.name} needs about {stage.memory_bytes / 1e9:,.1f} GB; there are {memory / 1e9:,.1f} GB"


def _memory(stage: StagePlan) -> str:
    if stage.memory_bytes is None:
        return "-"
    return f"{'' if stage.is_skipped else '~'}{stage.memory_bytes / 1e9:,.1f} GB"


def _time(stage: StagePlan) -> str:
    if stage.seconds is None:
        return "-"
    return f"{'' if stage.is_skipped else '~'}{duration(stage.seconds)}"


def outcome_line(outcome: Outcome) -> str:
    """Example: "sft: 93 s, num_steps 312, dev_loss 1.742", or "sft: unchanged, skipped (93 s when it ran)"."""
    seconds = f"{outcome.seconds:,.0f} s" if outcome.seconds >= 10 else f"{outcome.seconds:.1f} s"
    if outcome.skipped:
        return f"{outcome.name}: unchanged, skipped ({seconds} when it ran)"
    return ", ".join([f"{outcome.name}: {seconds}", *facts(outcome.results)])


def facts(results: Mapping) -> list[str]:
    """The line that a stage wrote about itself (`summary`), or else the first numbers and words of its results."""
    if "summary" in results:
        return [str(results["summary"])]
    flat = {name: value for name, value in results.items() if isinstance(value, int | float | str)}
    return [f"{name} {_value(value)}" for name, value in list(flat.items())[:NUM_FACTS]]


def _value(value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _short(number: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
