import gzip
from pathlib import Path

import pytest

from in2x.evaluation.japanese.document import sentences
from in2x.evaluation.japanese.register import classify, consistency, narrative, register_switches, style_of

COCOA = Path(__file__).parents[3].parent / "shared" / "data" / "pref" / "cocoa.register.en-ja.tsv.gz"
ENDS = {
    "polite": (
        "雨が降ります。", "寒かったです。", "行きませんでした。", "静かでしょうね。", "始めましょう！",
        "見てください。", "どうですか？",
        "時間がないんですけど。", "ありがとうございます。", "おはようございます！", "分かりました（笑）。",
        "よろしくお願いします。",
    ),
    "keigo": (
        "先生がいらっしゃいます。", "資料をお送りいたします。", "少々お待ちください。", "ご案内します。",
        "拝見しました。", "問題ございません。",
        "発表させていただきます。", "社長がお帰りになりました。", "そう申しております。", "ご覧になりますか？",
    ),
    "plain": (
        "雨が降る。", "寒かった。", "もう帰ろう。", "静かだ。", "行かなかった。", "そう思うだろう。",
        "早く行け。", "あのアパートよりはましだった。",
    ),
    "dearu": ("これは本である。", "そうだったのである。", "遠い国であった。"),
    "casual": (
        "雨が降るよ。", "寒いね。", "いいじゃん！", "全部食べちゃった。", "今やってる。", "何してるの？",
        "分かるでしょ。", "そうだろ。", "行くかな。",
    ),
    "none": (
        "第一章", "「行きます。」", "明日の天気。", "「雨だ」", "Hello.", "どう貢献できるか。",
        "数か月前のことなので。", "素晴らしい！", "なぜ？", "",
        "！？", "今日は雨、明日は『草枕』。",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("register", "text"), [(name, text) for name, texts in ENDS.items() for text in texts])
def test_sentence_ends(register, text):
    assert classify(text) == register


def test_quotations_do_not_lend_their_register():
    assert classify("「行きます」と言った。") == "plain"
    assert classify("“行くよ”と言いました。") == "polite"


def test_what_follows_the_predicate_is_cut_off():
    assert classify("行きます（駅まで）😀ww") == "polite"
    assert classify("（笑）" * 60 + "あ") == "none"  # in no time
    assert classify("行った" + "（笑）" * 60) == "plain"


def test_the_style_is_what_most_sentences_fit():
    assert style_of(["polite", "keigo", "plain"]) == ("desu-masu", 2)
    assert style_of(["plain", "dearu", "casual"]) == ("da-dearu", 2)
    assert style_of(["plain", "casual", "casual"]) == ("casual", 3)
    assert style_of([]) is None


def test_a_switch_is_pointed_at(places):
    segments = ["雨が降っています。", "風も強いです。「寒いよ」", "傘が飛んだ。", "早く帰りたいと思います。"]
    assert places(register_switches(segments), segments) == ["傘が飛んだ。"]
    assert consistency(segments) == 0.75
    assert register_switches(segments)[0].message == "plain in a desu-masu document"


def test_compatible_registers_are_no_switch():
    assert register_switches(["雨です。", "お待ちください。", "風も強いです。"]) == []
    assert register_switches(["雨だ。", "これは秋の雨である。", "風も強い。"]) == []
    assert register_switches(["雨だ。", "寒いね。", "風も強い。"]) == []
    assert len(register_switches(["秋の雨である。", "冬の雪である。", "寒いね。"])) == 1


def test_headings_count_only_where_nothing_has_an_end_mark():
    assert len(narrative(["雨が降る", "風が吹きます。"])) == 1
    assert len(narrative(["雨が降る", "風が吹きます"])) == 2


def test_two_sentences_have_no_majority():
    assert consistency(["雨です。", "風だ。"]) is None
    assert register_switches(["雨です。", "風だ。"]) == []


@pytest.mark.skipif(not COCOA.exists(), reason="CoCoA-MT is not in ../shared/data")
def test_formal_and_informal_versions_of_the_same_lines_are_told_apart():
    with gzip.open(COCOA, "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream][1:]
    rows = [row for row in rows if row[3] != row[4]][:300]
    for column, members in ((3, ("polite", "keigo")), (4, ("plain", "dearu", "casual"))):
        found = [classify(sentence.text) for row in rows for sentence in sentences([row[column]])]
        told = [register for register in found if register != "none"]
        assert len(told) > 0.7 * len(found)
        assert sum(register in members for register in told) > 0.97 * len(told)
