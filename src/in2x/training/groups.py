"""The loss told apart: by stream, by source and by language, not only over everything.

A document belongs to one group: (stream, source, language), or the task of an instruction. Tokens of packed rows carry
their group's number, and one pass over the token losses adds up each name that the group stands under:

    "loss/en:knowledge", "loss/source/tatoeba", "loss/language/en"

Legend: B rows, T tokens of a row, N trained tokens.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import torch

from in2x.model.logprobs import summed_nats
from in2x.training.batches import micro_batches
from in2x.training.packing import Rows

Names = tuple[str, ...]


def number_groups(frames: dict[str, pl.DataFrame]) -> tuple[dict[str, np.ndarray], list[Names]]:
    """Number the groups of the streams' documents (columns source, language), in order of appearance.

    Returns the group of each document by stream, and the names that the losses of each group are added up under. One
    source or one language alone has no name of its own: it would be the overall loss again.
    """
    parts = [
        frame.select(stream=pl.lit(name, pl.String), source="source", language="language")
        for name, frame in frames.items()
    ]
    keys = pl.concat(parts)
    table = keys.unique(maintain_order=True).with_row_index("group")
    numbers = keys.join(table, on=["stream", "source", "language"], how="left", maintain_order="left")["group"]
    ends = np.cumsum([len(part) for part in parts])
    by_stream = dict(zip(frames, np.split(numbers.to_numpy(), ends[:-1]), strict=True))
    several = {column: table[column].n_unique() > 1 for column in ("source", "language")}
    names = [
        (row["stream"], *(f"{column}/{row[column]}" for column, told in several.items() if told))
        for row in table.iter_rows(named=True)
    ]
    return by_stream, names


def batches_with_groups(rows: Rows, micro_batch_tokens: int) -> Iterator[dict[str, torch.Tensor]]:
    """`micro_batches`, each with groups_BT of its rows."""
    start = 0
    for batch in micro_batches(rows, micro_batch_tokens):
        end = start + len(batch["input_ids"])
        yield batch | {"groups": torch.from_numpy(rows.groups[start:end])}
        start = end


def grouped_loss(num_loss_tokens: int, names: Sequence[Names], temperature: float = 1.0):
    """`next_token_loss` that also reports the sums of each group under its names, as "loss/<name>"."""

    def loss(model, batch):
        total, nats_N = summed_nats(model, batch, temperature)
        sums = {"loss": (float(total.detach()), len(nats_N))}
        groups_N = batch["groups"][batch["loss_mask"]].to(nats_N.device)
        return total / num_loss_tokens, sums | sums_by_name(nats_N, groups_N, names)

    return loss


def sums_by_name(nats_N: torch.Tensor, groups_N: torch.Tensor, names: Sequence[Names]) -> dict[str, tuple[float, int]]:
    """(sum, count) of the token losses under "loss/<name>", for the names of the groups that occur."""
    sums: dict[str, tuple[float, int]] = {}
    groups_N = groups_N.long()
    counts = torch.bincount(groups_N, minlength=len(names)).tolist()
    totals = torch.bincount(groups_N, weights=nats_N.double(), minlength=len(names)).tolist()
    for own, total, count in zip(names, totals, counts, strict=True):
        for name in own if count else ():
            before = sums.get(f"loss/{name}", (0.0, 0))
            sums[f"loss/{name}"] = (before[0] + total, before[1] + count)
    return sums
