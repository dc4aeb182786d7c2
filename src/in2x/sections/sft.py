"""The sft stage."""

from typing import Annotated

from pydantic import Field

from in2x.sections.common import Count, Fraction, Positive, Schedule
from in2x.sections.training import Training


class SftSection(Training):
    lr: Positive = 2e-5
    schedule: Schedule = "cosine"
    warmup_fraction: Fraction = 0.03
    step_tokens: Count = 8192
    context_tokens: Count = 256
    temperature: Annotated[float, Field(ge=1)] = 1.0
    """The cross-entropy is taken on logits / temperature; 1 is off."""
