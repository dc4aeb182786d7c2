"""chrF2: hand-computed values, and parity with sacreBLEU to the last bit."""

import random
from collections import Counter

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from in2x.evaluation import chrf

JAPANESE = "私は昨日、友人と新しい映画を見に行きました。とても面白かったです！ アイスクリーム"
ENGLISH = "The quick brown fox jumps over the lazy dog, twice a day. 1,234\t\n"
EDGE_CASES = [
    "",
    " ",
    "\u3000\n",
    "あ",
    "あ い",
    "aaaaaaaaaaaa",
    "猫が好き",
    "猫が好きだ",
    "😀👍🏽",
    "Aa",
    "\ud83d",
]


def _random_texts(num: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    alphabets = [JAPANESE, ENGLISH, JAPANESE + ENGLISH, "あい", "ab "]
    return ["".join(generator.choices(generator.choice(alphabets), k=generator.randint(0, 40))) for _ in range(num)]


def _sacrebleu(hypothesis: str, reference: str) -> float:
    return CHRF().sentence_score(hypothesis, [reference]).score


def test_hand_computed():
    # "abc" / "abd": 1-grams 2 of 3, 2-grams 1 of 2, 3-grams 0 of 1; precision = recall = (2/3 + 1/2 + 0) / 3.
    assert chrf.segment_counts("abc", "abd") == [3, 3, 2, 2, 2, 1, 1, 1, 0] + [0] * 9
    assert chrf.sentence_chrf("abc", "abd") == pytest.approx(100 * (2 / 3 + 1 / 2) / 3)


def test_recall_weighs_four_times_precision():
    # One order in effect: P = 1, R = 1/2 and the reverse; F2 = 5PR / (4P + R).
    assert chrf.sentence_chrf("a", "ab") == pytest.approx(100 * 2.5 / 4.5)
    assert chrf.sentence_chrf("ab", "a") == pytest.approx(100 * 2.5 / 3.0)


def test_counts_are_clipped():
    assert chrf.segment_counts("aaa", "aa")[:3] == [3, 2, 2]


def test_sentence_equals_sacrebleu():
    texts = _random_texts(60, seed=1) + EDGE_CASES
    pairs = [(a, b) for a in texts[::2] for b in texts[1::3]] + [(a, b) for a in EDGE_CASES for b in EDGE_CASES]
    assert [chrf.sentence_chrf(*pair) for pair in pairs] == [_sacrebleu(*pair) for pair in pairs]


def test_pairwise_equals_sacrebleu():
    hypotheses, references = _random_texts(40, seed=2) + EDGE_CASES, EDGE_CASES + _random_texts(25, seed=3)
    expected = np.array([[_sacrebleu(h, r) for r in references] for h in hypotheses])
    np.testing.assert_array_equal(chrf.pairwise_chrf(hypotheses, references), expected)


@pytest.mark.parametrize("beta", [0.5, 1, 3])
@pytest.mark.parametrize("word_order", [0, 1, 2])
def test_pairwise_and_bulk_equal_sacrebleu_with_words_and_any_beta(beta, word_order):
    metric = CHRF(beta=beta, word_order=word_order)
    words = ["(hi)", "hi!", '"Hi,', "...", "a b c", "a. b.", "Tom's 3.5 (three)", "!", "! !", "、猫 が。"]
    hypotheses, references = words + _random_texts(20, seed=6), EDGE_CASES + words[::-1] + _random_texts(9, seed=7)
    expected = np.array([[metric.sentence_score(h, [r]).score for r in references] for h in hypotheses])
    scores = chrf.pairwise_chrf(hypotheses, references, beta, word_order)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)
    counts = chrf.corpus_counts(hypotheses, references, word_order)
    np.testing.assert_allclose(chrf.f_scores(counts, beta, word_order), np.diag(expected), rtol=0, atol=1e-9)
    assert chrf.f_scores(counts.sum(axis=0), beta, word_order) == pytest.approx(
        metric.corpus_score(hypotheses, [references]).score, abs=1e-9
    )


def test_pairwise_of_long_and_repetitive_texts_equals_sacrebleu():
    # A model in a loop, and paragraphs: counts far above 1, and none shared.
    texts = ["あ" * 700, "あい" * 300, "猫が好き。" * 90, JAPANESE * 8, "".join(map(chr, range(0x4E00, 0x4E00 + 400)))]
    expected = np.array([[_sacrebleu(h, r) for r in texts] for h in texts])
    np.testing.assert_array_equal(chrf.pairwise_chrf(texts, texts), expected)


