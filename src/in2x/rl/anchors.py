"""What holds the policy near where it started: a reference to stay close to, and SFT translations to keep in mind.

Legend: N rows of documents, T tokens.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError
from in2x.model.logprobs import cross_entropy_sum
from in2x.training.batches import micro_batches
from in2x.training.lora import has_adapter, without_adapter
from in2x.training.packing import Document, pack
from in2x.training.sft import instruction_documents

SFT_DRAW = 0x5F7  # tells these random numbers from the others of a seed


def reference_of(policy, load: Callable[[], object]) -> Callable[[], AbstractContextManager]:
    """A context that gives the frozen reference: the policy without its adapter, or else a second model.

    `load` is called once, and only where the policy has no adapter.
    """
    if has_adapter(policy):
        return partial(without_adapter, policy)
    model = load()
    return lambda: nullcontext(model)


class SftAnchor:
    """Cross-entropy on SFT translations, drawn anew for every optimizer step and added to its loss."""

    def __init__(self, documents: list[Document], section, pad_token_id: int):
        self.documents, self.section, self.pad_token_id = documents, section, pad_token_id

    def batches(self, step: int) -> list[dict]:
        """Micro-batches for an optimizer step (0-based), each with the count of all their response tokens."""
        rng = np.random.default_rng([self.section.seed, SFT_DRAW, step])
        number = min(self.section.sft_rows, len(self.documents))
        drawn = [self.documents[row] for row in rng.choice(len(self.documents), number, replace=False)]
        rows = pack(drawn, max(len(document.token_ids) for document in drawn), self.pad_token_id)
        num_tokens = int(rows.loss_mask.sum())
        return [
            batch | {"num_sft_tokens": num_tokens} for batch in micro_batches(rows, self.section.micro_batch_tokens)
        ]

    def beside(self, policy_loss: Callable) -> Callable:
        """A loss for the loop that knows both kinds of micro-batches."""

        def loss(model, batch: dict):
            if "num_sft_tokens" not in batch:
                return policy_loss(model, batch)
            total, number = cross_entropy_sum(model, batch), int(batch["loss_mask"].sum())
            share = self.section.sft_coefficient * total / batch["num_sft_tokens"]
            return share, {"sft_loss": (float(total.detach()), number)}

        return loss


def sft_anchor(path: Path, tokenizer, section) -> SftAnchor | None:
    """The anchor of rl.sft_coefficient: the translations of `path` (in2x.records.INSTRUCTIONS) in rl.directions."""
    if not section.sft_coefficient:
        return None
    instructions = pl.read_parquet(path).filter(
        (pl.col("task") == "translate") & pl.col("direction").is_in(section.directions)
    )
    if instructions.is_empty():
        raise In2xError(
            f"{path}: no translations in the directions {list(section.directions)}; rl.sft_coefficient needs some: "
            "set it to 0, or give instruct.tasks a share of 'translate'"
        )
    documents = instruction_documents(instructions.unique("id", maintain_order=True), tokenizer)
    return SftAnchor(documents, section, tokenizer.pad_token_id)
