"""What a recipe will do, before it is done: tokens, steps, memory and time of each stage. Estimates, without torch.

Time is floating-point operations, 6 N for a token that is trained and 2 N for one that is read (N parameters,
arXiv 2001.08361), at a share of the rate at which numpy multiplies matrices on this machine. A stage that will be
skipped, and one without such operations, shows what it took when it ran.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from in2x import artifacts
from in2x.model_size import ModelSize, model_size
from in2x.recipe import Recipe
from in2x.stages import STAGES, fingerprints

EFFICIENCY = 0.6
"""Share of the peak rate that training reaches: measured on the tiny recipe, start-up included."""
GENERATION_SLOWDOWN = 4.0
"""A generated token against a read one: each is a pass of its own over the weights."""
SENTENCE_TOKENS = 13
"""Assumed of a sentence in either language."""
INSTRUCTION_TOKENS = 3 * SENTENCE_TOKENS
RUNTIME_BYTES = 0.6e9
"""Of Python and the corpus in memory."""
TORCH_BYTES = 0.9e9
"""Of torch and the tokenised corpus, besides the model."""
OPTIMIZER_BYTES = {"adamw": 8, "muon": 4, "adamw-8bit": 2}
"""State per parameter."""


@dataclass(frozen=True)
class Work:
    """What a stage does, in words and in tokens; `num_models` are in memory at once."""

    what: str
    trained_tokens: float = 0
    read_tokens: float = 0
    generated_tokens: float = 0
    num_models: int = 0
    trains: bool = True


@dataclass(frozen=True)
class StagePlan:
    """seconds and memory_bytes are what was measured of a stage that will be skipped; None where nothing tells them."""

    name: str
    what: str
    state: str
    is_skipped: bool
    seconds: float | None
    memory_bytes: float | None


def plan(recipe: Recipe, flops_per_second: float) -> list[StagePlan]:
    """Plans of the recipe's stages, in order."""
    size = model_size(recipe.pretrain) if recipe.pretrain else None
    prints = fingerprints(recipe)
    found: list[StagePlan] = []
    for name in recipe.stages:
        manifest = artifacts.manifest(recipe.folder / name)
        redone = STAGES[name].reads_unfinished and not all(stage.is_skipped for stage in found)
        state, is_skipped = _state(manifest, prints[name], redone)
        work = WORK[name](recipe, manifest if is_skipped else None)
        seconds, memory = _seconds(work, size, flops_per_second), _memory(getattr(recipe, name), work, size)
        if manifest and (is_skipped or (seconds is None and manifest["status"] == "complete")):
            seconds, memory = manifest["seconds"], manifest.get("peak_memory_bytes")
        found.append(StagePlan(name, work.what, state, is_skipped, seconds, memory))
    return found


def measure_flops(threads: int | None = None, seconds: float = 0.2, side: int = 64) -> float:
    """Floating-point operations per second: those of the fastest float32 matrix product on one core, times the threads.

    The product is so small that it stays on one core, and the fastest one ran undisturbed: a busy machine says as much
    as an idle one. Without `threads`, there are as many as the machine has cores, which is what torch takes.
    """
    import numpy as np
    import psutil

    a = np.random.default_rng(0).random((side, side), dtype=np.float32)
    product, fastest, end = np.empty_like(a), float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
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


def _seconds(work: Work, size: ModelSize | None, flops_per_second: float) -> float | None:
    tokens = 6 * work.trained_tokens + 2 * work.read_tokens + 2 * GENERATION_SLOWDOWN * work.generated_tokens
    if not tokens or not size:
        return None
    return tokens * size.num_parameters / (EFFICIENCY * flops_per_second)


def _memory(section, work: Work, size: ModelSize | None) -> float | None:
    """Weights, gradients, optimizer state and the activations of one micro-batch."""
    if not work.num_models:
        return RUNTIME_BYTES
    if not size:
        return None
    total = RUNTIME_BYTES + TORCH_BYTES + 4 * size.num_parameters * work.num_models
    if work.trains:
        total += (4 + OPTIMIZER_BYTES[section.optimizer.name]) * size.num_parameters
    if work.trains and size.num_layers and size.hidden_size and size.vocab_size:
        total += 4 * section.micro_batch_tokens * (20 * size.num_layers * size.hidden_size + 3 * size.vocab_size)
    return total


