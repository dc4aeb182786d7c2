import math

import numpy as np
import pytest
import torch

from in2x.evaluation.perplexity import mean_nats, perplexity
from in2x.training.packing import Document


def documents(rng, *lengths):
    return [Document(str(n), rng.integers(5, 60, length).astype(np.int32), np.ones(length, bool))
            for n, length in enumerate(lengths)]  # fmt: skip


def test_mean_over_all_predicted_tokens_whatever_the_packing(make_model):
    model, texts = make_model(), documents(np.random.default_rng(0), 9, 4, 2, 7)
    total, count = 0.0, 0
    for document in texts:
        ids = torch.from_numpy(document.token_ids.astype(np.int64))
        logits = model(ids[None], use_cache=False).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
        count += len(ids) - 1
    for context_tokens, micro_batch_tokens in ((9, 9), (32, 64), (12, 24)):
        found = mean_nats(model, texts, context_tokens, micro_batch_tokens, 0)
        assert found == pytest.approx(total / count, rel=1e-5)
    assert perplexity(model, texts, 12, 24, 0) == pytest.approx(math.exp(total / count), rel=1e-5)


def test_only_the_loss_mask_counts(make_model):
    model, [whole] = make_model(), documents(np.random.default_rng(0), 8)
    response = Document("r", whole.token_ids, np.array([False] * 5 + [True] * 3))
    ids = torch.from_numpy(whole.token_ids.astype(np.int64))
    logits = model(ids[None], use_cache=False).logits[0, 4:7]
    expected = torch.nn.functional.cross_entropy(logits, ids[5:]).item()
    assert mean_nats(model, [response], 8, 8, 0) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large(make_model):
    model = make_model()
    model.get_input_embeddings().weight.data.zero_()
    assert perplexity(model, documents(np.random.default_rng(0), 6, 5), 12, 24, 0) == pytest.approx(320, rel=1e-5)
