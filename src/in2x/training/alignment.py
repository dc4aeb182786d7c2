"""A contrastive loss that pulls a segment and its translation together (InfoNCE, van den Oord et al., 1807.03748).

The two sides are documents of their own: neither sees the other. For M pairs with mean-pooled hidden states a_i and b_i
and s_ij = cos(a_i, b_j) / temperature:

    loss = 1/2M sum_i [ -log softmax over row i of s, at i  - log softmax over column i of s, at i ]

in nats; log M where nothing tells the pairs apart.

Legend: B rows, T tokens of a row, D width, M pairs, S = 2M segments (M sources, then M targets).
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
import torch
from torch import nn

from in2x.artifacts import In2xError
from in2x.training.packing import Document, owners, pack


def mean_pooled(hidden_BTD: torch.Tensor, owners_BT: torch.Tensor, num_segments: int) -> torch.Tensor:
    """Mean hidden state of each segment's tokens, S x D, in float32; `owners` are segment numbers, -1 for padding."""
    own_N = owners_BT.reshape(-1)
    hidden_ND = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])[own_N >= 0].float()
    own_N = own_N[own_N >= 0]
    sums_SD = hidden_ND.new_zeros(num_segments, hidden_ND.shape[-1]).index_add(0, own_N, hidden_ND)
    return sums_SD / torch.bincount(own_N, minlength=num_segments).unsqueeze(1)


def info_nce(sources_MD: torch.Tensor, targets_MD: torch.Tensor, temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE over cosines, in nats: mean over both directions; every other pair is a negative."""
    if sources_MD.shape != targets_MD.shape or sources_MD.ndim != 2:
        raise ValueError(f"expected two M x D tables, got {tuple(sources_MD.shape)} and {tuple(targets_MD.shape)}")
    normalise = nn.functional.normalize
    scores_MM = normalise(sources_MD, dim=1) @ normalise(targets_MD, dim=1).T / temperature
    own_M = torch.arange(len(scores_MM), device=scores_MM.device)
    forward, backward = (nn.functional.cross_entropy(scores, own_M) for scores in (scores_MM, scores_MM.T))
    return (forward + backward) / 2


def hidden_layers(model, input_ids_BT, position_ids_BT) -> tuple[torch.Tensor, ...]:
    """Hidden states of the embeddings and of every layer, each B x T x D; packed documents don't see one another."""
    output = model.get_decoder()(
        input_ids=input_ids_BT, position_ids=position_ids_BT, use_cache=False, output_hidden_states=True
    )
    return output.hidden_states


def layer_number(layer: int | None, num_layers: int) -> int:
    """Which of the num_layers + 1 hidden states is meant; left out, the middle one.

    Raises:
        In2xError: the model has no such layer.
    """
    number = num_layers // 2 if layer is None else layer + (num_layers + 1 if layer < 0 else 0)
    if not 0 <= number <= num_layers:
        raise In2xError(
            f"pretrain: contrastive.layer is {layer}, and the model has {num_layers} layers: give 0 (embeddings) to "
            f"{num_layers}, or -1 (the last) to {-num_layers - 1}"
        )
    return number


class PairBatches:
    """Batches of parallel segments, the same for the same seed and step, whatever was drawn before."""

    def __init__(
        self, pairs: Mapping, groups: pl.Series, encode: Callable, num_pairs: int, seed: list[int], pad_token_id: int
    ):
        """`pairs`: columns source and target; pairs of one of their `groups` never meet in a batch.

        `encode(text)` gives token ids, two or more.
        """
        self.sources, self.targets = pairs["source"], pairs["target"]
        rows = pl.DataFrame({"group": groups}).with_row_index("row")
        self.members = rows.group_by("group", maintain_order=True).agg("row")["row"]
        if len(self.members) < 2:
            raise In2xError("pretrain: contrastive needs training pairs of two near-duplicate groups or more")
        self.encode, self.seed, self.pad_token_id = encode, seed, pad_token_id
        self.num_pairs = min(num_pairs, len(self.members))

    def batch(self, step: int, max_tokens: int) -> dict[str, torch.Tensor]:
        """input_ids, position_ids, owners (segment numbers: sources 0 .. M - 1, targets M .. 2M - 1), loss_mask: B x T.

        Segments are cut to max_tokens.
        """
        rng = np.random.default_rng([*self.seed, step])
        groups = rng.choice(len(self.members), self.num_pairs, replace=False)
        members = [self.members[int(group)] for group in groups]
        chosen = [int(rows[int(rng.integers(len(rows)))]) for rows in members]
        texts = [side[row] for side in (self.sources, self.targets) for row in chosen]
        token_ids = [self.encode(text)[:max_tokens] for text in texts]
        documents = [Document(str(n), ids, np.zeros(len(ids), bool)) for n, ids in enumerate(token_ids)]
        rows = pack(documents, max(map(len, token_ids)), self.pad_token_id)
        arrays = {
            "input_ids": rows.input_ids, "position_ids": rows.position_ids, "owners": owners(rows),
            "loss_mask": rows.loss_mask,
        }  # fmt: skip
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def with_contrastive(loss: Callable, settings, layer: int) -> Callable:
    """A loss for the loop that takes a batch of PairBatches as well as those of `loss`; reported as "contrastive".

    The value is coefficient * InfoNCE. Every parameter takes part with a gradient, if one of 0, because wrappers for
    several processes wait for all of them.
    """

    def both(model, batch):
        if "owners" not in batch:
            return loss(model, batch)
        layers = hidden_layers(model, batch["input_ids"], batch["position_ids"])
        num_segments = int(batch["owners"].max()) + 1
        pooled_SD = mean_pooled(layers[layer], batch["owners"], num_segments)
        value = info_nce(*pooled_SD.split(num_segments // 2), settings.temperature)
        unused = 0.0 * model.get_output_embeddings()(layers[-1][:1, :1]).sum()
        return settings.coefficient * value + unused, {"contrastive": (float(value.detach()), 1)}

    return both
