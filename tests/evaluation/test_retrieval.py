import numpy as np
import pytest
import torch

from in2x.evaluation.retrieval import pooled_states, precision_at_1, retrieval
from in2x.training.alignment import hidden_layers


def segments(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 300, length) for length in lengths]


def test_precision_by_hand():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    assert precision_at_1(keys, keys) == 1.0
    assert precision_at_1(keys[[1, 0, 2]], keys) == pytest.approx(1 / 3)
    assert precision_at_1(keys + torch.tensor([50.0, -7.0]), keys) == 1.0  # what a language shares is taken off
    assert precision_at_1(3 * keys, keys) == 1.0


def test_a_tie_is_no_hit():
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    assert precision_at_1(same, same) == pytest.approx(1 / 3)


def test_states_are_the_means_of_each_segment_alone_in_the_order_given(make_model):
    model, texts = make_model(), segments(5, 2, 9, 3, 7, 2)
    found = pooled_states(model, texts, 12, 0)
    assert found.shape == (3, 6, 16)  # the embeddings and two layers
    with torch.inference_mode():
        for n, ids in enumerate(texts):
            layers = hidden_layers(model, torch.from_numpy(ids)[None], torch.arange(len(ids))[None])
            for layer, own in enumerate(layers):
                torch.testing.assert_close(found[layer, n], own[0].mean(0), rtol=1e-4, atol=1e-5)


def test_both_directions_by_layer(make_model):
    model, texts = make_model(), segments(5, 4, 6, 3, 7, 8)
    assert retrieval(model, texts, texts, 24, 0) == ([1.0] * 3, [1.0] * 3)
    forward, backward = retrieval(model, texts, texts[1:] + texts[:1], 24, 0)
    assert max(forward + backward) < 0.5
    with pytest.raises(ValueError, match="as many sources as targets"):
        retrieval(model, texts, texts[1:], 24, 0)
