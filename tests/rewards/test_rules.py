"""Rules: numbers in every notation a translation uses, protected spans, repetition."""

import pytest

from in2x.rewards.rules import markup_fidelity, number_fidelity, protected_spans, repetition_penalty


@pytest.mark.parametrize(
    "source, hypothesis",
    [
        ("It costs 42 yen.", "４２円です。"),
        ("1,234,567 people", "１２３万４５６７人"),
        ("1,234,567 people", "1234567人"),
        ("$1.5 million in 2025", "2025年に150万ドル"),
        ("120 million yen", "1億2,000万円"),
        ("a $20 bn deal", "200億ドルの取引"),
        ("25 years", "二十五年"),
        ("in 2025", "二〇二五年に"),
        ("in 2025", "令和7年に"),
        ("in 2019", "令和元年に"),
        ("三万五千円", "35,000 yen"),
        ("3万5千円", "35,000 yen"),
        ("20百万円", "20 million yen"),
        ("on May 5", "5月5日に"),
        ("at 3:30 p.m.", "15時30分に"),
        ("at 3 p.m.", "午後3時に"),
        ("twenty-five people", "25人"),
        ("two hundred and fifty thousand", "25万"),
        ("the first three months", "最初の3カ月"),
        ("a cup of tea", "お茶1杯"),
        ("1.234.567 Euro", "123万4567ユーロ"),
        ("1.234 Euro", "1234ユーロ"),
        ("1 234 567 personnes".replace(" ", "\u202f", 2), "1234567人"),
        ("a 5k run", "5キロ走"),
        ("10k followers", "フォロワー1万人"),
        ("3.50 dollars", "3.5ドル"),
        ("the third quarter of 2024", "2024年第3四半期"),
        ("Let's go together, that is enough.", "一緒に行こう。それで十分だ。"),
        ("No numbers here.", "数字はない。"),
        ("5 million", "500万 mıllion ſix"),  # ı and ſ, i and s where case is ignored, are in no number word
        ("5 thouſand", "5"),
        ("two ſix", "2"),
        ("see https://example.org/2024/7", "リンクを見てください"),
        ("", ""),
    ],
)
def test_faithful_numbers(source, hypothesis):
    assert number_fidelity(source, hypothesis) == 1.0


@pytest.mark.parametrize(
    "source, hypothesis, expected",
    [
        ("42", "43", 0.0),
        ("3 apples and 4 pears", "りんご3つと梨", 2 / 3),  # kept 1 of 2, justified 1 of 1
        ("3 apples", "りんご3つと梨4つ", 2 / 3),  # kept 1 of 1, justified 1 of 2
        ("5 of 5", "5", 2 / 3),  # each number is matched once
        ("150万ドル", "1.5 billion dollars", 0.0),
        ("15 percent", "50パーセント", 0.0),
        ("at 3 a.m.", "15時に", 0.0),
        ("1.5 metres", "1500メートル", 0.0),
        ("three apples", "りんご4つ", 0.0),
    ],
)
def test_unfaithful_numbers(source, hypothesis, expected):
    assert number_fidelity(source, hypothesis) == pytest.approx(expected)


def test_protected_spans():
    text = (
        "Hi {name}, <b>see</b> https://x.jp/a?b=1, or mail a.b@c.co.jp、@in2x_mt %s %1$s {{id}} ${v} &nbsp; "
        "50% sure, 3 < 4 and 5 > 2. https://x.jp/日本"
    )
    assert protected_spans(text) == [
        *("{name}", "<b>", "</b>", "https://x.jp/a?b=1", "a.b@c.co.jp", "@in2x_mt", "%s", "%1$s", "{{id}}"),
        *("${v}", "&nbsp;", "https://x.jp/"),
    ]


@pytest.mark.parametrize(
    "source, hypothesis, expected",
    [
        ("Hi {name}, see https://x.jp/a.", "https://x.jp/aを見てね、{name}さん。", 1.0),
        ("<b>Bold</b> %s", "<b>太字</b>", 0.8),  # 2 of 3 wanted, 2 of 2 found
        ("Plain", "<b>太字</b>", 0.0),
        ("{a}", "{b}", 0.0),
        ("{a} {a}", "{a}", 2 / 3),
        ("Plain", "そのまま", 1.0),
    ],
)
def test_markup_fidelity(source, hypothesis, expected):
    assert markup_fidelity(source, hypothesis) == pytest.approx(expected)


def test_repetition_penalty_hand_computed():
    # "abab": 2-grams ab ba ab, one of three repeated.
    assert repetition_penalty("abab", order=2, allowance=0.0) == pytest.approx(-1 / 3)
    assert repetition_penalty("ab a b", order=2, allowance=0.25) == pytest.approx(-(1 / 3 - 0.25) / 0.75)
    assert repetition_penalty("abab", order=2, allowance=0.5) == 0.0


def test_repetition_penalty_range():
    assert repetition_penalty("") == repetition_penalty("短い文。") == 0.0
    assert (
        repetition_penalty("昨日は友人と一緒に新しい映画を見に行き、とても面白かったので、また行くつもりです。") == 0.0
    )
    assert -1 <= repetition_penalty("あ" * 1000) < -0.98


@pytest.mark.parametrize("arguments", [{"order": 0}, {"allowance": 1.0}, {"allowance": -0.1}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="expected order"):
        repetition_penalty("text", **arguments)
