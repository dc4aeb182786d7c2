"""What is rewarded: the completions of one prompt with what they are judged against, and places in them.

Legend: P prompts, G group size.
"""

from __future__ import annotations

from dataclasses import dataclass

from in2x.records import Completion


@dataclass(frozen=True)
class Group:
    """The completions of one prompt, with what they are judged against.

    reference: a translation, or the answer of a problem; None or "" where there is none. task: as in
    in2x.records.INSTRUCTIONS; it chooses the weights of a mixed batch. prompt: the text that the policy was given;
    where it is "", nothing that a prompt asks for (a register, a term) is known, and those components measure nothing.
    """

    id: str
    prompt_ids: list[int]
    source: str
    reference: str | None
    target_language: str
    completions: list[Completion]
    source_language: str = ""
    task: str = "translate"
    prompt: str = ""

    @property
    def texts(self) -> list[str]:
        return [completion.text for completion in self.completions]


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of a completion's text that a component found fault with; severity on (0, 1].

    Example: Span(3, 8, 1.0, "untranslated 'dog'")
    """

    start: int
    end: int
    severity: float
    reason: str
