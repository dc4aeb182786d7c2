"""The processes of one run, as torchrun starts them: who this one is, and who waits for whom.

A run of one process is a world of one; nothing here imports torch for it. All processes read and write one file
system; the main one writes the files.

What the processes do together they must all do, in one order. So nothing that one of them may see earlier than
another decides what comes next: `on_main` lets the main process look, or write, when all have arrived, and gives what
it found to all. Meetings have a group of their own, apart from that of gradients, and each names its place in the
program: processes that meet at different places are told so.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

PATIENCE = timedelta(days=7)
"""Of a meeting: a stage that one process runs alone, such as a large corpus, may keep the others waiting."""
COMPUTING_PATIENCE = timedelta(hours=1)
"""Of gradients and shards, which are exchanged within a step."""
PLACES = 2

Found, Item = TypeVar("Found"), TypeVar("Item")
_alone = False


class OutOfStep(RuntimeError):
    """Processes of one run have met at different places of the program."""


def rank() -> int:
    return 0 if _alone else int(os.environ.get("RANK", 0))


def world_size() -> int:
    return 1 if _alone else int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def alone() -> Iterator[None]:
    """What the main process does here it does by itself: the others wait at a barrier further on."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def is_main() -> bool:
    """Whether this process writes the files and speaks for the run."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process has come here."""
    gather(None)


def on_main(act: Callable[[], Found]) -> Found:
    """Let the main process act by itself; all get what it returns, which must be picklable, or its error.

    It acts when all processes have come here, so that none can still be looking at what it changes; the others go on
    when it is done.
    """
    if world_size() == 1:
        return act()
    barrier()
    error, found = None, None
    if is_main():
        try:
            with alone():
                found = act()
        except Exception as problem:
            error = problem
    told = None if error is None else (type(error).__name__, str(error))
    problem, found = gather((told, found))[0]
    if error is not None:
        raise error
    if problem is not None:
        raise _as_told(*problem)
    return found


def _as_told(kind: str, message: str) -> Exception:
    """The main process's error, for the others."""
    from in2x.artifacts import In2xError, Interrupted

    return Interrupted(message) if kind == "Interrupted" else In2xError(f"the main process stopped: {kind}: {message}")


def gather(value) -> list:
    """What each process has, in order of rank, for all of them; `value` is any picklable object of this program.

    Raises:
        OutOfStep: not all processes are at the same place of the program.
    """
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    found: list = [None] * world_size()
    dist.all_gather_object(found, (_place(), value), group=_meeting())
    places = [place for place, _ in found]
    if len(set(places)) > 1:
        lines = "".join(f"\n  process {number}: {place}" for number, place in enumerate(places))
        raise OutOfStep(f"the processes of this run are no longer at the same place of the program:{lines}")
    return [value for _, value in found]


def share(count: int) -> range:
    """The numbers below `count` that this process sees to."""
    return range(rank(), count, world_size())


def turns(count: int) -> Iterator[tuple[int, bool]]:
    """The numbers below `count` that this process sees to, and whether each is its own.

    All processes take as many turns, and who has none left gets another's number, for nothing: weights that are parted
    among the processes are gathered by all of them together.
    """
    size = world_size()
    for first in range(0, count, size):
        is_own = first + rank() < count
        yield first + rank() if is_own else first, is_own


def in_turns(items: Sequence[Item], act: Callable[[Item], Found]) -> list[Found]:
    """act(item) of each, in order: every process sees to its share, in `turns`, and all get all."""
    found = [(act(items[place]), is_own) for place, is_own in turns(len(items))]
    parts = gather([value for value, is_own in found if is_own])
    return [parts[place % len(parts)][place // len(parts)] for place in range(len(items))]


def start() -> None:
    """Join the other processes of the run, if there are any; the GPU is the one that torchrun's LOCAL_RANK names."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        _meeting()


def leave() -> None:
    """End what `start` began, before the interpreter ends.

    A thread of gloo that lets go of a Python object while the interpreter shuts down aborts the process: seen once in
    120 processes that ended right after a gather.
    """
    dist = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        _meeting.cache_clear()
        dist.destroy_process_group()


@functools.cache
def _meeting():
    """The group in which processes meet."""
    import torch
    import torch.distributed as dist

    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=COMPUTING_PATIENCE)
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _place() -> str:
    """Where the program is: the innermost lines outside this file."""
    frame, places = sys._getframe(1), []
    while frame is not None and len(places) < PLACES:
        if frame.f_code.co_filename != __file__:
            places.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} ({frame.f_code.co_name})")
        frame = frame.f_back
    return " < ".join(places)
