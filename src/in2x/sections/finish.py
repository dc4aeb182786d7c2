"""The stages after training: merge, translate, evaluate, report."""

from typing import Annotated, Literal

from pydantic import Field

from in2x.sections.common import Count, Fraction, Positive, StageSection


class MergeSection(StageSection):
    methods: tuple[Literal["linear", "obim"], ...] = Field(("linear", "obim"), min_length=1)
    weights: tuple[Fraction, ...] = Field((0.25, 0.5), min_length=1)
    """Linear: weights of the earlier checkpoint that are tried; the best on the development set is kept."""
    densities: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.25, 0.5), min_length=1)
    """OBIM: fractions of every tensor that each checkpoint may claim; what none claims falls back to SFT."""
    num_saliency_segments: Count = 256
    num_dev: Count = 500
    max_completion_tokens: Count = 64
    batch_size: Count = 256


class TranslateSection(StageSection):
    num_segments: Count = 1000
    """Of the test set."""
    num_candidates: Annotated[int, Field(ge=2)] = 16
    """Samples for minimum-Bayes-risk decoding."""
    temperature: Positive = 0.7
    chrf_beta: Positive = 1.0
    """Weight of recall in the chrF that minimum-Bayes-risk decoding maximises."""
    max_completion_tokens: Count = 64
    batch_size: Count = 256


class EvaluateSection(StageSection):
    num_resamples: Count = 1000
    num_samples: Count = 20


class ReportSection(StageSection):
    title: str = "In2x run"
    max_samples: Count = 20
