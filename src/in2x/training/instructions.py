"""Instructions as documents for packing: chat turns in token ids, tokenised once for a stage and kept on its disk.

A row is a prompt and its response; or a conversation, where a column `messages` (a list of role and content) is not
null, of which every assistant turn is trained. What is kept is the token ids and loss masks of all instructions, one
after the other, and their lengths: a stage that is started again, and all processes but the main one, only read them.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from in2x import artifacts, distributed
from in2x.model.prompts import chat_turns
from in2x.training.conversations import conversation_pieces
from in2x.training.packing import Document

CHUNK = 10_000
"""Instructions tokenised at once: what the tokenizer returns takes twenty times the memory of the ids."""

Arrays = dict[str, np.ndarray]


def instruction_documents(instructions: pl.DataFrame, tokenizer, tasks: Sequence[str] | None = None) -> list[Document]:
    """One document an instruction: the chat turn, with the response and its end token in the loss.

    A document's group is the place of its task in `tasks`; left out, 0.
    """
    return _documents(instructions, _tokenised(instructions, tokenizer), tasks)


def kept_documents(instructions: pl.DataFrame, tokenizer, tasks: Sequence[str], file: Path, key: str) -> list[Document]:
    """instruction_documents, tokenised by the main process and kept in `file` (safetensors) under `key`.

    The key must tell apart whatever else the tokens depend on: see `key_of`.
    """

    def make() -> None:
        if _key(file) != key:
            with artifacts.atomic(file) as temporary:
                save_file(_tokenised(instructions, tokenizer), temporary, {"key": key})

    distributed.on_main(make)
    return _documents(instructions, load_file(file), tasks)


def key_of(tokenizer, instructions: Path) -> str:
    """Hash of a tokenizer with its chat template and of a file of instructions."""
    spelling = {"tokenizer": tokenizer.backend_tokenizer.to_str(), "template": tokenizer.chat_template,
                "special": tokenizer.special_tokens_map}  # fmt: skip
    return artifacts.fingerprint("instructions", spelling, {}, {"instructions": artifacts.hash_path(instructions)})


def _key(file: Path) -> str | None:
    if not file.exists():
        return None
    with safe_open(file, "np") as stream:
        return stream.metadata()["key"]


def _documents(instructions: pl.DataFrame, arrays: Arrays, tasks: Sequence[str] | None) -> list[Document]:
    """Documents that look into the arrays."""
    places = {task: place for place, task in enumerate(tasks or ())}
    groups = [places[task] for task in instructions["task"].to_list()] if tasks else [0] * len(instructions)
    ends = np.cumsum(arrays["lengths"])
    spans = zip((ends - arrays["lengths"]).tolist(), ends.tolist(), strict=True)
    token_ids, loss_mask = arrays["token_ids"], arrays["loss_mask"]
    return [
        Document(id, token_ids[start:end], loss_mask[start:end], group)
        for id, (start, end), group in zip(instructions["id"].to_list(), spans, groups, strict=True)
    ]


def _tokenised(instructions: pl.DataFrame, tokenizer) -> Arrays:
    """token_ids (int32) and loss_mask (bool) of all instructions in a row, and the lengths (int64) of each."""
    starts = range(0, max(1, len(instructions)), CHUNK)
    parts = [_chunk(instructions.slice(start, CHUNK), tokenizer) for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunk(instructions: pl.DataFrame, tokenizer) -> Arrays:
    conversations = (
        instructions["messages"].to_list() if "messages" in instructions.columns else [None] * len(instructions)
    )
    single = instructions.filter(pl.Series([messages is None for messages in conversations], dtype=pl.Boolean))
    turns = zip(*chat_turns(tokenizer, single["prompt"], single["response"]), strict=True)
    pieces = [
        list(zip(next(turns), (False, True), strict=True))
        if messages is None
        else conversation_pieces(tokenizer, id, messages)
        for id, messages in zip(instructions["id"], conversations, strict=True)
    ]
    every = list(chain.from_iterable(pieces))
    trained = np.array([is_trained for _, is_trained in every], bool)
    return {
        "token_ids": np.fromiter(chain.from_iterable(ids for ids, _ in every), np.int32),
        "loss_mask": np.repeat(trained, np.array([len(ids) for ids, _ in every], np.int64)),
        "lengths": np.array([sum(len(ids) for ids, _ in own) for own in pieces], np.int64),
    }
