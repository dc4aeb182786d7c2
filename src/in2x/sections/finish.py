"""The stages after training: merge, translate, evaluate, report."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, NotNegative, Positive, StageSection
from in2x.sections.pretrain import Measures


class MergeSection(StageSection):
    methods: tuple[Literal["linear", "obim"], ...] = Field(("linear", "obim"), min_length=1)
    weights: tuple[Fraction, ...] = Field((0.25, 0.5), min_length=1)
    """Linear: weights of the earlier checkpoint that are tried; the best on the development set is kept."""
    densities: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.25, 0.5), min_length=1)
    """OBIM: fractions of every tensor that each checkpoint may claim; what none claims falls back to SFT."""
    num_saliency_segments: Count = 256
    num_dev: Count = 500
    measures: Measures = Measures(by_domain=False)
    """Of the merged model, as after SFT."""
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
    utility: Literal["chrf", "chrf++", "bleu", "exact", "plugin"] = "chrf"
    """What minimum-Bayes-risk decoding maximises; `exact` takes the most frequent sample."""
    approximation: Literal["none", "aggregate", "coarse-to-fine", "pruned"] = "none"
    """How the expected utility is approximated (in2x.decoding.selection); chrF and BLEU don't need it."""
    keep: Count = 4
    """Candidates that coarse-to-fine looks at closely."""
    pseudo_references: Literal["candidates", "base", "sft", "rl", "merge"] = "candidates"
    """Whose samples stand in for the reference: the candidates themselves, or fresh samples of a stage's model."""
    num_pseudo_references: Count = 16
    """Samples of that model."""
    pseudo_reference_temperature: Positive = 0.7
    reconstruction_weight: NotNegative = 0.0
    """Points of the expected utility (chrF: of 100) that a nat per token of the source's log-likelihood is worth, by
    the sft stage's model translating back (in2x.evaluation.reconstruction). 0 is off."""
    reconstruction_keep: Count = 8
    """Candidates of highest expected utility that are translated back."""
    plugin: str | None = None
    """The neural metric that is the utility: comet, metricx, or the path of a script (in2x.evaluation.plugins)."""
    plugin_python: Path | None = None
    """The Python of the plugin's own environment."""
    plugin_model: str | None = None
    """The plugin's weights, a path or a hub id."""
    max_completion_tokens: Count = 64
    batch_size: Count = 256

    @model_validator(mode="after")
    def _fits(self) -> Self:
        named = [name for name in ("plugin", "plugin_python", "plugin_model") if getattr(self, name) is not None]
        if self.utility == "plugin" and len(named) < 3:
            raise ValueError("utility 'plugin' needs plugin, plugin_python and plugin_model")
        if self.utility != "plugin" and named:
            raise ValueError(f"{named[0]}: only utility 'plugin' reads it, and utility is {self.utility!r}")
        if self.approximation == "aggregate" and not self.utility.startswith("chrf"):
            raise ValueError(f"approximation 'aggregate' is for utilities chrf and chrf++, not for {self.utility!r}")
        if self.approximation == "pruned" and self.utility == "plugin":
            raise ValueError("approximation 'pruned' would start the plugin many times; use 'coarse-to-fine'")
        return self


class EvaluateSection(StageSection):
    num_resamples: Count = 1000
    num_samples: Count = 20


class ReportSection(StageSection):
    title: str = "In2x run"
    max_samples: Count = 20
