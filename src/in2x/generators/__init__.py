"""What samples the rollouts: this process, vLLM in this process, or a vLLM server; and teachers on any server.

A generator is called as in2x.decoding.generate.generate is, with the policy as it is now, and gives completions with
token ids and the log-probabilities that it sampled them with. See docs/generators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from in2x.records import Completion
    from in2x.sections.rl import Generation


class Generator(Protocol):
    """Complete each prompt `num_samples` times, from the policy `model` as it is at the call; in the prompts' order.

    keys: numbers that tell the prompts' random numbers apart; sampling_logprobs of what comes back are in nats, of
    the distribution at `temperature`, over the whole vocabulary.
    """

    def __call__(
        self,
        model,
        tokenizer,
        prompt_ids: list[list[int]],
        *,
        stop_ids: set[int],
        max_completion_tokens: int,
        num_samples: int,
        temperature: float,
        seed: int,
        keys: Sequence[int],
    ) -> list[list[Completion]]: ...


def make_generator(section: Generation, folder: Path) -> Generator:
    """The generator that a recipe names; `folder` takes the weights that an engine reads, on a disk that both see."""
    if section.kind == "vllm":
        from in2x.generators.vllm_process import VllmGenerator

        return VllmGenerator(section, folder)
    if section.kind == "vllm-server":
        from in2x.generators.vllm_server import VllmServerGenerator

        return VllmServerGenerator(section, folder)
    from in2x.decoding.generate import generate

    return generate
