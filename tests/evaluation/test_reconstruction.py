"""The likelihood of a source, translated back: against the model's own logits, one text at a time."""

import pytest
import torch

from in2x.artifacts import In2xError
from in2x.evaluation.reconstruction import Reconstructor, load_reconstructor
from in2x.model.loading import save_model

ROWS = [
    ("What are you doing?", "何してるの？", "en"),
    ("I live in Kobe.", "神戸に住んでいます。", "en"),
    ("どうも！", "Thank you!", "ja"),
    ("Thank you!", "", "en"),
]


def by_hand(model, tokenizer, source, hypothesis, language):
    name = {"en": "English", "ja": "Japanese"}[language]
    encode = tokenizer.backend_tokenizer.encode
    prompt = encode(f"<|user|>Translate into {name}:\n{hypothesis}<|assistant|>", add_special_tokens=False).ids
    answer = encode(f"{source}<|end|>", add_special_tokens=False).ids
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    taken = [logprobs[len(prompt) + place - 1, token] for place, token in enumerate(answer)]
    return float(sum(taken)) / len(answer)


def test_it_is_the_mean_log_probability_of_the_source_and_its_end(make_model, tokenizer):
    model = make_model()
    expected = [by_hand(model, tokenizer, *row) for row in ROWS]
    found = Reconstructor(model, tokenizer).scores([*ROWS, ROWS[0]])
    assert found.tolist() == pytest.approx([*expected, expected[0]], abs=1e-5)
    assert (found < 0).all()


def test_equal_rows_are_computed_once(make_model, tokenizer, monkeypatch):
    asked = []
    reconstructor = Reconstructor(make_model(), tokenizer)
    monkeypatch.setattr(reconstructor, "_in_order", lambda documents: [asked.append(len(documents)), -1.0][1:])
    assert reconstructor.scores([ROWS[0]] * 3).tolist() == [-1.0] * 3
    assert asked == [1] and reconstructor.scores([]).tolist() == []


def test_a_folder(make_model, tokenizer, tmp_path):
    with pytest.raises(In2xError, match="no model is there to translate back with"):
        load_reconstructor(tmp_path)
    model = make_model()
    save_model(model, tokenizer, tmp_path / "model")
    found = load_reconstructor(tmp_path / "model").scores(ROWS[:1])
    assert found.tolist() == pytest.approx([by_hand(model, tokenizer, *ROWS[0])], abs=1e-5)
