"""How much memory a stage takes on one device: a sum of parts at each moment that could be the highest. No torch.

What is counted is what the code keeps, in float32 unless said otherwise:

    weights, gradients, optimizer    of the trained parameters; parted among the devices with sharding = "fsdp"
    half copies                      bfloat16 copies of the matrices, which autocast keeps until the loss is there; of
                                     one layer where activations are recomputed
    gathered                         whole layers of weights that are parted, and the whole model for generation
    activations, logits              of one micro-batch; logits within the budget of in2x.model.chunks
    KV cache                         of all samples of a batch at full length
    frozen models, engine            beside the one in training
    runtime                          Python, libraries and tables; on a GPU the libraries' context and workspaces

Letters: N parameters, D width, I of the gated layer, L layers, Q all query heads, K all key heads, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from in2x.machines import Machine
from in2x.model.precision import training_dtype
from in2x.model_size import ModelSize, Shape

FLOAT, HALF = 4, 2
OPTIMIZER_BYTES = {"adamw": 8, "muon": 4, "adamw-8bit": 2}
"""State per parameter. Muon keeps two moments of the embedding and the head, as AdamW."""
LOGITS_BUDGET = 8_000_000
SUMMED_ROWS = 256
"""Both as in in2x.model.chunks, which would import torch."""
LOGIT_BYTES = {"cross-entropy": 8, "policy": 24}
"""For each logit: what is made of it, and the gradient."""
SAMPLING_LOGITS_ROWS = 128
"""Rows whose logits exist at a time in generation."""
PROMPT_TOKENS = 64
"""Assumed of the longest prompts of a batch, template included."""
FRAGMENTS = 0.1
"""Share of tensors that an allocator holds besides: on a CPU as measured (benchmarks/memory.py), assumed on a GPU."""
LASTING = ("weights", "optimizer", "running mean", "preference model", "reference policy", "engine", "runtime")
ITERATION_COPIES = 4
"""Of the matrices of one shape in Newton-Schulz's precision, beside their momenta in float32."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device by part; moment: the one that needs most, in words such as "in a step"."""

    moment: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Samples:
    """Completions in the making at once on one device; tokens: at most, of each."""

    num_rows: int
    num_prompts: int
    tokens: int


@dataclass(frozen=True)
class Load:
    """What a stage that trains puts through its model, on one device.

    micro_batch_tokens: of one pass, padding included; packed_tokens: of its rows, where they hold several documents,
    else 0; logit_tokens: those of a pass that are predicted; frozen: names and bytes of models beside the one in
    training; engine_bytes: of a generator in process; rollout_bytes: of a batch's tensors, which stay off the GPU.
    """

    micro_batch_tokens: int
    packed_tokens: int
    logit_tokens: int
    loss: str = "cross-entropy"
    frozen: tuple[tuple[str, float], ...] = ()
    samples: tuple[Samples, ...] = ()
    engine_bytes: float = 0.0
    rollout_bytes: float = 0.0


def trained_parameters(section, size: ModelSize) -> int:
    """All of them, or those of the adapter; without a shape an adapter counts as none."""
    if section.lora is None:
        return size.num_parameters
    return adapter_parameters(section.lora, size.shape) if size.shape else 0


def adapter_parameters(lora, shape: Shape) -> int:
    """rank (inputs + outputs) of every matrix that is changed; DoRA also trains a length for each output."""
    D, Q, K, I = shape.hidden_size, shape.query_size, shape.key_size, shape.intermediate_size  # noqa: E741
    sides = {"q_proj": (D, Q), "k_proj": (D, K), "v_proj": (D, K), "o_proj": (Q, D), "gate_proj": (D, I),
             "up_proj": (D, I), "down_proj": (I, D)}  # fmt: skip
    names = sides if lora.targets == "all-linear" else [name for name in lora.targets if name in sides]
    return shape.num_layers * sum(lora.rank * sum(sides[name]) + lora.dora * sides[name][1] for name in names)


