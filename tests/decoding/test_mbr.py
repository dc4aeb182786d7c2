"""MBR selection against closed forms and a plain double loop."""

import numpy as np
import pytest

from in2x.decoding.mbr import select, select_all
from in2x.evaluation.chrf import pairwise_chrf, sentence_chrf

TABLE = {("a", "a"): 1.0, ("a", "b"): 0.2, ("b", "a"): 0.6, ("b", "b"): 1.0, ("c", "a"): 0.5, ("c", "b"): 0.5}


def _table(hypotheses: list[str], references: list[str]) -> np.ndarray:
    return np.array([[TABLE[h, r] for r in references] for h in hypotheses])


def test_closed_form():
    # a: (1 + .2) / 2 = .6; b: (.6 + 1) / 2 = .8
    choice = select(["a", "b"], _table)
    assert (choice.index, choice.expected_utility) == (1, pytest.approx(0.8))
    assert choice.expected_utilities == pytest.approx([0.6, 0.8])


def test_exact_match_utility_is_the_mode():
    def equal(hypotheses, references):
        return np.array([[h == r for r in references] for h in hypotheses], dtype=float)

    choice = select(["x", "y", "z", "y"], equal)
    assert (choice.index, choice.expected_utility) == (1, 0.5)
    assert choice.expected_utilities == pytest.approx([0.25, 0.5, 0.25, 0.5])


def test_duplicates_count_but_cost_nothing():
    # a three times, b once: a = (3 * 1 + .2) / 4 = .8, b = (3 * .6 + 1) / 4 = .7
    seen = []

    def spy(hypotheses, references):
        seen.append((hypotheses, references))
        return _table(hypotheses, references)

    choice = select(["b", "a", "a", "a"], spy)
    assert seen == [(["b", "a"], ["b", "a"])]
    assert choice.index == 1
    assert choice.expected_utilities == pytest.approx([0.7, 0.8, 0.8, 0.8])


def test_pseudo_references_and_weights():
    # b: (3 * .6 + 1) / 4 = .7, c: .5, a: (3 * 1 + .2) / 4 = .8; weights need not be normalised.
    choice = select(["b", "c", "a"], _table, pseudo_references=["a", "b"], weights=[6, 2])
    assert choice.index == 2
    assert choice.expected_utilities == pytest.approx([0.7, 0.5, 0.8])


def test_hypotheses_come_first_in_the_utility():
    assert select(["b"], _table, pseudo_references=["a"]).expected_utility == pytest.approx(0.6)


def test_weights_follow_duplicated_pseudo_references():
    choice = select(["a", "b"], _table, pseudo_references=["a", "b", "a"], weights=[1, 2, 1])
    assert choice.expected_utilities == pytest.approx([0.6, 0.8])


def test_ties_go_to_the_first():
    def almost_flat(hypotheses, references):
        return np.full((len(hypotheses), len(references)), 0.3) + 1e-15 * np.arange(len(hypotheses))[:, None]

    assert select(["x", "y", "z"], almost_flat).index == 0
    assert select(["x", "y", "z"], lambda h, r: -almost_flat(h, r)).index == 0


def test_chrf_selection_equals_the_double_loop():
    candidates = [
        "猫が好きです。",
        "私は猫が好きです。",
        "犬が嫌いだ。",
        "私は猫が好きだ。",
        "猫が好きです。",
    ]
    expected = [sum(sentence_chrf(h, r) for r in candidates) / len(candidates) for h in candidates]
    choice = select(candidates, pairwise_chrf)
    assert choice.expected_utilities == pytest.approx(expected)
    assert choice.index == int(np.argmax(expected))


def test_all_segments_equal_one_by_one():
    lists = [["a", "b"], ["b", "c", "a"], ["a"]]
    pseudo_references, weights = [None, ["a", "b"], ["b", "a"]], [None, [6, 2], None]
    together = select_all(lists, _table, pseudo_references, weights)
    assert [choice.index for choice in together] == [1, 2, 0]
    for choice, *arguments in zip(together, lists, pseudo_references, weights, strict=True):
        alone = select(arguments[0], _table, *arguments[1:])
        assert choice.expected_utility == alone.expected_utility
        assert choice.expected_utilities.tolist() == alone.expected_utilities.tolist()


def test_no_segments():
    assert select_all([], _table) == []


def test_bad_input_names_the_segment():
    with pytest.raises(ValueError, match="segment 1: mbr: candidates must be a non-empty list"):
        select_all([["a"], []], _table)
    with pytest.raises(ValueError, match="2 lists of candidates but 1 sources"):
        select_all([["a"], ["b"]], _table, sources=["s"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"candidates": []}, "candidates must be a non-empty list"),
        ({"candidates": "ab"}, "candidates must be a non-empty list"),
        ({"candidates": ["a"], "pseudo_references": []}, "pseudo_references must be"),
        ({"candidates": ["a", None]}, r"candidates\[1\] must be a string, got NoneType"),
        ({"candidates": ["a"], "pseudo_references": ["a", 3]}, r"pseudo_references\[1\] must be a string, got int"),
        ({"candidates": ["a", "b"], "weights": [1.0]}, "expected 2 weights"),
        ({"candidates": ["a", "b"], "weights": [1.0, -1.0]}, "non-negative"),
        ({"candidates": ["a", "b"], "weights": [0.0, 0.0]}, "not all zero"),
        ({"candidates": ["a", "b"], "weights": [1.0, float("nan")]}, "finite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        select(utility=_table, **arguments)


@pytest.mark.parametrize("bad", [np.ones((1, 1)), np.array([[1.0, 2.0], [3.0, np.nan]])])
def test_bad_utility(bad):
    with pytest.raises(ValueError, match=r"utilities of shape \(2, 2\)"):
        select(["a", "b"], lambda hypotheses, references: bad)
