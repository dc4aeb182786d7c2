"""Perplexity of held-out documents: of all their tokens, by document, and by position in the document.

Several processes compute a share each, in step, and all get the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from in2x import distributed
from in2x.model.logprobs import cross_entropy_sum, token_nats
from in2x.training.batches import micro_batches
from in2x.training.packing import Document, Rows, owners, pack


@dataclass(frozen=True)
class TokenLosses:
    """One entry for each predicted token: its nats, the number of its document, its position in the document."""

    nats_N: np.ndarray
    document_N: np.ndarray
    position_N: np.ndarray

    def perplexity(self, chosen_N: np.ndarray | None = None) -> float | None:
        """exp of the mean over the tokens marked in `chosen_N` (left out: all); None where there are none."""
        nats_N = self.nats_N if chosen_N is None else self.nats_N[chosen_N]
        return math.exp(nats_N.mean()) if len(nats_N) else None


@torch.inference_mode()
def token_losses(
    model, documents: list[Document], context_tokens: int, micro_batch_tokens: int, pad_token_id: int
) -> TokenLosses:
    """The loss of every token in the documents' loss masks; a longer document is cut, and its positions start again."""
    model.eval()
    numbered = [replace(document, id=str(number)) for number, document in enumerate(documents)]
    rows = pack(numbered, context_tokens, pad_token_id)
    mask_NT = rows.loss_mask
    nats_N = row_nats(model, rows, micro_batch_tokens)
    return TokenLosses(nats_N, owners(rows)[mask_NT], rows.position_ids[mask_NT])


def row_nats(model, rows: Rows, micro_batch_tokens: int, advance: Callable[[int], None] = lambda number: None):
    """The loss of every token in the rows' loss masks, in nats, float64; `advance` is told of rows that are done.

    The values go into one array: small ones, kept between the large ones that come and go, would keep the allocator
    from using the room of these again.
    """
    batches = list(micro_batches(rows, micro_batch_tokens))
    ends = np.cumsum([int(batch["loss_mask"].sum()) for batch in batches], dtype=int)
    nats_N = np.zeros(ends[-1] if len(ends) else 0)
    for place, is_own in distributed.turns(len(batches)):
        found_N = token_nats(model, batches[place]).cpu()
        if is_own:
            nats_N[ends[place] - len(found_N) : ends[place]] = found_N
        advance(len(batches[place]["input_ids"]) * distributed.world_size())
    return sum(distributed.gather(nats_N))


@torch.inference_mode()
def mean_nats(
    model, documents: list[Document], context_tokens: int, micro_batch_tokens: int, pad_token_id: int
) -> float:
    """Mean negative log-likelihood, in nats, of the tokens in the documents' loss masks."""
    rows = pack(documents, context_tokens, pad_token_id)
    model.eval()
    batches = list(micro_batches(rows, micro_batch_tokens))
    totals = distributed.in_turns(batches, lambda batch: float(cross_entropy_sum(model, batch)))
    return sum(totals) / int(rows.loss_mask.sum())


def perplexity(
    model, documents: list[Document], context_tokens: int, micro_batch_tokens: int, pad_token_id: int
) -> float:
    """exp of the mean negative log-likelihood per token."""
    return math.exp(mean_nats(model, documents, context_tokens, micro_batch_tokens, pad_token_id))
