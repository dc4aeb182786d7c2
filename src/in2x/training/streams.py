"""The streams that a phase mixes: monolingual sentences, pairs in both directions, and longer documents of pairs.

A stream is named "en", "ja" (a language of the corpus), "pairs" or "documents", and may be narrowed to a domain:
"ja:conversational". A *pair* is a document of source and target on two lines, in either direction, so that a base
model can be prompted with the first line. A *document* is a run of pairs: the variants of one sentence (of a few, where
they have few variants), or neighbours in the corpus.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from in2x.training.packing import Document

PAIRS_PER_DOCUMENT = 6


@dataclass(frozen=True)
class Stream:
    """Documents of one stream: ids and token arrays."""

    ids: list[str]
    token_ids: Sequence[np.ndarray]

    def shuffled(self, rng: np.random.Generator) -> Iterator[int]:
        """Indices of documents for ever: every epoch is another permutation."""
        if not self.ids:
            raise ValueError("a stream without documents can't be drawn from")
        while True:
            yield from rng.permutation(len(self.ids)).tolist()

    def document(self, index: int) -> Document:
        token_ids = self.token_ids[index]
        return Document(self.ids[index], token_ids, np.ones(len(token_ids), bool))


def texts_of(name: str, pairs: pl.DataFrame, texts: pl.DataFrame, pair: str, seed: int) -> pl.DataFrame:
    """The documents of stream `name` as text: columns id, text."""
    kind, _, domain = name.partition(":")
    if domain:
        pairs = pairs.filter(domain=domain)
    languages = dict(zip(pair.split("-"), ("source", "target"), strict=True))
    if kind in languages:
        own = pairs.select("id", text=languages[kind]).unique("text", keep="first", maintain_order=True)
        more = texts.filter(language=kind).select("id", "text") if not domain else own.clear()
        return pl.concat([own, more])
    rng = np.random.default_rng([seed, *name.encode()])
    forward = pl.Series(rng.random(len(pairs)) < 0.5)
    first, second = (
        pl.when(forward).then(one).otherwise(other) for one, other in (("source", "target"), ("target", "source"))
    )
    both = pairs.with_columns(text=pl.format("{}\n{}", first, second))
    if kind == "pairs":
        return both.select("id", "text")
    if kind == "documents":
        return _documents(both, rng)
    raise ValueError(f"unknown stream {name!r}")


def _documents(pairs: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Runs of PAIRS_PER_DOCUMENT related pairs: groups of variants first, then neighbours in the corpus."""
    ordered = pairs.with_columns(variants=pl.len().over("group")).with_row_index("row")
    ordered = ordered.sort(pl.when(pl.col("variants") > 1).then(pl.col("group")).otherwise(10**9), "row")
    runs = ordered.with_columns(run=pl.int_range(pl.len()) // PAIRS_PER_DOCUMENT)
    grouped = runs.group_by("run", maintain_order=True).agg(pl.col("id").first(), pl.col("text").str.join("\n"))
    return grouped.select("id", "text").sample(fraction=1.0, shuffle=True, seed=int(rng.integers(2**31)))


class TokenizedTexts(Sequence):
    """Token arrays of texts, each closed by the end-of-text token, made when they are asked for.

    A phase draws a small part of a large stream: tokenising it all first would take longer than a short phase.
    A control token in a text is plain text.
    """

    def __init__(self, texts: list[str], tokenizer, end_id: int):
        self.texts, self.end_id = texts, end_id
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.backend.encode_special_tokens = True

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array([*self.backend.encode(self.texts[index], add_special_tokens=False).ids, self.end_id], np.int32)


def tokenize(frame: pl.DataFrame, tokenizer, end_id: int) -> Stream:
    """The stream of a frame's documents (columns id, text)."""
    return Stream(frame["id"].to_list(), TokenizedTexts(frame["text"].to_list(), tokenizer, end_id))
