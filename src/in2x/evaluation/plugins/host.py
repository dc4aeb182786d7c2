"""Our side: start a metric's process, send it what has not been scored before, and keep what comes back.

Scores are cached by content (metric, model, texts) in the user's cache folder, one JSON line each, so that a killed or
repeated run asks for what is missing only. A batch that fails is asked for again row by row; a row that fails alone
has no score and is counted.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from in2x.artifacts import In2xError, cache_folder

SCRIPTS = {"comet": "run_comet.py", "metricx": "run_metricx.py"}
ROWS_PER_MESSAGE = 64
MAX_FAILED_FRACTION = 0.2
TAIL = 1500  # characters of the process's last words


@dataclass(frozen=True)
class Row:
    """One segment to score; `reference` is empty where there is none."""

    source: str
    hypothesis: str
    reference: str


@dataclass(frozen=True)
class PluginScores:
    """One score per row as given, None where the metric failed; how many were new, from the cache, and failed."""

    values: list[float | None]
    signature: str
    num_new: int
    num_cached: int
    num_failed: int


def score_rows(
    metric: str,
    rows: Sequence[Row],
    *,
    python: Path,
    model: str,
    batch_size: int = 16,
    cache: Path | None = None,
    advance=lambda number: None,
) -> PluginScores:
    """Score rows with a metric of `SCRIPTS`, or a script of one's own (a path), run by `python` with `model`.

    Raises:
        In2xError: the environment, the weights or references are missing, the process died, or too many rows failed.
    """
    cache = cache or cache_folder() / "metrics" / "scores.jsonl"
    known = _read(cache)
    distinct = list(dict.fromkeys(rows))
    keys = {row: _key(metric, model, row) for row in distinct}
    missing = [row for row in distinct if keys[row] not in known]
    advance(len(distinct) - len(missing))
    signature, failed = known.get(_key(metric, model, None), ""), 0
    if missing or not signature:
        with running(metric, python, model, batch_size) as worker:
            signature = worker.signature
            if worker.needs_reference and any(not row.reference for row in missing):
                raise In2xError(f"{metric} with {model} reads references, and some segments have none")
            _append(cache, {_key(metric, model, None): signature})
            for at in range(0, len(missing), ROWS_PER_MESSAGE):
                part = missing[at : at + ROWS_PER_MESSAGE]
                found = {
                    keys[row]: value for row, value in zip(part, worker.score(part), strict=True) if value is not None
                }
                failed += len(part) - len(found)
                known |= found
                _append(cache, found)
                advance(len(part))
                _refuse_many(metric, failed, at + len(part), len(missing), worker.last_error)
    values = [known.get(keys[row]) for row in rows]
    return PluginScores(values, signature, len(missing) - failed, len(distinct) - len(missing), failed)


class Worker:
    """A metric's process that has said it is ready."""

    def __init__(self, process: subprocess.Popen, log: Path, metric: str):
        self.process, self.log, self.metric, self.last_error = process, log, metric, ""
        ready = self._read()
        if not ready.get("ready"):
            raise In2xError(f"{metric}: {ready.get('error', 'its process sent no greeting')}")
        self.needs_reference, self.signature = bool(ready["needs_reference"]), str(ready["signature"])

    def score(self, rows: Sequence[Row]) -> list[float | None]:
        """Scores of a batch; where it fails as a whole, of each row alone."""
        values = self._ask(rows)
        if values is not None:
            return values
        if len(rows) == 1:
            return [None]
        return [value for row in rows for value in (self._ask([row]) or [None])]

    def _ask(self, rows: Sequence[Row]) -> list[float | None] | None:
        try:
            self.process.stdin.write(json.dumps({"rows": [vars(row) for row in rows]}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        answer = self._read()
        if "error" in answer:
            self.last_error = answer["error"]
            return None
        scores = answer.get("scores")
        if not isinstance(scores, list) or len(scores) != len(rows):
            raise In2xError(f"{self.metric}: sent {scores!r:.200} for {len(rows)} rows")
        return [None if value is None or value != value else float(value) for value in scores]

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise self._died()
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            raise In2xError(
                f"{self.metric}: its process wrote {line[:200]!r} to standard output, which is no JSON"
            ) from None

    def _died(self) -> In2xError:
        self.process.wait()
        said = self.log.read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
        return In2xError(
            f"{self.metric}: its process ended with code {self.process.returncode}; its last words:\n{said}"
        )


@contextmanager
def running(metric: str, python: Path, model: str, batch_size: int) -> Iterator[Worker]:
    """The metric's process, which has said that it is ready; it ends with the context.

    Raises:
        In2xError: an unknown metric, or its Python can't be started.
    """
    import tempfile

    script = Path(__file__).with_name(SCRIPTS[metric]) if metric in SCRIPTS else Path(metric)
    if not script.exists():
        raise In2xError(f"metric {metric!r}: there are {', '.join(SCRIPTS)}, or give the path of a script")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr.txt"
        with log.open("w", encoding="utf-8") as stderr:
            try:
                process = subprocess.Popen(
                    [str(python), str(script), model, str(batch_size)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8",
                )  # fmt: skip
            except OSError as error:
                raise In2xError(
                    f"{python}: the metric's Python can't be started ({error.strerror}); make an environment for it, "
                    "and give the python in it (--python)"
                ) from None
            try:
                yield Worker(process, log, metric)
            finally:
                process.stdin.close()
                process.terminate()
                process.wait()
                process.stdout.close()


def _refuse_many(metric: str, failed: int, done: int, total: int, error: str) -> None:
    if failed > MAX_FAILED_FRACTION * max(done, min(total, 10)):
        raise In2xError(
            f"{metric}: {failed} of the first {done} rows failed, the last with {error!r}; what succeeded is kept"
        )


def _key(metric: str, model: str, row: Row | None) -> str:
    parts = [metric, model, [row.source, row.hypothesis, row.reference] if row else None]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(cache: Path) -> dict:
    found: dict = {}
    if cache.exists():
        for line in cache.read_text(encoding="utf-8").splitlines():
            try:
                found |= json.loads(line)
            except (json.JSONDecodeError, TypeError):
                continue  # a line that a kill cut short
    return found


def _append(cache: Path, found: dict) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps({key: value}) + "\n" for key, value in found.items()))
