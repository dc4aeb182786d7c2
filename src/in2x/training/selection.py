"""Choice of the annealing data: by the model's own perplexity, and by simple measures of quality.

Documents are ranked by the mean of two ranks: perplexity under the model as it stands (lower is better: fluent,
learnable text), and quality (a sentence that ends as one, of moderate length, not a list of names or numbers). The
very lowest perplexities are formulas and repetitions, so the best 2 % are left out too.
"""

import numpy as np
import polars as pl
import torch

from in2x.model.logprobs import hidden_states, selected_logits
from in2x.training.batches import micro_batches
from in2x.training.packing import pack
from in2x.training.streams import Stream

FORMULAIC_FRACTION = 0.02
SENTENCE_END = r"[。！？!?.…」』\"”)）]$"


def best_documents(model, stream: Stream, frame: pl.DataFrame, phase, section, pad_token_id: int) -> pl.DataFrame:
    """Rows of `frame` to keep, with their columns nats_per_token and quality."""
    nats = document_nats(model, stream, phase.context_tokens, section.micro_batch_tokens, pad_token_id)
    scored = frame.with_columns(nats_per_token=pl.Series(nats), quality=quality(pl.col("text")))
    scored = scored.filter(pl.col("nats_per_token") > pl.col("nats_per_token").quantile(FORMULAIC_FRACTION))
    rank = (pl.col("nats_per_token").rank("average") - pl.col("quality").rank("average")).alias("rank")
    return scored.with_columns(rank).sort("rank").head(max(1, int(len(frame) * phase.select.keep_fraction))).drop("rank")


def quality(text: pl.Expr) -> pl.Expr:
    """A score from 0 to 1: whole sentences, of 8 to 80 characters a line, mostly letters."""
    last = text.str.contains(SENTENCE_END).cast(pl.Float64)
    length = text.str.len_chars() / (text.str.count_matches("\n") + 1)
    moderate = length.is_between(8, 80).cast(pl.Float64)
    letters = text.str.count_matches(r"\p{L}") / text.str.len_chars().clip(1)
    return (last + moderate + letters) / 3


@torch.inference_mode()
def document_nats(model, stream: Stream, context_tokens: int, micro_batch_tokens: int, pad_token_id: int) -> np.ndarray:
    """Mean negative log-likelihood per token of each document, in nats, from packed rows."""
    model.eval()
    documents = [stream.document(index) for index in range(len(stream.ids))]
    numbered = [type(document)(str(number), document.token_ids, document.loss_mask) for number, document in enumerate(documents)]
    rows = pack(numbered, context_tokens, pad_token_id)
    totals, counts = np.zeros(len(documents)), np.zeros(len(documents))
    row = 0
    for batch in micro_batches(rows, micro_batch_tokens):
        logits, where = selected_logits(model, hidden_states(model, batch["input_ids"], batch["position_ids"]), batch["loss_mask"])
        nats = torch.nn.functional.cross_entropy(logits, batch["input_ids"][where], reduction="none").numpy()
        owners = [np.repeat(np.array(ids, int), _lengths(rows, row + offset))
                  for offset, ids in enumerate(rows.document_ids[row : row + len(batch["input_ids"])])]  # fmt: skip
        owner = np.concatenate(owners)
        np.add.at(totals, owner, nats)
        np.add.at(counts, owner, 1)
        row += len(batch["input_ids"])
    return totals / np.maximum(counts, 1)


def _lengths(rows, row: int) -> np.ndarray:
    """Loss tokens of each document of a row: its length less the first token."""
    starts = np.flatnonzero(rows.position_ids[row] == 0)
    ends = np.append(starts[1:], rows.position_ids.shape[1])[: len(rows.document_ids[row])]
    return ends - starts[: len(ends)] - 1 if rows.loss_mask[row, -1] else _trimmed(rows, row, starts, ends)


def _trimmed(rows, row, starts, ends):
    last = int(np.flatnonzero(rows.loss_mask[row]).max(initial=starts[0])) + 1
    return np.minimum(ends, last) - starts[: len(ends)] - 1
