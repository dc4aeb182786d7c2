"""Unnatural Japanese by rule: what each rule does to a text, by hand."""

import numpy as np
import pytest

from in2x.evaluation.japanese.register import classify
from in2x.rewards.unnatural import RULES, kept_pronouns, mixed_register, passive, wrong_particle


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_one_particle_is_another_one():
    found = {wrong_particle("彼は本を読む。", "", [], np.random.default_rng(seed))[1] for seed in range(20)}
    assert found == {"彼を本を読む。", "彼は本に読む。", "彼は本が読む。", "彼は本へ読む。"}
    assert wrong_particle("はい。", "", [], np.random.default_rng(0)) is None


def test_pronouns_that_a_person_left_out_are_written(rng):
    assert kept_pronouns("すぐに帰ります。", "I will be home soon.", [], rng)[1] == "私はすぐに帰ります。"
    assert kept_pronouns("娘が手紙を読んだ。", "The girl read her letter.", [], rng)[1] == "娘が彼女の手紙を読んだ。"
    assert kept_pronouns("私はすぐに帰ります。", "I will be home soon.", [], rng) is None
    assert kept_pronouns("すぐに私が帰ります。", "I will be home soon.", [], rng) is None
    assert kept_pronouns("雨だ。", "Rain.", [], rng) is None


@pytest.mark.parametrize(
    ("text", "calque"),
    [
        ("彼は部屋を掃除した。", "部屋は彼によって掃除された。"),
        ("トムは車を運転します。", "車はトムによって運転されます。"),
        ("彼女は石を投げ捨てた。", "石は彼女によって投げ捨てられた。"),
        ("母はケーキを食べる。", "ケーキは母によって食べられる。"),
        ("彼は本を読んだ。", None),
        ("雨が降る。", None),
    ],
)
def test_passives(text, calque, rng):
    assert passive(text, "", [], rng) == (None if calque is None else (text, calque))


def test_registers_are_mixed_in_what_had_one(rng):
    chosen, rejected = mixed_register("雨だと思います。彼は帰ると思います。", "", [], rng)
    assert chosen == "雨だと思います。彼は帰ると思います。"
    assert rejected in ("雨だと思う。彼は帰ると思います。", "雨だと思います。彼は帰ると思う。")
    classes = {classify(sentence + "。") for sentence in rejected.split("。") if sentence}
    assert len(classes) == 2


def test_a_text_of_two_registers_is_left_alone(rng):
    assert mixed_register("雨だと思います。彼は帰ると思う。", "", [], rng) is None


def test_one_sentence_gets_a_partner_of_its_register(rng):
    pool = ["彼は帰ると思います。", "彼は帰ると思う。", "はい"]
    chosen, rejected = mixed_register("雨だと思います。", "", pool, rng)
    assert chosen == "雨だと思います。彼は帰ると思います。" and rejected != chosen
    assert mixed_register("雨だと思います。", "", ["彼は帰ると思う。"], rng) is None


def test_every_rule_leaves_a_text_without_room_alone(rng):
    for name, rule in RULES.items():
        assert rule("", "", [], rng) is None, name
        assert rule("OK", "OK", [], rng) is None, name
