"""The sft stage: next-token prediction of the responses, prompt tokens left out of the loss.

Two epochs, each a different draw of instructions (arXiv 2508.14472, section on SFT), packed without attention across
instructions. The cross-entropy can be taken on logits / temperature, and embeddings can be given noise (NEFTune). The
rows of sft.parquet are told in in2x.training.instructions.
"""

import time
from collections.abc import Mapping, Sequence
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
from in2x.training.instructions import instruction_documents, kept_documents
from in2x.training.loop import Loop
from in2x.training.measures import measures_in_chat
from in2x.training.metrics import progress_bar
from in2x.training.neftune import noisy
from in2x.training.packing import Document, Piece, fill, plan
from in2x.training.phases import DevSet, load_held_out
from in2x.training.schedule import learning_rate


def run(section: SftSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer, model = load_tokenizer(inputs["pretrain"] / "model"), load_model(inputs["pretrain"] / "model")
    refuse_leaks(model)
    file = inputs["instruct"] / "sft.parquet"
    table = pl.scan_parquet(file).select("epoch", "id", "task").collect()
    tasks = sorted(set(table["task"]))
    documents = kept_documents(file, tokenizer, tasks, folder)
    steps, num_left_out = plan_steps(table, documents.lengths, section, file)
    data = load_held_out(inputs["corpus"])
    loop = Loop(model, section, learning_rate(section, len(steps)), len(steps), folder, tokenizer)
    stopping = EarlyStopping(section.early_stop, loop, tokenizer, data, folder) if section.early_stop else None
    _train(loop, section, steps, documents, tasks, stopping)
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


Plan = list[list[Piece]]


def plan_steps(table: pl.DataFrame, lengths: Sequence[int], section: SftSection, where: Path) -> tuple[list[Plan], int]:
    """The rows of every step, epoch after epoch, and how many documents don't fit a row.

    `table` has the epoch and the id of each document; ties in packing are broken by id.
    """
    rows_per_step = max(1, section.step_tokens // section.context_tokens)
    ordered = table.with_columns(length=pl.Series(lengths)).with_row_index("row")
    ordered = ordered.sort("epoch", "id", maintain_order=True)
    fitting = ordered.filter(pl.col("length") <= section.context_tokens)
    num_left_out = len(table) - len(fitting)
    steps: list[Plan] = []
    for (epoch,), own in fitting.group_by("epoch", maintain_order=True):
        rows = _epoch_rows(own, section, epoch)
        steps += [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]
    if not steps:
        raise In2xError(
            f"{where}: no instructions to train on: it has {len(table):,}, of which {num_left_out:,} are longer than "
            f"sft.context_tokens, {section.context_tokens}"
        )
    return steps, num_left_out


def _epoch_rows(own: pl.DataFrame, section: SftSection, epoch: int) -> Plan:
    """Packed rows of one epoch in the order that they are trained; its documents by their number in the file."""
    rows, numbers = plan(own["length"].to_list(), section.context_tokens), own["row"].to_list()
    order = np.random.default_rng([section.seed, int(epoch)]).permutation(len(rows))
    return [[(numbers[place], start, end) for place, start, end in rows[row]] for row in order]


def _train(
    loop: Loop, section: SftSection, steps: list[Plan], documents: Sequence[Document], tasks: list[str], stopping
) -> None:
    names = [(f"task/{task}",) for task in tasks] if len(tasks) > 1 else [()]
    start, tokens_before = time.monotonic(), loop.tokens
    with (
        loop.signals(),
        progress_bar("sft", len(steps), loop.step) as bar,
        noisy(loop.model, section.neftune_alpha) as with_noise,
    ):
        for step in steps[loop.step :]:
            if stopping and stopping.is_over():
                break
            rows = fill(step, documents, section.context_tokens, loop.tokenizer.pad_token_id)
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


def _dev_loss(model, tokenizer, data: DevSet, section: SftSection) -> float:
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
