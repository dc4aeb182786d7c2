"""The pretrain stage: where the model comes from, the phases, and what is measured after each."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Schedule, Section
from in2x.sections.training import Training

BILINGUAL_STREAMS = ("pairs", "documents", "switched", "styled")
"""Streams made of both languages; beside them there is one of each language of the corpus."""


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


class Rope(Section):
    """Rotary positions for a context beyond the model's; the phase's `context_tokens` become its positions."""

    kind: Literal["yarn", "linear", "theta"]
    """YaRN (arXiv 2309.00071), positions divided by a factor (arXiv 2306.15595), or another base of the angles."""
    factor: Annotated[float, Field(gt=1)] | None = None
    """Of yarn and linear; left out, context_tokens / the model's own positions."""
    theta: Positive | None = None
    """Of theta: the new base, such as 1e6; larger than the model's own."""

    @model_validator(mode="after")
    def _own_number(self) -> Self:
        if (self.kind == "theta") != (self.theta is not None) or (self.kind == "theta" and self.factor is not None):
            raise ValueError("kind 'theta' needs `theta`, and no `factor`; 'yarn' and 'linear' take `factor` alone")
        return self


class Contrastive(Section):
    """Pull the hidden states of a segment and its translation together: InfoNCE (arXiv 1807.03748), both directions."""

    coefficient: Positive = 0.1
    """Weight beside the cross-entropy, both in nats."""
    temperature: Positive = 0.05
    """Of the cosines."""
    num_pairs: Annotated[int, Field(ge=2)] = 32
    """Pairs a step, each the others' negatives; from different near-duplicate groups."""
    layer: int | None = None
    """Of the hidden states: 0 the embeddings, 1 the first layer's; left out, the middle one. -1 is the last."""


class Phase(Section):
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    tokens: Count
    context_tokens: Count
    lr: Positive
    end_lr_fraction: Fraction = 0.0
    """Where a linear or cosine schedule ends, as a fraction of lr."""
    schedule: Schedule = "constant"
    warmup_fraction: Fraction = 0.0
    mixture: dict[str, Positive] = Field(min_length=1)
    """Weight by stream, in tokens: "en", "ja", "en:knowledge", "ja:conversational", "pairs", "documents", "switched",
    "styled"."""
    temperature: Positive | None = None
    """Weights are multiplied by tokens of the stream ** (1 / temperature): 1 is in proportion to the streams' sizes,
    larger is flatter. Left out, the weights are the shares."""
    max_epochs: Positive | None = None
    """No stream is repeated more often; what is over goes to the others (UniMax, arXiv 2304.09151)."""
    replay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the tokens that are text of the hub language alone: its streams of the mixture are scaled to it, or
    the stream of all its text is added. Left out, as the mixture has it."""
    reset_optimizer: bool = False
    """Begin the phase with fresh moments, rather than with those of the phase before."""
    select: Selection | None = None
    rope: Rope | None = None
    contrastive: Contrastive | None = None


PAPER_PHASES = (
    Phase(
        name="knowledge", tokens=2_500_000_000_000, context_tokens=8192, lr=3e-5, schedule="constant",
        warmup_fraction=0.001, mixture={"en": 0.45, "ja": 0.45, "pairs": 0.1}, max_epochs=4,
    ),
    Phase(
        name="long", tokens=100_000_000_000, context_tokens=32_000, lr=3e-5, schedule="constant",
        mixture={"documents": 0.2, "en": 0.4, "ja": 0.4}, max_epochs=4,
    ),
    Phase(
        name="anneal", tokens=300_000_000_000, context_tokens=8192, lr=3e-5, schedule="linear",
        mixture={"en": 0.3, "ja": 0.5, "pairs": 0.2}, max_epochs=4,
        select=Selection(pool_documents=100_000_000, keep_fraction=0.5),
    ),
)  # fmt: skip
"""The paper's three; what of them is stated, and what is our reading, is said in recipes/paper-72b.toml."""


class Measures(Section):
    """What is measured after every phase, beside perplexity by language. Numbers of 0 turn a measure off."""

    by_domain: bool = True
    """Perplexity by domain, of the best-written held-out texts, and of documents by position."""
    num_documents: Count = 48
    """Held-out documents read for perplexity by position."""
    few_shot_segments: Annotated[int, Field(ge=0)] = 32
    """Held-out segments translated each way from examples; chrF2."""
    few_shot_examples: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 4), min_length=1)
    """How many examples: each number is measured. 0 is how pairs are trained; large models want 4 or more."""
    retrieval_segments: Annotated[int, Field(ge=0)] = 200
    """Held-out pairs among which each segment's translation is looked for, by the cosine of hidden states."""
    round_trip_segments: Annotated[int, Field(ge=0)] = 32
    """Of the translated segments, with the first number of examples, how many are translated back; chrF2 against the
    segment."""
    max_completion_tokens: Count = 48


class Vocabulary(Section):
    """New pieces for the target language, each the pair of old ones that saves most tokens."""

    num_pieces: Count
    max_documents: Count = 200_000
    """Texts of the target language that the pieces are counted in."""
    min_count: Count = 10
    """A pair of pieces that is rarer than this is not joined."""


class PretrainSection(Training):
    base: Path | str | None = None
    """Folder or hub id of the model to continue from; leave out where `scratch` is given."""
    scratch: Architecture | None = None
    phases: tuple[Phase, ...] = Field(PAPER_PHASES, min_length=1)
    """Left out, the paper's three, at the paper's size and for English and Japanese."""
    step_tokens: Count = 8192
    """Tokens of one optimizer step."""
    vocabulary: Vocabulary | None = None
    """Extends the tokenizer of `base`; left out, it is kept as it is."""
    lexicon: Path | None = None
    """Tab-separated words or phrases, hub language first, for the stream "switched"; no header."""
    measures: Measures = Measures()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("give either `base`, a model to continue from, or `scratch`, an architecture")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phase names must differ: {names}")
        if self.scratch and self.vocabulary:
            raise ValueError("`vocabulary` extends a base's tokenizer; from scratch, raise scratch.vocab_size")
        return self
