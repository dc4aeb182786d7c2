"""Length penalties: the absolute one's branches and borders; the relative one never pays for omission."""

import math

import numpy as np
import pytest

from in2x.records import Completion
from in2x.rewards.groups import Group
from in2x.rewards.length import (
    TOLERANCE,
    WIDTH,
    fit_length_ratios,
    relative_length_penalty,
    relative_row,
    soft_length_penalty,
)


@pytest.mark.parametrize(
    "num_tokens, expected",
    [(0, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (99, -0.95), (100, -1.0), (101, -1.0)],
)
def test_branches(num_tokens, expected):
    assert soft_length_penalty(num_tokens, max_tokens=100, buffer_tokens=20) == pytest.approx(expected)


def test_keeps_the_shape():
    penalties = soft_length_penalty([[70, 85], [95, 300]], max_tokens=100, buffer_tokens=20)
    np.testing.assert_allclose(penalties, [[0, -0.25], [-0.75, -1]])


@pytest.mark.parametrize("max_tokens, buffer_tokens", [(100, 0), (100, -1), (100, 101)])
def test_bad_limits(max_tokens, buffer_tokens):
    with pytest.raises(ValueError, match="buffer_tokens <= max_tokens"):
        soft_length_penalty(10, max_tokens, buffer_tokens)


def test_negative_length():
    with pytest.raises(ValueError, match="lengths >= 0"):
        soft_length_penalty([5, -1], 100, 20)


def test_relative_penalty_by_hand():
    # (2 * (9 + 1) - 1) characters for 9 expected: r = ln 2, beyond = ln 2 - 0.1, u = beyond / 0.5.
    u = (math.log(2) - TOLERANCE) / WIDTH
    assert relative_length_penalty([9, 19], 9).tolist() == pytest.approx([0.0, -(u**2) / (1 + u**2)])


def test_omission_never_pays():
    lengths = np.arange(0, 41)
    penalties = relative_length_penalty(lengths, 20)
    assert penalties.max() == penalties[20] == 0.0
    assert (np.diff(penalties[:20]) >= 0).all() and (np.diff(penalties[20:]) <= 0).all()
    half, double = relative_length_penalty([(21 / 2) - 1, 21 * 2 - 1], 20)
    assert half == pytest.approx(double)
    assert -1 < penalties[0] < -0.9


def test_expected_lengths_are_fitted():
    pairs = [("x" * n, "y" * (2 * n)) for n in range(1, 60)]
    ratios = fit_length_ratios(pairs, "en", "ja")
    assert ratios.expected("en", "ja", "x" * 10) == pytest.approx(20)
    assert ratios.expected("ja", "en", "x" * 10) == pytest.approx(5)
    assert ratios.expected("en", "zh", "x") is None
    with pytest.raises(ValueError, match="20 pairs or more"):
        fit_length_ratios(pairs[:5], "en", "ja")


def test_relative_rows_have_an_expectation_or_nothing():
    completions = [Completion([1], [0.0], "y" * n, True) for n in (10, 40)]
    one = Group("a", [1], "x" * 10, "y" * 10, "ja", completions, source_language="en")
    by_reference = relative_row(one, None, "reference")
    assert by_reference[0] == 0 > by_reference[1]
    ratios = fit_length_ratios([("x" * n, "y" * (4 * n)) for n in range(1, 60)], "en", "ja")
    by_source = relative_row(one, ratios, "source")
    assert by_source[1] == pytest.approx(0) and by_source[0] < 0
    assert relative_row(one, None, "source") is None


@pytest.mark.parametrize(("lengths", "expected"), [([-1], 5), ([3], 0)])
def test_relative_lengths_that_cannot_be(lengths, expected):
    with pytest.raises(ValueError, match="expected lengths >= 0"):
        relative_length_penalty(lengths, expected)
