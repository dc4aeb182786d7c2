"""The streams that a phase mixes: text of one language, and documents of both (`in2x.training.bilingual`).

A stream is named "en", "ja" (a language of the corpus), "pairs", "documents", "switched" or "styled", and may be
narrowed to a domain: "ja:conversational".
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from in2x import distributed
from in2x.sections.pretrain import BILINGUAL_STREAMS
from in2x.training import bilingual
from in2x.training.packing import Document

READ_AHEAD_DOCUMENTS = 256
"""Read and tokenised at once, by all processes together."""


@dataclass(frozen=True)
class Stream:
    """Documents of one stream: ids, token arrays, and the number of each document's group (in2x.training.groups)."""

    ids: Sequence[str]
    token_ids: Sequence[np.ndarray]
    groups: Sequence[int] | None = None

    def walk(self, rng: np.random.Generator, skip: int = 0) -> Iterator[Document]:
        """Documents for ever, the first `skip` passed over: every epoch is another permutation. In step with others."""
        number = len(self.ids)
        if not number:
            raise ValueError("a stream without documents can't be drawn from")
        rows = np.arange(number, dtype=np.int32 if number < 2**31 else np.int64)
        for epoch in itertools.count():
            order = rng.permutation(rows)
            for start in range(max(0, skip - epoch * number), number, READ_AHEAD_DOCUMENTS):
                yield from self.documents(order[start : start + READ_AHEAD_DOCUMENTS].tolist())

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """Documents by number, for all processes: each reads and tokenises its share. In step with others."""
        return distributed.in_turns(rows, self.document)

    def document(self, row: int) -> Document:
        token_ids = self.token_ids[row]
        group = 0 if self.groups is None else self.groups[row]
        return Document(self.ids[row], token_ids, np.ones(len(token_ids), bool), group)


Blocks = Callable[[], Iterable[pl.DataFrame]]
"""Begins anew to read a table, a block of its rows at a time."""


def document_blocks(
    name: str,
    pairs: Blocks,
    texts: Blocks,
    pair: str,
    seed: int,
    lexicon: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[pl.DataFrame]:
    """The documents of stream `name` as text, a block at a time: columns id, text, source (where from) and language.

    The language of a pair is its direction, "en-ja" or "ja-en"; of longer documents of both, "mixed". Runs and
    variants of pairs are those within a block.
    """
    kind, _, domain = name.partition(":")
    sides = dict(zip(pair.split("-"), ("source", "target"), strict=True))
    if kind not in (*sides, *BILINGUAL_STREAMS):
        raise ValueError(f"unknown stream {name!r}")

    def own_pairs() -> Iterator[pl.DataFrame]:
        return (block.filter(domain=domain) if domain else block for block in pairs())

    if kind in sides:
        more = () if domain else (block.filter(language=kind) for block in texts())
        for block in itertools.chain(_distinct(own_pairs, sides[kind]), more):
            yield block.select("id", "text", source="origin", language=pl.lit(kind))
        return
    rng = np.random.default_rng([seed, *name.encode()])
    settings = {"lexicon": lexicon} if kind == "switched" else {}
    for block in own_pairs():
        yield bilingual.MAKERS[kind](block, pair, rng, **settings)


def _distinct(pairs: Blocks, side: str) -> Iterator[pl.DataFrame]:
    """The sentences of a side as text, the first of equal ones (by a hash of 64 bits)."""
    is_first, start = pl.concat([block[side].hash() for block in pairs()]).is_first_distinct(), 0
    for block in pairs():
        yield block.with_columns(text=side).filter(is_first.slice(start, len(block)))
        start += len(block)


def texts_of(name: str, pairs: pl.DataFrame, pair: str, seed: int) -> pl.DataFrame:
    """The documents of a stream of few pairs, as `document_blocks` gives them."""
    return pl.concat(document_blocks(name, lambda: [pairs], lambda: [], pair, seed))


class TokenizedTexts(Sequence):
    """Token arrays of texts, each closed by the end-of-text token, made when they are asked for.

    A phase draws a small part of a large stream: tokenising it all first would take longer than a short phase.
    A control token in a text is plain text.
    """

    def __init__(self, texts: Sequence[str], tokenizer, end_id: int):
        self.texts, self.end_id = texts, end_id
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.backend.encode_special_tokens = True

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.encode(self.texts[index])

    def encode(self, text: str) -> np.ndarray:
        return np.array([*self.backend.encode(text, add_special_tokens=False).ids, self.end_id], np.int32)


def tokenize(columns, tokenizer, end_id: int, groups: Sequence[int] | None = None) -> Stream:
    """The stream of a table's documents (columns id, text), in memory or on the disk; groups by document."""
    return Stream(columns["id"], TokenizedTexts(columns["text"], tokenizer, end_id), groups)
