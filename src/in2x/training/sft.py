"""The sft stage: next-token prediction of the responses, prompt tokens left out of the loss.

Two epochs, each a different draw of instructions (arXiv 2508.14472, section on SFT), packed without attention across
instructions. The cross-entropy can be taken on logits / temperature.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x.artifacts import In2xError
from in2x.evaluation.perplexity import mean_nats
from in2x.instruct.prompts import translation_prompt
from in2x.model.loading import load_model, load_tokenizer, save_model
from in2x.model.prompts import chat_turns
from in2x.sections import SftSection
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.packing import Document, Rows, pack
from in2x.training.schedule import learning_rate


def run(section: SftSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer, model = load_tokenizer(inputs["pretrain"] / "model"), load_model(inputs["pretrain"] / "model")
    epochs = [
        _epoch_rows(instructions, tokenizer, section, epoch)
        for (epoch,), instructions in pl.read_parquet(inputs["instruct"] / "sft.parquet")
        .sort("epoch", "id")
        .group_by("epoch", maintain_order=True)
    ]
    rows_per_step = max(1, section.step_tokens // section.context_tokens)
    steps = [
        rows.take(range(start, min(start + rows_per_step, len(rows))))
        for rows in epochs
        for start in range(0, len(rows), rows_per_step)
    ]
    if not steps:
        raise In2xError(f"{inputs['instruct'] / 'sft.parquet'}: no instructions to train on")
    loop = Loop(
        model,
        section,
        learning_rate(section, len(steps)),
        len(steps),
        folder,
    )
    start, tokens_before = time.monotonic(), loop.tokens
    with loop.signals(), progress_bar("sft", len(steps), loop.step) as bar:
        for rows in steps[loop.step :]:
            num_loss_tokens = int(rows.loss_mask.sum())
            measured = loop.optimizer_step(
                micro_batches(rows, section.micro_batch_tokens),
                next_token_loss(num_loss_tokens, section.temperature),
                ids=lambda rows=rows: rows.document_ids,
            )
            loop.tokens += num_loss_tokens
            rate = (loop.tokens - tokens_before) / (time.monotonic() - start)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} response tokens/s")
            loop.after_step(tokens=loop.tokens, tokens_per_second=rate, **measured)
    save_model(loop.model, tokenizer, folder / "model")
    return {
        "num_steps": len(steps),
        "num_response_tokens": loop.tokens,
        "dev_loss": _dev_loss(loop.model, tokenizer, inputs["corpus"], section),
    }


def instruction_documents(instructions: pl.DataFrame, tokenizer) -> list[Document]:
    """One document an instruction: the chat turn, with the response and its end token in the loss."""
    prompts, completions = chat_turns(tokenizer, instructions["prompt"], instructions["response"])
    return [
        Document(
            id, np.array(prompt + completion, np.int32), np.array([False] * len(prompt) + [True] * len(completion))
        )
        for id, prompt, completion in zip(instructions["id"], prompts, completions, strict=True)
    ]


def _epoch_rows(instructions: pl.DataFrame, tokenizer, section: SftSection, epoch: int) -> Rows:
    """Packed rows of one epoch in the order that they are trained; instructions that don't fit are left out."""
    documents = [
        document
        for document in instruction_documents(instructions, tokenizer)
        if len(document.token_ids) <= section.context_tokens
    ]
    rows = pack(documents, section.context_tokens, tokenizer.pad_token_id)
    return rows.take(np.random.default_rng([section.seed, int(epoch)]).permutation(len(rows)))


def _dev_loss(model, tokenizer, corpus: Path, section: SftSection) -> float:
    """Mean nats per response token of the held-out translations into the target language."""
    from in2x.training.pretrain import load_data

    data = load_data(corpus)
    prompts = [translation_prompt(source, data.pair.split("-")[1]) for source in data.dev["source"]]
    frame = data.dev.select("id", response="target").with_columns(prompt=pl.Series(prompts))
    return mean_nats(
        model,
        instruction_documents(frame, tokenizer),
        section.context_tokens,
        section.micro_batch_tokens,
        tokenizer.pad_token_id,
    )
