"""How well a model's hidden states find a segment's translation: precision at 1, both directions, by layer.

Each segment is read by itself; its state is the mean over its tokens. The mean of a language is subtracted first,
so that what all segments of a language share (that they are of that language) doesn't decide (Libovický, Rosa and
Fraser, arXiv 2004.05160). The nearest by cosine must be the segment's own translation; chance is 1 / N.

Legend: N pairs, L layers and the embeddings, D width.
"""

from collections.abc import Sequence

import numpy as np
import torch

from in2x import distributed
from in2x.training.alignment import hidden_layers, mean_pooled
from in2x.training.packing import Document, owners, pack


@torch.inference_mode()
def pooled_states(model, token_ids: Sequence[np.ndarray], micro_batch_tokens: int, pad_token_id: int) -> torch.Tensor:
    """Mean hidden state of each segment (two tokens or more), of every layer: L x N x D, float32, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    longest = max(map(len, token_ids))
    order = sorted(range(len(token_ids)), key=lambda n: len(token_ids[n]))

    def states_of(numbers: list[int]) -> torch.Tensor:
        documents = [Document(str(n), token_ids[own], np.zeros(len(token_ids[own]), bool))
                     for n, own in enumerate(numbers)]  # fmt: skip
        rows = pack(documents, longest, pad_token_id)
        inputs = (torch.from_numpy(x).to(device) for x in (rows.input_ids, rows.position_ids))
        layers, own = hidden_layers(model, *inputs), torch.from_numpy(owners(rows)).to(device)
        return torch.stack([mean_pooled(layer, own, len(numbers)).cpu() for layer in layers])

    batches = _batches(order, token_ids, max(micro_batch_tokens, longest))
    in_order = torch.cat(distributed.in_turns(batches, states_of), dim=1)
    return torch.empty_like(in_order).index_copy_(1, torch.tensor(order), in_order)


def precision_at_1(queries_ND: torch.Tensor, keys_ND: torch.Tensor) -> float:
    """Share of the queries whose nearest key by cosine, both centred, is the one of the same row."""
    queries_ND, keys_ND = (
        torch.nn.functional.normalize(x.double() - x.double().mean(0), dim=1) for x in (queries_ND, keys_ND)
    )
    scores_NN = queries_ND @ keys_ND.T
    beaten_N = (scores_NN > scores_NN.diagonal().unsqueeze(1)).any(1)
    tied_N = (scores_NN == scores_NN.diagonal().unsqueeze(1)).sum(1) > 1
    return float((~(beaten_N | tied_N)).double().mean())


def retrieval(
    model, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], micro_batch_tokens: int, pad_token_id: int
) -> tuple[list[float], list[float]]:
    """Precision at 1 by layer (the embeddings first): targets found from sources, sources found from targets."""
    if len(sources) != len(targets) or not sources:
        raise ValueError(f"expected as many sources as targets, one or more; got {len(sources)} and {len(targets)}")
    states = [pooled_states(model, texts, micro_batch_tokens, pad_token_id) for texts in (sources, targets)]
    both = list(zip(*states, strict=True))
    return [precision_at_1(a, b) for a, b in both], [precision_at_1(b, a) for a, b in both]


def _batches(order: list[int], token_ids: Sequence[np.ndarray], max_tokens: int) -> list[list[int]]:
    """Runs of segments with at most max_tokens tokens together."""
    batches: list[list[int]] = [[]]
    room = max_tokens
    for number in order:
        if len(token_ids[number]) > room and batches[-1]:
            batches.append([])
            room = max_tokens
        batches[-1].append(number)
        room -= len(token_ids[number])
    return batches
