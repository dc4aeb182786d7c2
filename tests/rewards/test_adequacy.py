"""Adequacy: sacreBLEU's sentence chrF on [0, 1], group by group."""

import math

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from in2x.rewards.adequacy import chrf_scores, verbosity_penalty

GROUPS = [["猫が好きです。", "猫は嫌いだ。", ""], ["The cat sat.", "A dog ran.", "The cat sat down."]]
REFERENCES = ["猫が好きだ。", "The cat sat."]


def test_equals_sacrebleu_up_to_the_reference_length():
    expected = [[CHRF().sentence_score(h, [r]).score / 100 for h in g] for g, r in zip(GROUPS, REFERENCES, strict=True)]
    found = chrf_scores(GROUPS, REFERENCES)
    assert found[0, 1:].tolist() == expected[0][1:]
    assert found[1, :2].tolist() == expected[1][:2]
    assert found[0, 0] == pytest.approx(expected[0][0] * math.exp(1 - 7 / 6))  # 猫が好きです。 against 猫が好きだ。
    beta_1 = CHRF(beta=1).sentence_score(GROUPS[0][1], [REFERENCES[0]]).score / 100
    assert chrf_scores(GROUPS, REFERENCES, beta=1)[0, 1] == beta_1


def test_only_what_exceeds_the_reference_is_penalised():
    assert verbosity_penalty("猫", "猫が好きだ。") == verbosity_penalty("猫が 好きだ。", "猫が好きだ。") == 1.0
    assert verbosity_penalty("あ" * 12, "い" * 6) == pytest.approx(math.exp(-1))
    assert verbosity_penalty("", "") == 1.0


def test_padding_a_translation_never_pays():
    padded = ["猫が好きだ。", "猫が好きだ。犬", "猫が好きだ。犬と鳥と魚もとても好きだ。"]
    scores = chrf_scores([padded], [REFERENCES[0]])[0]
    assert scores[0] == 1.0 and scores[0] > scores[1] > scores[2]


def test_no_reference_is_not_measured():
    scores = chrf_scores(GROUPS, [None, REFERENCES[1]])
    assert np.isnan(scores[0]).all() and np.isfinite(scores[1]).all()


def test_bad_input():
    with pytest.raises(ValueError, match="2 groups of hypotheses but 1 references"):
        chrf_scores(GROUPS, REFERENCES[:1])
    with pytest.raises(ValueError, match=r"sizes \[1, 3\]"):
        chrf_scores([GROUPS[0], ["x"]], REFERENCES)
