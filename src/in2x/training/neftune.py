"""Noise on the embeddings while a model is trained (NEFTune, Jain et al., arXiv 2310.05914).

    embedding + U(-1, 1) alpha / sqrt(L d)

where L is the number of tokens of the document, each of a packed row by itself, and d the width.

Legend: B rows, T tokens of a row, D width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def document_lengths(position_ids_BT: torch.Tensor) -> torch.Tensor:
    """Tokens of the document that each token belongs to, B x T; a document begins where positions start again at 0."""
    number_BT = (position_ids_BT == 0).cumsum(dim=1)
    counts = torch.zeros(len(number_BT), int(number_BT.max()) + 1, dtype=torch.long, device=number_BT.device)
    counts.scatter_add_(1, number_BT, torch.ones_like(number_BT))
    return counts.gather(1, number_BT)


@contextmanager
def noisy(model, alpha: float | None) -> Iterator[Callable[[Callable], Callable]]:
    """Yields what turns a loss into one on noisy embeddings; outside of such a loss, and in evaluation, there is none.

    The noise comes from torch's generator, whose state a checkpoint keeps. Without alpha, the loss stays as it is.
    """
    if alpha is None:
        yield lambda loss: loss
        return
    lengths: list[torch.Tensor] = []

    def add_noise(module, inputs, embedded_BTD):
        if not (lengths and module.training):
            return embedded_BTD
        size_BT1 = alpha / (lengths[-1] * embedded_BTD.shape[-1]).float().sqrt().unsqueeze(-1)
        noise_BTD = torch.empty_like(embedded_BTD).uniform_(-1, 1)
        return embedded_BTD + noise_BTD * size_BT1.to(embedded_BTD.dtype)

    def with_noise(loss: Callable) -> Callable:
        def wrapped(model, batch):
            lengths.append(document_lengths(batch["position_ids"]).to(next(model.parameters()).device))
            try:
                return loss(model, batch)
            finally:
                lengths.pop()

        return wrapped

    handle = model.get_input_embeddings().register_forward_hook(add_noise)
    try:
        yield with_noise
    finally:
        handle.remove()
