"""Common n-grams against counters: identities, clipped counts, blocks, scopes."""

import random
from collections import Counter

import numpy as np
import pytest

from in2x.evaluation import ngrams

AWKWARD = [
    "",
    "a",
    "ab",
    "aba",
    "abab",
    "aaaaaaaaaa",
    "\0\0",
    "\0a",
    "😀ab",
    "\uf600b",
    "A\U0010ffffA\uffff",
    "\ud83d",
    "ab\u3000ab",
    "猫が猫が猫",
]


def _texts(num: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    drawn = ("".join(generator.choices("abc猫が", k=generator.randint(0, 25))) for _ in range(num))
    return list(dict.fromkeys([*AWKWARD, *drawn]))


def _counter(text: str, order: int) -> Counter:
    chars = "".join(text.split())
    return Counter(chars[i : i + order] for i in range(len(chars) - order + 1))


def _clipped(one: str, other: str, order: int) -> int:
    return (_counter(one, order) & _counter(other, order)).total()


def test_identities_are_those_of_the_strings():
    texts = _texts(20, seed=1)
    for order, (rows, ids) in enumerate(ngrams.by_order(ngrams.characters(texts), 6), start=1):
        expected = sorted((row, gram, n) for row, text in enumerate(texts) for gram, n in _counter(text, order).items())
        gram_of = sorted({gram for _, gram, _ in expected})  # identities follow the order of code points
        found = Counter(zip(rows.tolist(), ids.tolist(), strict=True))
        assert sorted((row, gram_of[number], n) for (row, number), n in found.items()) == expected
        assert (np.diff(ids) >= 0).all()


def test_an_ngram_never_crosses_into_the_next_text():
    # "ab" + "ab" lie end to end as "abab": there is no "ba", and no 3-gram.
    assert [rows.size for rows, _ in ngrams.by_order(ngrams.characters(["ab", "ab"]), 3)] == [4, 2, 0]


def test_scopes_keep_ngrams_apart():
    symbols = ngrams.characters(["ab", "ab", "ab", "b"])
    (rows, ids), _ = ngrams.by_order(symbols, 2, np.array([0, 0, 1, 1]))
    assert sorted(zip(rows.tolist(), ids.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 2),
        (2, 3),
        (3, 3),
    ]


@pytest.mark.parametrize("block_cells", [1, 200, ngrams.BLOCK_CELLS])
def test_pairwise_matches(block_cells, monkeypatch):
    monkeypatch.setattr(ngrams, "BLOCK_CELLS", block_cells)
    texts = _texts(15, seed=2)
    hyp_rows, ref_rows = np.array([3, 5, 1, 0, 20, 9]), np.array([5, 2, 7, 8, 20, 4, 11])
    for order, matches in enumerate(ngrams.pairwise_matches(ngrams.characters(texts), 6, hyp_rows, ref_rows), start=1):
        expected = [[_clipped(texts[h], texts[r], order) for r in ref_rows] for h in hyp_rows]
        np.testing.assert_array_equal(matches, expected)


def test_pairwise_matches_of_all_with_all():
    texts = _texts(10, seed=3)
    first, *_ = ngrams.pairwise_matches(ngrams.characters(texts), 2)
    np.testing.assert_array_equal(first, [[_clipped(one, other, 1) for other in texts] for one in texts])


def test_aligned_matches():
    texts = [*_texts(21, seed=4), *_texts(21, seed=5)]
    texts = texts[: len(texts) // 2 * 2]
    expected = [[_clipped(*pair, order) for order in range(1, 7)] for pair in zip(texts[::2], texts[1::2], strict=True)]
    np.testing.assert_array_equal(ngrams.aligned_matches(ngrams.characters(texts), 6), expected)


def test_mean_matches():
    # Mean of "aab" and "b", weights 3/4 and 1/4: a 1.5, b 1. "aa" has min(2, 1.5), "b" min(1, 1).
    weights = np.array([0.75, 0.25, 0, 0])
    matches = ngrams.mean_matches(ngrams.characters(["aab", "b", "aa", "c"]), 2, weights)
    np.testing.assert_array_equal(matches, [[2.5, 1.5], [1, 0], [1.5, 0.75], [0, 0]])


def test_tokens_are_compared_whole():
    one, two = ngrams.pairwise_matches(ngrams.tokens([["a", "bc", "a", "bc"], ["a", "bc"], ["ab", "c"]]), 2)
    assert one.tolist() == [[4, 2, 0], [2, 2, 0], [0, 0, 2]]
    assert two.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_totals():
    assert ngrams.totals(np.array([0, 2, 9]), 3).tolist() == [[0, 0, 0], [2, 1, 0], [9, 8, 7]]


def test_pairs_keep_places():
    pairs = ngrams.pairs(["x", "y", "x"], ["z", "y", "z", "y"])
    assert pairs.texts == ["x", "y", "z"]
    assert pairs.expand(np.array([[1, 2], [3, 4]])).tolist() == [[1, 2, 1, 2], [3, 4, 3, 4], [1, 2, 1, 2]]


def test_too_much_for_one_key():
    with pytest.raises(ValueError, match="too many for one call"):
        list(ngrams.by_order(ngrams.characters(["a" * 300]), 1, np.array([1 << 50])))


def test_too_many_tokens(monkeypatch):
    monkeypatch.setattr(ngrams, "SYMBOL_BITS", 2)
    with pytest.raises(ValueError, match="at most 4 distinct tokens in one call, got 5"):
        ngrams.tokens([["a", "b"], ["c", "d", "e"]])
