"""The rl stage: rollouts, reward, objective."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, NotNegative, Positive, Schedule, Section
from in2x.sections.pretrain import Measures
from in2x.sections.training import Training


class Bounds(Section):
    """Where an alarm warns, and where it stops the run; left out is never."""

    warn: NotNegative | None = None
    stop: NotNegative | None = None


class Alarms(Section):
    """What is watched after every rollout batch (in2x.rl.alarms). A value that is not finite always stops the run."""

    entropy: Bounds = Bounds(warn=0.25)
    """Entropy as a share of the first batches': an alarm when it falls below."""
    length: Bounds = Bounds(warn=2.0)
    """Mean completion length over that of the first batches, or the reverse, whichever is above 1."""
    truncated: Bounds = Bounds(warn=0.5)
    """Share of the completions that were cut at max_completion_tokens."""
    repetition: Bounds = Bounds(warn=0.2)
    """Share of the completions that loop (the gate of that name)."""
    language: Bounds = Bounds(warn=0.2)
    """Share that is not in the language asked for, in the worst of the target languages."""
    dev_chrf: Bounds = Bounds(warn=3.0)
    """Points of development chrF below its best, while the training reward has risen since."""
    component: Bounds = Bounds(warn=1.0)
    """Fall of a weighted component's mean since the first batches, in its spreads within a group then, while the
    training reward has risen."""
    unscorable: Bounds = Bounds(warn=0.05, stop=0.5)
    """Share of a batch's groups that no reward could be given to."""
    baseline_batches: Count = 5
    """The first batches that later ones are compared with."""
    recent_batches: Count = 5
    """Batches that are averaged before they are compared with the first."""

    def that_stop(self) -> dict:
        """The settings with the warnings' bounds as they are by default: what a run's result may depend on."""
        settings, default = self.model_dump(mode="json"), type(self)().model_dump(mode="json")
        return {
            name: value | {"warn": default[name]["warn"]} if isinstance(value, dict) else value
            for name, value in settings.items()
        }


