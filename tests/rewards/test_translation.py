"""The composed reward on hand-made groups."""

import numpy as np
import pytest

from in2x.records import Completion
from in2x.rewards.translation import Group, TranslationReward

REFERENCE = "彼は毎日学校へ行きます。"


def completion(text, finished=True, num_tokens=5):
    return Completion([7] * num_tokens, [-1.0] * num_tokens, text, finished)


def group(*completions):
    return Group("a", [1], "He goes to school every day.", REFERENCE, "ja", list(completions))


def make(weights):
    return TranslationReward(weights, None, None, max_tokens=20, buffer_tokens=10)


def test_the_closer_translation_gets_the_higher_reward():
    rewarded = make({"adequacy": 1.0})(
        [group(completion(REFERENCE), completion("彼は学校へ行く。"), completion("犬が好きだ。"))]
    )
    best, middle, worst = rewarded.composed.rewards_PG[0]
    assert best > middle > worst
    assert rewarded.components_PG["adequacy"][0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "bad", [completion("He goes to school every day."), completion(""), completion(REFERENCE, finished=False),
            completion("<|user|>彼は"), completion("学校学校学校学校学校学校学校学校学校学校")],
)  # fmt: skip
def test_a_failed_gate_is_below_every_passed_completion(bad):
    rewarded = make({"adequacy": 1.0})([group(completion("彼は学校へ行く。"), completion("犬が好きだ。"), bad)])
    rewards = rewarded.composed.rewards_PG[0]
    assert rewards[2] < rewards[:2].min()
    assert rewarded.failures_PG[0][:2] == [None, None] and rewarded.failures_PG[0][2]
    assert np.isnan(rewarded.components_PG["adequacy"][0, 2])


def test_length_is_penalised_in_tokens_beyond_the_buffer():
    long, short = completion(REFERENCE, num_tokens=15), completion(REFERENCE, num_tokens=10)
    rewarded = make({"length": 1.0})([group(short, long)])
    assert rewarded.components_PG["length"].tolist() == [[0.0, -0.5]]


def test_components_without_weight_are_not_computed():
    assert set(make({"adequacy": 1.0, "naturalness": 0.0})([group(completion(REFERENCE))]).components_PG) == {
        "adequacy"
    }
