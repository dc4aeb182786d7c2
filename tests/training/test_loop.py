import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from in2x.artifacts import In2xError, Interrupted
from in2x.sections import Optimizer, Training
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop, TrainingDiverged
from in2x.training.packing import Document, pack


def settings(name="muon", **changes):
    return Training(optimizer=Optimizer(name=name, weight_decay=0.1), micro_batch_tokens=16, **changes)


def step_rows(step, num_rows=4, context=8):
    """Rows of one step, made from its number."""
    rng = np.random.default_rng(step)
    documents = [Document(f"{step}:{n}", rng.integers(5, 60, context).astype(np.int32), np.ones(context, bool))
                 for n in range(num_rows)]  # fmt: skip
    return pack(documents, context, 0)


def train(loop, until):
    with loop.signals():
        while loop.step < until:
            rows = step_rows(loop.step)
            loss = next_token_loss(int(rows.loss_mask.sum()))
            measured = loop.optimizer_step(micro_batches(rows, 16), loss, ids=lambda rows=rows: rows.document_ids)
            loop.tokens += 28
            loop.after_step(**measured)
    return loop


def make_loop(make_model, folder, name="muon", model=None, **changes):
    return Loop(model or make_model(), settings(name, **changes), lambda step: 0.01 / (1 + step), 6, folder)


def parameters(loop):
    return {name: parameter.detach().clone() for name, parameter in loop.model.named_parameters()}


MACHINE = ("seconds_left", "memory_bytes")


