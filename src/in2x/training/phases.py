"""What a phase of pre-training draws from: its streams, their shares, and the batches of parallel segments."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, read_json, write_parquet
from in2x.evaluation.retention import HeldOut
from in2x.model.loading import end_of_text_id
from in2x.sections import Phase, PretrainSection
from in2x.training.alignment import PairBatches
from in2x.training.bilingual import Lexicon, read_lexicon
from in2x.training.groups import Names, number_groups
from in2x.training.mixture import Mixture
from in2x.training.selection import best_documents, quality
from in2x.training.shares import shares, with_hub
from in2x.training.streams import Stream, TokenizedTexts, texts_of, tokenize

SAMPLE_DOCUMENTS = 500
"""Tokenised to estimate how many tokens a stream has."""


@dataclass(frozen=True)
class Data:
    """What the phases draw from."""

    train: pl.DataFrame
    dev: pl.DataFrame
    texts: pl.DataFrame
    pair: str
    lexicon: Lexicon | None = None

    @property
    def hub(self) -> str:
        return self.pair.split("-")[0]


def load_data(corpus: Path, lexicon: Path | None = None) -> Data:
    """All that the phases draw from and are measured on; of the texts, those in the pair's languages."""
    pair = _pair(corpus)
    words = read_lexicon(lexicon, pair) if lexicon else None
    texts = pl.scan_parquet(corpus / "text.parquet").filter(pl.col("language").is_in(pair.split("-"))).collect()
    return Data(_pairs(corpus, "train"), _pairs(corpus, "dev"), texts, pair, words)


def load_held_out(corpus: Path) -> Data:
    """The development set alone."""
    dev = _pairs(corpus, "dev")
    texts = pl.scan_parquet(corpus / "text.parquet").head(0).collect()
    return Data(dev.clear(), dev, texts, _pair(corpus))


def _pair(corpus: Path) -> str:
    return read_json(corpus / "manifest.json")["section"]["pair"]


def _pairs(corpus: Path, split: str) -> pl.DataFrame:
    return pl.scan_parquet(corpus / "pairs.parquet").filter(split=split).collect()


def make_mixture(model, phase: Phase, section: PretrainSection, data: Data, tokenizer, folder: Path):
    """The phase's mixture, and the names of its groups (in2x.training.groups); `folder` keeps what was selected."""
    weights = with_hub(phase.mixture, phase.replay, data.hub)
    frames = {name: _frame(model, name, phase, section, data, tokenizer, folder) for name in weights}
    numbers, names = number_groups(frames)
    end_id = end_of_text_id(tokenizer)
    streams = {name: tokenize(frame, tokenizer, end_id, numbers[name]) for name, frame in frames.items()}
    wants_sizes = phase.temperature is not None or phase.max_epochs is not None
    found = shares(
        weights,
        {name: num_tokens(stream, frames[name]["text"]) for name, stream in streams.items()} if wants_sizes else {},
        phase.tokens,
        temperature=phase.temperature,
        max_epochs=phase.max_epochs,
        replay=phase.replay,
        hub=data.hub,
    )
    mixture = Mixture(
        streams,
        found,
        phase.tokens,
        max(1, section.step_tokens // phase.context_tokens),
        phase.context_tokens,
        tokenizer.pad_token_id,
        [section.seed, *phase.name.encode()],
        phase.max_epochs,
    )
    return mixture, names


def num_tokens(stream: Stream, texts: pl.Series) -> float:
    """Tokens of a stream: exact for few documents, else estimated from a sample's tokens by character."""
    number = len(stream.ids)
    chosen = np.unique(np.linspace(0, number - 1, min(number, SAMPLE_DOCUMENTS)).astype(int))
    tokens = sum(len(stream.token_ids[int(index)]) for index in chosen)
    lengths = texts.str.len_chars() + 1
    return tokens * lengths.sum() / lengths[chosen.tolist()].sum()


def pair_batches(phase: Phase, section: PretrainSection, data: Data, tokenizer) -> PairBatches:
    """Batches of parallel training segments for the phase's contrastive loss."""
    encode = TokenizedTexts([], tokenizer, end_of_text_id(tokenizer)).encode
    seed = [section.seed, *phase.name.encode(), *b"contrastive"]
    return PairBatches(data.train, encode, phase.contrastive.num_pairs, seed, tokenizer.pad_token_id)


def make_held_out(data: Data, tokenizer, seed: int) -> HeldOut:
    """The development set as streams, with domains and qualities, for the measures after each phase."""
    empty, end_id = data.texts.clear(), end_of_text_id(tokenizer)
    domains = dict(data.dev.select("id", "domain").iter_rows())
    names = (*data.pair.split("-"), "pairs", "documents")
    frames = {name: texts_of(name, data.dev, empty, data.pair, seed) for name in names}
    return HeldOut(
        {name: tokenize(frame, tokenizer, end_id) for name, frame in frames.items()},
        {name: [domains[id] for id in frame["id"]] for name, frame in frames.items()},
        {name: frame.select(quality(pl.col("text"))).to_series().to_list() for name, frame in frames.items()},
        data.dev,
        data.pair,
    )


def _frame(model, name: str, phase: Phase, section: PretrainSection, data: Data, tokenizer, folder: Path):
    """The documents of a stream as text; those that the model and simple measures find best, with `select`."""
    texts = texts_of(name, data.train, data.texts, data.pair, section.seed, data.lexicon)
    if texts.is_empty():
        raise In2xError(f"pretrain phase {phase.name!r}: the stream {name!r} holds no text; take it out of the mixture")
    if not phase.select:
        return texts
    chosen = folder / f"selected.{name.replace(':', '.')}.parquet"
    if not chosen.exists():
        pool = texts.sample(min(phase.select.pool_documents, len(texts)), seed=section.seed, shuffle=True)
        stream = tokenize(pool, tokenizer, end_of_text_id(tokenizer))
        write_parquet(best_documents(model, stream, pool, phase, section, tokenizer.pad_token_id), chosen)
    return pl.read_parquet(chosen)


def told_apart(names: list[Names], weights: dict[str, float]) -> list[Names]:
    """Names of groups for the log; one stream alone would be the overall loss again."""
    return names if len(weights) > 1 else [own[1:] for own in names]