# --- what each stage does -------------------------------------------------------------------------------------


def _corpus(recipe: Recipe, manifest: Mapping | None) -> Work:
    if manifest:
        numbers = ", ".join(f"{number:,} {split}" for split, number in manifest["results"].get("num_pairs", {}).items())
        return Work(f"pairs: {numbers}")
    section = recipe.corpus
    sources = ", ".join(source.name for source in section.sources)
    return Work(f"{sources}; {section.num_dev:,} dev, {section.num_test:,} test")


def _pretrain(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.pretrain
    tokens = sum(phase.tokens for phase in section.phases)
    steps = sum(max(1, phase.tokens // section.step_tokens) for phase in section.phases)
    chosen = sum(phase.select.pool_documents * len(phase.mixture) for phase in section.phases if phase.select)
    what = f"{tokens:,} tokens, {_number(steps, 'step')}, {_number(len(section.phases), 'phase')}"
    return Work(what, trained_tokens=tokens, read_tokens=2 * SENTENCE_TOKENS * chosen, num_models=1)


def _instruct(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.instruct
    return Work(f"{section.num_epochs} x {section.num_sft:,} for SFT, {section.num_rl:,} for RL")


def _sft(recipe: Recipe, manifest: Mapping | None) -> Work:
    number = recipe.instruct.num_sft * recipe.instruct.num_epochs
    tokens = number * INSTRUCTION_TOKENS
    steps = max(1, tokens // recipe.sft.step_tokens)
    return Work(f"{number:,} instructions, about {_number(steps, 'step')}", trained_tokens=tokens, num_models=1)


def _reward(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.reward
    tokens = section.num_pairs * section.num_epochs * 4 * SENTENCE_TOKENS
    steps = max(1, section.num_pairs * section.num_epochs // section.step_pairs)
    return Work(f"{section.num_pairs:,} pairs, about {_number(steps, 'step')}", trained_tokens=tokens,
                generated_tokens=section.num_pairs * SENTENCE_TOKENS, num_models=1)  # fmt: skip


def _rl(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.rl
    rollouts = section.num_batches * section.batch_completions
    steps = rollouts // section.mini_batch_completions
    num_dev = section.num_dev * (section.num_batches // section.dev_every_batches) if section.dev_every_batches else 0
    return Work(f"{rollouts:,} rollouts, {_number(steps, 'step')}", trained_tokens=rollouts * INSTRUCTION_TOKENS,
                read_tokens=2 * rollouts * INSTRUCTION_TOKENS, generated_tokens=(rollouts + num_dev) * SENTENCE_TOKENS,
                num_models=3 if section.kl_coefficient else 2)  # fmt: skip


def _merge(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.merge
    number = {"linear": 2 * len(section.weights), "obim": len(section.densities)}
    candidates = sum(number[method] for method in section.methods)
    return Work(f"{candidates} candidates on {section.num_dev:,} dev segments", num_models=4, trains=False,
                trained_tokens=section.num_saliency_segments * INSTRUCTION_TOKENS,
                generated_tokens=(candidates + 1) * section.num_dev * SENTENCE_TOKENS)  # fmt: skip


def _translate(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.translate
    systems = len(recipe.pretrain.phases) + sum(getattr(recipe, name) is not None for name in ("sft", "rl", "merge"))
    number = section.num_segments * (systems + section.num_candidates)
    return Work(f"{section.num_segments:,} segments by {_number(systems, 'system')}; "
                f"{section.num_candidates} samples each of the last",
                generated_tokens=number * SENTENCE_TOKENS, num_models=1, trains=False)  # fmt: skip


def _evaluate(recipe: Recipe, manifest: Mapping | None) -> Work:
    return Work(f"{recipe.evaluate.num_resamples:,} resamples")


def _report(recipe: Recipe, manifest: Mapping | None) -> Work:
    return Work("one page of HTML")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


WORK: dict[str, Callable[[Recipe, Mapping | None], Work]] = {
    "corpus": _corpus, "pretrain": _pretrain, "instruct": _instruct, "sft": _sft, "reward": _reward, "rl": _rl,
    "merge": _merge, "translate": _translate, "evaluate": _evaluate, "report": _report,
}  # fmt: skip
