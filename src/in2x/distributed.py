"""The processes of one run, as torchrun starts them: who this one is, and who waits for whom.

A run of one process is a world of one; nothing here imports torch for it. All processes read and write one file
system; the main one writes the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

PATIENCE = timedelta(days=7)  # a stage that one process runs alone, such as a large corpus, may keep the others waiting


_alone = False


def rank() -> int:
    return 0 if _alone else int(os.environ.get("RANK", 0))


def world_size() -> int:
    return 1 if _alone else int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def alone() -> Iterator[None]:
    """What the main process does here it does by itself: the others wait at a barrier further on."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def is_main() -> bool:
    """Whether this process writes the files and speaks for the run."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process has come here."""
    if world_size() > 1:
        _group().barrier()


def on_main(write: Callable[[], None]) -> None:
    """Let the main process write something, and the others wait until it is there."""
    if is_main():
        write()
    barrier()


def gather(value) -> list:
    """What each process has, in order of rank, for all of them; `value` is any picklable object of this program."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    _group().all_gather_object(values, value)
    return values


def share(count: int) -> range:
    """The numbers below `count` that this process sees to."""
    return range(rank(), count, world_size())


def _group():
    import torch
    import torch.distributed as group

    if not group.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        group.init_process_group(backend, timeout=PATIENCE)
    return group
