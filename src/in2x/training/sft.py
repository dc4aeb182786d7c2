"""The sft stage: next-token prediction of the responses, prompt tokens left out of the loss.

Two epochs, each a different draw of instructions (arXiv 2508.14472, section on SFT), packed without attention across
instructions. The cross-entropy can be taken on logits / temperature, and embeddings can be given noise (NEFTune). The
rows of sft.parquet are told in in2x.training.instructions.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x.artifacts import In2xError
from in2x.evaluation.perplexity import mean_nats
from in2x.instruct.prompts import translation_prompt
from in2x.model.isolation import refuse_leaks
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.sections import SftSection
from in2x.training.early_stop import EarlyStopping
from in2x.training.groups import batches_with_groups, grouped_loss
from in2x.training.instructions import instruction_documents, kept_documents, key_of
from in2x.training.loop import Loop
from in2x.training.measures import measures_in_chat
from in2x.training.metrics import progress_bar
from in2x.training.neftune import noisy
from in2x.training.packing import Document, Rows, pack
from in2x.training.phases import Data, load_held_out
from in2x.training.schedule import learning_rate


def run(section: SftSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer, model = load_tokenizer(inputs["pretrain"] / "model"), load_model(inputs["pretrain"] / "model")
    refuse_leaks(model)
    file = inputs["instruct"] / "sft.parquet"
    instructions = pl.read_parquet(file).sort("epoch", "id", maintain_order=True)
    tasks = sorted(set(instructions["task"]))
    documents = kept_documents(
        instructions, tokenizer, tasks, folder / "documents.safetensors", key_of(tokenizer, file)
    )
    epochs = by_epoch(instructions["epoch"], documents)
    steps, num_left_out = _steps(epochs, section, tokenizer.pad_token_id, file)
    data = load_held_out(inputs["corpus"])
    loop = Loop(model, section, learning_rate(section, len(steps)), len(steps), folder, tokenizer)
    stopping = EarlyStopping(section.early_stop, loop, tokenizer, data, folder) if section.early_stop else None
    _train(loop, section, steps, tasks, stopping)
    facts = stopping.facts() if stopping else {}
    final = on_device(load_model(folder / "best")) if stopping else loop.model
    save_model(final, tokenizer, folder / "model")
    return facts | {
        "num_steps": loop.step,
        "num_response_tokens": loop.tokens,
        "num_left_out": num_left_out,
        "dev_loss": _dev_loss(final, tokenizer, data, section),
        "measures": measures_in_chat(
            final, tokenizer, data, section.measures, section.seed, section.context_tokens, section.micro_batch_tokens
        ),
    }


def by_epoch(epochs: Iterable[int], documents: Iterable[Document]) -> dict[int, list[Document]]:
    """The documents of each epoch, in their order."""
    found: dict[int, list[Document]] = {}
    for epoch, document in zip(epochs, documents, strict=True):
        found.setdefault(epoch, []).append(document)
    return found


def _steps(epochs: Mapping[int, list[Document]], section: SftSection, pad_token_id: int, where: Path):
    """The rows of every step, epoch after epoch, and how many documents don't fit a row."""
    rows_per_step = max(1, section.step_tokens // section.context_tokens)
    steps, num_left_out = [], 0
    for epoch, documents in epochs.items():
        fitting = [document for document in documents if len(document.token_ids) <= section.context_tokens]
        num_left_out += len(documents) - len(fitting)
        rows = _epoch_rows(fitting, pad_token_id, section, epoch)
        starts = range(0, len(rows), rows_per_step)
        steps += [rows.take(range(start, min(start + rows_per_step, len(rows)))) for start in starts]
    if not steps:
        raise In2xError(
            f"{where}: no instructions to train on: it has {sum(map(len, epochs.values())):,}, of which "
            f"{num_left_out:,} are longer than sft.context_tokens, {section.context_tokens}"
        )
    return steps, num_left_out


def _epoch_rows(documents: list[Document], pad_token_id: int, section: SftSection, epoch: int) -> Rows:
    """Packed rows of one epoch in the order that they are trained."""
    rows = pack(documents, section.context_tokens, pad_token_id)
    return rows.take(np.random.default_rng([section.seed, int(epoch)]).permutation(len(rows)))


def _train(loop: Loop, section: SftSection, steps: list[Rows], tasks: list[str], stopping) -> None:
    names = [(f"task/{task}",) for task in tasks] if len(tasks) > 1 else [()]
    start, tokens_before = time.monotonic(), loop.tokens
    with (
        loop.signals(),
        progress_bar("sft", len(steps), loop.step) as bar,
        noisy(loop.model, section.neftune_alpha) as with_noise,
    ):
        for rows in steps[loop.step :]:
            if stopping and stopping.is_over():
                break
            num_loss_tokens = int(rows.loss_mask.sum())
            measured = loop.optimizer_step(
                batches_with_groups(rows, section.micro_batch_tokens),
                with_noise(grouped_loss(num_loss_tokens, names, section.temperature)),
                ids=lambda rows=rows: rows.document_ids,
            )
            loop.tokens += num_loss_tokens
            rate = (loop.tokens - tokens_before) / (time.monotonic() - start)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} response tokens/s")
            if stopping:
                measured |= stopping.after_step()
            loop.after_step(tokens=loop.tokens, tokens_per_second=rate, **measured)


def _dev_loss(model, tokenizer, data: Data, section: SftSection) -> float:
    """Mean nats per response token of the held-out translations into the target language."""
    prompts = [translation_prompt(source, data.pair.split("-")[1]) for source in data.dev["source"]]
    frame = data.dev.select("id", response="target").with_columns(prompt=pl.Series(prompts))
    return mean_nats(
        model,
        instruction_documents(frame, tokenizer),
        section.context_tokens,
        section.micro_batch_tokens,
        tokenizer.pad_token_id,
    )
