import math

import numpy as np
import polars as pl
import pytest
import torch

from in2x.artifacts import In2xError
from in2x.sections.pretrain import Contrastive
from in2x.training.alignment import PairBatches, hidden_layers, info_nce, layer_number, mean_pooled, with_contrastive
from in2x.training.batches import next_token_loss


def test_info_nce_by_hand():
    sources = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # lengths don't matter
    same = info_nce(sources, torch.eye(2), 0.5)  # cosines 1 and 0, over 0.5: 2 and 0
    assert float(same) == pytest.approx(math.log(1 + math.exp(-2)))
    swapped = info_nce(sources, torch.eye(2).flip(0), 0.5)
    assert float(swapped) == pytest.approx(2 + math.log(1 + math.exp(-2)))
    lost = info_nce(torch.ones(5, 3), torch.ones(5, 3), 0.05)
    assert float(lost) == pytest.approx(math.log(5))
    # Cosines [[1, 0], [1, 0]]: the second row's own is the 0; both columns are ties.
    both = info_nce(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2), 1.0)
    rows = (math.log(1 + math.exp(-1)) + 1 + math.log(1 + math.exp(-1))) / 2
    assert float(both) == pytest.approx((rows + math.log(2)) / 2)
    with pytest.raises(ValueError, match="M x D"):
        info_nce(torch.ones(2, 3), torch.ones(3, 3), 1.0)


def test_pooling_is_the_mean_over_a_segments_tokens():
    hidden = torch.tensor([[[1.0], [3.0], [5.0]], [[7.0], [9.0], [100.0]]])
    owners = torch.tensor([[0, 0, 1], [2, 2, -1]])
    assert mean_pooled(hidden, owners, 3).tolist() == [[2.0], [5.0], [8.0]]


def pairs(groups):
    rows = [(f"p{n}", group, f"source {n}", f"target {n}") for n, group in enumerate(groups)]
    return pl.DataFrame(rows, schema=["id", "group", "source", "target"], orient="row")


def batches(groups, num_pairs=4, seed=(1,)):
    encode = lambda text: np.array([*text.encode(), 1], np.int32)  # noqa: E731
    return PairBatches(pairs(groups), pl.Series(groups), encode, num_pairs, list(seed), 0)


def texts(batch):
    ids, owners = batch["input_ids"], batch["owners"]
    return [bytes(ids[owners == n].tolist()[:-1]).decode() for n in range(int(owners.max()) + 1)]


def test_batches_hold_sources_then_their_targets_of_distinct_groups_and_depend_on_the_step_alone():
    own = batches([n // 3 for n in range(30)])
    for step in range(5):
        found = texts(own.batch(step, 100))
        numbers = [int(text.split()[1]) for text in found]
        assert [text.split()[0] for text in found] == ["source"] * 4 + ["target"] * 4
        assert numbers[:4] == numbers[4:] and len({number // 3 for number in numbers}) == 4
    assert texts(own.batch(3, 100)) == texts(batches([n // 3 for n in range(30)]).batch(3, 100))
    assert texts(own.batch(3, 100)) != texts(own.batch(4, 100))
    assert own.batch(0, 5)["input_ids"].shape[1] == 5  # cut
    assert len(texts(batches([0, 1], 10).batch(0, 100))) == 4
    with pytest.raises(In2xError, match="two near-duplicate groups"):
        batches([0, 0])


def contrastive(model, layer=1):
    generator = np.random.default_rng(3)
    table = {f"{side} {n}": generator.integers(5, 300, 4 + n % 3) for side in ("source", "target") for n in range(8)}
    own = PairBatches(pairs(range(8)), pl.Series(range(8)), lambda text: table[text], 4, [1], 0)
    loss = with_contrastive(next_token_loss(1), Contrastive(coefficient=0.5, temperature=0.2), layer)
    return loss, own.batch(0, 100), table


def test_the_loss_is_that_of_segments_read_alone(make_model):
    model = make_model()
    loss, batch, _ = contrastive(model)
    value, sums = loss(model, batch)
    states = []
    for n in range(8):
        ids = batch["input_ids"][batch["owners"] == n][None]
        layers = hidden_layers(model, ids, torch.arange(ids.shape[1])[None])
        states.append(layers[1][0].mean(0))
    expected = info_nce(torch.stack(states[:4]), torch.stack(states[4:]), 0.2)
    torch.testing.assert_close(value, 0.5 * expected)
    assert sums["contrastive"] == (pytest.approx(float(expected)), 1)


def test_training_on_it_brings_translations_together_and_every_parameter_has_a_gradient(make_model):
    model = make_model().train()
    loss, batch, _ = contrastive(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        value, _ = loss(model, batch)
        value.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        values.append(float(value))
    assert values[-1] < 0.3 * values[0]


def test_other_batches_go_to_the_loss_inside(make_model):
    model = make_model()
    plain = next_token_loss(7)
    ids = torch.arange(5, 13)[None]
    batch = {"input_ids": ids, "position_ids": torch.arange(8)[None], "loss_mask": torch.arange(8)[None] > 0}
    both = with_contrastive(plain, Contrastive(), 1)
    assert float(both(model, batch)[0].detach()) == float(plain(model, batch)[0].detach())


def test_layers_are_counted_from_the_embeddings():
    assert [layer_number(layer, 4) for layer in (None, 0, 4, -1, -5)] == [2, 0, 4, 4, 0]
    for wrong in (5, -6):
        with pytest.raises(In2xError, match=f"contrastive.layer is {wrong}, and the model has 4 layers"):
            layer_number(wrong, 4)
