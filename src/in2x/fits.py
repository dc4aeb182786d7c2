"""Does a recipe fit a machine? If not, which changes would make it fit: each is tried, and planned anew."""

from collections.abc import Iterator, Sequence
from itertools import islice

from in2x.artifacts import In2xError
from in2x.machines import GPUS, Machine, gpus
from in2x.memory import Memory
from in2x.model_size import model_size
from in2x.recipe import Recipe
from in2x.sections import Optimizer
from in2x.sections.training import Lora
from in2x.stage_memory import memory_of

MAX_NAMED = 5
HALVED = ("micro_batch_tokens", "batch_size", "batch_completions", "max_completion_tokens", "num_dev", "num_pairs")
"""Settings of which a half, a quarter and an eighth are tried."""


def refuse_what_cannot_fit(recipe: Recipe, machine: Machine, names: Sequence[str]) -> None:
    """Raises In2xError where one of the stages `names` needs more memory than a device has; it says what to change."""
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    found = []
    for name in names:
        memory = memory_of(recipe, name, size, machine)
        if memory and memory.total > machine.memory_bytes:
            found.append(_refusal(recipe, name, memory, machine))
    if found:
        raise In2xError("\n".join(found))


def _refusal(recipe: Recipe, name: str, memory: Memory, machine: Machine) -> str:
    largest, most = max(memory.parts.items(), key=lambda part: part[1])
    section = getattr(recipe, name)
    mends = list(islice(_mends(recipe, name, section, machine), MAX_NAMED))
    if not mends:
        pairs = (
            f"--{name}.{words} {mend}"
            for words, changed in _changes(name, section, machine)
            for mend in _mends(recipe, name, changed, machine)
        )
        mends = list(islice(pairs, MAX_NAMED))
    mends += _larger(recipe, name, machine)
    way = f"any of these makes it fit: {'; '.join(mends)}"
    if not mends:
        way = "no change or two of its settings make it fit: take a smaller model"
    return (
        f"{name}: needs about {memory.total / 1e9:,.1f} GB on each device, and there are "
        f"{machine.memory_bytes / 1e9:,.0f} GB ({machine.name}); the most "
        f"{memory.moment}, {most / 1e9:,.1f} GB of it {largest}; {way}"
    )


def _mends(recipe: Recipe, name: str, section, machine: Machine) -> Iterator[str]:
    """Single changes of a section under which the stage fits, and what it then needs."""
    size = model_size(recipe.pretrain)
    for words, changed in _changes(name, section, machine):
        memory = memory_of(recipe.model_copy(update={name: changed}), name, size, machine)
        if memory.total <= machine.memory_bytes:
            yield f"--{name}.{words} ({memory.total / 1e9:,.1f} GB)"


def _larger(recipe: Recipe, name: str, machine: Machine) -> list[str]:
    """The smallest GPU of the table on which the stage fits, as many of them."""
    size = model_size(recipe.pretrain)
    for key, gpu in sorted(GPUS.items(), key=lambda item: item[1].memory):
        if memory_of(recipe, name, size, gpus(key, machine.num_devices)).total <= gpu.memory * 1e9:
            return [f"--gpu {key} ({gpu.memory:g} GB)"]
    return []


def _changes(name: str, section, machine: Machine) -> Iterator[tuple[str, object]]:
    """Settings in the words of the command line, and the section with each of them."""
    wanted: list[tuple[str, object]] = [("gradient_checkpointing", True), ("reward_preference_dtype", "bfloat16")]
    if machine.num_devices > 1:
        wanted += [("sharding", "fsdp"), ("sharding", "none")]
    wanted += [(key, max(1, getattr(section, key, 0) // factor)) for key in HALVED for factor in (2, 4, 8)]
    known = type(section).model_fields
    for key, value in wanted:
        if key in known and getattr(section, key) != value:
            yield f"{key}={str(value).lower()}", section.model_copy(update={key: value})
    if name == "merge" and "obim" in section.methods:
        yield 'methods=["linear"]', section.model_copy(update={"methods": ("linear",)})
    if "lora" in known and not section.lora:
        yield "lora.rank=16", section.model_copy(update={"lora": Lora()})
        if section.sharding == "none" and section.optimizer.name == "adamw":
            smaller = section.model_copy(update={"optimizer": Optimizer(name="adamw-8bit")})
            yield "optimizer.name=adamw-8bit", smaller