@pytest.mark.parametrize("chunk_characters", [1, 100, chrf.CHUNK_CHARACTERS])
def test_bulk_counts_equal_those_of_each_segment(chunk_characters, monkeypatch):
    monkeypatch.setattr(chrf, "CHUNK_CHARACTERS", chunk_characters)
    hypotheses = _random_texts(40, seed=8) + EDGE_CASES + ["same"] * 2
    references = EDGE_CASES[::-1] + _random_texts(40, seed=9) + ["same", "sane"]
    expected = [chrf.segment_counts(*pair) for pair in zip(hypotheses, references, strict=True)]
    counts = chrf.corpus_counts(hypotheses, references)
    assert counts.tolist() == expected
    assert counts.dtype == np.int64
    assert chrf.corpus_counts([], []).shape == (0, 18)


def test_chunks_hold_every_segment_once(monkeypatch):
    monkeypatch.setattr(chrf, "CHUNK_CHARACTERS", 5)
    hypotheses, references = ["ab", "a", "", "abcdefgh", "a"], ["a", "bb", "", "", "b"]
    assert list(chrf._chunks(hypotheses, references)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_mean_reference_by_hand():
    # Mean of "ab" (weight 3/4) and "ac" (1/4): a 1, b .75, c .25; ab .75, ac .25. "ab" has 1.75 of 2 and .75 of 1,
    # the mean reference 2 and 1 in all: precision = recall = (1.75 / 2 + .75) / 2.
    scores = chrf.aggregate_chrf(["ab", "x"], ["ab", "ac"], [0.75, 0.25])
    assert scores == pytest.approx([100 * (0.875 + 0.75) / 2, 0.0])


def test_mean_of_one_reference_is_that_reference():
    hypotheses, (reference,) = _random_texts(30, seed=10), _random_texts(1, seed=11)
    expected = chrf.pairwise_chrf(hypotheses, [reference], 1.0, 2)[:, 0]
    assert chrf.aggregate_chrf(hypotheses, [reference], [1.0], 1.0, 2) == pytest.approx(expected)


def test_mean_reference_equals_counters():
    hypotheses, references = _random_texts(12, seed=12) + EDGE_CASES, _random_texts(7, seed=13) + EDGE_CASES[:4]
    weights = np.random.default_rng(0).dirichlet(np.ones(len(references)))
    expected = [_against_mean(hypothesis, references, weights) for hypothesis in hypotheses]
    assert chrf.aggregate_chrf(hypotheses, references, weights) == pytest.approx(expected, abs=1e-9)


def _against_mean(hypothesis: str, references: list[str], weights: np.ndarray) -> float:
    """chrF2 against averaged counters, with plain loops."""
    precisions, recalls = [], []
    for order in range(chrf.MAX_ORDER):
        mean = Counter()
        for reference, weight in zip(references, weights, strict=True):
            for ngram, count in chrf.char_ngrams(reference)[order].items():
                mean[ngram] += count * weight
        counts = chrf.char_ngrams(hypothesis)[order]
        if counts and mean.total():
            matches = sum(min(count, mean[ngram]) for ngram, count in counts.items())
            precisions.append(matches / counts.total())
            recalls.append(matches / mean.total())
    precision, recall = (sum(values) / max(1, len(values)) for values in (precisions, recalls))
    return 100 * 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def test_pairwise_orientation_and_duplicates():
    scores = chrf.pairwise_chrf(["ab", "ab", "猫"], ["a", "ab"])
    assert scores.shape == (3, 2)
    assert scores[0].tolist() == scores[1].tolist() == [chrf.sentence_chrf("ab", "a"), 100.0]
    assert scores[2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("hypotheses, references", [([], ["a"]), (["a"], []), ([], [])])
def test_pairwise_of_nothing(hypotheses, references):
    assert chrf.pairwise_chrf(hypotheses, references).shape == (len(hypotheses), len(references))


def test_counts_add_up_to_the_corpus_score():
    hypotheses, references = _random_texts(30, seed=4), _random_texts(30, seed=5)
    counts = np.array([chrf.segment_counts(*pair) for pair in zip(hypotheses, references, strict=True)])
    assert chrf.f_scores(counts.sum(axis=0)) == CHRF().corpus_score(hypotheses, [references]).score


def test_bad_input():
    with pytest.raises(TypeError, match="references must be a sequence"):
        chrf.pairwise_chrf(["a"], "a")
    with pytest.raises(TypeError, match="hypotheses must be a sequence"):
        chrf.corpus_counts("a", ["a"])
    with pytest.raises(ValueError, match="2 hypotheses but 1 references"):
        chrf.corpus_counts(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="18 counts"):
        chrf.f_scores(np.zeros((2, 6)))
    with pytest.raises(ValueError, match="24 counts"):
        chrf.f_scores(np.zeros((2, 18)), word_order=2)
