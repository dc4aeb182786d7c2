import pytest
import torch
from torch import nn

from in2x.artifacts import In2xError
from in2x.sections import Optimizer, Training
from in2x.training.averages import Averages
from in2x.training.batches import micro_batches, next_token_loss
from in2x.training.loop import Loop
from in2x.training.packing import Document, pack


def test_mean_by_hand():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    averages = Averages(model, 0.25)
    expected = 1.0
    for step, value in ((1, 2.0), (2, 5.0), (3, -1.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        averages.update(model, step)
        decay = (2 / 11, 3 / 12, 0.25)[step - 1]  # (1 + t) / (10 + t), 0.25 at most
        expected = decay * expected + (1 - decay) * value
    assert averages.means["weight"].item() == pytest.approx(expected)


def test_exchange_twice_leaves_everything_as_it_was_to_the_last_bit(make_model):
    model = make_model()
    averages = Averages(model, 0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    averages.update(model, 1)
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    means = {name: mean.clone() for name, mean in averages.means.items()}
    averages.exchange(model)
    assert all(torch.equal(parameter, means[name]) for name, parameter in model.named_parameters())
    averages.exchange(model)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    assert all(torch.equal(averages.means[name], mean) for name, mean in means.items())


# --- in the loop --------------------------------------------------------------------------------------------------


def make_loop(make_model, folder, seed=0, **changes):
    settings = Training(optimizer=Optimizer(name="adamw"), micro_batch_tokens=16, trackers=(), **changes)
    return Loop(make_model(seed), settings, lambda step: 0.01, 4, folder)


def train(loop, until):
    rows = pack([Document("a", torch.arange(5, 13).int().numpy(), torch.ones(8, dtype=torch.bool).numpy())], 8, 0)
    with loop.signals():
        while loop.step < until:
            loop.after_step(**loop.optimizer_step(micro_batches(rows, 16), next_token_loss(7)))
    return loop


def weights(loop):
    return {name: parameter.detach().clone() for name, parameter in loop.model.named_parameters()}


def test_the_mean_is_the_model_after_the_last_step_and_not_before(make_model, tmp_path):
    plain, averaged = (make_loop(make_model, tmp_path / str(decay), ema_decay=decay) for decay in (None, 0.9))
    train(plain, 3), train(averaged, 3)
    assert all(torch.equal(weights(plain)[name], value) for name, value in weights(averaged).items())
    means = {name: mean.clone() for name, mean in averaged.averages.means.items()}
    with averaged.averaged():
        assert all(torch.equal(means[name], value) for name, value in weights(averaged).items())
    assert all(torch.equal(weights(plain)[name], value) for name, value in weights(averaged).items())
    train(averaged, 4)
    moved = train(plain, 4)
    assert any(not torch.equal(weights(moved)[name], value) for name, value in weights(averaged).items())


def test_a_resumed_mean_is_the_uninterrupted_one(make_model, tmp_path):
    whole = train(make_loop(make_model, tmp_path / "whole", ema_decay=0.9), 4)
    train(make_loop(make_model, tmp_path / "parts", ema_decay=0.9), 2).save()
    again = train(make_loop(make_model, tmp_path / "parts", seed=7, ema_decay=0.9), 4)
    assert all(torch.equal(weights(whole)[name], value) for name, value in weights(again).items())


def test_a_checkpoint_without_a_mean_is_refused(make_model, tmp_path):
    train(make_loop(make_model, tmp_path), 1).save()
    with pytest.raises(In2xError, match="has no running mean of the weights.*ema_decay"):
        make_loop(make_model, tmp_path, ema_decay=0.9)


def test_a_checkpoint_written_while_the_mean_is_in_use_is_that_of_training(make_model, tmp_path):
    loop = train(make_loop(make_model, tmp_path, ema_decay=0.9), 4)  # the mean is the model now
    used = weights(loop)
    loop.save()
    assert all(torch.equal(weights(loop)[name], value) for name, value in used.items())
    with loop.averaged():
        assert all(torch.equal(weights(loop)[name], value) for name, value in used.items())
    again = make_loop(make_model, tmp_path, seed=3, ema_decay=0.9)
    with loop.averaged(False), again.averaged(False):
        assert all(torch.equal(weights(loop)[name], value) for name, value in weights(again).items())
    with again.averaged():
        assert all(torch.equal(used[name], value) for name, value in weights(again).items())
