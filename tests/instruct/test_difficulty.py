import math

import numpy as np
import polars as pl
import pytest

from in2x.instruct.difficulty import classes_of, difficulty, rarity
from in2x.sections import DIFFICULTIES


def test_rarity_of_words():
    # a 3 of 4, b 1 of 4; case and punctuation don't count, and a text without words is 0
    assert rarity(pl.Series(["A, a b!", "a", "?"]), "en") == pytest.approx(
        [-(2 * math.log(3 / 4) + math.log(1 / 4)) / 3, -math.log(3 / 4), 0]
    )


def test_rarity_of_character_pairs():
    # ああ 2 of 3, あい 1 of 3; no pair runs from one text into the next
    assert rarity(pl.Series(["ああい。", "ああ", "い"]), "ja") == pytest.approx(
        [-(math.log(2 / 3) + math.log(1 / 3)) / 2, -math.log(2 / 3), 0]
    )


def test_classes_are_cut_at_fixed_quantiles():
    classes = classes_of(np.random.default_rng(0).permutation(1000).astype(float))
    assert dict(classes.value_counts().iter_rows()) == {
        "very-difficult": 200, "difficult": 300, "moderate": 300, "simple": 150, "very-simple": 50,
    }  # fmt: skip
    assert classes_of(np.array([0.0, 1, 2, 3, 4]))[4] == "very-difficult"
    assert classes_of(np.array([0.0, 1, 2, 3, 4]))[0] == "very-simple"


def test_long_and_rare_is_harder():
    common = [("I see the cat.", "猫を見る。")] * 8
    long = ("I see the cat and the cat and the cat and the cat.", "猫を見る、猫を見る、猫を見る、猫を見る。")
    rare = ("Zeal irks qualms.", "熱意は癪だ。")
    pairs = pl.DataFrame([*common, long, rare], schema=["source", "target"], orient="row")
    classes = difficulty(pairs, ("en", "ja"))
    grades = [DIFFICULTIES.index(name) for name in classes]
    assert max(grades[8:]) <= 1 <= min(grades[:8]) and min(grades[8:]) == 0


def test_equal_pairs_and_no_pairs():
    same = pl.DataFrame({"source": ["Hi."] * 3, "target": ["やあ。"] * 3})
    assert difficulty(same, ("en", "ja")).n_unique() == 1
    assert len(difficulty(same.clear(), ("en", "ja"))) == 0
