"""What every stage that trains can be told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Section, StageSection

Tracker = Literal["tensorboard", "wandb", "trackio"]


class Optimizer(Section):
    name: Literal["adamw", "muon", "adamw-8bit"] = "adamw"
    """"adamw-8bit" keeps its moments in 8 bits (bitsandbytes, GPUs only: the extra `bitsandbytes`)."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    momentum: Fraction = 0.95
    """Of Muon; AdamW's first moment is betas[0]."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_gradient_norm: Positive = 1.0


class Lora(Section):
    """Train low-rank changes of the matrices, and nothing else (arXiv 2106.09685; DoRA: arXiv 2402.09353)."""

    rank: Count = 16
    alpha: Positive = 32.0
    """A change is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that are changed, such as "q_proj"; "all-linear" is all of them but the head."""
    dora: bool = False
    """Train the length of every column apart from its direction."""


class Training(StageSection):
    """What every stage that trains can be told."""

    optimizer: Optimizer = Optimizer()
    micro_batch_tokens: Count = 1024
    """Tokens of one forward and backward pass. Small ones stay in the processor's cache; large ones fill a GPU."""
    checkpoint_seconds: Positive = 120.0
    """Wall-clock time between two checkpoints."""
    keep_last: Count = 1
    """Checkpoints kept: `checkpoint`, and the ones before it as `checkpoint-<step>`."""
    log_steps: Count = 1
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the products; weights, sums and the optimizer's state stay float32. "auto" is bfloat16 where the
    machine multiplies it itself (GPUs, and CPUs with AVX512-BF16 or AMX), float32 elsewhere."""
    sharding: Literal["none", "fsdp"] = "none"
    """With several processes: "fsdp" parts weights, gradients and optimizer state among them (FSDP2)."""
    lora: Lora | None = None
    """Leave out to train all weights."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep a running mean of the weights, and use it as the stage's model; 0.999 averages over some 1,000 steps."""
    gradient_checkpointing: bool = False
    """Compute activations a second time in the backward pass: a third more time, a fraction of the memory."""
    compile: bool = False
    """Compile the model's layers with torch.compile, for training; the first steps take a minute or more."""
    liger: bool = False
    """Use Liger's kernels for norms, rotations and gated layers (NVIDIA or AMD GPUs; the extra `liger`)."""
    stop_after_spikes: Count | None = None
    """Stop when loss or gradient norm has been far above its running level for so many steps; left out, never."""
    spike_factor: Annotated[float, Field(gt=1)] = 10.0
    """How many times the running level, a median of 64 steps, is far above."""
    peak_tflops: Positive | Literal["measure"] | None = None
    """Peak of one device in 10^12 operations a second, to log the share that is used; "measure" times a product."""
    trackers: tuple[Tracker, ...] = ("tensorboard",)
    """Who gets the numbers of metrics.jsonl beside it; wandb and trackio are extras of their names."""
    trackers_online: bool = False
    """Whether wandb may send them over the network; otherwise they stay in the stage's folder."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.sharding == "fsdp" and self.optimizer.name == "adamw-8bit":
            raise ValueError("adamw-8bit keeps its state whole: take adamw or muon with sharding = 'fsdp'")
        return self
