"""Instructions as documents for packing: chat turns in token ids, tokenised once for a stage and kept on its disk.

A row is a prompt and its response; or a conversation, where a column `messages` (a list of role and content) is not
null, of which every assistant turn is trained. A stage that is started again, and all processes but the main one, only
read what is kept, a document when it is needed.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from in2x import artifacts, distributed
from in2x.model.prompts import chat_turns
from in2x.training.conversations import conversation_pieces
from in2x.training.packing import Document
from in2x.training.tables import map_table, parquet_blocks, write_table

CHUNK = 10_000
"""Instructions tokenised at once: what the tokenizer returns takes twenty times the memory of the ids."""


def instruction_documents(instructions: pl.DataFrame, tokenizer, tasks: Sequence[str] | None = None) -> list[Document]:
    """One document an instruction: the chat turn, with the response and its end token in the loss.

    A document's group is the place of its task in `tasks`; left out, 0.
    """
    return list(chain.from_iterable(_chunks(instructions.iter_slices(CHUNK), tokenizer, tasks)))


class KeptDocuments(Sequence):
    """Documents on the disk, in the order of the instructions; `lengths` in tokens."""

    def __init__(self, file: Path):
        table = map_table(file)
        self.ids, self.groups = table.column("id"), table.column("group")
        self.token_ids, self.loss_masks = table.column("token_ids"), table.column("loss_mask")
        self.lengths = pl.scan_ipc(file).select(pl.col("token_ids").list.len()).collect().to_series().to_list()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Document:
        token_ids = self.token_ids[row].values.to_numpy()
        loss_mask = self.loss_masks[row].values.to_numpy(zero_copy_only=False)
        return Document(self.ids[row].as_py(), token_ids, loss_mask, self.groups[row].as_py())


def kept_documents(instructions: Path, tokenizer, tasks: Sequence[str], folder: Path) -> KeptDocuments:
    """instruction_documents of a file, tokenised by the main process where `folder` does not have them yet.

    Raises:
        In2xError: the file has no instructions.
    """
    file = folder / f"documents-{_key(instructions, tokenizer)}.arrow"

    def make() -> None:
        if file.exists():
            return
        for other in folder.glob("documents-*.arrow"):  # of another tokenizer, or other instructions
            other.unlink()
        tables = map(_as_table, _chunks(parquet_blocks(instructions, CHUNK), tokenizer, tasks))
        if not write_table(tables, file):
            raise artifacts.In2xError(f"{instructions}: no instructions to train on")

    distributed.on_main(make)
    return KeptDocuments(file)


def _key(instructions: Path, tokenizer) -> str:
    """Hash of a tokenizer with its chat template and of a file of instructions."""
    spelling = {"tokenizer": tokenizer.backend_tokenizer.to_str(), "template": tokenizer.chat_template,
                "special": tokenizer.special_tokens_map}  # fmt: skip
    return artifacts.fingerprint("instructions", spelling, {}, {"instructions": artifacts.hash_path(instructions)})


def _as_table(documents: Sequence[Document]) -> pl.DataFrame:
    return pl.DataFrame({
        "id": [document.id for document in documents],
        "group": pl.Series([document.group for document in documents], dtype=pl.Int16),
        "token_ids": pl.Series([document.token_ids for document in documents]).cast(pl.List(pl.Int32)),
        "loss_mask": pl.Series([document.loss_mask for document in documents]).cast(pl.List(pl.Boolean)),
    })  # fmt: skip  # cast: arrays of one length would be a column of fixed-size ones


def _chunks(chunks: Iterable[pl.DataFrame], tokenizer, tasks: Sequence[str] | None) -> Iterator[list[Document]]:
    places = {task: place for place, task in enumerate(tasks or ())}
    for chunk in chunks:
        groups = map(places.__getitem__, chunk["task"]) if tasks else [0] * len(chunk)
        yield [
            Document(id, *_tokens(pieces), group)
            for id, pieces, group in zip(chunk["id"], _pieces(chunk, tokenizer), groups, strict=True)
        ]


def _pieces(instructions: pl.DataFrame, tokenizer) -> Iterator[list[tuple[list[int], bool]]]:
    """Of each instruction: runs of token ids, and whether they are trained."""
    conversations = (
        instructions["messages"].to_list() if "messages" in instructions.columns else [None] * len(instructions)
    )
    single = instructions.filter(pl.Series([messages is None for messages in conversations], dtype=pl.Boolean))
    turns = zip(*chat_turns(tokenizer, single["prompt"], single["response"]), strict=True)
    for id, messages in zip(instructions["id"], conversations, strict=True):
        if messages is None:
            yield list(zip(next(turns), (False, True), strict=True))
        else:
            yield conversation_pieces(tokenizer, id, messages)


def _tokens(pieces: Sequence[tuple[Sequence[int], bool]]) -> tuple[np.ndarray, np.ndarray]:
    """token_ids (int32) and loss_mask (bool) of an instruction."""
    token_ids = np.fromiter(chain.from_iterable(ids for ids, _ in pieces), np.int32)
    return token_ids, np.repeat([is_trained for _, is_trained in pieces], [len(ids) for ids, _ in pieces])
