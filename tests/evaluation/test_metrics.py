"""Corpus metrics: sacreBLEU's numbers, signatures and tokenizers; errors that say what is wrong."""

import pytest
from sacrebleu.metrics import BLEU, CHRF

from in2x.evaluation import metrics

HYPOTHESES = [
    "猫が好きです。",
    "昨日は雨が降りました。",
    "彼は学校に行きました。",
    "とても面白い映画だった。",
]
REFERENCES = ["猫が好きだ。", "昨日は雨でした。", "彼は学校へ行きました。", "すごく面白い映画でした。"]
HYPOTHESES_EN = ["The cat sat on the mat.", "It rained a lot yesterday.", "Hello, world!"]
REFERENCES_EN = ["The cat is on the mat.", "It rained heavily yesterday.", "Hello, world!"]


def test_bleu_of_japanese_is_mecab_bleu():
    score = metrics.corpus_bleu(HYPOTHESES, REFERENCES, "ja")
    assert score.value == BLEU(tokenize="ja-mecab").corpus_score(HYPOTHESES, [REFERENCES]).score
    assert score.value != BLEU(tokenize="13a").corpus_score(HYPOTHESES, [REFERENCES]).score
    assert "tok:ja-mecab" in score.signature and "nrefs:1" in score.signature
    assert (score.metric, score.num_segments) == ("BLEU", 4)
    assert score.low <= score.value <= score.high


def test_bleu_of_english_hand_computed():
    # 13a: "a b c d e" / "a b c d f": precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty.
    score = metrics.corpus_bleu(["a b c d e"], ["a b c d f"], "en", num_resamples=0)
    assert score.value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert (score.low, score.high) == (None, None)


def test_chrf_equals_sacrebleu():
    score = metrics.corpus_chrf(HYPOTHESES, REFERENCES)
    expected = CHRF()
    assert score.value == expected.corpus_score(HYPOTHESES, [REFERENCES]).score
    assert score.signature == str(expected.get_signature())
    assert score.low <= score.value <= score.high


def test_perfect_and_empty_hypotheses():
    assert metrics.corpus_bleu(REFERENCES, REFERENCES, "ja").low == pytest.approx(100)
    assert metrics.corpus_bleu([""] * 4, REFERENCES, "ja").value == 0.0
    assert metrics.corpus_chrf([""] * 4, REFERENCES).high == 0.0


@pytest.mark.parametrize(
    "language, tokenizer",
    [
        ("ja", "ja-mecab"),
        ("ja_JP", "ja-mecab"),
        ("zh-Hant", "zh"),
        ("ko", "ko-mecab"),
        ("en", "13a"),
        ("de", "13a"),
    ],
)
def test_tokenizer_of_language(language, tokenizer):
    assert metrics.tokenizer_for(language) == tokenizer


def test_missing_tokenizer_names_the_extra(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ko_mecab.MeCab", None)
    with pytest.raises(RuntimeError, match=r"ko-mecab tokenizer: pip install 'sacrebleu\[ko\]'"):
        metrics.corpus_bleu(["안녕"], ["안녕"], "ko")


@pytest.mark.parametrize("score", [metrics.corpus_chrf, lambda h, r: metrics.corpus_bleu(h, r, "ja")])
@pytest.mark.parametrize(
    "hypotheses, references, message",
    [
        ([], [], "no segments"),
        (["a", "b"], ["a"], "2 hypotheses but 1 references"),
        ("abc", ["a"], "hypotheses: expected a list"),
        (["a"], [["a"]], r"references\[0\]: expected a string, got list"),
        (["a", None], ["a", "b"], r"hypotheses\[1\]: expected a string, got NoneType"),
    ],
)
def test_bad_input(score, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references)


def test_empty_language_is_an_error():
    with pytest.raises(ValueError, match="BCP 47"):
        metrics.corpus_bleu(["a"], ["a"], "")
