"""The loss told apart: by stream, by source and by language, not only over everything.

A document belongs to one group: (stream, source, language), or the task of an instruction. Tokens of packed rows carry
their group's number, and one pass over the token losses adds up each name that the group stands under:

    "loss/en:knowledge", "loss/source/tatoeba", "loss/language/en"

Legend: B rows, T tokens of a row, N trained tokens.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import torch

from in2x.model.logprobs import summed_nats
from in2x.training.batches import micro_batches
from in2x.training.packing import Rows

Names = tuple[str, ...]


class Groups(Sequence):
    """The group of each document of a stream, by its source and language."""

    def __init__(self, columns, numbers: Mapping[tuple[str, str], int]):
        self.sources, self.languages, self.numbers = columns["source"], columns["language"], numbers

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, row: int) -> int:
        return self.numbers[self.sources[row], self.languages[row]]


def number_groups(streams: Mapping[str, pl.LazyFrame]) -> tuple[dict[str, dict[tuple[str, str], int]], list[Names]]:
    """Number the groups of the streams' documents (columns source, language), in order of appearance.

    Returns by stream the number of each (source, language), and the names that the losses of each group are added up
    under. One source or one language alone has no name of its own: it would be the overall loss again.
    """
    keys = {
        name: frame.select("source", "language").unique(maintain_order=True).collect(engine="streaming").rows()
        for name, frame in streams.items()
    }
    number = itertools.count()
    numbers = {name: {key: next(number) for key in own} for name, own in keys.items()}
    sources, languages = map(set, zip(*itertools.chain(*keys.values()), strict=True))
    names = [
        (name, *([f"source/{source}"] * (len(sources) > 1)), *([f"language/{language}"] * (len(languages) > 1)))
        for name, own in keys.items()
        for source, language in own
    ]
    return numbers, names


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
