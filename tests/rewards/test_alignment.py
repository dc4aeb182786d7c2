"""IBM model 1 by hand, and coverage on a cipher language and on real pairs."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.rewards.alignment import load_lexicon, train_lexicon, units

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
WORDS = [f"w{n}" for n in range(30)]


@pytest.fixture(scope="module")
def cipher():
    """Each word w7 of "en" is v7 of "de", in another order."""
    rng = random.Random(0)
    sources = [rng.choices(WORDS, k=rng.randint(3, 7)) for _ in range(400)]
    targets = [[word.replace("w", "v") for word in rng.sample(words, len(words))] for words in sources]
    return train_lexicon([" ".join(words) for words in sources], [" ".join(words) for words in targets], "en", "de")


def test_one_step_of_em_by_hand():
    # Pairs "a b"-"x y" and "a"-"x", each twice. From uniform t, each word's posterior is uniform over NULL and the
    # given words. Counts: t(x|a): 2 * 1/3 + 2 * 1/2 = 5/3, t(y|a): 2/3 -> t(x|a) = 5/7; t(x|b) = t(y|b) = 1/2.
    lexicon = train_lexicon(["a b", "a"] * 2, ["x y", "x"] * 2, "en", "de", num_iterations=1)
    table = lexicon.probabilities["target"]
    assert table["a", "x"] == pytest.approx(5 / 7)
    assert table["a", "y"] == pytest.approx(2 / 7)
    assert table["b", "x"] == table["b", "y"] == pytest.approx(1 / 2)
    assert lexicon.shares["target"] == {"x": 4 / 6, "y": 2 / 6}


def test_the_cipher_is_learnt(cipher):
    for side, given, word in (("target", "w{}", "v{}"), ("source", "v{}", "w{}")):
        for n in range(30):
            row = {pair[1]: p for pair, p in cipher.probabilities[side].items() if pair[0] == given.format(n)}
            assert max(row, key=row.get) == word.format(n)


def test_coverage_by_hand(cipher):
    source, half = "w1 w2", "v1"
    recall, precision = cipher.recall_precision(source, half)
    shares, table = cipher.shares["source"], cipher.probabilities["source"]
    parts = []
    for word in ("w1", "w2"):
        strongest = table.get(("v1", word), 0.0)
        parts.append((-np.log(shares[word]), strongest / (strongest + shares[word])))
    assert recall == pytest.approx(sum(i * c for i, c in parts) / sum(i for i, _ in parts))
    assert cipher.coverage(source, half) == pytest.approx(2 / (1 / recall + 1 / precision))


def test_omission_and_addition_lower_it(cipher):
    whole = cipher.coverage("w1 w2 w3 w4", "v4 v2 v1 v3")
    assert whole > 0.9
    assert cipher.coverage("w1 w2 w3 w4", "v4 v2") < whole - 0.1
    assert cipher.coverage("w1 w2 w3 w4", "v4 v2 v1 v3 v9 v8 v7") < whole - 0.1
    assert cipher.coverage("w1 w2 w3 w4", "") == 0.0
    assert cipher.coverage("none of these", "is known") == 1.0


def test_it_is_kept_on_disk(cipher, tmp_path):
    cipher.save(tmp_path / "lexicon.parquet")
    assert load_lexicon(tmp_path / "lexicon.parquet") == cipher
    (tmp_path / "bad.parquet").write_text("no")
    for name in ("bad.parquet", "none.parquet"):
        with pytest.raises(In2xError, match="no alignment lexicon"):
            load_lexicon(tmp_path / name)


def test_units():
    assert units("He translated; translations!", "en") == ["he", "transl", "transl"]
    assert units("本へ行った。", "ja") == ["本", "へ", "行く", "た"]
    assert units("我去GPU。", "zh") == ["我", "去", "gpu"]


def test_what_cannot_be_trained():
    with pytest.raises(ValueError, match="1 sources but 2 targets"):
        train_lexicon(["a"], ["b", "c"], "en", "de")
    with pytest.raises(ValueError, match="no word that occurs 2 times"):
        train_lexicon(["a"], ["b"], "en", "de")


def test_dropped_and_added_sentences_of_real_paragraphs_are_found():
    path = SHARED / "parallel" / "kyoto.docs.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    pairs = []
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            pairs += [(en, ja) for paragraph in json.loads(line)["paras"] for en, ja in paragraph if 10 < len(ja) < 60]
            if len(pairs) > 2300:
                break
    train, held_out = pairs[:2000], pairs[2000:2300]
    lexicon = train_lexicon(*map(list, zip(*train, strict=True)), "en", "ja", num_iterations=2)
    two = [(a[0] + " " + b[0], a[1], b[1]) for a, b in zip(held_out[::2], held_out[1::2], strict=True)]
    dropped = np.mean([lexicon.coverage(s, a + b) > lexicon.coverage(s, a) for s, a, b in two])
    added = np.mean([lexicon.coverage(s[0], s[1]) > lexicon.coverage(s[0], s[1] + t[1])
                     for s, t in zip(held_out[::2], held_out[1::2], strict=True)])  # fmt: skip
    assert dropped > 0.8 and added > 0.55  # neighbours share a topic
