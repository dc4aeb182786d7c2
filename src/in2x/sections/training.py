"""What every stage that trains can be told."""

from typing import Annotated, Literal

from pydantic import Field

from in2x.sections.common import Count, Fraction, Positive, Section, StageSection


class Optimizer(Section):
    name: Literal["adamw", "muon"] = "adamw"
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    momentum: Fraction = 0.95
    """Of Muon; AdamW's first moment is betas[0]."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_gradient_norm: Positive = 1.0


class Training(StageSection):
    """What every stage that trains can be told."""

    optimizer: Optimizer = Optimizer()
    micro_batch_tokens: Count = 1024
    """Tokens of one forward and backward pass. Small ones stay in the processor's cache; large ones fill a GPU."""
    checkpoint_seconds: Positive = 120.0
    """Wall-clock time between two checkpoints."""
    log_steps: Count = 1
    dtype: Literal["float32", "bfloat16"] = "float32"
