"""Perplexity of held-out documents."""

import math

import torch

from in2x.model.logprobs import cross_entropy_sum
from in2x.training.batches import micro_batches
from in2x.training.packing import Document, pack


@torch.inference_mode()
def mean_nats(
    model, documents: list[Document], context_tokens: int, micro_batch_tokens: int, pad_token_id: int
) -> float:
    """Mean negative log-likelihood, in nats, of the tokens in the documents' loss masks."""
    rows = pack(documents, context_tokens, pad_token_id)
    model.eval()
    total = sum(float(cross_entropy_sum(model, batch)) for batch in micro_batches(rows, micro_batch_tokens))
    return total / int(rows.loss_mask.sum())


def perplexity(
    model, documents: list[Document], context_tokens: int, micro_batch_tokens: int, pad_token_id: int
) -> float:
    """exp of the mean negative log-likelihood per token."""
    return math.exp(mean_nats(model, documents, context_tokens, micro_batch_tokens, pad_token_id))
