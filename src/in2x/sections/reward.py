"""The reward stage: the preference model of naturalness."""

from typing import Annotated

from pydantic import Field

from in2x.sections.common import Count, Fraction, Positive, Schedule
from in2x.sections.training import Training


class RewardSection(Training):
    lr: Positive = 1e-4
    schedule: Schedule = "cosine"
    warmup_fraction: Fraction = 0.1
    num_pairs: Count = 2_000
    num_epochs: Count = 1
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    sampling_temperature: Positive = 1.0
    step_pairs: Count = 32
    max_completion_tokens: Count = 64
