import pytest

from in2x.evaluation.japanese import punctuation


def fired(check, *segments, sources=None):
    return [segments[f.segment][f.start : f.end] for f in check(list(segments), sources)]


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        ("ascii_marks", "雨です.風です,雪!本当?", [".", ",", "!", "?"]),
        ("ascii_marks", "雨です。3.5と1,200、Yahoo!とNode.js、「a.b」…", []),
        ("doubled_marks", "雨です。。風、、雪、。雷！。", ["。。", "、、", "、。", "！。"]),
        ("doubled_marks", "雨です。。。風、雪！？", []),
        ("latin_quotes", "“雨”と\"風\"と'雪'だ。", ["“雨”", '"風"', "'雪'"]),
        ("latin_quotes", '「雨」と"rain"と"snow"の語。it\'s雨\'s', []),
        ("latin_ellipses", "雨...風・・・雪。。。", ["...", "・・・", "。。。"]),
        ("latin_ellipses", "雨……風…。a...b、アン・ブロンテ", []),
        ("latin_dashes", "雨--風—雪 – 雷", ["--", "—", " – "]),
        ("latin_dashes", "雨――風——雪、データー、3–5", []),
        ("inner_spaces", "これ は雨です。", [" "]),
        ("inner_spaces", "田中 太郎がスティーブ ジョブズと会う。", []),
        ("inner_spaces", "`code` を Python で書く。", []),
        ("inner_spaces", "第一章 はじめに", []),
    ],
)
def test_marks(check, text, expected):
    assert fired(getattr(punctuation, check), text) == expected


def test_a_missing_stop_after_an_earlier_sentence_of_the_line():
    assert fired(punctuation.missing_stops, "雨が降りました。風も吹いてきました") == ["た"]
    assert fired(punctuation.missing_stops, "雨が降りました。\n風も吹いてきました") == []


def test_a_missing_stop_by_the_source_or_by_the_document():
    lines = ["雨が降りました。", "風が吹きました。", "雪も降ってきました"]
    assert fired(punctuation.missing_stops, *lines) == ["た"]
    assert fired(punctuation.missing_stops, *lines, sources=["Rain.", "Wind.", "It snowed."]) == ["た"]
    assert fired(punctuation.missing_stops, *lines, sources=["Rain.", "Wind.", "How it snowed"]) == []
    assert fired(punctuation.missing_stops, "雪も降ってきました") == []


def test_headings_need_no_stop():
    lines = ["雨が降りました。", "風が吹きました。", "天気についてのまとめ"]
    assert fired(punctuation.missing_stops, *lines) == []


def test_brackets_without_a_partner():
    assert fired(punctuation.unbalanced_brackets, "「雨だ。") == ["「"]
    assert fired(punctuation.unbalanced_brackets, "雨だ』と（言う") == ["』", "（"]
    assert fired(punctuation.unbalanced_brackets, "「雨（風」") == ["（"]
    assert fired(punctuation.unbalanced_brackets, "（雨)と1）風、a) 雪 :) (^_^)") == []


def test_quotations_may_span_segments_and_parentheses_may_not():
    assert fired(punctuation.unbalanced_brackets, "「雨だ。", "風だ。」") == []
    assert fired(punctuation.unbalanced_brackets, "（雨だ。", "風だ。）") == ["（", "）"]
