"""The pretrain stage: phases of next-token prediction on mixtures of streams (arXiv 2508.14472, section on CPT).

The paper's three phases are knowledge (constant learning rate), long text (longer context), and annealing on chosen
data (linear decay). The optimizer's state is carried from phase to phase. A run `from scratch` also trains the
tokenizer. After every phase: the model, and its perplexity on held-out English, Japanese and pairs.
"""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from in2x import distributed
from in2x.artifacts import In2xError, atomic, read_json, write_json, write_parquet
from in2x.evaluation.perplexity import perplexity
from in2x.model.loading import end_of_text_id, load_model, load_tokenizer, make_model, save_model
from in2x.model.provenance import refuse_contamination
from in2x.model.tokenizer import train_tokenizer
from in2x.sections import Phase, PretrainSection
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.mixture import Mixture
from in2x.training.schedule import factor
from in2x.training.selection import best_documents
from in2x.training.streams import Stream, texts_of, tokenize


@dataclass(frozen=True)
class Data:
    """What the phases draw from."""

    train: pl.DataFrame
    dev: pl.DataFrame
    texts: pl.DataFrame
    pair: str


def run(section: PretrainSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    data = load_data(inputs["corpus"])
    tokenizer, model = _start(section, data, folder, inputs["corpus"])
    steps = [max(1, phase.tokens // section.step_tokens) for phase in section.phases]
    ends = list(itertools.accumulate(steps))
    held_out = _held_out_streams(data, tokenizer, section.seed)
    loop = Loop(model, section, lambda step: _learning_rate(section.phases, steps, step), ends[-1], folder)
    phases_file = folder / "phases.json"
    done = read_json(phases_file) if phases_file.exists() else {"phases": [], "base_perplexity": None}
    if section.base and not phases_file.exists():
        done["base_perplexity"] = _perplexities(loop.model, held_out, section)
        write_json(phases_file, done)
    num_done = sum(end <= loop.step for end in ends)
    done["phases"] = done["phases"][:num_done]  # a kill may have come between the record and the weights
    with loop.signals():
        for phase, num_steps, end in zip(section.phases, steps, ends, strict=True):
            if loop.step >= end and len(done["phases"]) > section.phases.index(phase):
                continue
            record = _run_phase(loop, phase, section, data, tokenizer, folder, end - num_steps, end)
            record["tokens"] = loop.tokens - sum(earlier["tokens"] for earlier in done["phases"])
            save_model(loop.model, tokenizer, folder / phase.name / "model")
            record["perplexity"] = _perplexities(loop.model, held_out, section)
            if loop.log:
                values = {f"perplexity/{name}": value for name, value in record["perplexity"].items()}
                loop.log.plot(loop.step, **values)
            done["phases"].append(record)
            write_json(phases_file, done)
            loop.save()
    save_model(loop.model, tokenizer, folder / "model")
    return done | {"num_parameters": sum(parameter.numel() for parameter in loop.model.parameters())}


def load_data(corpus: Path) -> Data:
    pairs = pl.read_parquet(corpus / "pairs.parquet")
    section = read_json(corpus / "manifest.json")["section"]
    texts = pl.read_parquet(corpus / "text.parquet")
    return Data(pairs.filter(split="train"), pairs.filter(split="dev"), texts, section["pair"])


def _start(section: PretrainSection, data: Data, folder: Path, corpus: Path):
    """Tokenizer and model to begin with: loaded, or made from scratch (the tokenizer is kept for a resumed run)."""
    if section.base:
        refuse_contamination(Path(section.base), corpus)
        return load_tokenizer(section.base), load_model(section.base)
    if not (folder / "tokenizer").exists():
        texts = itertools.chain(
            data.train["source"].unique(maintain_order=True),
            data.train["target"].unique(maintain_order=True),
            data.texts["text"],
        )
        trained = train_tokenizer(texts, section.scratch.vocab_size, section.scratch.max_position_tokens)
        distributed.on_main(lambda: _save_tokenizer(trained, folder / "tokenizer"))
    tokenizer = load_tokenizer(folder / "tokenizer")
    return tokenizer, make_model(section.scratch, tokenizer)


def _save_tokenizer(tokenizer, folder: Path) -> None:
    with atomic(folder) as temporary:
        tokenizer.save_pretrained(temporary)


def _learning_rate(phases: tuple[Phase, ...], steps: list[int], step: int) -> float:
    for phase, num_steps in zip(phases, steps, strict=True):
        if step < num_steps:
            return phase.lr * factor(phase.schedule, step, num_steps, phase.warmup_fraction, phase.end_lr_fraction)
        step -= num_steps
    return 0.0


def _run_phase(loop: Loop, phase: Phase, section, data: Data, tokenizer, folder: Path, begin: int, end: int) -> dict:
    """Train one phase from wherever the loop stands; returns its record."""
    streams = {
        name: _stream(loop.model, name, phase, section, data, tokenizer, folder / phase.name) for name in phase.mixture
    }
    mixture = Mixture(
        streams,
        phase.mixture,
        phase.tokens,
        max(1, section.step_tokens // phase.context_tokens),
        phase.context_tokens,
        tokenizer.pad_token_id,
        [section.seed, *phase.name.encode()],
    )
    start, tokens_before = time.monotonic(), loop.tokens
    with progress_bar(f"pretrain/{phase.name}", end - begin, loop.step - begin) as bar:
        for rows in mixture.steps(skip=loop.step - begin):
            if loop.step >= end:
                break
            num_loss_tokens = int(rows.loss_mask.sum())
            measured = loop.optimizer_step(
                micro_batches(rows, section.micro_batch_tokens),
                next_token_loss(num_loss_tokens),
                ids=lambda rows=rows: rows.document_ids,
            )
            loop.tokens += num_loss_tokens
            rate = (loop.tokens - tokens_before) / (time.monotonic() - start)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} tokens/s")
            loop.after_step(phase=phase.name, tokens=loop.tokens, tokens_per_second=rate, **measured)
    seconds = time.monotonic() - start
    return {
        "name": phase.name,
        "steps": end - begin,
        "context_tokens": phase.context_tokens,
        "schedule": phase.schedule,
        "lr": phase.lr,
        "mixture": mixture.weights,
        "documents": mixture.num_documents,
        "seconds": seconds,
        "tokens_per_second": (loop.tokens - tokens_before) / seconds,
    }


def _stream(model, name: str, phase: Phase, section, data: Data, tokenizer, folder: Path) -> Stream:
    texts = texts_of(name, data.train, data.texts, data.pair, section.seed)
    if texts.is_empty():
        raise In2xError(f"pretrain phase {phase.name!r}: the stream {name!r} holds no text; take it out of the mixture")
    end_id = end_of_text_id(tokenizer)
    if not phase.select:
        return tokenize(texts, tokenizer, end_id)
    chosen = folder / f"selected.{name.replace(':', '.')}.parquet"
    if not chosen.exists():
        pool = texts.sample(min(phase.select.pool_documents, len(texts)), seed=section.seed, shuffle=True)
        best = best_documents(model, tokenize(pool, tokenizer, end_id), pool, phase, section, tokenizer.pad_token_id)
        write_parquet(best, chosen)
    return tokenize(pl.read_parquet(chosen), tokenizer, end_id)


def _held_out_streams(data: Data, tokenizer, seed: int) -> dict[str, Stream]:
    empty = data.texts.clear()
    names = (*data.pair.split("-"), "pairs")
    return {
        name: tokenize(texts_of(name, data.dev, empty, data.pair, seed), tokenizer, end_of_text_id(tokenizer))
        for name in names
    }


def _perplexities(model, held_out: dict[str, Stream], section: PretrainSection) -> dict[str, float]:
    context_tokens = min(phase.context_tokens for phase in section.phases)
    return {
        name: perplexity(
            model,
            [stream.document(index) for index in range(len(stream.ids))],
            context_tokens,
            section.micro_batch_tokens,
            model.config.pad_token_id or 0,
        )
        for name, stream in held_out.items()
    }
