import itertools

import numpy as np
import pytest

from in2x.corpus.groups import (
    NUM_HASHES,
    _bucket,
    _similar_in_buckets,
    highest_similarity,
    minhash,
    near_duplicate_groups,
    shingle_hashes,
)

WORDS = ["the", "cat", "dog", "sat", "on", "a", "mat", "ran", "home", "with", "my", "old", "friend", "from", "kyoto"]


def shingles(key, size):
    padded = key.ljust(size, "\0")
    return {padded[start : start + size] for start in range(len(padded) - size + 1)}


def jaccard(one, other, size):
    left, right = shingles(one, size), shingles(other, size)
    return len(left & right) / len(left | right)


def sentences(number, seed, words=WORDS):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(words, rng.integers(1, 9))) for _ in range(number)]


@pytest.mark.parametrize("size", [2, 4])
def test_shingles_are_those_of_each_row_alone(size):
    keys = ["abcabc", "a", "", "日本語です", "xyz", "abcabc"]
    hashes, offsets = shingle_hashes(keys, size)
    rows = [hashes[offsets[row] : offsets[row + 1]].tolist() for row in range(len(keys))]
    assert [len(row) for row in rows] == [max(len(key), size) - size + 1 for key in keys]
    for (one, left), (other, right) in itertools.combinations(zip(keys, rows, strict=True), 2):
        assert len(set(left) & set(right)) == len(shingles(one, size) & shingles(other, size))
    assert [len(set(row)) for row in rows] == [len(shingles(key, size)) for key in keys]


def test_agreement_of_signatures_estimates_similarity():
    keys = ["thecatsatonthemat", "thecatsatonamat", "mydogranhometoday"]
    signatures = minhash(*shingle_hashes(keys, 3), 4096)
    for one, other in itertools.combinations(range(3), 2):
        agreement = (signatures[one] == signatures[other]).mean()
        assert agreement == pytest.approx(jaccard(keys[one], keys[other], 3), abs=0.03)  # four standard errors


def test_a_signature_does_not_depend_on_the_other_rows(monkeypatch):
    keys = sentences(40, 0)
    together = minhash(*shingle_hashes(keys, 4))
    assert together.shape == (40, NUM_HASHES)
    monkeypatch.setattr("in2x.corpus.groups.BLOCK_SHINGLES", 7)
    assert np.array_equal(minhash(*shingle_hashes(keys, 4)), together)
    for row in (0, 17, 39):
        assert np.array_equal(minhash(*shingle_hashes([keys[row]], 4))[0], together[row])


@pytest.mark.parametrize(("size", "batch"), [(2, 20_000), (4, 7)])
def test_highest_similarity_is_that_of_brute_force(monkeypatch, size, batch):
    monkeypatch.setattr("in2x.corpus.groups.BATCH_QUERIES", batch)
    queries, keys = [*sentences(30, 1), "", "q", "zzzz", "aaaaaaaa"], [*sentences(20, 2), "aaaaa", "q"]
    expected = [max(jaccard(query, key, size) for key in keys) for query in queries]
    assert highest_similarity(queries, keys, size) == pytest.approx(expected)
    assert 0 in expected and 1 in expected


def test_highest_similarity_of_nothing():
    assert highest_similarity([], ["a"], 3).tolist() == []
    assert highest_similarity(["a", "b"], [], 3).tolist() == [0.0, 0.0]
    assert highest_similarity(["abc"], ["xyz"], 3).tolist() == [0.0]


def test_variants_on_either_side_are_one_group():
    english = ["whatareyoudoingtoday", "whatareyoudoingtoday", "whatareyoudoingnowtoday", "iliveinkobenow", "thankyou"]
    japanese = ["今日は何をしていますか", "何してる", "君はいま何をやっているの", "何してる", "ありがとう"]
    # 0, 1: the same source; 2: a similar one; 3: the target of 1; 4: alone.
    assert near_duplicate_groups([english, japanese], [4, 3], 0.6).tolist() == [0, 0, 0, 0, 1]
    assert near_duplicate_groups([english], [4], 0.6).tolist() == [0, 0, 0, 1, 2]
    assert near_duplicate_groups([english], [4], 0.95).tolist() == [0, 0, 1, 2, 3]
    assert near_duplicate_groups([japanese], [3], 0.6).tolist() == [0, 1, 2, 1, 3]
    assert near_duplicate_groups([], [], 0.6).tolist() == near_duplicate_groups([[]], [4], 0.6).tolist() == []


def test_similar_sentences_are_grouped_and_dissimilar_ones_are_not():
    rng = np.random.default_rng(5)
    bases = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 60)) for _ in range(30)]
    keys = [base[:cut] + base[cut + 1 :] for base in bases for cut in (9, 19, 29, 39, 49)]  # one letter less
    groups = near_duplicate_groups([keys], [4], 0.6)
    assert groups.tolist() == [row // 5 for row in range(150)]
    order = rng.permutation(150)
    shuffled = near_duplicate_groups([[keys[row] for row in order]], [4], 0.6)
    assert len(set(zip(groups[order].tolist(), shuffled.tolist(), strict=True))) == 30  # the same, numbered anew


def test_a_bucket_is_of_all_values_of_its_band():
    rows = [(1, 2, 3, 4), (1, 2, 3, 4), (9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9), (2, 1, 3, 4)]
    numbers = _bucket(np.array(rows, np.uint64))
    assert numbers[0] == numbers[1] and len(set(numbers.tolist())) == 6


def test_rows_of_a_bucket_are_compared_with_their_neighbours_and_the_first():
    rows = [(0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 1, 9), (7, 7, 7, 7), (0, 0, 0, 5)]
    signatures = np.array(rows, np.uint64)

    def links(bucket):
        pairs = _similar_in_buckets(np.array(bucket), np.arange(5), signatures, 0.75)
        return {(int(a), int(b)) for left, right in pairs for a, b in zip(left, right, strict=True) if a != b}

    assert links([3, 3, 3, 3, 3]) == {(2, 1), (4, 0)}
    assert links([3, 4, 3, 3, 3]) == {(4, 0)}
    assert links([1, 2, 3, 4, 5]) == set()
