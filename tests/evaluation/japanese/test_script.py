import pytest

from in2x.evaluation.japanese import script


def fired(check, text, source=None):
    segments = [text]
    found = check(segments, None if source is None else [source])
    return [text[f.start : f.end] for f in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("とてもbeautifulな町だ。", ["beautiful"]),
        ("東京からdelicious foodを送る。", ["delicious", "food"]),
        ("iPhoneとWindowsとNASAとGDP", []),
        ("長さは5 kmで10mmだ。webとe-mail", []),
        ("`pip install`とhttps://a.example/bと@handleとa_b.pyのuser.name", []),
        ("映画Lord of the Ringsを見た。", []),
        ("合言葉は「koe」だ。:smile:を押す。", []),
    ],
)
def test_latin_words(text, expected):
    assert fired(script.latin_words, text) == expected


def test_a_latin_word_counts_only_if_the_source_has_it_in_lower_case():
    assert fired(script.latin_words, "今日はsteamで遊ぶ。", "I play on steam today.") == ["steam"]
    assert fired(script.latin_words, "今日はsteamで遊ぶ。", "I play on Steam today.") == []
    assert fired(script.latin_words, "all of it is English", "all of it") == []  # another check's


@pytest.mark.parametrize("char", "读话语东车见书买开关气经动电头门问这们你吗")
def test_simplified_characters_are_foreign(char):
    assert fired(script.foreign_kanji, f"本を{char}む。") == [char]


@pytest.mark.parametrize("text", ["国会で学者が来週の会議に出る。", "髙﨑さんと𠮷野家", "彅と鷗と逢", "々〆〇", "한국"])
def test_japanese_characters_are_not(text):
    assert fired(script.foreign_kanji, text) == []


def test_what_the_source_has_may_stay():
    assert fired(script.foreign_kanji, "「读」の字", "the character 读") == []
    assert fired(script.hangul, "「한국」の字", "the word 한국") == []


def test_hangul_and_half_width_kana():
    assert fired(script.hangul, "今日は사람が多い。") == ["사람"]
    assert fired(script.half_width_kana, "ﾃｽﾄを（ｽｹ）受ける") == ["ﾃｽﾄ", "ｽｹ"]
    assert fired(script.half_width_kana, "来た(ﾟ∀ﾟ)よ") == []


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp932"])
def test_utf8_read_in_another_encoding(encoding):
    damaged = "今日は" + "ありがとう".encode().decode(encoding, "replace") + "と言う。"
    assert fired(script.mojibake, damaged)


def test_other_damage_and_clean_text():
    assert fired(script.mojibake, "天\ufffd気<|im_end|>") == ["\ufffd", "<|im_end|>"]
    assert fired(script.mojibake, "<pad>と書く", "write <pad>") == []
    assert fired(script.mojibake, "糸が縺れる。Ångström、café、naïve、São Paulo、「“良い”」。") == []


def test_source_sentences():
    assert fired(script.source_sentences, "雨だ。He was not at home again. 風だ。") == ["He was not at home again"]
    assert fired(script.source_sentences, "『The Lord of the Rings』とUniversity of California, Los Angelesの人") == []


def test_digit_widths(places):
    segments = ["2021年に45人が来た。", "１８人は帰った。"]
    assert places(script.digit_widths(segments), segments) == ["１８"]
    assert script.digit_widths(["１８人と４人", "２０２１年"]) == []
    assert script.digit_widths(["３人が20日に来た。"]) == []  # the newspapers' convention
    assert places(script.digit_widths(["３人が20日に5回来た。"]), ["３人が20日に5回来た。"]) == ["３"]
