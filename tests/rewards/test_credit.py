"""Span-level credit by hand, and its invariant: the sum of a completion's advantages stays."""

import numpy as np
import pytest

from in2x.rewards.credit import token_offsets, token_severities, token_weights
from in2x.rewards.groups import Span


def test_offsets_of_bytes_and_pieces(tokenizer):
    text = "神戸dog、鬱。"
    ids = tokenizer.encode(text, add_special_tokens=False)
    offsets = token_offsets(tokenizer, [*ids, tokenizer.eos_token_id])
    assert len(offsets) == len(ids) + 1
    assert offsets[-1] == (len(text), len(text))
    for number, (start, end) in enumerate(offsets[:-1]):
        piece = tokenizer.decode(ids[number : number + 1])
        assert end - start >= 1
        if "\ufffd" not in piece:
            assert text[start:end] == piece
    assert {place for start, end in offsets for place in range(start, end)} == set(range(len(text)))


def test_severities_of_overlapping_spans():
    spans = [Span(2, 4, 0.5, ""), Span(3, 5, 1.0, "")]
    assert token_severities(spans, [(0, 2), (2, 3), (3, 4), (4, 6), (6, 6)]).tolist() == [0, 0.5, 1, 1, 0]


def test_blame_by_hand():
    # Severities sum to 2 over 4 tokens: aimed weights [0, 0, 4, 4] / 2; with share 1/2: 1/2 + 1/2 * aimed.
    assert token_weights(np.array([0.0, 0, 1, 1]), -1.0, 1.0).tolist() == [0, 0, 2, 2]
    assert token_weights(np.array([0.0, 0, 1, 1]), -1.0, 0.5).tolist() == [0.5, 0.5, 1.5, 1.5]


def test_praise_by_hand():
    assert token_weights(np.array([0.0, 0, 1, 1]), 1.0, 1.0).tolist() == [2, 2, 0, 0]
    assert token_weights(np.array([0.0, 1.0]), 1.0, 0.5).tolist() == pytest.approx([4 / 3, 2 / 3])


def test_without_spans_or_share_nothing_moves():
    for advantage in (-1.0, 1.0):
        assert token_weights(np.zeros(3), advantage, 1.0).tolist() == [1, 1, 1]
        assert token_weights(np.array([0.0, 1.0]), advantage, 0.0).tolist() == [1, 1]
        assert token_weights(np.ones(3), advantage, 1.0).tolist() == [1, 1, 1]


def test_the_mean_over_a_completion_is_its_advantage():
    rng = np.random.default_rng(0)
    advantages = rng.normal(size=20)
    severities = [rng.integers(0, 2, rng.integers(1, 9)) * rng.random() for _ in advantages]
    for advantage, own in zip(advantages, severities, strict=True):
        weights = token_weights(own, advantage, 0.7)
        assert (advantage * weights).mean() == pytest.approx(advantage) and weights.min() >= 0


@pytest.mark.parametrize(("severities", "share"), [([0.0, 1.5], 0.5), ([0.0, 1.0], 1.1), ([-0.1, 1.0], 0.5)])
def test_what_cannot_be(severities, share):
    with pytest.raises(ValueError, match="on \\[0, 1\\]"):
        token_weights(np.array(severities), -1.0, share)
