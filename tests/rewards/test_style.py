"""Texts in one register with kanji, and texts that are not."""

import pytest

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
    assert style_score(None, text) == expected


def test_eleven_hiragana_may_stand_alone():
    assert not spelled_out("あ" * 11) and spelled_out("あ" * 12) and not spelled_out("あ" * 12 + "字")


def test_one_plain_sentence_is_not_mixed():
    assert not mixed_register("彼は行った。") and mixed_register("彼は行った。私は行きます。")
