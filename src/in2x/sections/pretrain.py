"""The pretrain stage: where the model comes from, and the phases."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Schedule, Section
from in2x.sections.training import Training


class Architecture(Section):
    """A model from random weights: a configuration of transformers, and a byte-level BPE tokenizer."""

    family: Literal["qwen3", "llama"] = "qwen3"
    vocab_size: Count = 6144
    hidden_size: Count = 256
    intermediate_size: Count = 640
    num_layers: Count = 4
    num_heads: Count = 4
    num_kv_heads: Count = 2
    head_dim: Count = 64
    max_position_tokens: Count = 2048


class Selection(Section):
    """Keep the documents that a model and simple measures find best (arXiv 2508.14472: the annealing phase)."""

    pool_documents: Count = 20_000
    keep_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5


class Phase(Section):
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    tokens: Count
    context_tokens: Count
    lr: Positive
    end_lr_fraction: Fraction = 0.0
    """Where a linear or cosine schedule ends, as a fraction of lr."""
    schedule: Schedule = "constant"
    warmup_fraction: Fraction = 0.0
    mixture: dict[str, Positive]
    """Weight by stream, in tokens: "en", "ja", "en:knowledge", "ja:conversational", "pairs", "documents"."""
    select: Selection | None = None


class PretrainSection(Training):
    base: Path | str | None = None
    """Folder or hub id of the model to continue from; leave out where `scratch` is given."""
    scratch: Architecture | None = None
    phases: tuple[Phase, ...] = Field(min_length=1)
    step_tokens: Count = 8192
    """Tokens of one optimizer step."""

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("give either `base`, a model to continue from, or `scratch`, an architecture")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phase names must differ: {names}")
        return self