class Generation(Section):
    """What samples the rollouts: docs/generators.md."""

    kind: Literal["built-in", "vllm", "vllm-server"] = "built-in"
    endpoint: str | None = None
    """Address of the vLLM server, such as http://localhost:8000."""
    model: str = "policy"
    """The name that the server serves the model under (--served-model-name)."""
    concurrency: Count = 64
    """Requests to the server at once; each is for the samples of one prompt."""
    timeout_seconds: Positive = 600.0
    """For one request's whole reply."""
    seeded: bool = True
    """Whether each request to vLLM has a seed of its own; false is faster, and each run then samples anew."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of vLLM in this process; `auto` is that of the model's folder."""
    gpu_memory_fraction: Fraction = 0.4
    """Of a GPU's memory, for vLLM in this process."""
    max_context_tokens: Count = 2048
    """Tokens of prompt and completion that vLLM in this process makes room for."""
    eager: bool = True
    """Whether vLLM in this process computes without compiling the model first; a GPU is faster with false."""

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if (self.kind == "vllm-server") != (self.endpoint is not None):
            raise ValueError('endpoint: goes with kind = "vllm-server", and only with that')
        return self


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
    prompt_order: Literal["shuffled", "spread", "easy-to-hard"] = "shuffled"
    """Which prompts are drawn next, see in2x.rl.prompts."""
    start_competence: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of "easy-to-hard": the easiest share of the prompts that it begins with."""
    max_refills: Annotated[int, Field(ge=0)] = 2
    """Times that a batch draws fresh prompts for its groups that teach nothing, or could not be rewarded."""
    start_temperature: Positive = 1.0
    end_temperature: Positive = 0.7
    temperature_schedule: Literal["constant", "linear", "cosine"] = "linear"
    """From start_temperature in the first batch to end_temperature in the last."""
    max_completion_tokens: Count = 64
    length_buffer_tokens: Count = 16
    """Lc of the soft length penalty: it begins so many tokens before max_completion_tokens."""
    truncated: Literal["penalised", "masked", "kept"] = "penalised"
    """Completions cut at max_completion_tokens fail a gate, are left out of group and loss, or count as any other."""
    reward_weights: dict[str, float] = {"adequacy": 1.0, "naturalness": 0.2, "length": 0.1, "repetition": 0.1}
    chrf_beta: Positive = 2.0
    """Weight of recall in the reward's chrF; deviation from the reference's length is penalised apart."""
    reward_task_weights: dict[str, dict[str, float]] = {}
    """Weights in place of reward_weights for prompts of a task: { maths = { answer = 1.0, format = 0.1 } }."""
    reward_guards: bool = False
    """Further gates against what attacks on a reward look like (in2x.rewards.guards), for translations."""
    reward_max_unscorable_fraction: Fraction = 0.1
    """Share of the completions that passed their gates which a component may fail on; above it the run stops."""
    reward_cap_quantile: Fraction | None = None
    """Below this quantile of its group's adequacy a completion gains nothing by reward_cap_components; None is off."""
    reward_cap_floor: float | None = None
    """The same below this adequacy; both: the larger threshold."""
    reward_cap_width: Positive = 0.1
    """In units of adequacy: gains fade over so much below the threshold."""
    reward_cap_by: str = "adequacy"
    """The component whose value caps."""
    reward_cap_components: tuple[str, ...] = ("naturalness", "rubric")
    """The components whose gains are capped."""
    reward_expected_length: Literal["reference", "source"] = "reference"
    """What the component relative_length is relative to: the reference, or what the source's length lets expect."""
    reward_preference_dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of the preference model where it scores rollouts. "auto" is bfloat16 where the machine multiplies it
    itself, as for dtype: about twice as fast, and what it changes is measured in docs/rewards.md."""
    reward_embedding_model: Path | None = None
    """Folder of the model whose hidden states the component embedding compares, such as the policy's base."""
    reward_judge_url: str = ""
    """Of an OpenAI-compatible server, for the component rubric: http://localhost:8000/v1."""
    reward_judge_model: str = ""
    reward_judge_concurrency: Count = 8
    """Requests at once."""
    reward_judge_groupwise: bool = True
    """All completions of a prompt in one request, in two orders; else a request for each."""
    reward_judge_timeout_seconds: Positive = 120.0
    reward_judge_key_variable: str | None = None
    """Environment variable that holds the server's key."""
    reward_estimator: Literal["comet", "metricx"] | Path | None = None
    """Plugin of the component qe, or the path of a script."""
    reward_estimator_python: Path | None = None
    """The Python of the plugin's own environment."""
    reward_estimator_model: str = ""
    """The plugin's weights."""
    reward_estimator_sign: Literal[-1, 1] = 1
    """-1 for a metric of which less is better, such as MetricX."""
    reward_clip: tuple[float, float] | None = None
    """Rewards are kept within; in units of the rewards, which are sums of standardised components."""
    span_credit: Fraction = 0.0
    """Share of a completion's blame that its tokens take alone which a component found fault with, and of its praise
    that they lose (docs/rl.md); 0 is off."""
    length_corrected: bool = False
    """Divide rewards by the completions' tokens; in translation that pays for omission."""
    advantage: (
        Literal["group-standardised", "group-standardised-sample", "group-mean", "leave-one-out", "batch-mean"] | None
    ) = None
    """Left out, the algorithm's own, see in2x.rl.advantages."""
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
    entropy_target: Positive | None = None
    """Nats per token; the coefficient then moves by entropy_step after each optimizer step, towards that entropy."""
    entropy_step: Positive = 0.001
    entropy_low: NotNegative = 0.0
    entropy_high: Positive = 0.1
    """Bounds of the moving coefficient."""
    sft_coefficient: NotNegative = 0.0
    """Weight of the cross-entropy on SFT translations that every optimizer step takes along; 0 is off."""
    sft_rows: Count = 32
    """How many translations that are, drawn anew for each step."""
    kl_coefficient: Annotated[float, Field(ge=0)] | None = None
    kl_estimator: Literal["k2", "k3"] | None = None
    covariance_control: Literal["none", "clip-cov", "kl-cov"] | None = None
    covariance_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    covariance_kl_coefficient: Annotated[float, Field(ge=0)] | None = None
    mismatch: Literal["truncate", "mask", "none"] | None = None
    mismatch_level: Literal["as-loss", "token", "sequence"] | None = None
    mismatch_floor: Annotated[float, Field(ge=0)] | None = None
    mismatch_cap: Positive | None = None
    old_logprobs: Literal["trainer", "sampler"] = "trainer"
    """Where the ratios' denominators come from: a pass of the trainer over the window, or sampling itself, which has
    them up to rounding where the trainer's own generator samples in float32; elsewhere "sampler" is refused."""
    share_prompts: bool | None = None
    """Compute a prompt once for its completions in a micro-batch, and no padding: faster, in less memory. Changes
    rounding only. Left out: wherever the model's attention can be told who sees whom, which it can't with sliding
    windows, and the stage says so; true refuses such a model."""
    min_group_std: Annotated[float, Field(ge=0)] = 1e-3
    """A group teaches something where a weighted component deviates by this share of its usual spread within a group,
    or only some of the completions pass the gates, and the rewards deviate by this much; the others are dropped."""
    alarms: Alarms = Alarms()
    generator: Generation = Generation()
    dev_every_batches: Annotated[int, Field(ge=0)] = 10
    """Translate `num_dev` development segments so often, for the log; 0 is never."""
    num_dev: Count = 200
    measures: Measures = Measures(by_domain=False)
    """Measured once, after training, as after SFT."""
    keep_checkpoints: Count = 2
    """Snapshots kept for merging, evenly spaced, the last one included."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_completions % self.group_size or self.batch_completions % self.mini_batch_completions:
            raise ValueError("batch_completions must be a multiple of group_size and of mini_batch_completions")
        return self

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.reward_clip and not self.reward_clip[0] < self.reward_clip[1]:
            raise ValueError(f"reward_clip: expected [low, high] with low < high, got {list(self.reward_clip)}")
        if not self.entropy_low < self.entropy_high:
            raise ValueError(f"entropy_low, {self.entropy_low}, must be below entropy_high, {self.entropy_high}")
        return self
