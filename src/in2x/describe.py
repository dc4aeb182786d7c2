"""Lines that the command line prints: the plan of a recipe, and what came of a stage."""

from collections.abc import Iterator, Mapping

import psutil

from in2x.fits import refuse_what_cannot_fit
from in2x.machines import Machine, processor
from in2x.model_size import model_size
from in2x.plan import Forecast, StagePlan, measure_flops, plan
from in2x.recipe import Recipe
from in2x.stages import Outcome
from in2x.training.metrics import duration
from in2x.work import SENTENCE_TOKENS

NUM_FACTS = 3
LEAST_SHARE = 0.005
"""Parts of the memory below this share of it are added up as `rest`."""


def describe(recipe: Recipe, machine: Machine | None = None) -> Iterator[str]:
    """The plan of a recipe, a line for each stage, what those that train take, and what it adds up to.

    `machine` (in2x.machines) is what it is planned for; left out, this processor.

    Raises:
        In2xError: at the end, where a stage that is still to run doesn't fit the GPUs it is planned for.
    """
    if machine is None:
        machine = processor(measure_flops(recipe.threads), psutil.virtual_memory().total)
    planned = plan(recipe, machine)
    yield f"{recipe.name}: {', '.join(recipe.stages)} fit together; the run's folder is {recipe.folder}"
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    if size:
        yield f"model: {_short(size.num_parameters)} parameters ({size.origin})"
    elif recipe.pretrain:
        yield f"model: {recipe.pretrain.base}; its size isn't known before it is loaded, so neither time nor memory is"
    width = max(len(stage.what) for stage in planned)
    for stage in planned:
        yield f"  {stage.name:<10}{stage.what:<{width}}  {_memory(stage):>9}  {_time(stage):>9}  {stage.state}"
    for stage in planned:
        if stage.forecast and not stage.is_skipped:
            yield forecast_line(stage.name, stage.forecast)
    yield from _totals(recipe, planned, machine)


def forecast_line(name: str, forecast: Forecast) -> str:
    """Parameters, tokens, operations, and memory by part, largest first."""
    trained = "all" if forecast.num_trained == forecast.num_parameters else f"{forecast.num_trained:,}"
    memory, least = forecast.memory, LEAST_SHARE * forecast.memory.total
    named = sorted((part for part in memory.parts.items() if part[1] >= least), key=lambda part: -part[1])
    parts = [f"{part} {_gigabytes(held)}" for part, held in named]
    if rest := sum(held for held in memory.parts.values() if held < least):
        parts.append(f"rest {_gigabytes(rest)}")
    return (f"{name}: {forecast.num_parameters:,} parameters, {trained} trained; {forecast.tokens:,.0f} tokens, "
            f"{forecast.flops:.2g} FLOPs; {_gigabytes(memory.total)} GB {memory.moment}: "
            f"{', '.join(parts)}")  # fmt: skip


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:,.1f}" if number >= 1e9 else f"{number / 1e9:.2g}"


def _totals(recipe: Recipe, planned: list[StagePlan], machine: Machine) -> Iterator[str]:
    to_run = [stage for stage in planned if not stage.is_skipped]
    if not to_run:
        yield "nothing to run: every stage is complete and unchanged"
        return
    unknown = [stage.name for stage in to_run if stage.seconds is None]
    rest = f", and {', '.join(unknown)}" if unknown else ""
    yield f"about {duration(sum(stage.seconds or 0 for stage in to_run))} to run{rest}"
    yield f"~ is an estimate: {_assumed(machine)}, and sentences of {SENTENCE_TOKENS} tokens"
    if machine.is_gpu:
        yield from _host_memory(recipe, machine)
        refuse_what_cannot_fit(recipe, machine, [stage.name for stage in to_run])
        return
    for stage in to_run:
        if (stage.memory_bytes or 0) > machine.memory_bytes:
            there = f"there are {machine.memory_bytes / 1e9:,.1f} GB"
            yield f"note: {stage.name} needs about {stage.memory_bytes / 1e9:,.1f} GB; {there}"


def _assumed(machine: Machine) -> str:
    share, rates = f"{machine.utilisation:.0%}", machine.flops
    if not machine.is_gpu:
        return (f"{share} of the {rates['float32'] / 1e9:,.0f} GFLOPS just measured on this processor (a GPU differs: "
                "see --gpu; so does a busy machine)")  # fmt: skip
    return (f"{machine.name}, {machine.memory_bytes / 1e9:,.0f} GB each, at {share} of their "
            f"{rates['bfloat16'] / 1e12:,.0f} TFLOPS in bfloat16 and {rates['float32'] / 1e12:,.0f} in float32, as "
            "published; the share is assumed, not measured")  # fmt: skip


def _host_memory(recipe: Recipe, machine: Machine) -> Iterator[str]:
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    if size and machine.num_devices > 1 and size.num_parameters > 1e9:
        whole = 4 * size.num_parameters / 1e9
        yield f"note: the main process holds the model in its machine's memory when it is saved: {whole:,.0f} GB"


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
