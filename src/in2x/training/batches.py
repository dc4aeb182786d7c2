"""Rows as tensors, a micro-batch at a time, and the losses of next-token prediction over them."""

from collections.abc import Iterator

import torch

from in2x.model.logprobs import cross_entropy_sum
from in2x.training.packing import Document, Rows


def micro_batches(rows: Rows, micro_batch_tokens: int) -> Iterator[dict[str, torch.Tensor]]:
    """Split rows into micro-batches of at most micro_batch_tokens (at least one row each)."""
    num_rows = max(1, micro_batch_tokens // rows.input_ids.shape[1])
    for start in range(0, len(rows), num_rows):
        part = slice(start, start + num_rows)
        yield {
            "input_ids": torch.from_numpy(rows.input_ids[part]),
            "position_ids": torch.from_numpy(rows.position_ids[part]),
            "loss_mask": torch.from_numpy(rows.loss_mask[part]),
        }


def next_token_loss(num_loss_tokens: int, temperature: float = 1.0):
    """Mean cross-entropy over a step's loss tokens, as a loss for the loop; the denominator is the whole step's."""

    def loss(model, batch):
        total = cross_entropy_sum(model, batch, temperature)
        return total / num_loss_tokens, {"loss": (float(total.detach()), int(batch["loss_mask"].sum()))}

    return loss


def padded_micro_batches(
    documents: list[Document], micro_batch_tokens: int, pad_token_id: int
) -> Iterator[dict[str, torch.Tensor]]:
    """A document a row, for models that cannot tell packed documents apart: shortest first, so that little is padding.

    Each micro-batch is as wide as its longest document, and holds at most micro_batch_tokens (at least one row).
    Padding is on the right, where a causal model's tokens don't see it.
    """
    by_length = sorted(documents, key=lambda document: len(document.token_ids))
    part: list[Document] = []
    for document in by_length:
        if part and (len(part) + 1) * len(document.token_ids) > micro_batch_tokens:
            yield _padded(part, pad_token_id)
            part = []
        part.append(document)
    if part:
        yield _padded(part, pad_token_id)


def _padded(documents: list[Document], pad_token_id: int) -> dict[str, torch.Tensor]:
    shape = (len(documents), len(documents[-1].token_ids))
    input_ids_BT, loss_mask_BT = torch.full(shape, pad_token_id), torch.zeros(shape, dtype=torch.bool)
    for row, document in enumerate(documents):
        length = len(document.token_ids)
        input_ids_BT[row, :length] = torch.from_numpy(document.token_ids)
        loss_mask_BT[row, 1:length] = torch.from_numpy(document.loss_mask[1:])
    return {
        "input_ids": input_ids_BT,
        "position_ids": torch.arange(shape[1]).repeat(shape[0], 1),
        "loss_mask": loss_mask_BT,
    }
