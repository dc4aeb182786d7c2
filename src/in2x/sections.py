"""The sections of a recipe: what every stage can be told, its default and its unit. Unknown keys are refused.

Only types and defaults live here, so that a recipe is validated in a fraction of a second, before torch is
imported. Functions receive their own section, never the whole recipe.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Schedule = Literal["constant", "linear", "cosine", "wsd"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageSection(Section):
    seed: int = 0
    """Every random choice of the stage derives from it; a recipe's top-level `seed` is the default."""


# --- corpus ---------------------------------------------------------------------------------------------------


class Source(Section):
    """One corpus: pairs of the recipe's two languages, or text of one of them."""

    name: str
    kind: Literal["tatoeba", "tsv", "jsonl", "parquet", "moses", "huggingface", "text"]
    path: Path | tuple[Path, Path] | None = None
    """File of the corpus; two files for `moses`. None for `tatoeba`, which the program fetches itself."""
    dataset: str | None = None
    """Hugging Face dataset id, for `huggingface`."""
    split: str | None = None
    columns: tuple[str, ...] = ()
    """Names (or 0-based indices) of the source and the target column; of the text column for `text`."""
    language: str | None = None
    licence: str = "unknown"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "huggingface" and not self.dataset:
            raise ValueError("a huggingface source needs `dataset`, the id on the hub")
        if self.kind not in ("tatoeba", "huggingface") and self.path is None:
            raise ValueError(f"a {self.kind} source needs `path`")
        if (self.kind == "moses") != isinstance(self.path, tuple):
            raise ValueError("`path` is two files for moses, one file for the other kinds")
        if self.kind == "text" and not self.language:
            raise ValueError("a text source needs `language`")
        return self


class CorpusSection(StageSection):
    pair: str = Field("en-ja", pattern=r"^[a-z]{2,3}-[a-z]{2,3}$")
    """Hub and target language, BCP 47."""
    sources: tuple[Source, ...] = (Source(name="tatoeba", kind="tatoeba", licence="CC-BY 2.0 FR"),)
    similarity: Fraction = 0.6
    """Least Jaccard similarity of character n-grams that makes two sentences variants of one another."""
    num_dev: Count = 500
    num_test: Count = 1000
    max_held_out_group: Count = 8
    """Only groups of at most so many variants are held out; the larger ones are for training."""
    min_chars: Count = 2
    max_chars: Count = 500
    max_length_ratio: Positive = 3.0


# --- training -------------------------------------------------------------------------------------------------


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


# --- instructions and SFT -------------------------------------------------------------------------------------

DIFFICULTIES = ("very-difficult", "difficult", "moderate", "simple", "very-simple")


class InstructSection(StageSection):
    tasks: dict[str, Positive] = {
        "translate": 0.65, "register": 0.15, "paragraph": 0.1, "paraphrase": 0.05, "glossary": 0.05,
    }  # fmt: skip
    """Share of each task type."""
    target_fraction: Fraction = 0.7
    """Share that goes into the target language, of the tasks that translate both ways."""
    difficulty_shares: tuple[float, float, float, float, float] = (3, 3, 3, 1, 0)
    """From very difficult to very simple (arXiv 2508.14472)."""
    num_sft: Count = 20_000
    """Instructions of one epoch; each epoch is another draw."""
    num_epochs: Count = 2
    num_rl: Count = 4_000


class SftSection(Training):
    lr: Positive = 2e-5
    schedule: Schedule = "cosine"
    warmup_fraction: Fraction = 0.03
    step_tokens: Count = 8192
    context_tokens: Count = 256
    temperature: Annotated[float, Field(ge=1)] = 1.0
    """The cross-entropy is taken on logits / temperature; 1 is off."""


# --- reward and RL --------------------------------------------------------------------------------------------


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


class RlSection(Training):
    lr: Positive = 1e-6
    schedule: Schedule = "constant"
    warmup_fraction: Fraction = 0.0
    algorithm: Literal["tic-grpo", "fspo", "grpo", "dr-grpo", "dapo", "gspo", "cispo", "rloo", "reinforce"] = "tic-grpo"
    num_batches: Count = 100
    """Rollout batches; each is followed by batch_completions / mini_batch_completions optimizer steps."""
    batch_completions: Count = 128
    mini_batch_completions: Count = 32
    group_size: Annotated[int, Field(ge=2)] = 16
    directions: tuple[str, ...] = ("en-ja",)
    start_temperature: Positive = 1.0
    end_temperature: Positive = 0.7
    max_completion_tokens: Count = 64
    length_buffer_tokens: Count = 16
    """Lc of the soft length penalty: it begins so many tokens before max_completion_tokens."""
    reward_weights: dict[str, float] = {"adequacy": 1.0, "naturalness": 0.2, "length": 0.1, "repetition": 0.1}
    chrf_beta: Positive = 2.0
    """Weight of recall in the reward's chrF; deviation from the reference's length is penalised apart."""
    importance_level: Literal["token", "sequence", "trajectory"] | None = None
    """Left out, this and the next ones are the algorithm's own (in2x.rl.algorithms)."""
    clip: Literal["two-sided", "upper-only", "length-fair", "none"] | None = None
    clip_high: Positive | None = None
    clip_low: Annotated[float, Field(gt=0, lt=1)] | None = None
    dual_clip: Annotated[float, Field(gt=1)] | Literal["none"] | None = None
    band_width: Positive | None = None
    band_centred: bool | None = None
    length_normalise: (
        Literal["as-published", "trajectory-mean", "sequence-mean", "token-mean", "constant-length"] | None
    ) = None
    """What a completion's summed loss is divided by."""
    entropy_coefficient: Annotated[float, Field(ge=0)] | None = None
    kl_coefficient: Annotated[float, Field(ge=0)] | None = None
    kl_estimator: Literal["k2", "k3"] | None = None
    covariance_control: Literal["none", "clip-cov", "kl-cov"] | None = None
    covariance_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    covariance_kl_coefficient: Annotated[float, Field(ge=0)] | None = None
    mismatch: Literal["truncate", "mask", "none"] | None = None
    mismatch_level: Literal["as-loss", "token", "sequence"] | None = None
    mismatch_floor: Annotated[float, Field(ge=0)] | None = None
    mismatch_cap: Positive | None = None
    min_group_std: Annotated[float, Field(ge=0)] = 1e-3
    """A group whose rewards deviate less teaches nothing and is dropped."""
    dev_every_batches: Annotated[int, Field(ge=0)] = 10
    """Translate `num_dev` development segments so often, for the log; 0 is never."""
    num_dev: Count = 200
    keep_checkpoints: Count = 2
    """Snapshots kept for merging, evenly spaced, the last one included."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_completions % self.group_size or self.batch_completions % self.mini_batch_completions:
            raise ValueError("batch_completions must be a multiple of group_size and of mini_batch_completions")
        return self


# --- merging, translation, evaluation, report -----------------------------------------------------------------


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
