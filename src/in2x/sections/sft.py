"""The sft stage."""

from typing import Annotated

from pydantic import Field

from in2x.sections.common import Count, Fraction, Positive, Schedule, Section
from in2x.sections.pretrain import Measures
from in2x.sections.training import Training


class EarlyStop(Section):
    """Stop when held-out translations no longer get better, and keep the best model."""

    every_steps: Count
    """Steps between two measurements: greedy translations into the target language, chrF2."""
    patience: Count = 3
    """Measurements without a new best before the stage stops."""
    num_segments: Count = 200
    """Of the development set."""
    max_completion_tokens: Count = 64


class SftSection(Training):
    lr: Positive = 2e-5
    schedule: Schedule = "cosine"
    warmup_fraction: Fraction = 0.03
    step_tokens: Count = 8192
    context_tokens: Count = 256
    temperature: Annotated[float, Field(ge=1)] = 1.0
    """The cross-entropy is taken on logits / temperature; 1 is off."""
    neftune_alpha: Positive | None = None
    """Noise on the embeddings in training (NEFTune, arXiv 2310.05914): uniform, of at most alpha / sqrt(L d) for a
    document of L tokens and embeddings of width d; the paper tries 5, 10 and 15. Left out, none."""
    early_stop: EarlyStop | None = None
    measures: Measures = Measures(by_domain=False)
    """Measured once, after training; translations are asked for in the chat template, not by examples."""
