"""The sft stage: next-token prediction of the responses, prompt tokens left out of the loss.

Two epochs, each a different draw of instructions (arXiv 2508.14472, section on SFT), packed without attention across
instructions. The cross-entropy can be taken on logits / temperature, and embeddings can be given noise (NEFTune). A row
of sft.parquet is a prompt and its response; or a conversation, where a column `messages` (a list of role and content)
is not null, of which every assistant turn is trained.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x.artifacts import In2xError
from in2x.decoding.translate import translate_greedy
from in2x.evaluation.perplexity import mean_nats
from in2x.evaluation.retention import Sizes, measure
from in2x.instruct.prompts import translation_prompt
from in2x.model.isolation import refuse_leaks
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.model.prompts import chat_turns
from in2x.sections import SftSection
from in2x.training.conversations import conversation_document
from in2x.training.early_stop import EarlyStopping
from in2x.training.groups import batches_with_groups, grouped_loss
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.neftune import noisy
from in2x.training.packing import Document, Rows, pack
from in2x.training.phases import Data, load_data, make_held_out
from in2x.training.schedule import learning_rate


def run(section: SftSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer, model = load_tokenizer(inputs["pretrain"] / "model"), load_model(inputs["pretrain"] / "model")
    refuse_leaks(model)
    instructions = pl.read_parquet(inputs["instruct"] / "sft.parquet")
    steps, tasks, num_left_out = _steps(instructions, tokenizer, section, inputs["instruct"] / "sft.parquet")
    data = load_data(inputs["corpus"])
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
        "measures": _measures(final, tokenizer, data, section),
    }


def instruction_documents(
    instructions: pl.DataFrame, tokenizer, groups: Mapping[str, int] | None = None
) -> list[Document]:
    """One document an instruction: the chat turn, with the response and its end token in the loss.

    `groups` numbers the tasks; left out, every document is in group 0.
    """
    tasks = instructions["task"].to_list() if groups else [None] * len(instructions)
    numbers = [groups[task] if groups else 0 for task in tasks]
    conversations = instructions["messages"].to_list() if "messages" in instructions.columns else [None] * len(tasks)
    single = instructions.filter(pl.Series([messages is None for messages in conversations], dtype=pl.Boolean))
    encoded = zip(*chat_turns(tokenizer, single["prompt"], single["response"]), strict=True)
    return [
        _document(id, *next(encoded), number)
        if messages is None
        else conversation_document(tokenizer, id, messages, number)
        for id, messages, number in zip(instructions["id"], conversations, numbers, strict=True)
    ]


def _document(id: str, prompt: list[int], completion: list[int], group: int) -> Document:
    mask = np.array([False] * len(prompt) + [True] * len(completion))
    return Document(id, np.array(prompt + completion, np.int32), mask, group)


def _steps(instructions: pl.DataFrame, tokenizer, section: SftSection, where: Path):
    """The rows of every step, the tasks by group number, and how many instructions don't fit a row."""
    tasks = instructions["task"].unique(maintain_order=True).sort().to_list()
    numbers = {task: number for number, task in enumerate(tasks)}
    rows_per_step = max(1, section.step_tokens // section.context_tokens)
    steps, num_left_out = [], 0
    for (epoch,), own in instructions.sort("epoch", "id").group_by("epoch", maintain_order=True):
        documents = instruction_documents(own, tokenizer, numbers)
        fitting = [document for document in documents if len(document.token_ids) <= section.context_tokens]
        num_left_out += len(documents) - len(fitting)
        rows = _epoch_rows(fitting, tokenizer, section, epoch)
        starts = range(0, len(rows), rows_per_step)
        steps += [rows.take(range(start, min(start + rows_per_step, len(rows)))) for start in starts]
    if not steps:
        raise In2xError(
            f"{where}: no instructions to train on: it has {len(instructions):,}, of which {num_left_out:,} are longer "
            f"than sft.context_tokens, {section.context_tokens}"
        )
    return steps, tasks, num_left_out


def _epoch_rows(documents: list[Document], tokenizer, section: SftSection, epoch: int) -> Rows:
    """Packed rows of one epoch in the order that they are trained."""
    rows = pack(documents, section.context_tokens, tokenizer.pad_token_id)
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


def _measures(model, tokenizer, data: Data, section: SftSection) -> dict:
    """The measures of pre-training, the translations asked for in the chat template."""
    held_out = make_held_out(data, tokenizer, section.seed)
    sizes = Sizes(section.context_tokens, section.context_tokens, section.micro_batch_tokens)
    most = section.measures.max_completion_tokens

    def translate(texts, direction):
        return translate_greedy(model, tokenizer, texts, direction.split("-")[1], max_completion_tokens=most)

    return measure(model, tokenizer, held_out, section.measures, sizes, translate)
