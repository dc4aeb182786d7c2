"""Texts that share what they begin with get the states that they have in rows of their own."""

import pytest
import torch

from in2x.model.prefix_tree import LAYERS, last_states, prefix_trees
from in2x.model.prefixes import WHOLE

TEXTS = [[5, 6, 7, 3], [5, 6, 3], [9, 3], [5, 6, 7, 8, *range(40, 65), 3], [5, 6, 7, 8, *range(40, 60), 3], [9, 3]]


def alone(model, texts):
    return torch.stack([model.get_decoder()(torch.tensor([text])).last_hidden_state[0, -1] for text in texts])


def loud(model):
    for parameter in model.parameters():
        parameter.data.mul_(4)
    return model.eval()


@pytest.mark.parametrize(("family", "heads"), [("qwen3", {"num_heads": 4, "num_kv_heads": 2}), ("llama", {})])
@pytest.mark.parametrize("max_tokens", [1, 12, 1000])
def test_states_are_those_of_separate_rows(make_model, family, heads, max_tokens):
    model = loud(make_model(family=family, **heads))
    trees = list(prefix_trees(TEXTS, max_tokens))
    assert sorted(text for tree in trees for text in tree.texts) == list(range(len(TEXTS)))
    assert len(trees) == {1: 5, 12: 4, 1000: 1}[max_tokens]  # equal texts need no tokens of their own
    with torch.no_grad():
        expected = alone(model, TEXTS)
    for tree in trees:
        torch.testing.assert_close(last_states(model, tree), expected[tree.texts], rtol=1e-4, atol=1e-5)


def test_a_layer_of_another_make_is_computed_whole(make_model, monkeypatch):
    monkeypatch.setattr("in2x.model.prefix_tree.LAYERS", ())
    model = loud(make_model())
    assert type(model.model.layers[-1]).__name__ in LAYERS
    (tree,) = prefix_trees(TEXTS, 1000)
    with torch.no_grad():
        torch.testing.assert_close(last_states(model, tree), alone(model, TEXTS)[tree.texts], rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was(make_model):
    model = make_model()
    kind = type(model.model.layers[-1])
    (tree,) = prefix_trees(TEXTS, 1000)
    last_states(model, tree)
    assert type(model.model.layers[-1]) is kind
    with pytest.raises(ValueError, match="attention is eager"):
        model.config._attn_implementation = "eager"
        last_states(model, tree)
    assert type(model.model.layers[-1]) is kind


def test_a_tree_by_hand():
    (tree,) = prefix_trees([[5, 6, 7], [5, 8], [4], [5, 6]], 100)
    assert tree.texts == [2, 3, 0, 1]  # in the order of their tokens
    assert tree.row.input_ids[0, :5].tolist() == [4, 5, 6, 7, 8] and tree.row.input_ids.shape == (1, WHOLE)
    assert tree.row.position_ids[0, :5].tolist() == [0, 0, 1, 2, 1]
    assert tree.ends.tolist() == [0, 2, 3, 4]
    first, rest = tree.row.grids
    assert first.queries.tolist() == [[0, 1], [1, 2]] and first.bias[0, 0, 0].exp().tolist() == [1, 0]
    assert rest.queries.tolist() == [[3], [4]] and rest.keys.tolist() == [[3, 1, 2], [4, 1, 0]]
    assert rest.bias[:, 0, 0].exp().tolist() == [[1, 1, 1], [1, 1, 0]]
