"""chrF2: hand-computed values, and parity with sacreBLEU to the last bit."""

import random

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
    with pytest.raises(ValueError, match="18 counts"):
        chrf.f_scores(np.zeros((2, 6)))
