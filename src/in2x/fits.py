"""Does a recipe fit a machine? If not, which single changes would make it fit: each is tried, and planned anew."""

from collections.abc import Iterator, Sequence

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
    mends = list(_mends(recipe, name, machine))[:MAX_NAMED]
    way = f"any of these alone makes it fit: {'; '.join(mends)}"
    if not mends:
        way = "no single change makes it fit: take a smaller model, or change several settings"
    return (
        f"{name}: needs about {memory.total / 1e9:,.1f} GB on each device, and there are "
        f"{machine.memory_bytes / 1e9:,.0f} GB ({machine.name}); most {memory.moment}, "
        f"where {largest} takes {most / 1e9:,.1f} GB; {way}"
    )


def _mends(recipe: Recipe, name: str, machine: Machine) -> Iterator[str]:
    size = model_size(recipe.pretrain)
    for words, section in _changes(name, getattr(recipe, name), machine):
        memory = memory_of(recipe.model_copy(update={name: section}), name, size, machine)
        if memory.total <= machine.memory_bytes:
            yield f"--{name}.{words} ({memory.total / 1e9:,.1f} GB)"
    for key, gpu in sorted(GPUS.items(), key=lambda item: item[1].memory):
        other = gpus(key, machine.num_devices)
        if gpu.memory * 1e9 > machine.memory_bytes and memory_of(recipe, name, size, other).total <= gpu.memory * 1e9:
            yield f"--gpu {key} ({gpu.memory:g} GB)"
            return


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
