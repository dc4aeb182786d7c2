import errno
import json
import re

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from in2x.artifacts import In2xError
from in2x.model.loading import load_model
from in2x.sections import Optimizer, Training
from in2x.training import checkpoints
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.packing import Document, pack


def make_loop(make_model, folder, seed=0, **changes):
    settings = Training(optimizer=Optimizer(name="muon"), micro_batch_tokens=16, trackers=(), **changes)
    return Loop(make_model(seed), settings, lambda step: 0.01, 9, folder)


def train(loop, until):
    while loop.step < until:
        ids = np.random.default_rng(loop.step).integers(5, 60, 8).astype(np.int32)
        rows = pack([Document("a", ids, np.ones(8, bool))], 8, 0)
        loop.optimizer_step(micro_batches(rows, 16), next_token_loss(7))
    return loop


def saved_at(loop, *steps):
    for step in steps:
        train(loop, step).save()
    return loop


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(5, 13)[None], use_cache=False).logits


def test_the_last_ones_are_kept_and_the_last_is_continued_from(make_model, tmp_path):
    saved_at(make_loop(make_model, tmp_path, keep_last=3), 1, 2, 3, 4, 5)
    assert names(tmp_path) == ["checkpoint", "checkpoint-3", "checkpoint-4"]
    found = [checkpoints.position(tmp_path / name)["step"] for name in names(tmp_path)]
    assert found == [5, 3, 4]
    assert make_loop(make_model, tmp_path, keep_last=3).step == 5


def test_one_alone_is_kept_by_default_and_fewer_take_the_others_away(make_model, tmp_path):
    saved_at(make_loop(make_model, tmp_path, keep_last=3), 1, 2, 3)
    saved_at(make_loop(make_model, tmp_path), 4)
    assert names(tmp_path) == ["checkpoint"]


def test_a_kill_between_two_renames_leaves_the_one_before(make_model, tmp_path):
    loop = saved_at(make_loop(make_model, tmp_path, keep_last=2), 1, 2)
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint-2")  # what a save does first
    again = make_loop(make_model, tmp_path, seed=3, keep_last=2)
    assert again.step == 2
    assert torch.equal(logits(again.model), logits(loop.model))
    saved_at(again, 3)
    assert names(tmp_path) == ["checkpoint", "checkpoint-2"]


def test_the_weights_are_a_model_that_transformers_loads(make_model, tmp_path):
    loop = saved_at(make_loop(make_model, tmp_path), 2)
    assert torch.equal(logits(load_model(tmp_path / "checkpoint")), logits(loop.model))
    assert json.loads((tmp_path / "checkpoint/config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]


# --- no room ------------------------------------------------------------------------------------------------------


def full_after(number, real, kind):
    """A writer that leaves half a file and runs out of room at its `number`th file."""
    written = []

    def save_file(tensors, path, *rest):
        real(tensors, path, *rest)
        written.append(path)
        if len(written) == number:
            path.write_bytes(path.read_bytes()[:100])
            message = "No space left on device"
            raise OSError(errno.ENOSPC, message) if kind is OSError else SafetensorError(f"I/O error: {message}")

    return save_file


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("keep", [1, 2])
def test_a_full_disk_is_an_error_and_what_was_saved_stays(make_model, tmp_path, monkeypatch, number, kind, keep):
    loop = saved_at(make_loop(make_model, tmp_path, keep_last=keep), 1)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoint").rglob("*") if path.is_file()}
    train(loop, 2)
    monkeypatch.setattr(checkpoints, "save_file", full_after(number, checkpoints.save_file, kind))
    message = "the checkpoint of step 2 could not be written: no space is left on the disk; .*checkpoint is as it was"
    with pytest.raises(In2xError, match=message):
        loop.save()
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not [path for path in tmp_path.iterdir() if re.search("tmp|old", path.name)]
    loop.save()  # there is room again
    assert checkpoints.position(tmp_path / "checkpoint")["step"] == 2


def test_the_first_one_that_finds_no_room_says_so(make_model, tmp_path, monkeypatch):
    loop = train(make_loop(make_model, tmp_path), 1)
    monkeypatch.setattr(checkpoints, "save_file", full_after(1, checkpoints.save_file, OSError))
    with pytest.raises(In2xError, match="there is no earlier one"):
        loop.save()


def test_another_error_of_a_writer_is_not_taken_for_a_full_disk(make_model, tmp_path, monkeypatch):
    loop = train(make_loop(make_model, tmp_path), 1)

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoints, "save_file", broken)
    with pytest.raises(OSError, match="Input/output error"):
        loop.save()


# --- the best -----------------------------------------------------------------------------------------------------


def test_the_model_that_measured_best_is_kept(make_model, tmp_path):
    loop = make_loop(make_model, tmp_path)
    assert train(loop, 1).keep_best("dev_chrf", 20.0)
    best = logits(train(loop, 2).model)
    assert loop.keep_best("dev_chrf", 30.0)
    assert not train(loop, 3).keep_best("dev_chrf", 30.0)
    loop.save()
    again = make_loop(make_model, tmp_path, seed=4)
    assert not again.keep_best("dev_chrf", 29.0)  # what was best is known after an interruption
    assert torch.equal(logits(load_model(tmp_path / "best")), best)
    assert json.loads((tmp_path / "best/best.json").read_text()) == {"step": 2, "measure": "dev_chrf", "value": 30.0}
    assert again.keep_best("dev_loss", 3.0, higher_is_better=False)
    assert not again.keep_best("dev_loss", 3.1, higher_is_better=False)


def test_the_best_is_the_running_mean_where_that_will_be_the_model(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path, ema_decay=0.9), 2)
    loop.keep_best("dev_chrf", 1.0)
    found = load_file(tmp_path / "best/model.safetensors")
    assert all(torch.equal(found[name], mean) for name, mean in loop.averages.means.items())


def test_the_best_can_be_made_the_model(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path), 1)
    with pytest.raises(In2xError, match="best: nothing has been measured"):
        loop.use_best()
    best = logits(loop.model)
    loop.keep_best("dev_chrf", 30.0)
    assert not torch.equal(logits(train(loop, 2).model), best)
    loop.use_best()
    assert torch.equal(logits(loop.model), best)
