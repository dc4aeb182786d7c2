"""Ask a judge many things at once: bounded concurrency, retries, answers kept on disk as they come.

    client = JudgeClient(Server(endpoint_url("http://localhost:8000")), "my-model", AnswerCache(default_path()))
    answers = client.ask_all(requests)

A request is a function of its nonce, so that every one that is sent has a fence of its own while the cache knows it by
the canonical nonce. By default temperature 0 and a fixed seed.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from in2x.artifacts import In2xError
from in2x.judging.cache import Answer, AnswerCache, request_key
from in2x.judging.fence import CANONICAL_NONCE, new_nonce
from in2x.judging.segments import Message
from in2x.judging.transport import Server, Unanswered, post_with_retries

PARAMETERS = {"temperature": 0.0, "seed": 0, "max_tokens": 2048}
MIN_UNREACHED = 8  # this many requests in a row without any reply, or as many as run at once: the server is gone


@dataclass(frozen=True)
class Request:
    """`build(nonce)` gives the messages; `version` names the prompt, and changes with how answers are read."""

    build: Callable[[str], list[Message]]
    version: str


@dataclass
class Usage:
    """What the requests of a client came to; tokens as the server counts them, cached answers not included."""

    sent: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class JudgeClient:
    """A model behind an OpenAI-compatible endpoint; `parameters` go into every request, None leaves a default out."""

    def __init__(
        self,
        server: Server,
        model: str,
        cache: AnswerCache | None = None,
        concurrency: int = 8,
        parameters: Mapping[str, object] | None = None,
    ):
        reserved = {"model", "messages", "stream", "n"} & set(parameters or {})
        if concurrency < 1 or reserved:
            problem = f"parameters {sorted(reserved)} are set by the client" if reserved else f"got {concurrency=}"
            raise ValueError(f"JudgeClient: expected concurrency >= 1 and parameters of sampling; {problem}")
        self.server, self.model, self.cache, self.concurrency = server, model, cache, concurrency
        merged = PARAMETERS | dict(parameters or {})
        self.parameters = {name: value for name, value in merged.items() if value is not None}
        self.usage, self.models = Usage(), set()
        self._counted: set[str] = set()  # what was sent or found is counted once
        self._unreached, self._lock = 0, threading.Lock()

    def ask_all(self, requests: Sequence[Request], label: str = "judge") -> list[Answer]:
        """Answers in the order of the requests; equal requests are sent once. Failures are answers without a text.

        Raises:
            In2xError: the server refuses all requests, or can't be reached.
        """
        from in2x.training.metrics import progress_bar

        keys = [self._key(request) for request in requests]
        by_key = dict(zip(keys, requests, strict=True))
        answers = {key: answer for key in by_key if self.cache is not None and (answer := self.cache.get(key))}
        self.usage.cached += len(answers.keys() - self._counted)
        self._counted |= by_key.keys()
        self.models |= {answer.model for answer in answers.values()}
        missing = [(key, request) for key, request in by_key.items() if key not in answers]
        with progress_bar(label, len(by_key), len(answers)) as bar:
            for key, answer in self._ask_missing(missing):
                answers[key] = answer
                self._count(answer)
                bar.advance(note=f"{self.usage.failed:,} failed" if self.usage.failed else "")
        return [answers[key] for key in keys]

    def _key(self, request: Request) -> str:
        return request_key(self.model, request.build(CANONICAL_NONCE), self.parameters, request.version)

    def _ask_missing(self, requests: Sequence[tuple[str, Request]]) -> Iterator[tuple[str, Answer]]:
        """Yield the answers as they come. The threads end with this process, whatever they wait for."""
        jobs, results, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
        for job in requests:
            jobs.put(job)

        def work() -> None:
            while not stop.is_set():
                try:
                    key, request = jobs.get_nowait()
                except queue.Empty:
                    return
                try:
                    results.put((key, self._ask(key, request, stop)))
                except BaseException as error:  # raised again by the thread that waits for the results
                    results.put((key, error))
                    return

        for _ in range(min(self.concurrency, len(requests))):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in requests:
                key, outcome = results.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield key, outcome
        finally:
            stop.set()

    def _ask(self, key: str, request: Request, stop: threading.Event) -> Answer:
        nonce = new_nonce()
        body = {"model": self.model, "messages": request.build(nonce)} | self.parameters
        try:
            answer = replace(_answer(post_with_retries(self.server, body, stop)), nonce=nonce)
        except Unanswered as error:
            self._note_reached(error.reached, str(error))
            return Answer(None, nonce, failure=str(error))
        self._note_reached(True)
        if self.cache is not None and answer.text is not None:
            self.cache.put(key, answer)
        return answer

    def _note_reached(self, reached: bool, reason: str = "") -> None:
        with self._lock:
            self._unreached = 0 if reached else self._unreached + 1
            gone = self._unreached >= max(MIN_UNREACHED, self.concurrency)
        if gone:
            raise In2xError(
                f"{self.server.url}: {self._unreached} requests in a row had no reply ({reason}). Check that the "
                "server runs; the same command continues where this one ends"
            )

    def _count(self, answer: Answer) -> None:
        self.usage.sent += 1
        self.usage.failed += answer.text is None
        self.usage.prompt_tokens += answer.prompt_tokens
        self.usage.completion_tokens += answer.completion_tokens
        self.models |= {answer.model} - {""}


def read_api_key(variable: str | None = None, file: Path | None = None) -> str | None:
    """The key in an environment variable or a file; None where neither is named. No message ever shows it.

    Raises:
        In2xError: both are named, or what is named is not there, empty, or no key.
    """
    if variable and file:
        raise In2xError("--api-key-variable and --api-key-file: give one of them")
    if variable:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,60}", variable):  # it may be the key itself: not shown
            raise In2xError(
                "--api-key-variable: expected the name of an environment variable, in capitals, not the key"
            )
        origin, value = f"environment variable {variable}", os.environ.get(variable)
    elif file:
        origin = str(file)
        try:
            value = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise In2xError(f"{file}: the API key can't be read; expected a text file with the key alone") from None
    else:
        return None
    value = (value or "").strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise In2xError(f"{origin}: expected an API key, found {'one that is none' if value else 'nothing'}")
    return value


def _answer(reply: dict) -> Answer:
    """The text of a chat completion; without one, an answer that says why.

    A model that thinks apart from its answer may have used up its tokens before the answer began.
    """
    try:
        choice = reply["choices"][0]
        text = choice["message"].get("content")
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Answer(None, failure=f"no chat completion in the reply: {str(reply)[:200]}")
    usage = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
    counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    known = {name: count for name, count in counts.items() if isinstance(count, int)}
    if not isinstance(text, str) or not text.strip():
        return Answer(None, failure=f"an empty answer (finish_reason {finish!r}); max_tokens may be too low", **known)
    return Answer(text, model=str(reply.get("model", "")), **known)
