"""The reward stage: the preference model of naturalness."""

from pathlib import Path
from typing import Annotated, Literal

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
    pair_kinds: dict[str, Annotated[float, Field(ge=0)]] = {"shuffled": 0.25, "sampled": 0.75}
    """Shares of the kinds of rejected texts (in2x.rewards.unnatural): sampled, shuffled, particles, pronouns, passives,
    register."""
    preference_files: tuple[Path, ...] = ()
    """People's preferences, JSON lines {"chosen": ..., "rejected": ...}, with "source" where there is one; added."""
    sampling_model: Path | None = None
    """Folder of the model whose samples are rejected, such as a checkpoint of RL: negatives of the current policy; left
    out, the supervised model."""
    continue_from: Path | None = None
    """Folder of a preference model to train on; left out, it begins with the supervised model's body."""
    length_bias: Literal["keep", "regress"] = "keep"
    """regress: take away what the logarithm of the length predicts of the score of texts that people wrote."""
    lexicon_pairs: Annotated[int, Field(ge=0)] = 0
    """Pairs of the corpus that train the lexicon of the reward's component coverage; 0 is none."""
