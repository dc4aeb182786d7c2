"""Samples of a teacher behind any OpenAI-compatible endpoint: texts, for data, preference pairs and comparison.

Such a server gives neither token ids of our tokenizer nor log-probabilities of our policy: no generator of rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence

from in2x.judging.cache import AnswerCache
from in2x.judging.client import JudgeClient, Request
from in2x.judging.transport import Server


def teacher_samples(
    server: Server,
    model: str,
    prompts: Sequence[str],
    *,
    num_samples: int,
    temperature: float,
    max_completion_tokens: int,
    seed: int = 0,
    concurrency: int = 8,
    cache: AnswerCache | None = None,
) -> list[list[str | None]]:
    """`num_samples` answers to each prompt, a user turn; None where the server gave none. The n-th has seed + n.

    Raises:
        In2xError: the server refuses all requests, or can't be reached.
    """
    samples = []
    for number in range(num_samples):
        parameters = {"temperature": temperature, "max_tokens": max_completion_tokens, "seed": seed + number}
        client = JudgeClient(server, model, cache, concurrency, parameters)
        requests = [Request(lambda nonce, prompt=prompt: _turn(prompt), "teacher-1") for prompt in prompts]
        samples.append([answer.text for answer in client.ask_all(requests, f"teacher {number + 1}/{num_samples}")])
    return [list(row) for row in zip(*samples, strict=True)] if samples else [[] for _ in prompts]


def _turn(prompt: str) -> list[dict]:
    return [{"role": "user", "content": prompt}]