def activation_bytes(shape: Shape, tokens: int, packed_tokens: int, half: bool, recomputed: bool) -> float:
    """What autograd keeps of one micro-batch, as counted in transformers' layers (tests/test_memory.py).

    A layer keeps, for each token: of both norms the input and the result, which under autocast is halved anew for each
    of five products; three tensors of the gated layer; queries, keys and values as attention reads them, and its
    output; with norms of queries and keys, what these are given (under autocast in float32, and the normed state).
    Rows of `packed_tokens` (0: not packed) have a mask, for which each layer keeps a bias, and keys and values repeated
    for all query heads. Recomputed layers keep their input, but for the one at work.
    """
    D, Q, K, I = shape.hidden_size, shape.query_size, shape.key_size, shape.intermediate_size  # noqa: E741
    size = HALF if half else FLOAT
    layer = (18 if half else 16) * D + size * (3 * I + 2 * Q + 2 * (Q if packed_tokens else K) + packed_tokens)
    if shape.family == "qwen3":
        layer += (size + FLOAT if half else size) * (Q + K)
    kept = shape.num_layers * FLOAT * D + layer if recomputed else shape.num_layers * layer
    return tokens * (kept + FLOAT * D + packed_tokens)


def logits_bytes(shape: Shape, tokens: int, loss: str, half: bool, head_is_trained: bool, is_gpu: bool) -> float:
    """Of the head: logits within the budget, on a CPU of SUMMED_ROWS where they are of a sum; of a sum, and above the
    budget, also the head's gradient in the making, twice, and the embedding's where it is the head."""
    is_sum = loss == "cross-entropy"
    rows = tokens if is_gpu or not is_sum else min(tokens, SUMMED_ROWS)
    total = min(rows * shape.vocab_size, LOGITS_BUDGET) * (LOGIT_BYTES[loss] + (4 if half else 0))
    if half:
        total += HALF * shape.head_parameters
    if (is_sum or tokens * shape.vocab_size > LOGITS_BUDGET) and head_is_trained:
        total += (3 if shape.is_tied else 2) * FLOAT * shape.head_parameters
    return total


def cache_bytes(shape: Shape, samples: Samples, shares_prompts: bool) -> float:
    """Keys and values: 2 K for each layer and token; a prompt's are kept once, unless transformers generates."""
    prompts = samples.num_prompts if shares_prompts else samples.num_rows
    tokens = prompts * PROMPT_TOKENS + samples.num_rows * samples.tokens
    return 2 * FLOAT * shape.key_size * shape.num_layers * tokens


def training(section, size: ModelSize, load: Load, machine: Machine) -> Memory:
    """The highest moment of a stage that trains; a model of unknown shape has neither activations nor a cache."""
    moments = [_step(section, size, load, machine), _between(section, size, load, machine)]
    if section.optimizer.name == "muon" and size.shape:
        moments.append(_orthogonalisation(section, size, load, machine))
    return max(moments, key=lambda memory: memory.total)


def inference(size: ModelSize, machine: Machine, samples: Samples, num_models: float = 1) -> Memory:
    """A stage that only generates: `num_models` whole models on the device."""
    parts = {"weights": FLOAT * size.num_parameters * num_models}
    if size.shape:
        parts |= {"KV cache": cache_bytes(size.shape, samples, True), "logits": _sampling_logits(size.shape)}
    return _with_fragments(Memory("in generation", parts | {"runtime": machine.runtime_bytes}), machine)


def _is_half(section, machine: Machine) -> bool:
    return training_dtype(section.dtype, machine.device_type) == "bfloat16"


def _is_parted(section, machine: Machine) -> bool:
    return section.sharding == "fsdp" and machine.num_devices > 1


def _state(section, size: ModelSize, load: Load, machine: Machine) -> dict[str, float]:
    """What is there at every moment: weights, optimizer, running mean, models beside."""
    parted = machine.num_devices if _is_parted(section, machine) else 1
    trained = trained_parameters(section, size)
    adapter = trained if section.lora else 0
    parts = {
        "weights": FLOAT * (size.num_parameters + adapter) / parted,
        "optimizer": _optimizer_bytes(section, size, trained) / parted,
    }
    if section.ema_decay:
        parts["running mean"] = FLOAT * trained / parted
    parts |= dict(load.frozen)
    if load.engine_bytes:
        parts["engine"] = load.engine_bytes
    if load.rollout_bytes and not machine.is_gpu:
        parts["rollouts"] = load.rollout_bytes
    return parts | {"runtime": machine.runtime_bytes}


