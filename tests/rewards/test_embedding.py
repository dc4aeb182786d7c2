"""Mean hidden states: invariants of the cosine, and a model's folder."""

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.model.loading import save_model
from in2x.rewards.embedding import Embedder, load_embedder

TEXTS = ["What are you doing?", "神戸に住んでいます。", "どうも！"]


def test_a_text_is_most_like_itself(make_model, tokenizer):
    embedder = Embedder(make_model(), tokenizer)
    assert embedder.similarities(TEXTS, TEXTS).tolist() == pytest.approx([1.0] * 3)
    others = embedder.similarities(TEXTS, [*TEXTS[1:], TEXTS[0]])
    assert (others < 0.9999).all() and (others >= -1).all()


def test_padding_and_order_change_nothing(make_model, tokenizer):
    embedder = Embedder(make_model(), tokenizer)
    together = embedder.similarities(TEXTS, TEXTS[::-1])
    alone = [embedder.similarities([a], [b])[0] for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_an_empty_text_is_like_nothing(make_model, tokenizer):
    assert Embedder(make_model(), tokenizer).similarities(TEXTS, ["", " ", "どうも！"])[:2].tolist() == [-1.0, -1.0]


def test_centres_are_taken_away(make_model, tokenizer):
    model = make_model()
    plain = Embedder(model, tokenizer)
    centred = Embedder(model, tokenizer, TEXTS[:1], TEXTS[1:2])
    source = plain._states(TEXTS[2:]) - plain._states(TEXTS[:1])
    target = plain._states(TEXTS[:1]) - plain._states(TEXTS[1:2])
    expected = (source * target).sum() / np.linalg.norm(source) / np.linalg.norm(target)
    assert centred.similarities(TEXTS[2:], TEXTS[:1])[0] == pytest.approx(expected, abs=1e-5)


def test_a_folder(make_model, tokenizer, tmp_path):
    with pytest.raises(In2xError, match="no model is there to embed with"):
        load_embedder(tmp_path)
    save_model(make_model(), tokenizer, tmp_path / "model")
    loaded = load_embedder(tmp_path / "model")
    assert loaded.similarities(TEXTS, TEXTS).tolist() == pytest.approx([1.0] * 3)
    with pytest.raises(ValueError, match="1 sources but 3"):
        loaded.similarities(TEXTS[:1], TEXTS)
