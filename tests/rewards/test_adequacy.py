"""Adequacy: sacreBLEU's sentence chrF2 on [0, 1], group by group."""

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from in2x.rewards.adequacy import chrf_score, chrf_scores

GROUPS = [["猫が好きです。", "猫は嫌いだ。", ""], ["The cat sat.", "A dog ran.", "The cat sat down."]]
REFERENCES = ["猫が好きだ。", "The cat sat."]


def test_equals_sacrebleu():
    expected = [
        [CHRF().sentence_score(h, [r]).score / 100 for h in g]
        for g, r in zip(GROUPS, REFERENCES, strict=True)
    ]
    np.testing.assert_array_equal(chrf_scores(GROUPS, REFERENCES), expected)
    assert chrf_score(GROUPS[0][0], REFERENCES[0]) == expected[0][0]
    assert chrf_score("猫", "猫") == 1.0


def test_no_reference_is_not_measured():
    scores = chrf_scores(GROUPS, [None, REFERENCES[1]])
    assert np.isnan(scores[0]).all() and np.isfinite(scores[1]).all()


def test_bad_input():
    with pytest.raises(ValueError, match="2 groups of hypotheses but 1 references"):
        chrf_scores(GROUPS, REFERENCES[:1])
    with pytest.raises(ValueError, match=r"sizes \[1, 3\]"):
        chrf_scores([GROUPS[0], ["x"]], REFERENCES)
