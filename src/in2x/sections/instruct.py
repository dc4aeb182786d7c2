"""The instruct stage: which tasks, how hard, how many."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Section, StageSection

DIFFICULTIES = ("very-difficult", "difficult", "moderate", "simple", "very-simple")
MADE_TASKS = ("arithmetic",)
"""Tasks that are made up, and not of translation pairs: in2x.instruct.arithmetic."""


class Extra(Section):
    """A file of instructions for SFT, or of prompts for RL: docs/instruct.md."""

    path: Path
    """JSON lines (gzipped or not), or parquet where the name ends in .parquet."""
    use: Literal["sft", "rl"]
    task: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """Its name in tables and logs, and in rl.reward_task_weights."""
    direction: str = Field(pattern=r"^[a-z]{2,3}-[a-z]{2,3}$")
    """Language of the prompt and of the answer, such as "ja-ja"."""
    share: Fraction | None = None
    """Of num_sft (each epoch), or of num_rl; or else `count`."""
    count: Count | None = None
    """Instructions of each epoch, or prompts of RL."""
    prompt_column: str = "prompt"
    response_column: str = "response"
    """Only read for SFT."""
    messages_column: str | None = None
    """For SFT, in place of prompt and response: a list of role and content."""
    answer_column: str | None = None
    """For RL: what rules compare with. Left out, the prompts are for components without a reference (rubric)."""
    source_column: str | None = None
    """The text that is translated, for tasks that translate; the prompt itself where left out."""
    max_broken_fraction: Fraction = 0.1
    """Share of the rows that may be broken, and are kept aside; above it the stage stops."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.share is None) == (self.count is None):
            raise ValueError("expected one of share and count")
        if self.use == "sft" and self.answer_column:
            raise ValueError('answer_column: goes with use = "rl"; an instruction for SFT has a response')
        if self.use == "rl" and self.messages_column:
            raise ValueError('messages_column: goes with use = "sft"; RL has prompts of one turn')
        return self


class InstructSection(StageSection):
    tasks: dict[str, Positive] = {
        "translate": 0.65, "register": 0.15, "paragraph": 0.1, "paraphrase": 0.05, "glossary": 0.05,
    }  # fmt: skip
    """Share of each task type; beside those made of pairs there is "arithmetic"."""
    extra: tuple[Extra, ...] = ()
    """Files of one's own; what they give counts in num_sft and num_rl, the tasks share the rest."""
    target_fraction: Fraction = 0.7
    """Share that goes into the target language, of the tasks that translate both ways, and of "arithmetic"."""
    difficulty_shares: tuple[float, float, float, float, float] = (3, 3, 3, 1, 0)
    """From very difficult to very simple (arXiv 2508.14472)."""
    num_sft: Count = 20_000
    """Instructions of one epoch; each epoch is another draw."""
    num_epochs: Count = 2
    num_rl: Count = 4_000
