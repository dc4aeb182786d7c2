"""Answers of judges, kept by the content of the request: what has been paid for once is not asked again.

One JSONL file, only ever appended to, one answer a line. The key is a SHA-256 over model, messages (with the canonical
nonce), parameters and version of the prompt, so the same request through another endpoint finds the same answer. A line
is written with one call and under a lock that other processes respect too; a line that a kill cut short is counted and
passed over.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from in2x.artifacts import In2xError, cache_folder
from in2x.judging.segments import Message


@dataclass(frozen=True)
class Answer:
    """What a judge wrote, with the nonce of the request that it answers, or why nothing came (`text` is None)."""

    text: str | None
    nonce: str = ""
    failure: str = ""
    model: str = ""  # as the server names it
    prompt_tokens: int = 0
    completion_tokens: int = 0


def request_key(model: str, messages: Sequence[Message], parameters: Mapping, version: str) -> str:
    """SHA-256 of all that the answer depends on, 64 hexadecimal digits."""
    parts = [model, list(messages), dict(parameters), version]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def default_path() -> Path:
    return cache_folder() / "judge" / "answers.jsonl"


class AnswerCache:
    """The answers of one file; safe for the threads of a process and for several processes.

    `num_corrupt` lines could not be read when it was opened. What other processes write later is not seen.
    """

    def __init__(self, path: Path):
        self.path, self.num_corrupt = path, 0
        self._places: dict[str, tuple[int, int]] = {}  # key -> offset and length of its line
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise In2xError(
                f"{path}: the judge's cache can't be written ({error.strerror}); give another (--cache)"
            ) from None
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._index()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Answer | None:
        place = self._places.get(key)
        if place is None:
            return None
        line = os.pread(self._file, place[1], place[0])
        return Answer(**_record(line)[1])

    def put(self, key: str, answer: Answer) -> None:
        """Append an answer; it is on its way to the disk when this returns, and survives the end of the process.

        Raises:
            ValueError: a failure, which is not to be kept.
            OSError: it could not be written in full.
        """
        if answer.text is None:
            raise ValueError("cache: a failure is not kept")
        line = json.dumps({"key": key} | asdict(answer)).encode() + b"\n"
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                written = os.write(self._file, line)
                end = os.lseek(self._file, 0, os.SEEK_CUR)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._places[key] = (end - len(line), len(line))

    def close(self) -> None:
        os.close(self._file)

    def _index(self) -> None:
        offset, line = 0, b"\n"
        with open(self.path, "rb") as stream:
            for line in stream:
                try:
                    self._places[_record(line)[0]] = (offset, len(line))
                except (ValueError, TypeError):
                    self.num_corrupt += 1
                offset += len(line)
        if not line.endswith(b"\n"):
            os.write(self._file, b"\n")  # what follows a line cut short begins on its own


def _record(line: bytes) -> tuple[str, dict]:
    """Key and fields of a line.

    Raises:
        ValueError, TypeError: not a line that `put` has written.
    """
    record = json.loads(line)
    key = record.pop("key", None) if isinstance(record, dict) else None
    answer = Answer(**record) if key else None
    if not isinstance(key, str) or answer is None or not isinstance(answer.text, str):
        raise ValueError("no answer with its key")
    return key, record
