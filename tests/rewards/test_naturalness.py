"""The preference model: encoding, the Bradley-Terry loss, and its unnatural sentences."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from in2x.model.loading import save_model
from in2x.rewards.naturalness import bradley_terry_loss, encode, load, naturalness, shuffled_phrases


@pytest.fixture
def model(make_model, tokenizer, tmp_path):
    save_model(make_model(seed=1), tokenizer, tmp_path / "model")
    torch.manual_seed(0)
    loaded = load(tmp_path / "model", from_language_model=True)
    loaded.config.pad_token_id = tokenizer.pad_token_id
    return loaded


def test_a_score_does_not_depend_on_the_rest_of_the_batch(model, tokenizer):
    texts = ["神戸に住んでいます。", "どうも！", "何してるの？"]
    together = naturalness(model, tokenizer, texts)
    alone = [naturalness(model, tokenizer, [text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together.tolist())) == 3


def test_shared_beginnings_change_no_score(model, tokenizer):
    texts = ["神戸に住んでいます。", "神戸に住んでいました。", "神戸に住んでいます。", "神戸", "どうも！"]
    for parameter in model.parameters():
        parameter.data.mul_(3)
    encoded = encode(tokenizer, texts)
    with torch.no_grad():
        expected = model(**encoded).logits[:, 0].tolist()
    assert naturalness(model, tokenizer, texts) == pytest.approx(expected, rel=1e-4)
    model.config._attn_implementation = "eager"  # which can't be told who sees whom
    assert naturalness(model, tokenizer, texts) == pytest.approx(expected, rel=1e-4)


def test_every_text_ends_with_the_token_whose_state_is_scored(tokenizer):
    encoded = encode(tokenizer, ["どうも！", "神戸に住んでいます。"])
    last = encoded["attention_mask"].sum(1) - 1
    assert encoded["input_ids"][torch.arange(2), last].tolist() == [tokenizer.eos_token_id] * 2


def test_loss_by_hand():
    def model(input_ids, attention_mask):
        return SimpleNamespace(logits=torch.tensor([[2.0], [0.0], [1.0], [3.0]]))  # two chosen, then two rejected

    loss, sums = bradley_terry_loss(model, {"input_ids": None, "attention_mask": None, "num_pairs": 2})
    expected = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(3.0))) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert sums["accuracy"] == (1.0, 2)


def test_phrases_change_places_and_nothing_is_lost():
    text = "彼は毎日学校へ行きます。"
    for seed in range(5):
        shuffled = shuffled_phrases(text, np.random.default_rng(seed))
        assert shuffled != text and sorted(shuffled) == sorted(text) and shuffled.endswith("。")
    assert shuffled_phrases("はい。", np.random.default_rng(0)) in ("はい。", "いは。")
