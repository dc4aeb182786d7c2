"""A vLLM server: token ids in, token ids and log-probabilities out; new weights by a folder that it reads.

The weights travel as safetensors on a disk that trainer and server both see; over HTTP goes the folder's name only
(vLLM's endpoint /collective_rpc with reload_weights, which it opens under VLLM_SERVER_DEV_MODE=1: for a private
network, never for the internet). The launch command is in docs/generators.md.
"""

import dataclasses
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from in2x import distributed
from in2x.artifacts import In2xError
from in2x.generators.agreement import refuse_disagreement
from in2x.generators.vllm_process import as_completion, request_seed, sampling_options
from in2x.generators.weights import WeightsFolder, save_untied
from in2x.judging.transport import Server, Unanswered, endpoint_url, post_with_retries
from in2x.records import Completion

UNIFORM_NATS = 0.05  # half precision is nearer than that
REQUEST_TOKENS = 8192  # a request asks for at most so many (or one sample), so that replies stay small


class VllmServerGenerator:
    """A generator (in2x.generators.Generator). Under torchrun, each process asks for its share of the prompts."""

    def __init__(self, section, folder: Path):
        root = endpoint_url(section.endpoint).removesuffix("/chat/completions").removesuffix("/v1")
        self.section, self.checked = section, False
        self.server = Server(f"{root}/v1/completions", timeout_seconds=section.timeout_seconds)
        self.control = {
            name: dataclasses.replace(self.server, url=f"{root}/{name}")
            for name in ("collective_rpc", "reset_prefix_cache")
        }
        self.weights = WeightsFolder(folder)

    def __call__(
        self, model, tokenizer, prompt_ids, *, stop_ids, max_completion_tokens, num_samples, temperature, seed, keys
    ) -> list[list[Completion]]:
        self._synchronise(model, tokenizer, prompt_ids[0])
        options = sampling_options(stop_ids, tokenizer, max_completion_tokens, temperature)
        parts = sizes(num_samples, max_completion_tokens)
        mine = list(distributed.share(len(prompt_ids)))
        bodies = [
            {"model": self.section.model, "prompt": prompt_ids[p], "n": size, "return_token_ids": True, **options}
            | {"seed": request_seed(seed, keys[p], part) if self.section.seeded else None}
            for p in mine
            for part, size in enumerate(parts)
        ]
        replies = self._ask(bodies)
        groups = {}
        for place, p in enumerate(mine):
            choices = [c for reply in replies[place * len(parts) : (place + 1) * len(parts)] for c in reply]
            groups[p] = [as_completion(tokenizer, *choice, stop_ids) for choice in choices]
        if mine and not self.checked:
            refuse_disagreement(model, prompt_ids[mine[0]], groups[mine[0]], temperature, self.server.url)
            self.checked = True
        whole = {p: group for part in distributed.gather(groups) for p, group in part.items()}
        return [whole[p] for p in range(len(prompt_ids))]

    def _synchronise(self, model, tokenizer, prompt: list[int]) -> None:
        """Have the server read the policy's weights, where they have changed, and forget what it computed before."""
        path = self.weights.write_if_changed(model, tokenizer)
        if path is None:
            return
        if not self.checked and model.config.tie_word_embeddings:
            self._refuse_stale_head(model, tokenizer, prompt)
        self._load(path)
        self.weights.remove_others(path)
        distributed.barrier()

    def _load(self, path: Path) -> None:
        if not distributed.is_main():
            return
        self._command("collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(path)}})
        if not self._command("reset_prefix_cache", {}).get("success"):
            raise In2xError(f"{self.server.url}: its cache is not reset; is another run using the server?")

    def _refuse_stale_head(self, model, tokenizer, prompt: list[int]) -> None:
        """With a head of zeros every token is equally likely; a server that says otherwise has kept its old head."""
        path = self.weights.folder / "weights-000000"
        save_untied(model, tokenizer, path, head_scale=0.0)
        self._load(path)
        if distributed.is_main():
            options = sampling_options(set(), tokenizer, 1, 1.0)
            body = {"model": self.section.model, "prompt": prompt, "n": 4, "return_token_ids": True, **options}
            uniform = -math.log(model.get_output_embeddings().weight.shape[0])
            if any(abs(logprob - uniform) > UNIFORM_NATS for _, (logprob,) in self._ask([body])[0]):
                raise In2xError(
                    f"{self.server.url}: it doesn't reload the output head, which it ties to the embedding. Start it "
                    "from a folder written by: python -m in2x.generators.weights MODEL FOLDER"
                )

    def _command(self, name: str, body: dict) -> dict:
        try:
            return post_with_retries(self.control[name], body, threading.Event())
        except (Unanswered, In2xError) as error:
            raise In2xError(
                f"{self.control[name].url}: {error}\nThe server must run with VLLM_SERVER_DEV_MODE=1, from a model of "
                f"the same architecture, and read {self.weights.folder}: see docs/generators.md"
            ) from error

    def _ask(self, bodies: list[dict]) -> list[list[tuple[list[int], list[float]]]]:
        stop = threading.Event()
        with ThreadPoolExecutor(self.section.concurrency) as pool:
            futures = [pool.submit(post_with_retries, self.server, body, stop) for body in bodies]
            try:
                return [
                    choices(self.server.url, future.result(), body["n"])
                    for future, body in zip(futures, bodies, strict=True)
                ]
            except Unanswered as error:
                raise In2xError(
                    f"{self.server.url}: {error}; the same command continues where this one ends"
                ) from error
            finally:
                stop.set()
                for future in futures:
                    future.cancel()


def sizes(num_samples: int, max_tokens: int) -> list[int]:
    """How many samples each request of a prompt asks for."""
    each = max(1, REQUEST_TOKENS // max_tokens)
    return [min(each, num_samples - done) for done in range(0, num_samples, each)]


def choices(url: str, reply: dict, number: int) -> list[tuple[Sequence[int], Sequence[float]]]:
    """Token ids and log-probabilities of each sample in a reply.

    Raises:
        In2xError: something is missing, not of equal length, or no log-probability.
    """
    found = reply.get("choices") or []
    made = []
    for choice in sorted(found, key=lambda choice: choice.get("index", 0)):
        ids, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
        if (
            not ids
            or not logprobs
            or len(ids) != len(logprobs)
            or not all(isinstance(x, float | int) for x in logprobs)
        ):
            raise In2xError(
                f"{url}: expected token_ids and as many logprobs.token_logprobs in each choice, found "
                f"{str(choice)[:200]}; vLLM 0.32 gives them"
            )
        made.append((ids, [float(x) for x in logprobs]))
    if len(made) != number:
        raise In2xError(f"{url}: {number} samples were asked for, {len(made)} came: {str(reply)[:200]}")
    return made
