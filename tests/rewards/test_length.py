"""Soft length penalty: the three branches and their borders."""

import numpy as np
import pytest

from in2x.rewards.length import soft_length_penalty


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
