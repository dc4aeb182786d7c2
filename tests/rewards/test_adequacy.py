"""Adequacy: sacreBLEU's sentence chrF on [0, 1], group by group."""

import math

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from in2x.rewards.adequacy import chrf_scores, length_factor

GROUPS = [["猫が好きです。", "猫は嫌いだ。", ""], ["The cat sat.", "A dog ran.", "The cat sat down."]]
REFERENCES = ["猫が好きだ。", "The cat sat."]


def test_is_sacrebleu_times_the_length_factor():
    for beta in (1, 2):
        expected = [
            [CHRF(beta=beta).sentence_score(h, [r]).score / 100 * length_factor(h, r) for h in g]
            for g, r in zip(GROUPS, REFERENCES, strict=True)
        ]
        np.testing.assert_allclose(chrf_scores(GROUPS, REFERENCES, beta=beta), expected, rtol=1e-12)
    assert (chrf_scores(GROUPS, REFERENCES) == chrf_scores(GROUPS, REFERENCES, beta=2)).all()


def test_deviation_from_the_reference_length_is_penalised_in_both_directions():
    assert length_factor("猫が 好きだ。", "犬は嫌いだ。") == 1.0
    assert length_factor("あ" * 12, "い" * 6) == pytest.approx(math.exp(-1))
    assert length_factor("あ" * 6, "い" * 12) == pytest.approx(math.exp(-1))
    assert length_factor("", "") == 1.0


def test_neither_padding_nor_omission_pays():
    written = ["猫が好きだ。", "猫が好きだ。犬", "猫が好きだ。犬と鳥と魚もとても好きだ。", "猫が好き"]
    exact, padded, more, cut = chrf_scores([written], [REFERENCES[0]])[0]
    assert exact == 1.0 and exact > padded > more and exact > cut


def test_no_reference_is_not_measured():
    scores = chrf_scores(GROUPS, [None, REFERENCES[1]])
    assert np.isnan(scores[0]).all() and np.isfinite(scores[1]).all()


def test_bad_input():
    with pytest.raises(ValueError, match="2 groups of hypotheses but 1 references"):
        chrf_scores(GROUPS, REFERENCES[:1])
    with pytest.raises(ValueError, match=r"sizes \[1, 3\]"):
        chrf_scores([GROUPS[0], ["x"]], REFERENCES)
