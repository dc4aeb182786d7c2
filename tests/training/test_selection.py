from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from in2x.training import selection
from in2x.training.selection import best_documents, document_nats, quality
from in2x.training.streams import Stream


def stream(lengths, seed=0):
    rng = np.random.default_rng(seed)
    token_ids = [rng.integers(5, 60, length).astype(np.int32) for length in lengths]
    return Stream([f"d{n}" for n in range(len(lengths))], token_ids)


def test_nats_are_those_of_each_document_alone(make_model):
    model, documents = make_model(), stream([5, 12, 3, 12, 7, 2, 1, 9])
    found = document_nats(model, documents, 12, 24, 0)
    for tokens, nats in zip(documents.token_ids, found, strict=True):
        if len(tokens) == 1:
            assert nats == 0.0  # nothing is predicted
            continue
        ids = torch.from_numpy(tokens.astype(np.int64))
        logits = model(ids[None], use_cache=False).logits[0, :-1]
        expected = torch.nn.functional.cross_entropy(logits, ids[1:]).item()
        assert nats == pytest.approx(expected, rel=1e-4)


def test_a_document_that_was_cut_is_the_mean_of_its_pieces(make_model):
    model, long = make_model(), stream([20])
    pieces = Stream(["a", "b"], [long.token_ids[0][:12], long.token_ids[0][12:]])
    parts = document_nats(model, pieces, 12, 24, 0)
    assert document_nats(model, long, 12, 24, 0)[0] == pytest.approx((11 * parts[0] + 7 * parts[1]) / 18, rel=1e-5)


def choose(monkeypatch, nats, texts, keep_fraction=0.5):
    monkeypatch.setattr(selection, "document_nats", lambda *_: np.array(nats, float))
    frame = pl.DataFrame({"id": [str(n) for n in range(len(texts))], "text": texts})
    phase = SimpleNamespace(context_tokens=12, select=SimpleNamespace(keep_fraction=keep_fraction))
    return best_documents(None, None, frame, phase, SimpleNamespace(micro_batch_tokens=24), 0)


def test_the_most_formulaic_are_dropped_and_the_fraction_is_kept(monkeypatch):
    best = choose(monkeypatch, range(100), ["This is a sentence."] * 100)
    assert best["id"].to_list() == [str(n) for n in range(2, 52)]  # 2 % are too easy; of the others the easiest
    assert best.columns == ["id", "text", "nats_per_token", "quality"]
    assert choose(monkeypatch, [1.0], ["One."], 1.0)["id"].to_list() == ["0"]
    assert len(choose(monkeypatch, [1.0] * 10, ["Equal."] * 10, 0.3)) == 3


def test_quality_counts_as_much_as_perplexity(monkeypatch):
    texts = ["Good sentence."] * 5 + ["1234 5678"] * 5
    best = choose(monkeypatch, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4], texts, 0.5)
    # The five sentences rank 8 by quality on average, the numbers 3: differences of ranks -2 .. 2 for both.
    assert best["id"].to_list() == ["0", "5", "1", "6", "2"]


def test_quality_by_hand():
    texts = ["This is it.", "何をしているの？", "1 2 3", "word", "Hello there.\nこんにちは、そこの人。"]
    texts.append("\n".join(["a" * 50] * 2))  # of moderate length by line
    found = pl.DataFrame({"text": texts}).select(quality(pl.col("text"))).to_series().to_list()
    letters = [8 / 11, 7 / 8, 0.0, 1.0, 19 / 24]
    expected = [(2 + letters[0]) / 3, (2 + letters[1]) / 3, 0.0, 1 / 3, (2 + letters[4]) / 3, (1 + 100 / 101) / 3]
    assert found == pytest.approx(expected)
