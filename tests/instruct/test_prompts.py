import pytest

from in2x.artifacts import In2xError
from in2x.instruct.prompts import glossary_prompt, language_name, paraphrase_prompt, translation_prompt


def test_prompts_as_they_are_trained():
    assert translation_prompt("Hi.", "ja") == "Translate into Japanese:\nHi."
    assert translation_prompt("Hi.", "ja", "polite") == "Translate into polite Japanese:\nHi."
    assert translation_prompt("やあ。", "en") == "Translate into English:\nやあ。"
    assert glossary_prompt("Hi, Ken.", "ja", "Ken", "ケン") == "Translate into Japanese (Ken = ケン):\nHi, Ken."
    assert paraphrase_prompt("やあ。") == "Say it differently:\nやあ。"


def test_braces_of_a_source_stay():
    assert translation_prompt("Press {0} {source}.", "zh") == "Translate into Chinese:\nPress {0} {source}."


def test_subtags_and_unknown_languages():
    assert language_name("zh-Hant-TW") == language_name("ZH_cn") == "Chinese"
    with pytest.raises(In2xError, match="qaa"):
        translation_prompt("Hi.", "qaa")
