"""Rows as tensors, a micro-batch at a time, and the losses of next-token prediction over them."""

from collections.abc import Iterator

import torch

from in2x.model.logprobs import cross_entropy_sum
from in2x.training.packing import Rows


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
