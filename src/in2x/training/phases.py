"""What a phase of pre-training draws from: its streams, their shares, and the batches of parallel segments."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from in2x import distributed
from in2x.artifacts import In2xError, read_json
from in2x.evaluation.retention import HeldOut
from in2x.model.loading import end_of_text_id
from in2x.sections import Phase, PretrainSection
from in2x.training.alignment import PairBatches
from in2x.training.bilingual import Lexicon, read_lexicon
from in2x.training.groups import Groups, Names, number_groups
from in2x.training.mixture import Mixture
from in2x.training.selection import best_documents, quality
from in2x.training.shares import shares, with_hub
from in2x.training.streams import Blocks, Stream, TokenizedTexts, document_blocks, texts_of, tokenize
from in2x.training.tables import parquet_blocks, read_table, write_table

BLOCK_PAIRS, BLOCK_TEXTS = 1_000_000, 10_000
"""Made into documents at once; texts may be long."""
SAMPLE_DOCUMENTS = 500
"""Tokenised to estimate how many tokens a stream has."""


@dataclass(frozen=True)
class DevSet:
    """The corpus's development set of pairs, and what it is in ("en-ja")."""

    dev: pl.DataFrame
    pair: str


@dataclass(frozen=True)
class Data(DevSet):
    """What the phases draw from, too: training pairs, and texts; `folder` keeps what was made of them."""

    train: Blocks
    texts: Blocks
    seed: int
    folder: Path
    lexicon: Lexicon | None = None

    @property
    def hub(self) -> str:
        return self.pair.split("-")[0]

    def stream(self, name: str) -> Path:
        """The file of a stream's documents (columns id, text, source, language), made when it is first asked for."""
        return self._table(
            name, lambda: document_blocks(name, self.train, self.texts, self.pair, self.seed, self.lexicon)
        )

    def pairs(self) -> Path:
        """The file of the training pairs: columns source, target, group."""
        columns = "source", "target", "group"
        return self._table("train-pairs", lambda: (block.select(columns) for block in self.train()))

    def _table(self, name: str, make: Callable[[], Iterator[pl.DataFrame]]) -> Path:
        file = self.folder / f"{name.replace(':', '.')}.arrow"

        def write() -> None:
            if not file.exists() and not write_table(make(), file):
                raise In2xError(f"pretrain: the stream {name!r} holds no text; take it out of the mixtures")

        distributed.on_main(write)
        return file


def load_data(corpus: Path, folder: Path, seed: int, lexicon: Path | None = None) -> Data:
    """All that the phases draw from and are measured on, with a folder for what is made of it."""
    held_out = load_held_out(corpus)
    words = read_lexicon(lexicon, held_out.pair) if lexicon else None
    train = partial(parquet_blocks, corpus / "pairs.parquet", BLOCK_PAIRS, split="train")
    texts = partial(parquet_blocks, corpus / "text.parquet", BLOCK_TEXTS)
    return Data(held_out.dev, held_out.pair, train, texts, seed, folder, words)


def load_held_out(corpus: Path) -> DevSet:
    """The development set alone."""
    dev = pl.scan_parquet(corpus / "pairs.parquet").filter(split="dev").collect()
    return DevSet(dev, read_json(corpus / "manifest.json")["section"]["pair"])


def make_mixture(model, phase: Phase, section: PretrainSection, data: Data, tokenizer, folder: Path):
    """The phase's mixture, and the names of its groups (in2x.training.groups); `folder` keeps what was selected."""
    weights = with_hub(phase.mixture, phase.replay, data.hub)
    tables = {name: _stream_file(model, name, phase, section, data, tokenizer, folder) for name in weights}
    numbers, names = number_groups({name: pl.scan_ipc(file) for name, file in tables.items()})
    end_id = end_of_text_id(tokenizer)
    columns = {name: read_table(file) for name, file in tables.items()}
    streams = {name: tokenize(own, tokenizer, end_id, Groups(own, numbers[name])) for name, own in columns.items()}
    wants_sizes = phase.temperature is not None or phase.max_epochs is not None
    found = shares(
        weights,
        {name: num_tokens(stream, tables[name]) for name, stream in streams.items()} if wants_sizes else {},
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


def num_tokens(stream: Stream, file: Path) -> float:
    """Tokens of a stream: exact for few documents, else estimated from a sample's tokens by character."""
    number = len(stream.ids)
    chosen = np.unique(np.linspace(0, number - 1, min(number, SAMPLE_DOCUMENTS)).astype(int)).tolist()
    tokens = sum(len(stream.token_ids[row]) for row in chosen)
    lengths = pl.scan_ipc(file).select(pl.col("text").str.len_chars().cast(pl.Int64) + 1)
    lengths = lengths.collect(engine="streaming").to_series()
    return tokens * lengths.sum() / lengths[chosen].sum()


def pair_batches(phase: Phase, section: PretrainSection, data: Data, tokenizer) -> PairBatches:
    """Batches of parallel training segments for the phase's contrastive loss."""
    encode = TokenizedTexts([], tokenizer, end_of_text_id(tokenizer)).encode
    seed = [section.seed, *phase.name.encode(), *b"contrastive"]
    file = data.pairs()
    groups = pl.scan_ipc(file).select("group").collect().to_series()
    return PairBatches(read_table(file), groups, encode, phase.contrastive.num_pairs, seed, tokenizer.pad_token_id)


def make_held_out(data: DevSet, tokenizer, seed: int) -> HeldOut:
    """The development set as streams, with domains and qualities, for the measures after each phase."""
    end_id = end_of_text_id(tokenizer)
    domains = dict(data.dev.select("id", "domain").iter_rows())
    names = (*data.pair.split("-"), "pairs", "documents")
    frames = {name: texts_of(name, data.dev, data.pair, seed) for name in names}
    return HeldOut(
        {name: tokenize(frame, tokenizer, end_id) for name, frame in frames.items()},
        {name: [domains[id] for id in frame["id"]] for name, frame in frames.items()},
        {name: frame.select(quality(pl.col("text"))).to_series().to_list() for name, frame in frames.items()},
        data.dev,
        data.pair,
    )


def sample(file: Path, number: int, seed: int, *columns: str) -> pl.DataFrame:
    """At most `number` documents of a stream, drawn at random."""
    table = read_table(file)
    rows = pl.int_range(len(table["id"]), eager=True)
    chosen = rows.sample(min(number, len(rows)), seed=seed, shuffle=True).to_list()
    return pl.DataFrame({name: [table[name][row] for row in chosen] for name in columns or table})


def _stream_file(model, name: str, phase: Phase, section: PretrainSection, data: Data, tokenizer, folder: Path) -> Path:
    """The file of a stream's documents; with `select`, of those that the model and simple measures find best."""
    file = data.stream(name)
    if not phase.select:
        return file
    chosen = folder / f"selected.{name.replace(':', '.')}.arrow"
    if not distributed.on_main(chosen.exists):
        pool = sample(file, phase.select.pool_documents, section.seed)
        stream = tokenize(pool, tokenizer, end_of_text_id(tokenizer))
        best = best_documents(model, stream, pool, phase, section, tokenizer.pad_token_id)
        distributed.on_main(lambda: write_table([best], chosen))
    return chosen


def told_apart(names: list[Names], weights: dict[str, float]) -> list[Names]:
    """Names of groups for the log; one stream alone would be the overall loss again."""
    return names if len(weights) > 1 else [own[1:] for own in names]
