"""Script, punctuation and register of Japanese completions."""

import pytest

from in2x.instruct.prompts import translation_prompt
from in2x.rewards.groups import Group
from in2x.rewards.japanese import is_japanese, register_score, requested_register, script_score, script_spans


def group(register=None, target="ja"):
    return Group("a", [1], "He goes.", None, target, [], prompt=translation_prompt("He goes.", target, register))


def test_clean_japanese_has_no_faults():
    assert script_score(group(), "彼は行く。そして帰る。") == 1.0


@pytest.mark.parametrize(
    ("text", "place"),
    [("彼はﾃｽﾄに行く。", (2, 5)), ("彼は行く。。", (4, 6)), ("彼は「行く。", (2, 3)), ("그리고彼は行く。", (0, 3))],
)
def test_faults_have_places(text, place):
    assert [(span.start, span.end) for span in script_spans(group(), text)] == [place]
    assert 0 < script_score(group(), text) < 1


def test_the_score_is_by_sentence():
    one, two = script_score(group(), "彼はﾃｽﾄに行く。"), script_score(group(), "彼はﾃｽﾄに行く。彼は帰る。")
    assert (one, two) == (pytest.approx(1 / 2), pytest.approx(1 / 1.5))


def test_other_languages_are_not_measured():
    assert not is_japanese(group(target="zh")) and is_japanese(group(target="ja-JP"))
    assert requested_register(group("polite", target="zh")) is None
    assert script_spans(group(target="zh"), "他去。。") == []


@pytest.mark.parametrize(
    ("register", "text", "score"),
    [
        ("polite", "彼は行きます。", 1.0), ("polite", "彼は行く。", 0.0), ("polite", "彼は行きます。彼は帰る。", 0.5),
        ("plain", "彼は行く。", 1.0), ("plain", "彼は行きます。", 0.0), ("honorific", "先生がいらっしゃいます。", 1.0),
        ("honorific", "先生が来ます。", 0.0), ("polite", "東京", 0.0),
    ],
)  # fmt: skip
def test_register_requested_and_produced(register, text, score):
    one = group(register)
    assert requested_register(one) == register
    assert register_score(one, text) == pytest.approx(score)


def test_a_prompt_without_a_register_asks_for_none():
    assert requested_register(group()) is None
