"""The instruct stage: which tasks, how hard, how many."""

from in2x.sections.common import Count, Fraction, Positive, StageSection

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