def _optimizer_bytes(section, size: ModelSize, trained: int) -> float:
    name = section.optimizer.name
    total = OPTIMIZER_BYTES[name] * trained
    if name == "muon" and size.shape and not section.lora:
        total += FLOAT * size.shape.table_parameters
    return total


def _gradients(section, size: ModelSize, machine: Machine) -> float:
    """Parted as soon as they are there; DDP has a second copy, in buckets, to exchange."""
    total = FLOAT * trained_parameters(section, size)
    if _is_parted(section, machine):
        return total / machine.num_devices
    return total * (2 if machine.num_devices > 1 else 1)


def _step(section, size: ModelSize, load: Load, machine: Machine) -> Memory:
    """Forward and backward of one micro-batch."""
    shape, half = size.shape, _is_half(section, machine)
    parts = _state(section, size, load, machine)
    parts["gradients"] = _gradients(section, size, machine)
    if shape is None:
        return Memory("in a step", parts)
    tokens, recomputed = load.micro_batch_tokens, section.gradient_checkpointing
    parts["activations"] = activation_bytes(shape, tokens, load.packed_tokens, half, recomputed)
    if load.loss in LOGIT_BYTES:
        trains_head = section.lora is None
        parts["logits"] = logits_bytes(shape, load.logit_tokens, load.loss, half, trains_head, machine.is_gpu)
    if half:
        kept = 1 if recomputed else shape.num_layers
        parts["half copies"] = HALF * kept * shape.layer_parameters
    if _is_parted(section, machine):
        unparted = 2 * shape.table_parameters + 3 * shape.layer_parameters  # two layers, the gradient of one
        parts["gathered"] = FLOAT * unparted
    return _with_fragments(Memory("in a step", parts), machine)


def _between(section, size: ModelSize, load: Load, machine: Machine) -> Memory:
    """Samples, measures and saving, which want the whole model on every device."""
    parts = _state(section, size, load, machine)
    parted = _is_parted(section, machine)
    if parted and (load.samples or not size.shape):
        parts["gathered"] = FLOAT * size.num_parameters
    elif parted:
        parts["gathered"] = FLOAT * (size.shape.table_parameters + 2 * size.shape.layer_parameters)
    if size.shape and load.samples:
        parts["KV cache"] = max(cache_bytes(size.shape, samples, not parted) for samples in load.samples)
        parts["logits"] = _sampling_logits(size.shape)
    return _with_fragments(Memory("between the steps", parts), machine)


def _orthogonalisation(section, size: ModelSize, load: Load, machine: Machine) -> Memory:
    """Muon's step: all matrices of one shape at once; gate and up are of one shape, in every layer.

    On a processor, what the activations stood in is still held: the allocator gives only large blocks back.
    """
    shape, half = size.shape, _is_half(section, machine)
    parts = _state(section, size, load, machine)
    parts["gradients"] = _gradients(section, size, machine)
    if not machine.is_gpu:
        tokens, recomputed = load.micro_batch_tokens, section.gradient_checkpointing
        parts["activations"] = activation_bytes(shape, tokens, load.packed_tokens, half, recomputed)
    matrix = shape.hidden_size * shape.intermediate_size
    gram = min(shape.hidden_size, shape.intermediate_size) ** 2
    copies = FLOAT * matrix + (HALF if half else FLOAT) * (ITERATION_COPIES * matrix + 2 * gram)
    parts["orthogonalisation"] = 2 * shape.num_layers * copies
    return _with_fragments(Memory("in the optimizer's step", parts), machine)


def _with_fragments(memory: Memory, machine: Machine) -> Memory:
    """With what the allocator holds and can't use: on a GPU of what comes and goes, on a CPU of everything."""
    lasting = LASTING if machine.is_gpu else ("runtime",)
    whole = sum(held for part, held in memory.parts.items() if part not in lasting)
    return Memory(memory.moment, {**memory.parts, "fragments": FRAGMENTS * whole})


def _sampling_logits(shape: Shape) -> float:
    return 3 * FLOAT * SAMPLING_LOGITS_ROWS * shape.vocab_size
