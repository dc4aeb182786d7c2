"""What each stage of a recipe puts through its model at a time, and the memory that this takes. Without torch."""

from dataclasses import replace

from in2x.machines import Machine
from in2x.memory import FLOAT, HALF, PROMPT_TOKENS, Load, Memory, Samples, inference, training
from in2x.model.precision import training_dtype
from in2x.model_size import ModelSize
from in2x.recipe import Recipe
from in2x.rl.rows import ROWS
from in2x.work import SENTENCE_TOKENS

GENERATION_ROWS, TRANSLATION_ROWS = 512, 256
"""Completions at a time where no setting says it (in2x.decoding)."""
ROLLOUT_BYTES = 8 + 1 + 3 * 4
"""Of a token of a rollout: its id, the mask, and three log-probabilities."""
MAX_SCORED_TOKENS = 256
"""Of a text that the preference model reads (in2x.rewards.naturalness)."""
LONG_TEXT_TOKENS = 3 * SENTENCE_TOKENS
"""Assumed of the longest sentence of a batch: people's are not cut at max_completion_tokens."""
RUNTIME_BYTES = {
    "corpus": 0.8e9, "pretrain": 1.06e9, "instruct": 1.4e9, "sft": 0.64e9, "reward": 0.65e9, "rl": 0.4e9,
    "merge": 0.4e9, "translate": 0.5e9, "evaluate": 0.6e9, "report": 0.6e9,
}  # fmt: skip
"""On a processor, beside models: measured with Tatoeba's 200,000 pairs, each stage in a process of its own. Instruct's
is that after pre-training, in a run of all stages: what that one held is not given back."""


def memory_of(recipe: Recipe, name: str, size: ModelSize | None, machine: Machine) -> Memory | None:
    """The highest moment of a stage on one device; None where the size of the model isn't known, or no GPU is used."""
    if name not in LOADS:
        return None if machine.is_gpu else Memory("all of it", {"runtime": machine.runtime_bytes})
    return LOADS[name](recipe, size, machine) if size else None


def as_it_stands(machine: Machine, name: str) -> Machine:
    """The machine in a stage: one process runs them all, and gives back little of what earlier ones have held."""
    if machine.is_gpu:
        return machine
    return replace(machine, runtime_bytes=max(machine.runtime_bytes, RUNTIME_BYTES[name]))


def packed(section, row_tokens: int, step_tokens: int, samples: tuple[Samples, ...]) -> Load:
    """Rows of one length, as in2x.training.batches cuts them into micro-batches."""
    tokens = max(1, min(section.micro_batch_tokens, step_tokens) // row_tokens) * row_tokens
    return Load(tokens, row_tokens, tokens, samples=samples)


def _pretrain(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    section = recipe.pretrain
    samples = _measured(section.measures, machine)
    loads = [packed(section, phase.context_tokens, section.step_tokens, samples) for phase in section.phases]
    return max((training(section, size, load, machine) for load in loads), key=lambda memory: memory.total)


def _sft(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    section = recipe.sft
    samples = _measured(section.measures, machine)
    if section.early_stop:
        samples += (_samples(section.early_stop.num_segments, 1, section.early_stop.max_completion_tokens, machine),)
    return training(section, size, packed(section, section.context_tokens, section.step_tokens, samples), machine)


def _reward(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    """All pairs of a step are one micro-batch; the samples are drawn before, from the supervised model."""
    section = recipe.reward
    row = min(MAX_SCORED_TOKENS, max(section.max_completion_tokens, LONG_TEXT_TOKENS))
    load = Load(2 * section.step_pairs * row, 0, 0, loss="ranking")
    drawn = _samples(section.num_pairs, 1, section.max_completion_tokens, machine, GENERATION_ROWS)
    return max(training(section, size, load, machine), inference(size, machine, drawn), key=lambda memory: memory.total)


def _rl(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    section, engine = recipe.rl, 0.0
    row = PROMPT_TOKENS + section.max_completion_tokens
    tokens = min(max(row, section.micro_batch_tokens // row * row), section.mini_batch_completions * row)
    samples = ()
    if section.generator.kind == "built-in":
        most = section.max_completion_tokens
        samples = (_samples(section.batch_completions, section.group_size, most, machine, GENERATION_ROWS),)
    elif section.generator.kind == "vllm":
        engine = section.generator.gpu_memory_fraction * machine.memory_bytes
    if section.dev_every_batches:
        samples += (_samples(section.num_dev, 1, section.max_completion_tokens, machine),)
    samples += _measured(section.measures, machine)
    load = Load(
        tokens,
        0,
        tokens * section.max_completion_tokens // row,
        loss="policy",
        frozen=_frozen(section, size, machine),
        samples=samples,
        engine_bytes=engine,
        rollout_bytes=section.batch_completions * row * ROLLOUT_BYTES,
    )
    return training(section, size, load, machine)


def _frozen(section, size: ModelSize, machine: Machine) -> tuple[tuple[str, float], ...]:
    """The preference model, whole on every device; the reference policy, which an adapter makes needless."""
    found = []
    weights = [section.reward_weights, *section.reward_task_weights.values()]
    if any(own.get("naturalness") for own in weights):
        body = size.num_parameters
        if size.shape and not size.shape.is_tied:
            body -= size.shape.head_parameters
        dtype = training_dtype(section.reward_preference_dtype, machine.device_type)
        found.append(("preference model", (HALF if dtype == "bfloat16" else FLOAT) * body))
    kl = ROWS[section.algorithm].settings(kl_coefficient=section.kl_coefficient).kl_coefficient
    if kl and not section.lora:
        found.append(("reference policy", FLOAT * size.num_parameters))
    return tuple(found)


def _merge(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    """OBIM's saliencies want weights, gradients and their squares on the device; the merged states are off a GPU."""
    section, obim = recipe.merge, "obim" in recipe.merge.methods
    samples = _samples(section.num_dev, 1, section.max_completion_tokens, machine, section.batch_size)
    generation = inference(size, machine, samples, 1 if machine.is_gpu else 9 if obim else 6)
    if not obim or not machine.is_gpu:
        return generation
    parts = {"weights": 1, "gradients": 1, "squares of gradients": 1}
    saliency = {part: FLOAT * size.num_parameters * number for part, number in parts.items()}
    saliencies = Memory("in OBIM's saliencies", saliency | {"runtime": machine.runtime_bytes})
    return max(generation, saliencies, key=lambda memory: memory.total)


def _translate(recipe: Recipe, size: ModelSize, machine: Machine) -> Memory:
    section = recipe.translate
    greedy = _samples(section.num_segments, 1, section.max_completion_tokens, machine, section.batch_size)
    return inference(size, machine, greedy)


def _measured(measures, machine: Machine) -> tuple[Samples, ...]:
    number = max(measures.few_shot_segments, measures.round_trip_segments)
    return (_samples(number, 1, measures.max_completion_tokens, machine, GENERATION_ROWS),) if number else ()


def _samples(
    number: int, group_size: int, tokens: int, machine: Machine, batch_size: int = TRANSLATION_ROWS
) -> Samples:
    """One device's share of `number` completions, in groups, at most batch_size of them at a time."""
    rows = min(batch_size, -(-number // machine.num_devices))
    return Samples(rows, -(-rows // group_size), tokens)


LOADS = {
    "pretrain": _pretrain, "sft": _sft, "reward": _reward, "rl": _rl, "merge": _merge, "translate": _translate,
}  # fmt: skip
