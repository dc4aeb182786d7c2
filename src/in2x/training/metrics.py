"""What a stage measures as it goes: metrics.jsonl and trackers from one call, and a line of progress."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from in2x.distributed import is_main
from in2x.training.trackers import open_tracker

console = Console(stderr=False, highlight=False, soft_wrap=not sys.stdout.isatty())
PLAIN_SECONDS = 15.0


class MetricsLog:
    """Appends to folder/metrics.jsonl, and tells the trackers; continues at a step after an interruption."""

    def __init__(
        self, folder: Path, resume_step: int = 0, trackers: Sequence[str] = ("tensorboard",), online: bool = False
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if _step(line) <= resume_step]
        self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self.trackers = [open_tracker(name, folder, resume_step if lines else None, online) for name in trackers]

    def write(self, step: int, **values) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step} | values) + "\n")
        self.plot(step, **values)

    def plot(self, step: int, **values) -> None:
        """The trackers alone, for what another file of the stage holds."""
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        for tracker in self.trackers:
            tracker.add(step, numbers)

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return float("inf")  # a line cut short by a kill


class Bar:
    """One line of progress: rich on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, label: str, total: int, done: int, progress: Progress | None):
        self.label, self.total, self.done, self.first = label, total, done, done
        self.progress = progress
        self.task = progress.add_task(label, total=total, completed=done, note="") if progress else None
        self.started = self.printed = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        if self.progress:
            self.progress.update(self.task, advance=amount, note=note)
        elif is_main() and time.monotonic() - self.printed > PLAIN_SECONDS:
            self.printed = time.monotonic()
            left = (self.printed - self.started) / max(1, self.done - self.first) * (self.total - self.done)
            console.print(f"  {self.label}: {self.done:,}/{self.total:,}  {note}  {duration(left)} left")


@contextmanager
def progress_bar(label: str, total: int, done: int = 0) -> Iterator[Bar]:
    if not console.is_terminal or not is_main():
        yield Bar(label, total, done, None)
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(label, total, done, progress)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
