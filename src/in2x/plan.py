"""What a recipe will do, before it is done: tokens, operations, memory and time of each stage, all estimated.

Operations of a token that is trained are 6 N (N parameters, arXiv 2001.08361), 4 N where an adapter alone is trained,
2 N more where activations are recomputed, and 12 L Q T of attention (L layers, queries of width Q, rows of T tokens:
arXiv 2204.02311, appendix B); 2 N of one that is read or generated. Time is operations at a share of the peak rate; on
a GPU a generated token takes a pass over the weights in memory, shared by all rows. A stage that will be skipped, and
one without such operations, shows what it took when it ran. Without torch, unless a stage trains in other than float32.
"""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass

from in2x import artifacts
from in2x.machines import Machine
from in2x.memory import Memory, trained_parameters
from in2x.model.precision import training_dtype
from in2x.model_size import ModelSize, model_size
from in2x.recipe import Recipe
from in2x.stage_memory import GENERATION_ROWS, as_it_stands, memory_of
from in2x.stages import STAGES, fingerprints
from in2x.work import WORK, Work

GENERATION_SLOWDOWN = 2.0
"""A generated token against a read one, on a CPU: each is a pass of its own over the weights. In a run of the tiny
recipe it was 1.1 where a prompt had 32 samples, 2.5 in greedy translation, about 2.4 in RL."""
LONGEST = 2.0
"""Assumed of the longest completion of a batch against the mean: it goes on until that is done."""
TRAINING = ("pretrain", "sft", "reward", "rl")
FLOAT = 4


@dataclass(frozen=True)
class Forecast:
    """Of a stage that trains: parameters, tokens that are trained, operations of all that it computes, memory."""

    num_parameters: int
    num_trained: int
    tokens: float
    flops: float
    memory: Memory


@dataclass(frozen=True)
class StagePlan:
    """seconds and memory_bytes are what was measured of a stage that will be skipped; None where nothing tells them."""

    name: str
    what: str
    state: str
    is_skipped: bool
    seconds: float | None
    memory_bytes: float | None
    forecast: Forecast | None = None


def plan(recipe: Recipe, machine: Machine) -> list[StagePlan]:
    """Plans of the recipe's stages, in order, on a machine (in2x.machines)."""
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    prints = fingerprints(recipe)
    found: list[StagePlan] = []
    for name in recipe.stages:
        manifest = artifacts.manifest(recipe.folder / name)
        redone = STAGES[name].reads_unfinished and not all(stage.is_skipped for stage in found)
        state, is_skipped = _state(manifest, prints[name], redone)
        work = WORK[name](recipe, manifest if is_skipped else None)
        section = getattr(recipe, name)
        if not is_skipped:
            machine = as_it_stands(machine, name)
        seconds, memory = _seconds(work, section, size, machine), memory_of(recipe, name, size, machine)
        forecast = _forecast(work, section, size, memory) if size and name in TRAINING else None
        held = memory.total if memory else None
        if manifest and (is_skipped or (seconds is None and manifest["status"] == "complete")):
            seconds, held = manifest["seconds"], manifest.get("peak_memory_bytes")
        found.append(StagePlan(name, work.what, state, is_skipped, seconds, held, forecast))
    return found


LEAST_PRODUCTS = 100
"""The first may take all of the time, where the library starts its threads on a machine that has other work."""


def measure_flops(threads: int | None = None, seconds: float = 0.2, side: int = 64) -> float:
    """Floating-point operations per second: those of the fastest float32 matrix product on one core, times the threads.

    The product is so small that it stays on one core, and the fastest one ran undisturbed: a busy machine says as much
    as an idle one. Without `threads`, there are as many as the machine has cores, which is what torch takes.
    """
    import numpy as np
    import psutil

    a = np.random.default_rng(0).random((side, side), dtype=np.float32)
    product, fastest, end = np.empty_like(a), float("inf"), time.perf_counter() + seconds
    for number in itertools.count():
        start = time.perf_counter()
        if start > end and number >= LEAST_PRODUCTS:
            break
        np.matmul(a, a, out=product)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest * (threads or psutil.cpu_count(logical=False) or 1)


def _state(manifest: Mapping | None, print_: str, redone: bool) -> tuple[str, bool]:
    if not manifest:
        return "to run", False
    if manifest["fingerprint"] != print_ or redone:
        return "to run again: its settings or inputs have changed", False
    if manifest["status"] != "complete":
        return "to be continued", False
    return "unchanged, will be skipped", True


def _forecast(work: Work, section, size: ModelSize, memory: Memory) -> Forecast:
    flops = sum(_flops(work, section, size))
    return Forecast(size.num_parameters, trained_parameters(section, size), work.trained_tokens, flops, memory)


def _flops(work: Work, section, size: ModelSize) -> tuple[float, float, float]:
    """Operations of training, reading and generating."""
    number, shape = size.num_parameters, size.shape
    per_token = (4 if getattr(section, "lora", None) else 6) * number
    if getattr(section, "gradient_checkpointing", False):
        per_token += 2 * number
    if shape:
        per_token += 12 * shape.num_layers * shape.query_size * work.row_tokens
    return per_token * work.trained_tokens, 2 * number * work.read_tokens, 2 * number * work.generated_tokens


def _seconds(work: Work, section, size: ModelSize | None, machine: Machine) -> float | None:
    if not size or not work.trained_tokens + work.read_tokens + work.generated_tokens:
        return None
    training, reading, generation = _flops(work, section, size)
    rate = machine.rate(training_dtype(getattr(section, "dtype", "float32"), machine.device_type))
    trainers = min(work.num_trainers or machine.num_devices, machine.num_devices)
    seconds = training / (rate * trainers) + reading / (rate * machine.num_devices)
    if work.samples_elsewhere:
        return seconds
    exact = machine.rate("float32") * machine.num_devices
    if not machine.is_gpu:
        return seconds + GENERATION_SLOWDOWN * generation / exact
    rows = min(work.num_rows, GENERATION_ROWS * machine.num_devices)
    passes = LONGEST * work.generated_tokens / rows
    return seconds + max(generation / exact, passes * FLOAT * size.num_parameters / machine.bandwidth)
