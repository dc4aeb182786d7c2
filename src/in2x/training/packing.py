"""Fixed rows of whole documents, for training without padding waste and without attention across documents.

Position ids start again at 0 with every document; without a cache and without an attention mask, the models of
transformers read from them which tokens may see one another (a block-diagonal causal mask). Not every architecture
does: `in2x.model.isolation` refuses those that don't.

A document may carry the number of a group (its stream, source and language), so that the loss can be told apart; the
tokens of a row carry their document's.

Legend: N rows, T tokens of a row.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, replace

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


def pack(documents: list[Document], context_tokens: int, pad_token_id: int) -> Rows:
    """Pack documents into rows by best-fit decreasing (Ding et al. 2024, arXiv 2404.10830); longer ones are cut.

    The order of the rows carries no randomness: shuffle them by seed.
    """
    pieces = [piece for document in documents for piece in _cut(document, context_tokens)]
    bins = best_fit([len(piece.token_ids) for piece in pieces], context_tokens)
    shape = (len(bins), context_tokens)
    rows = Rows(
        np.full(shape, pad_token_id, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, bool),
        np.full(shape, -1, np.int16),
        [],
        [],
    )
    for row, members in enumerate(bins):
        start = 0
        for member in members:
            piece, length = pieces[member], len(pieces[member].token_ids)
            where = slice(start, start + length)
            rows.input_ids[row, where] = piece.token_ids
            rows.position_ids[row, where] = np.arange(length)
            rows.loss_mask[row, where] = piece.loss_mask
            rows.loss_mask[row, start] = False
            rows.groups[row, where] = piece.group
            start += length
        rows.position_ids[row, start:] = np.arange(context_tokens - start)  # padding is a document of its own
        rows.document_ids.append([pieces[member].id for member in members])
        rows.lengths.append([len(pieces[member].token_ids) for member in members])
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


def _cut(document: Document, context_tokens: int) -> list[Document]:
    if len(document.token_ids) <= context_tokens:
        return [document] if len(document.token_ids) > 1 else []
    spans = [slice(cut, cut + context_tokens) for cut in range(0, len(document.token_ids), context_tokens)]
    pieces = [
        replace(document, token_ids=document.token_ids[span], loss_mask=document.loss_mask[span]) for span in spans
    ]
    return [piece for piece in pieces if len(piece.token_ids) > 1]
