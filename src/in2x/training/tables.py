"""Tables on the disk: parquet read a block at a time, and Arrow files written so, and read row by row where they lie.

An Arrow file is mapped into memory: what is looked at is loaded, once for all processes of a machine, and the system
may drop it again. So what is trained on may be larger than memory, and drawn in any order.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from in2x.artifacts import atomic


def parquet_blocks(file: Path, num_rows: int, **equal) -> Iterator[pl.DataFrame]:
    """The rows of a file in which columns have these values, so many at a time; one block at least is in memory.

    Not with polars, whose batches are read ahead without a bound where writing them takes longer than reading.
    """
    import pyarrow.parquet

    waiting: list[pl.DataFrame] = []
    for batch in pyarrow.parquet.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=num_rows):
        waiting.append(pl.DataFrame(batch).filter(**equal))
        if sum(map(len, waiting)) >= num_rows:
            whole = pl.concat(waiting)
            yield whole.head(num_rows)
            waiting = [whole.slice(num_rows)]
    rest = pl.concat(waiting) if waiting else pl.DataFrame()
    if len(rest):
        yield rest


class Column(Sequence):
    """A column of a mapped file: row numbers give Python's values; nothing is kept of what was read."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, row: int):
        return self.chunks[row].as_py()


def write_table(blocks: Iterable[pl.DataFrame], path: Path) -> int:
    """Write blocks of one schema, one after the other, all or none of them; returns how many rows they have.

    Of no rows nothing is written.
    """
    import pyarrow

    filled = (block.to_arrow(compat_level=pl.CompatLevel.oldest()) for block in blocks if not block.is_empty())
    first = next(filled, None)
    if first is None:
        return 0
    num_rows = 0
    with atomic(path) as temporary, pyarrow.ipc.new_file(temporary, first.schema) as writer:
        for table in itertools.chain([first], filled):
            writer.write_table(table)
            num_rows += len(table)
    return num_rows


def read_table(path: Path) -> dict[str, Column]:
    """The columns of a file, by name."""
    table = map_table(path)
    return {name: Column(table.column(name)) for name in table.column_names}


def map_table(path: Path):
    """A file as a table of pyarrow, mapped into memory."""
    import pyarrow

    return pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
