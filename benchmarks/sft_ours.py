"""Train with this project's loop on given tokens; run by `benchmarks/sft.py`, as its peer is."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from machine import Clock, peak_bytes, serve, training_flops


def train(task: dict) -> dict:
    from in2x.model.loading import load_model
    from in2x.sections import Optimizer, Training
    from in2x.training.batches import next_token_loss
    from in2x.training.loop import Loop

    torch.manual_seed(0)
    settings = Training(optimizer=Optimizer(name="adamw"), micro_batch_tokens=task["micro_batch_tokens"])
    steps = list(steps_of(task))[: task["warm_up"] + task["steps"]]
    if len(steps) < task["warm_up"] + task["steps"]:
        raise SystemExit(f"{len(steps)} steps of documents for {task['warm_up']} + {task['steps']}; give more")
    clock, flops, labels = Clock(), 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(task["model"])
        start_bytes = peak_bytes()
        loop = Loop(model, settings, lambda step: 1e-4, len(steps), Path(folder))
        for place, (make_batches, lengths, num_labels) in enumerate(steps):
            if place == task["warm_up"]:
                clock.begin()
            measured = loop.optimizer_step(make_batches(), next_token_loss(num_labels))
            loop.tokens += num_labels
            loop.after_step(tokens=loop.tokens, **measured)
            if place >= task["warm_up"]:
                flops += training_flops(model.config, lengths, num_labels)
                labels += num_labels
        found = clock.end()
        loop.log.close()
    memory = {"peak_bytes": peak_bytes(), "start_bytes": start_bytes}
    return found | memory | {"label_tokens": labels, "flops": flops}


def steps_of(task: dict):
    """For each step: a function that makes its micro-batches, the lengths of its documents, its label tokens."""
    from in2x.training.batches import micro_batches, padded_micro_batches
    from in2x.training.packing import Document, pack

    documents = [
        Document(str(place), np.array(one["input_ids"], np.int32), np.array(one["completion_mask"], bool))
        for place, one in enumerate(task["documents"])
    ]
    if task["packing"]:
        rows = pack(documents, task["context_tokens"], 0)
        rows = rows.take(np.random.default_rng(0).permutation(len(rows)))
        for start in range(0, len(rows) - task["step_rows"] + 1, task["step_rows"]):
            part = rows.take(range(start, start + task["step_rows"]))
            lengths = [length for row in part.lengths for length in row]
            yield (
                (lambda part=part: micro_batches(part, task["micro_batch_tokens"])),
                lengths,
                int(part.loss_mask.sum()),
            )
        return
    order = np.random.default_rng(0).permutation(len(documents))
    for start in range(0, len(order) - task["step_rows"] + 1, task["step_rows"]):
        part = [documents[place] for place in order[start : start + task["step_rows"]]]
        lengths = [len(document.token_ids) for document in part]
        num_labels = sum(int(document.loss_mask[1:].sum()) for document in part)
        yield (lambda part=part: padded_micro_batches(part, task["micro_batch_tokens"], 0)), lengths, num_labels


if __name__ == "__main__":
    serve(train)
