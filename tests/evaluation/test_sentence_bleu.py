"""Sentence BLEU of all pairs against sacreBLEU, pair by pair."""

import math

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from in2x.evaluation import sentence_bleu
from in2x.evaluation.sentence_bleu import pairwise_bleu

TEXTS = {
    "ja": [
        "私は猫が好きです。",
        "私は猫がとても好きだ。",
        "猫",
        "犬は嫌いです。",
        "",
        "猫猫猫猫猫猫",
        "私は猫が好きです。 ",
    ],
    "zh": ["我喜欢猫。", "我很喜欢猫。", "猫", "", "猫猫猫猫", "Hello 猫!"],
    "en": [
        "The cat sat on the mat.",
        "the cat sat on a mat",
        "cat",
        "",
        "the the the the the",
        "A cat, sat: on the mat.",
    ],
}


@pytest.mark.parametrize("language", ["ja", "zh", "en", "en-GB"])
def test_equals_sacrebleu(language):
    primary = language.split("-")[0]
    if primary == "ja":
        pytest.importorskip("MeCab", reason="needs sacrebleu[ja]")
    metric = BLEU(tokenize={"ja": "ja-mecab", "zh": "zh"}.get(primary, "13a"), effective_order=True)
    hypotheses, references = TEXTS[primary], TEXTS[primary][::-1]
    expected = [[metric.sentence_score(h, [r]).score for r in references] for h in hypotheses]
    np.testing.assert_allclose(pairwise_bleu(hypotheses, references, language), expected, rtol=0, atol=1e-9)
    assert np.max(expected) == pytest.approx(100)


def test_by_hand():
    # "a b c" / "a b d e": 2 of 3, 1 of 2, then no trigram: smoothed to 1/2 of 1; brevity exp(1 - 4/3).
    expected = 100 * math.exp(1 - 4 / 3) * (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)
    assert pairwise_bleu(["a b c"], ["a b d e"], "en")[0, 0] == pytest.approx(expected)


def test_every_distinct_text_is_tokenized_once(monkeypatch):
    seen = []
    monkeypatch.setattr(sentence_bleu, "_tokenizer", lambda language: lambda text: seen.append(text) or text)
    pairwise_bleu(["a b", "c d", "a b"], ["c d", "e f", "c d"], "en")
    assert seen == ["a b", "c d", "e f"]


def test_bad_input():
    with pytest.raises(TypeError, match="hypotheses must be a sequence"):
        pairwise_bleu("a", ["a"], "en")
    with pytest.raises(ValueError, match="BCP 47"):
        pairwise_bleu(["a"], ["a"], "")