def lines(folder):
    """What is logged, without what depends on the machine."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in MACHINE} for line in found]


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(make_model, tmp_path, name):
    whole = train(make_loop(make_model, tmp_path / "whole", name), 6)
    first = train(make_loop(make_model, tmp_path / "parts", name), 3)
    torch.manual_seed(123)
    first.save()
    expected_random = torch.rand(3)
    train(first, 5)  # two steps that the checkpoint doesn't know: their log lines go
    second = make_loop(make_model, tmp_path / "parts", name, model=make_model(seed=9))
    assert (second.step, second.tokens) == (3, 84)
    assert torch.equal(torch.rand(3), expected_random)
    train(second, 6)
    found, expected = parameters(second), parameters(whole)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert [line["step"] for line in lines(tmp_path / "parts")] == [1, 2, 3, 4, 5, 6]


def test_checkpoint_has_momentum_and_step_counters_of_every_parameter(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path), 2)
    loop.save()
    saved = load_file(tmp_path / "checkpoint/optimizer.safetensors")
    names = dict(loop.model.named_parameters())
    adam = {name for name in names if "norm" in name or "embed" in name}
    expected = {f"{name}/momentum" for name in names.keys() - adam}
    expected |= {f"{name}/{field}" for name in adam for field in ("step", "exp_avg", "exp_avg_sq")}
    assert saved.keys() == expected | {"random_state"}
    assert {float(value) for key, value in saved.items() if key.endswith("/step")} == {2.0}
    assert all(value.abs().max() > 0 for key, value in saved.items() if key.endswith("/momentum"))


def test_one_step_is_adamw_on_the_clipped_gradient(make_model, tmp_path):
    model, rows = make_model(), step_rows(0)
    loop = make_loop(make_model, tmp_path, "adamw", model=make_model())
    measured = loop.optimizer_step(micro_batches(rows, 16), next_token_loss(int(rows.loss_mask.sum())))
    logits = model(torch.from_numpy(rows.input_ids), use_cache=False).logits
    targets = torch.from_numpy(rows.input_ids)[:, 1:].flatten()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95)).step()
    expected = {"loss": loss.item(), "gradient_norm": norm.item(), "learning_rate": 0.01}
    assert measured == pytest.approx(expected, rel=1e-5)
    found = parameters(loop)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.detach(), atol=1e-5, rtol=1e-4)


def test_learning_rate_follows_the_step(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path), 3)
    assert [line["learning_rate"] for line in lines(tmp_path)] == pytest.approx([0.01, 0.01 / 2, 0.01 / 3])
    assert [group["lr"] for group in loop.optimizer.param_groups] == pytest.approx([0.01 / 3] * 3)


# --- checkpoints that don't fit ---------------------------------------------------------------------------


def test_weights_that_are_tied_are_stored_once_and_others_are_not_lost(make_model, tmp_path):
    tied = train(make_loop(make_model, tmp_path / "tied"), 1)
    tied.save()
    assert "lm_head.weight" not in load_file(tmp_path / "tied/checkpoint/model.safetensors")
    untied = make_model(seed=1)
    untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.detach().clone())
    loop = train(make_loop(make_model, tmp_path / "untied", model=untied), 1)
    loop.save()
    again = make_model(seed=2)
    again.lm_head.weight = torch.nn.Parameter(again.lm_head.weight.detach().clone())
    restored = make_loop(make_model, tmp_path / "untied", model=again)
    assert torch.equal(restored.model.lm_head.weight, loop.model.lm_head.weight)


def test_a_checkpoint_without_some_weights_is_refused(make_model, tmp_path):
    train(make_loop(make_model, tmp_path), 1).save()
    path = tmp_path / "checkpoint/model.safetensors"
    weights = load_file(path)
    weights["model.layers.1.mlp.renamed.weight"] = weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, path)
    with pytest.raises(In2xError, match=r"lacks \['model.layers.1.mlp.up_proj.weight'\].*renamed.*delete it"):
        make_loop(make_model, tmp_path)


def test_a_checkpoint_of_another_size_is_refused(make_model, tmp_path):
    train(make_loop(make_model, tmp_path), 1).save()
    with pytest.raises(RuntimeError, match="size mismatch"):
        make_loop(make_model, tmp_path, model=make_model(intermediate_size=48))


# --- what goes wrong --------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_names_step_ids_and_checkpoint(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path), 2)
    before = parameters(loop)

    def bad(model, batch):
        value, sums = next_token_loss(28)(model, batch)
        return value * float("nan"), {"loss": (float("nan"), 28)}

    message = r"step 3: the loss or its gradient is not finite .*no checkpoint had been written.*diverged-step-3\.json"
    with pytest.raises(TrainingDiverged, match=message):
        loop.optimizer_step(micro_batches(step_rows(2), 16), bad, ids=lambda: ["2:0", "2:1"])
    assert json.loads((tmp_path / "diverged-step-3.json").read_text())["ids"] == ["2:0", "2:1"]
    assert loop.step == 2 and all(torch.equal(before[name], value) for name, value in parameters(loop).items())
    loop.save()
    with pytest.raises(TrainingDiverged, match="the last good checkpoint is .*checkpoint"):
        loop.optimizer_step(micro_batches(step_rows(2), 16), bad)


def test_a_gradient_that_is_not_finite_is_refused_too(make_model, tmp_path):
    loop = make_loop(make_model, tmp_path)
    loop.model.model.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingDiverged, match="gradient norm"):
        loop.optimizer_step(micro_batches(step_rows(0), 16), next_token_loss(28))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_step_and_training_goes_on_from_there(make_model, tmp_path, number):
    whole = train(make_loop(make_model, tmp_path / "whole"), 4)
    handler = signal.getsignal(number)
    loop = make_loop(make_model, tmp_path / "parts")
    with pytest.raises(Interrupted, match="stopped after step 2 of 6.*run the same command again"), loop.signals():
        train_one(loop)
        os.kill(os.getpid(), number)
        train_one(loop)
    assert signal.getsignal(number) is handler
    again = make_loop(make_model, tmp_path / "parts", model=make_model(seed=5))
    assert again.step == 2
    train(again, 4)
    expected = parameters(whole)
    assert all(torch.equal(value, expected[name]) for name, value in parameters(again).items())


def train_one(loop):
    loop.after_step(**loop.optimizer_step(micro_batches(step_rows(loop.step), 16), next_token_loss(28)))


def test_a_second_signal_stops_at_once(make_model, tmp_path, capsys):
    loop = make_loop(make_model, tmp_path)
    with pytest.raises(KeyboardInterrupt), loop.signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert "once more to stop at once" in capsys.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
    assert not (tmp_path / "checkpoint").exists()


def test_checkpoints_are_written_when_their_time_has_come(make_model, tmp_path):
    train(make_loop(make_model, tmp_path / "often", checkpoint_seconds=1e-9), 1)
    assert (tmp_path / "often/checkpoint/state.json").exists()
    train(make_loop(make_model, tmp_path / "seldom", checkpoint_seconds=1e9), 1)
    assert not (tmp_path / "seldom/checkpoint").exists()


def test_every_so_many_steps_and_the_last_are_logged(make_model, tmp_path):
    train(make_loop(make_model, tmp_path, log_steps=4), 6)
    assert [line["step"] for line in lines(tmp_path)] == [4, 6]


# --- mixed precision --------------------------------------------------------------------------------------


def test_the_recipe_decides_the_arithmetic_of_forward_passes(make_model, tmp_path):
    seen = {}

    def loss(model, batch):
        hidden = model.get_decoder()(input_ids=batch["input_ids"], use_cache=False).last_hidden_state
        seen[dtype] = (hidden @ hidden.mT).dtype
        return next_token_loss(28)(model, batch)

    for dtype in ("float32", "bfloat16"):  # one process may run stages of both
        loop = make_loop(make_model, tmp_path / dtype, dtype=dtype)
        loop.optimizer_step(micro_batches(step_rows(0), 16), loss)
        assert {parameter.dtype for parameter in loop.model.parameters()} == {torch.float32}
    assert seen == {"float32": torch.float32, "bfloat16": torch.bfloat16}


# --- runs that are about to be lost -----------------------------------------------------------------------


def exploding(factor):
    """A loss whose gradient is `factor` times as large as it should be."""

    def loss(model, batch):
        value, sums = next_token_loss(28)(model, batch)
        return value * factor, sums

    return loss


def test_a_gradient_far_above_its_level_for_several_steps_stops_the_run(make_model, tmp_path, tokenizer):
    def spiking_loop(seed=0):
        return Loop(make_model(seed), settings("adamw", stop_after_spikes=3, checkpoint_seconds=1e-9),
                    lambda step: 1e-5, 99, tmp_path, tokenizer)  # fmt: skip

    def step(loop, factor):
        rows = step_rows(0)
        loop.after_step(**loop.optimizer_step(micro_batches(rows, 16), exploding(factor), lambda: rows.document_ids))

    loop = spiking_loop()
    for _ in range(16):
        step(loop, 1.0)
    step(loop, 50.0), step(loop, 50.0)
    assert json.loads((tmp_path / "checkpoint/state.json").read_text())["step"] == 16  # none amid spikes
    again = spiking_loop(seed=3)
    assert (
        again.step == 16
        and again.spikes.state() == json.loads((tmp_path / "checkpoint/state.json").read_text())["spikes"]
    )
    with pytest.raises(TrainingDiverged, match=r"step 19: gradient_norm is .*running level is .* for 3 steps now; "
                       r"the last good checkpoint is .*checkpoint.*ids and texts"):  # fmt: skip
        step(loop, 50.0)
    assert loop.step == 18
    dump = json.loads((tmp_path / "diverged-step-19.json").read_text(encoding="utf-8"))
    assert dump["ids"] == step_rows(0).document_ids
    assert dump["texts"] == [tokenizer.decode(row) for row in step_rows(0).input_ids]


def test_spikes_stop_nothing_by_default(make_model, tmp_path):
    loop = make_loop(make_model, tmp_path, "adamw")
    for factor in [1.0] * 16 + [1000.0] * 5:
        loop.optimizer_step(micro_batches(step_rows(0), 16), exploding(factor))
    assert loop.step == 21


def test_without_a_tokenizer_the_token_ids_of_the_batch_are_kept(make_model, tmp_path):
    loop = make_loop(make_model, tmp_path)
    with pytest.raises(TrainingDiverged):
        loop.optimizer_step(micro_batches(step_rows(0), 16), exploding(float("inf")))
    dump = json.loads((tmp_path / "diverged-step-1.json").read_text())
    assert dump["texts"] == step_rows(0).input_ids.tolist()


# --- what is logged ---------------------------------------------------------------------------------------


def test_sums_of_a_part_of_the_step_are_means_over_that_part(make_model, tmp_path):
    """What a loss reports by source: micro-batch 1 has 3 tokens of the web, micro-batch 2 has 1, and 4 of books."""
    reports = iter([{"loss/web": (6.0, 3)}, {"loss/web": (4.0, 1), "loss/books": (2.0, 4)}])

    def loss(model, batch):
        return next_token_loss(28)(model, batch)[0], next(reports)

    measured = make_loop(make_model, tmp_path).optimizer_step(micro_batches(step_rows(0), 16), loss)
    assert {name: measured[name] for name in ("loss/web", "loss/books")} == {"loss/web": 2.5, "loss/books": 0.5}


def test_the_log_tells_memory_time_left_and_the_share_of_the_peak(make_model, tmp_path):
    train(make_loop(make_model, tmp_path, peak_tflops=1e-3), 6)
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["memory_bytes"] > 1e7 and 0 < line["mfu"] < 100 for line in found)
    assert found[0]["seconds_left"] > 0 and found[-1]["seconds_left"] == 0
