"""Texts in one register with kanji, and texts that are not."""

import pytest

from in2x.rewards.groups import Group
from in2x.rewards.style import mixed_register, spelled_out, style_score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("彼は学校へ行きました。楽しいです。", 1.0),
        ("彼は学校へ行きました。楽しかった。彼は帰った。", 0.5),
        ("彼は学校へ行きましたぜ。", 0.5),
        ("彼は学校へ行くぜ。", 1.0),
        ("かれはがっこうへいきましたとさ。", 0.5),
        ("かれはがっこうへいきましたぜ、ほんとうに。わらった。かれはいきます。", 0.0),
        ("どうもありがとう。", 1.0),
        ("", 1.0),
    ],
)
def test_style(text, expected):
    assert style_score(Group("a", [1], "", None, "ja", []), text) == expected


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("いぬがいる。", "犬が居る。", True),
        ("いぬがいる。", "犬がいる。", False),  # one kanji may be written either way
        ("犬がいる。", "犬が居る。", False),
        ("ジョンだ。", "彼は太郎だ。", True),
        ("ジョン", "太郎", False),  # nothing is spelled in hiragana
        ("いぬがいる。", "", False),
        ("いぬがいる。", None, False),
    ],
)
def test_a_short_text_is_held_against_its_reference(text, reference, expected):
    assert spelled_out(text, reference) == expected
    assert style_score(Group("a", [1], "", reference, "ja", []), text) == 1 - 0.5 * expected


def test_an_answer_is_no_translation_of_its_reference():
    assert style_score(Group("a", [1], "", "犬が居る。", "ja", [], task="arithmetic"), "いぬがいる。") == 1


def test_eleven_hiragana_may_stand_alone():
    assert not spelled_out("あ" * 11) and spelled_out("あ" * 12) and not spelled_out("あ" * 12 + "字")


def test_one_plain_sentence_is_not_mixed():
    assert not mixed_register("彼は行った。") and mixed_register("彼は行った。私は行きます。")
