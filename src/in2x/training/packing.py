"""Fixed rows of whole documents, for training without padding waste and without attention across documents.

Position ids start again at 0 with every document; without a cache and without an attention mask, the models of
transformers read from them which tokens may see one another (a block-diagonal causal mask). Not every architecture
does: `in2x.model.isolation` refuses those that don't.

A document may carry the number of a group (its stream, source and language), so that the loss can be told apart; the
tokens of a row carry their document's.

Legend: N rows, T tokens of a row.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Document:
    """Tokens of one document; `loss_mask` marks those to be predicted (the first of a document never is)."""

    id: str
    token_ids: np.ndarray
    loss_mask: np.ndarray
    group: int = 0


@dataclass(frozen=True)
class Rows:
    """input_ids_NT, position_ids_NT (int64), loss_mask_NT (bool); ids and lengths of each row's documents, in order.

    groups_NT (int16): the group of the document that a token belongs to; -1 is padding.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    loss_mask: np.ndarray
    groups: np.ndarray
    document_ids: list[list[str]]
    lengths: list[list[int]]

    def __len__(self) -> int:
        return len(self.input_ids)

    def take(self, indices) -> "Rows":
        ids, lengths = ([spans[index] for index in indices] for spans in (self.document_ids, self.lengths))
        arrays = (array[indices] for array in (self.input_ids, self.position_ids, self.loss_mask, self.groups))
        return Rows(*arrays, ids, lengths)


Piece = tuple[int, int, int]
"""Which document, and from which of its tokens on to before which."""


def pack(documents: Sequence[Document], context_tokens: int, pad_token_id: int) -> Rows:
    """Pack documents into rows by best-fit decreasing (Ding et al. 2024, arXiv 2404.10830); longer ones are cut.

    The order of the rows carries no randomness: shuffle them by seed.
    """
    planned = plan([len(document.token_ids) for document in documents], context_tokens)
    return fill(planned, documents, context_tokens, pad_token_id)


def plan(lengths: Sequence[int], context_tokens: int) -> list[list[Piece]]:
    """Which pieces of documents of these lengths each row holds; a token that would stand alone is left out."""
    starts = ((number, start, length) for number, length in enumerate(lengths)
              for start in range(0, length, context_tokens))  # fmt: skip
    cut = [(number, start, min(start + context_tokens, length)) for number, start, length in starts]
    pieces = [piece for piece in cut if piece[2] - piece[1] > 1]
    bins = best_fit([end - start for _, start, end in pieces], context_tokens)
    return [[pieces[member] for member in members] for members in bins]


def fill(
    planned: Sequence[Sequence[Piece]], documents: Sequence[Document], context_tokens: int, pad_token_id: int
) -> Rows:
    """The rows that were planned, from their documents."""
    shape = (len(planned), context_tokens)
    rows = Rows(
        np.full(shape, pad_token_id, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, bool),
        np.full(shape, -1, np.int16),
        [],
        [],
    )
    for row, pieces in enumerate(planned):
        place, ids = 0, []
        for number, start, end in pieces:
            document, length = documents[number], end - start
            where = slice(place, place + length)
            rows.input_ids[row, where] = document.token_ids[start:end]
            rows.position_ids[row, where] = np.arange(length)
            rows.loss_mask[row, where] = document.loss_mask[start:end]
            rows.loss_mask[row, place] = False
            rows.groups[row, where] = document.group
            place += length
            ids.append(document.id)
        rows.position_ids[row, place:] = np.arange(context_tokens - place)  # padding is a document of its own
        rows.document_ids.append(ids)
        rows.lengths.append([end - start for _, start, end in pieces])
    return rows


def owners(rows: Rows) -> np.ndarray:
    """The id of the document that each token belongs to, as a number, N x T; -1 for padding. Ids must be numbers."""
    owners_NT = np.full(rows.input_ids.shape, -1)
    for row, (numbers, lengths) in enumerate(zip(rows.document_ids, rows.lengths, strict=True)):
        owners_NT[row, : sum(lengths)] = np.repeat(np.array(numbers, int), lengths)
    return owners_NT


def best_fit(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing bin packing: each item, longest first, goes where the least room remains."""
    bins, by_room = [], [[] for _ in range(capacity + 1)]
    rooms: list[int] = []  # sorted amounts of room that some bin has
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        place = bisect_left(rooms, lengths[item])
        if place == len(rooms):
            bins.append([])
            number, room = len(bins) - 1, capacity
        else:
            room = rooms[place]
            number = by_room[room].pop()
            if not by_room[room]:
                rooms.pop(place)
        bins[number].append(item)
        left = room - lengths[item]
        if left > 0:
            if not by_room[left]:
                insort(rooms, left)
            by_room[left].append(number)
    return bins
