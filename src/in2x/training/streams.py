"""The streams that a phase mixes: text of one language, and documents of both (`in2x.training.bilingual`).

A stream is named "en", "ja" (a language of the corpus), "pairs", "documents", "switched" or "styled", and may be
narrowed to a domain: "ja:conversational".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from in2x.sections.pretrain import BILINGUAL_STREAMS
from in2x.training import bilingual
from in2x.training.packing import Document


@dataclass(frozen=True)
class Stream:
    """Documents of one stream: ids, token arrays, and the number of each document's group (in2x.training.groups)."""

    ids: Sequence[str]
    token_ids: Sequence[np.ndarray]
    groups: np.ndarray | None = None

    def shuffled(self, rng: np.random.Generator) -> Iterator[int]:
        """Indices of documents for ever: every epoch is another permutation."""
        if not len(self.ids):
            raise ValueError("a stream without documents can't be drawn from")
        while True:
            yield from rng.permutation(len(self.ids)).tolist()

    def document(self, index: int) -> Document:
        token_ids = self.token_ids[index]
        group = 0 if self.groups is None else int(self.groups[index])
        return Document(self.ids[index], token_ids, np.ones(len(token_ids), bool), group)


def texts_of(
    name: str,
    pairs: pl.DataFrame,
    texts: pl.DataFrame,
    pair: str,
    seed: int,
    lexicon: Mapping[str, Mapping[str, str]] | None = None,
) -> pl.DataFrame:
    """The documents of stream `name` as text: columns id, text, source (where from) and language.

    The language of a pair is its direction, "en-ja" or "ja-en"; of longer documents of both, "mixed".
    """
    kind, _, domain = name.partition(":")
    if domain:
        pairs = pairs.filter(domain=domain)
    languages = dict(zip(pair.split("-"), ("source", "target"), strict=True))
    if kind in languages:
        own = pairs.select("id", text=languages[kind], source="origin").unique(
            "text", keep="first", maintain_order=True
        )
        more = texts.filter(language=kind).select("id", "text", source="origin") if not domain else own.clear()
        return pl.concat([own, more]).with_columns(language=pl.lit(kind))
    if kind not in BILINGUAL_STREAMS:
        raise ValueError(f"unknown stream {name!r}")
    rng = np.random.default_rng([seed, *name.encode()])
    if kind == "switched":
        return bilingual.switched(pairs, pair, rng, lexicon)
    return bilingual.MAKERS[kind](pairs, pair, rng)


class TokenizedTexts(Sequence):
    """Token arrays of texts, each closed by the end-of-text token, made when they are asked for.

    A phase draws a small part of a large stream: tokenising it all first would take longer than a short phase.
    The texts stay a column of polars: as Python's strings they would be in memory a second time.
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


def tokenize(frame: pl.DataFrame, tokenizer, end_id: int, groups: np.ndarray | None = None) -> Stream:
    """The stream of a frame's documents (columns id, text), whose groups have these numbers."""
    return Stream(frame["id"], TokenizedTexts(frame["text"], tokenizer, end_id), groups)
