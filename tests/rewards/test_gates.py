"""Gates: what passes, what fails, and with which reason."""

import pytest

from in2x.rewards import gates
from in2x.rewards.gates import check_gates, leaked, wrong_language

SOURCE = "The quick brown fox jumps over the lazy dog near the river bank."
HYPOTHESIS = "素早い茶色の狐が川岸の近くで怠け者の犬を飛び越える。"


def test_a_good_translation_passes():
    assert gates.check_gates(HYPOTHESIS, SOURCE, "ja", finished=True) is None


@pytest.mark.parametrize(
    "hypothesis, finished, reason",
    [
        ("", True, "empty"),
        (" \n\u3000", False, "empty"),
        (HYPOTHESIS, False, "truncated"),
        (HYPOTHESIS + "<|im_end|>", True, "unparseable"),
        (SOURCE.upper(), True, "copy: equal"),
        (SOURCE + " " + HYPOTHESIS, True, "copy: 100%"),
        ("A fast fox leapt across a sleepy hound.", True, "language"),
        (HYPOTHESIS + "飛び越える。" * 10, True, "repetition"),
    ],
)
def test_reasons(hypothesis, finished, reason):
    assert gates.check_gates(hypothesis, SOURCE, "ja", finished).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "今日はいい天気ですね。",
        "ワシントン",
        "ｶﾀｶﾅ",
        "東京都知事選挙",
        "2025年GDP速報値",
        "42",
        "……！",
        "iPhone 15 ProはAppleの最新スマートフォンです。",
        "東京 https://example.org/abcdefghijklmnopqrstuvwxyz",
        "佐々木〆",
    ],
)
def test_japanese_passes(text):
    assert gates.wrong_language(text, "ja") is None


@pytest.mark.parametrize(
    "text, reason",
    [
        ("Hello, world", "0% of letters are kana or kanji"),
        ("Привет, мир", "0% of letters are kana or kanji"),
        ("The translation is: はい。", "11% of letters"),
        ("我們今天去公園玩，天氣非常好，大家都很開心。", "0 kana beside 19 kanji"),
        ("東京の首脳會議昨日閉幕各國代表團發表共同聲明", "1 kana beside 21 kanji"),
        ("你好吗", "2 of 3 kanji are not Japanese"),
        ("这是测试です", "3 of 4 kanji are not Japanese"),
        ("abc東京", "no kana"),
    ],
)
def test_not_japanese(text, reason):
    assert reason in gates.wrong_language(text, "ja")


@pytest.mark.parametrize(
    "text, language, passes",
    [
        ("这是一个测试。", "zh", True),
        ("这是一个测试。", "zh-Hant", True),
        ("これは試験です。", "zh_CN", False),
        ("東京は日本の首都", "zh", False),
        ("この店名は「優の良品」", "zh", False),
        ("優の良品專賣店今日正式開幕", "zh", True),  # one の in a brand name
        ("Straße nach Köln", "de", True),
        ("Улица", "de", False),
        ("Улица", "sr", True),
        ("Ulica", "sr", True),
        ("Улица", "sr-Latn", False),
        ("안녕하세요, GitHub 사용자 여러분", "ko", True),
        ("こんにちは", "ko", False),
        ("नमस्ते दुनिया", "hi", True),
        ("مرحبا", "ar_EG", True),
        ("Hello", "ar", False),
    ],
)
def test_other_languages(text, language, passes):
    assert (gates.wrong_language(text, language) is None) == passes


def test_script_share_threshold():
    # 5 of 10 letters pass a Latin target, 4 of 10 do not; a dense script needs 3 of 10.
    assert gates.wrong_language("abcdeабвгд", "en") is None
    assert gates.wrong_language("abcdабвгде", "en") == "language: 40% of letters are latin"
    assert gates.wrong_language("私はいabcdefg", "ja") is None
    assert gates.wrong_language("私はabcdefgh", "ja") == "language: 20% of letters are kana or kanji"


def test_unknown_language_is_an_error():
    with pytest.raises(ValueError, match="'tlh': no script known"):
        gates.check_gates("", SOURCE, "tlh", finished=True)


@pytest.mark.parametrize(
    "text", ["a\ufffdb", "a\x00b", "\x1b[0m", "\ud83d", "</s>", "はい<0xE3>", "[/INST]", "<｜end｜>"]
)
def test_unparseable(text):
    assert gates.unparseable(text).startswith("unparseable")


@pytest.mark.parametrize(
    "text", ["一行目\n二行目\tタブ\r\n", "👩‍👩‍👧", "3 < 4 | 5 > 2", "<b>太字</b>", "全角\u3000空白"]
)
def test_parseable(text):
    assert gates.unparseable(text) is None


def test_special_tokens_of_the_source_may_stay():
    assert gates.unparseable("<s>取り消し</s>", "<s>struck</s>") is None


