"""The rl stage: rollouts, reward, objective."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Schedule
from in2x.sections.training import Training


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
