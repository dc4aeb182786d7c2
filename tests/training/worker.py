"""What tests/training/test_processes.py has computed by one process and by two, into a folder of results."""

import faulthandler
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from in2x import distributed
from in2x.artifacts import In2xError, Interrupted
from in2x.model.loading import save_model
from in2x.model.tokenizer import train_tokenizer
from in2x.sections import Optimizer, Training
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.packing import Document, pack

NUM_STEPS = 4
CASES = {
    "ddp-muon": {"optimizer": "muon"},
    "ddp-adamw": {"optimizer": "adamw"},
    "fsdp-adamw": {"optimizer": "adamw", "sharding": "fsdp", "ema_decay": 0.9},
    "fsdp-muon": {"optimizer": "muon", "sharding": "fsdp", "gradient_checkpointing": True},
}
if importlib.util.find_spec("peft"):
    CASES["fsdp-lora"] = {"optimizer": "adamw", "sharding": "fsdp", "lora": {"rank": 2, "dora": True}}


def make_tokenizer():
    return train_tokenizer(
        ["What are you doing?", "何してるの？", "Thank you!"] * 3, vocab_size=320, max_position_tokens=64
    )


def make_model(seed=0):
    from transformers import AutoModelForCausalLM, Qwen3Config

    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(
        Qwen3Config(
            vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip


def make_loop(folder, case, seed=0):
    changes = dict(CASES[case])
    optimizer = Optimizer(name=changes.pop("optimizer"), weight_decay=0.1)
    settings = Training(optimizer=optimizer, micro_batch_tokens=8, trackers=(), **changes)
    return Loop(make_model(seed), settings, lambda step: 0.01 / (1 + step), NUM_STEPS, folder)


def rows_of(step):
    """Five rows of eight tokens: an odd number of micro-batches, so that one of two processes is idle at the end."""
    rng = np.random.default_rng(step)
    documents = [Document(f"{step}:{number}", rng.integers(5, 300, 8).astype(np.int32), np.ones(8, bool))
                 for number in range(5)]  # fmt: skip
    return pack(documents, 8, 0)


def train(loop, until):
    """Losses and gradient norms of the steps, and the loss of fixed rows that is computed between them."""
    found = []
    with loop.signals():
        while loop.step < until:
            rows = rows_of(loop.step)
            loss = next_token_loss(int(rows.loss_mask.sum()))
            measured = loop.optimizer_step(micro_batches(rows, 8), loss)
            loop.tokens += int(rows.loss_mask.sum())
            found.append([measured["loss"], measured["gradient_norm"], held_out_loss(loop.model)])
            loop.after_step(**measured)
    return found


@torch.no_grad()
def held_out_loss(model):
    model.eval()
    ids = torch.from_numpy(rows_of(99).input_ids).long()
    return float(model(input_ids=ids, labels=ids, use_cache=False).loss)


def run_cases(folder: Path, tokenizer) -> None:
    for case in CASES:
        loop = make_loop(folder / case, case)
        steps = train(loop, 2)
        loop.save()  # checkpoint-2 is continued from by another number of processes
        distributed.on_main(lambda case=case: os.rename(folder / case / "checkpoint", folder / case / "half"))
        steps += train(loop, NUM_STEPS)
        save_model(loop.model, tokenizer, folder / case / "model")
        loop.keep_best("loss", steps[-1][2], higher_is_better=False)
        before = held_out_loss(loop.model)
        loop.use_best()
        steps.append([before, held_out_loss(loop.model)])
        if distributed.is_main():
            (folder / case / "steps.json").write_text(json.dumps(steps))


# --- who waits for whom -------------------------------------------------------------------------------------------


def meetings(folder: Path) -> dict:
    """What this process got of each meeting."""
    found, file = {}, folder / "made-once"
    if distributed.rank():
        time.sleep(0.5)  # what the main process writes is there before this one looks, if nothing holds it back
    if not file.exists():
        distributed.on_main(lambda: file.write_text("made"))
    found["gathered"] = distributed.gather(distributed.rank())
    found["told"] = distributed.on_main(lambda: [distributed.rank(), distributed.world_size()])
    try:
        distributed.on_main(refuse)
    except In2xError as error:
        found["refused"] = str(error)
    found["after"] = distributed.gather("after")
    try:
        if distributed.is_main():
            distributed.barrier()
        else:
            distributed.gather(1)
    except distributed.OutOfStep as error:
        found["out_of_step"] = str(error)
    return found


def refuse():
    raise In2xError("no room")


def interrupted(folder: Path) -> str:
    """A signal that reaches the last process only stops all of them."""
    loop = make_loop(folder, "ddp-adamw")
    try:
        with loop.signals():
            if distributed.rank() == distributed.world_size() - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            rows = rows_of(0)
            loop.after_step(**loop.optimizer_step(micro_batches(rows, 8), next_token_loss(int(rows.loss_mask.sum()))))
    except Interrupted as error:
        return str(error)
    return "not interrupted"


if __name__ == "__main__":
    faulthandler.dump_traceback_later(int(sys.argv[2]), exit=True)  # the stacks of all processes, where they hang
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    distributed.start()
    run_cases(root, make_tokenizer())
    results = {"interrupted": interrupted(root / "interrupted"), **meetings(root)}
    distributed.leave()
    results["left"] = not torch.distributed.is_initialized()
    (root / f"meetings-{distributed.rank()}.json").write_text(json.dumps(results))