@pytest.mark.parametrize(
    "source, hypothesis, language, reason",
    [
        ("Good morning, everyone!", "good morning everyone", "de", "copy: equal"),
        ("Berlin", "Berlin", "de", None),  # a name translates to itself
        ("Donaudampfschifffahrt", "Donaudampfschifffahrt", "en", "copy: equal"),
        ("https://example.org 2025", "https://example.org 2025", "ja", None),
        ("東京", "東京", "zh", None),
        (SOURCE, "Translation: " + SOURCE[:-6] + " 犬", "ja", "copy: 91%"),
        (SOURCE, "The quick brown fox 飛ぶ", "ja", None),
        (SOURCE, SOURCE + " Really.", "de", None),  # same script: quoting is not copying
        ("Windows 11 Pro", "Windows 11 Proです", "ja", None),  # too short to tell
    ],
)
def test_copied(source, hypothesis, language, reason):
    found = gates.copied(hypothesis, source, language)
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize(
    "text, period",
    [
        ("あ" * 24, 1),
        ("あ" * 23, 0),
        ("はい、" * 8, 3),
        ("はい、" * 7, 0),
        ("私は学生です。" * 4, 7),
        ("私は学生です。" * 3, 0),
        ("昨日は雨でした。" + "とても " * 12 + "。", 3),
        ("ab" * 12 + "x" * 5, 2),
        ("", 0),
    ],
)
def test_loops(text, period):
    expected = f"repetition: loop of {period} characters" if period else None
    assert gates.degenerate(text) == expected


def test_a_looping_source_may_be_answered_with_a_loop():
    assert gates.degenerate("は" * 30, "ha" * 30) is None
    assert gates.degenerate("は" * 30, "ha" * 3) is not None


@pytest.mark.parametrize(
    ("hypothesis", "source", "english"),
    [
        (
            "MicrosoftのVisual Studio Codeを使う。",
            "I use Microsoft Visual Studio Code.",
            "I like to use it so very much.",
        ),
        ("`pip install in2x`を実行。", "Run `pip install in2x`.", "Then run `pip install in2x` now."),
        ("user_nameとgetValue()を渡す。", "Pass user_name and getValue().", "Please pass user_name and getValue()."),
    ],
)
def test_code_mixed_spans_are_not_counted(hypothesis, source, english):
    assert wrong_language(hypothesis, "ja", source) is None
    assert wrong_language(english, "ja", source).startswith("language")


def test_a_name_counts_where_the_source_does_not_have_it():
    assert wrong_language("MicrosoftのVisual Studio Codeを使う。", "ja", "I use an editor.").startswith("language")


def test_nothing_but_names_is_no_translation_of_a_source_that_says_more():
    assert wrong_language("Visual Studio Code", "ja", "You can try Visual Studio Code").startswith("language")


def test_names_alone_pass_where_the_source_is_names_alone():
    assert wrong_language("NATO IMF", "ja", "NATO IMF") is None
    assert wrong_language("Dear Friend", "ja", "Dear friend, come") is not None


PROMPT = "Translate into polite Japanese:\nHe goes to school."


@pytest.mark.parametrize(
    ("hypothesis", "what"),
    [
        ("Translate into polite Japanese: 彼は学校へ行きます。", "the prompt's instruction"),
        ("彼は学校へ行きます。\nTranslate into English:", "an instruction"),
        ("彼は行きます。\nUser: もう一度", "a role"),
        ("日本語訳：彼は学校へ行きます。", "an announcement"),
        ("以下は翻訳です。彼は学校へ行きます。", "an announcement"),
        ("Here is the translation: 彼は学校へ行きます。", "an announcement"),
    ],
)
def test_leakage(hypothesis, what):
    assert leaked(hypothesis, "He goes to school.", PROMPT) == f"leakage: {what}"
    assert leaked(hypothesis, f"{hypothesis} He goes.", f"{hypothesis} He goes.") is None


@pytest.mark.parametrize(
    "hypothesis", ["彼は学校へ行きます。", "翻訳は難しい。", "訳は三つある。", "以下の人が来た。", "Here is a dog."]
)
def test_what_is_no_leakage(hypothesis):
    assert leaked(hypothesis, "He goes to school.", PROMPT) is None


def test_tasks_that_are_no_translation_are_held_to_form_alone():
    text = "Answer: 4"
    assert check_gates(text, text, "ja", True, task="maths") is None
    assert check_gates(text, text, "ja", True) is not None
    assert check_gates("", "q", "ja", True, task="maths") == "empty"
    assert check_gates("4", "q", "ja", False, task="maths").startswith("truncated")
    assert check_gates("User: 4", "q", "ja", True, task="maths") == "leakage: a role"


def test_the_source_said_again_is_no_leakage_of_the_prompt():
    source = "彼は毎日友達と学校へ行きます。"
    assert leaked(f"つまり、{source}", source, f"Say it differently:\n{source}") is None


def test_the_shortest_loops_are_found_in_prose():
    """The shortcut by pairs of characters must not pass over a loop with no more repetition than it takes."""
    alphabet = [chr(0x3400 + place) for place in range(400)]  # all different: nothing else repeats
    for period in range(1, 30):
        length = max(4 * period, 24)
        loop = [alphabet[place % period] for place in range(length)]
        prose = alphabet[200:230]
        assert gates.degenerate("".join(prose + loop + prose[::-1])) == f"repetition: loop of {period} characters"
        assert gates.degenerate("".join(prose + loop[:-1] + prose[::-1])) is None


@pytest.mark.parametrize("char", ["\x00", "\x0b", "\x1f", "\x7f", "\x85", "\x9f", "\ud800", "\udfff", "\ufffd"])
def test_unreadable_characters_are_named(char):
    assert gates.unparseable(f"本{char}。") == f"unparseable: character U+{ord(char):04X}"


def test_readable_characters_pass():
    assert gates.unparseable("本\n\r\t\u00a0\u200b\ue000𠮷。") is None
