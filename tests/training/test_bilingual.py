import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.training import bilingual
from in2x.training.bilingual import matches, read_lexicon, styled, switch_words, switched

TABLE = {"dog": "犬", "good morning": "おはよう", "good": "良い", "犬": "dog", "犬小屋": "kennel"}


def always(text, table=TABLE):
    return switch_words(text, table, np.random.default_rng(0), 1.0)


def frame(rows):
    return pl.DataFrame(rows, schema=["id", "group", "domain", "origin", "source", "target"], orient="row")


def test_words_and_phrases_are_exchanged_longest_first():
    assert always("Good morning, good dog!") == "おはよう, 良い 犬!"
    assert always("dogs are no dog") == "dogs are no 犬"  # whole words
    assert always("犬小屋に犬がいる。") == "kennelにdogがいる。"
    assert always("good-morning") == "良い-morning"  # a phrase is joined by blanks
    assert always("") == "" and always("none", {}) == "none"
    assert matches("a good dog", TABLE) == [(2, 6, "good"), (7, 10, "dog")]


def test_each_match_is_exchanged_with_its_probability():
    rng = np.random.default_rng(0)
    number = sum(switch_words("dog", TABLE, rng, 0.3) == "犬" for _ in range(2000))
    assert 530 < number < 670  # 600, within three and a half standard deviations


def test_switched_documents_hold_each_sentence_in_one_language(monkeypatch):
    rows = [(f"p{n}", n, "a", "web", f"E{n}.", f"J{n}。") for n in range(60)]
    found = switched(frame(rows), "en-ja", np.random.default_rng(1))
    sentences = [sentence for text in found["text"] for sentence in text.split(" ")]
    assert sorted(int(sentence.strip("EJ.。")) for sentence in sentences) == list(range(60))
    assert 15 < sum(sentence.startswith("E") for sentence in sentences) < 45
    assert found["language"].unique().to_list() == ["mixed"] and len(found) == 10
    monkeypatch.setattr(bilingual, "SWITCHED_FRACTION", 1.0)
    lexicon = {"en": {"dog": "犬"}, "ja": {"猫": "cat"}}
    both = frame([("p", 0, "a", "web", "A dog.", "猫だ。")])
    texts = {switched(both, "en-ja", np.random.default_rng(seed), lexicon)["text"][0] for seed in range(40)}
    assert texts == {"A dog.", "A 犬.", "猫だ。", "catだ。"}


def test_styled_documents_say_the_genre_and_the_register():
    rows = [
        ("p0", 0, "conversational", "web", "I go.", "行きます。"),
        ("p1", 0, "conversational", "web", "I go.", "行くよ。"),
        ("p2", 1, "knowledge", "web", "Rain.", "雨"),
    ]
    found = styled(frame(rows), "en-ja", np.random.default_rng(0))
    assert found["id"].to_list() == ["p0", "p2"]
    lines = found["text"][0].split("\n")
    assert lines[0] == "I go."
    assert sorted(lines[1:]) == ["(conversational, plain) 行くよ。", "(conversational, polite) 行きます。"]
    assert found["text"][1] == "Rain.\n(knowledge) 雨"  # a noun has no register
    other = styled(frame(rows), "en-zh", np.random.default_rng(0))
    assert other["text"][1] == "Rain.\n(knowledge) 雨" and "polite" not in other["text"][0]


def test_a_lexicon_is_read_in_both_directions(tmp_path):
    file = tmp_path / "words.tsv"
    file.write_text("Dog\t犬\n\ndog\t狗\ncat\t猫\n", encoding="utf-8")
    assert read_lexicon(file, "en-ja") == {
        "en": {"dog": "犬", "cat": "猫"}, "ja": {"犬": "Dog", "狗": "dog", "猫": "cat"},
    }  # fmt: skip
    file.write_text("dog\t犬\ncat 猫\n", encoding="utf-8")
    with pytest.raises(In2xError, match=r"words.tsv, line 2: expected '<en>, a tab, <ja>', got 'cat 猫'"):
        read_lexicon(file, "en-ja")
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(In2xError, match="empty"):
        read_lexicon(file, "en-ja")
    with pytest.raises(In2xError, match="can't be read"):
        read_lexicon(tmp_path / "none.tsv", "en-ja")
