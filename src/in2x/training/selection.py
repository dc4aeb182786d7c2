"""Choice of the annealing data: by the model's own perplexity, and by simple measures of quality.

Documents are ranked by the mean of two ranks: perplexity under the model as it stands (lower is better: fluent,
learnable text), and quality (a sentence that ends as one, of moderate length, not a list of names or numbers). The
very lowest perplexities are formulas and repetitions, so the best 2 % are left out too.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import torch

from in2x.evaluation.perplexity import row_nats
from in2x.training.metrics import progress_bar
from in2x.training.packing import owners, pack
from in2x.training.streams import Stream

FORMULAIC_FRACTION = 0.02
SENTENCE_END = r"[。！？!?.…」』\"”)）]$"


def best_documents(model, stream: Stream, frame: pl.DataFrame, phase, section, pad_token_id: int) -> pl.DataFrame:
    """Rows of `frame` to keep, with their columns nats_per_token and quality."""
    nats = document_nats(model, stream, phase.context_tokens, section.micro_batch_tokens, pad_token_id)
    scored = frame.with_columns(nats_per_token=pl.Series(nats), quality=quality(pl.col("text")))
    scored = scored.filter(pl.col("nats_per_token") >= pl.col("nats_per_token").quantile(FORMULAIC_FRACTION))
    rank = (pl.col("nats_per_token").rank("average") - pl.col("quality").rank("average")).alias("rank")
    number = max(1, int(len(frame) * phase.select.keep_fraction))
    return scored.with_columns(rank).sort("rank", maintain_order=True).head(number).drop("rank")


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
    documents = stream.documents(range(len(stream.ids)))
    numbered = [replace(document, id=str(number)) for number, document in enumerate(documents)]
    rows = pack(numbered, context_tokens, pad_token_id)
    with progress_bar("scoring documents", len(rows)) as bar:
        nats_N = row_nats(model, rows, micro_batch_tokens, bar.advance)
    owner_N = owners(rows)[rows.loss_mask]
    totals, counts = (np.bincount(owner_N, weights, len(documents)) for weights in (nats_N, None))
    return totals / np.maximum(counts, 1)
