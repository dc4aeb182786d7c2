import itertools
import re

import polars as pl
import pytest

from in2x.corpus.domains import register as register_of
from in2x.instruct.glossary import MAX_PER_TERM, terms
from in2x.instruct.tasks import CANDIDATES, TASKS, Languages
from in2x.sections import InstructSection

EN_JA = Languages("en", "ja")


def frame(*rows: tuple) -> pl.DataFrame:
    """Pairs as (source, target) or (source, target, group), graded "moderate" unless a fourth value says otherwise."""
    full = [(*row, *(number, "moderate")[len(row) - 2 :]) for number, row in enumerate(rows)]
    pairs = pl.DataFrame(full, schema=["source", "target", "group", "difficulty"], orient="row")
    return pairs.with_row_index("row").with_columns(register=register_of(pl.col("target")), domain=pl.lit("knowledge"))


def made(task: str, pairs: pl.DataFrame) -> list[dict]:
    rows = TASKS[task].candidates(pairs, EN_JA)
    assert tuple(rows.columns) == CANDIDATES
    return rows.to_dicts()


def test_the_recipe_knows_every_task():
    assert set(InstructSection().tasks) == set(TASKS)


def test_translate_goes_both_ways():
    there, back = made("translate", frame(("What is it?", "何？")))
    assert (there["direction"], there["prompt"], there["reference"]) == (
        "en-ja", "Translate into Japanese:\nWhat is it?", "何？")  # fmt: skip
    assert (back["direction"], back["prompt"], back["reference"]) == (
        "ja-en", "Translate into English:\n何？", "What is it?")  # fmt: skip
    assert (back["source"], back["rows"], back["groups"]) == ("何？", [0], [0])


def test_register_is_the_references():
    rows = made("register", frame(
        ("I went.", "行きました。"), ("I went.", "行った。"), ("The king went.", "王がいらっしゃいました。"),
        ("Spring!", "春！"), ("I went. I saw.", "行った。見ました。"),
    ))  # fmt: skip
    assert [row["variant"] for row in rows] == ["polite", "plain", "honorific"]  # not the noun, not the two sentences
    for row in rows:
        assert row["direction"] == "en-ja"
        assert row["prompt"].startswith(f"Translate into {row['variant']} Japanese:\n")
        assert pl.select(register_of(pl.lit(row["reference"]))).item() == row["variant"]


def test_paragraphs_have_as_many_sentences_on_both_sides():
    whole = [(f"It is {n}.", f"{n}だ。") for n in range(21)]  # the last one stays alone
    pairs = frame(*whole, ("One. Two.", "一だ。二だ。"), ("No mark", "ない"), ("One. Two.", "一と二だ。"))
    rows = made("paragraph", pairs)
    assert {len(row["rows"]) for row in rows} == {2, 3}
    assert {"\n" in row["source"] for row in rows} == {True, False}
    for row in rows:
        english, japanese = sorted((row["source"], row["reference"]), key=str.isascii, reverse=True)
        assert len(re.findall(r"\.", english)) == len(re.findall("。", japanese)) == len(row["rows"])
        assert english.count("\n") == japanese.count("\n")
        assert re.fullmatch(r"(It is \d+\.[ \n]?)+", english) and english.count("It is") == len(
            re.split(r"(?<=\.)\s", english)
        )
        assert " " not in japanese and max(row["rows"]) < 20
        assert row["prompt"].endswith(":\n" + row["source"])


def test_paragraphs_keep_one_register_and_never_repeat_a_group():
    mixed = [(f"It is {n}.", f"{n}だ。" if n % 2 else f"{n}です。", n // 4) for n in range(20)]
    for row in made("paragraph", frame(*mixed)):
        assert len({n % 2 for n in row["rows"]}) == 1
        assert sorted(set(row["groups"])) == sorted(row["groups"])
    assert not made("paragraph", frame(*((f"It is {n}.", f"{n}だ。", 7) for n in range(10))))


def test_a_paragraph_is_as_hard_as_its_hardest_sentence():
    parts = ["simple", "very-difficult", "difficult", "very-simple", "simple"]
    rows = made("paragraph", frame(*((f"It is {n}.", f"{n}だ。", n, grade) for n, grade in enumerate(parts))))
    assert [row["difficulty"] for row in rows] == ["very-difficult", "simple"] * 2


def test_paraphrase_needs_the_same_sentence_in_other_words():
    rows = made("paraphrase", frame(
        ("I like the dog.", "私はその犬が好きだ。", 0, "simple"),
        ("I like the dog!", "その犬が好きなんだよ。", 0, "difficult"),
        ("I like the cat.", "その猫が好きなんだよ。", 0), ("I like the dog?", "その犬が好きなのか？", 0),
        ("It ended.", "それは終わった。", 1), ("It ended.", "それは終わった！", 1),
        ("It ended.", "幕切れとなりにけり。", 1),
    ))  # fmt: skip
    assert [(row["prompt"], row["reference"]) for row in rows] == [
        ("Say it differently:\n私はその犬が好きだ。", "その犬が好きなんだよ。")]  # fmt: skip
    assert rows[0] | {"rows": [0, 1], "direction": "ja-ja", "difficulty": "difficult"} == rows[0]


def test_paraphrase_takes_one_order_where_pronouns_do_not_decide():
    twice = [(f"It is {n}.", text, n) for n in range(10) for text in (f"もう{n}時です。", f"もう{n}時ですよね。")]
    rows = made("paraphrase", frame(*twice))
    assert sorted(tuple(sorted(row["rows"])) for row in rows) == [(2 * n, 2 * n + 1) for n in range(10)]


@pytest.mark.parametrize("language", ["zh", "de"])
def test_other_targets_have_no_register_and_no_glossary(language):
    pairs = frame(("Ken went.", "Ken ging.")).with_columns(register=pl.lit("unknown"))
    for task in ("register", "glossary"):
        assert TASKS[task].candidates(pairs, Languages("en", language)).is_empty()
    assert TASKS["glossary"].candidates(glossary_pairs(), Languages("en", language)).is_empty()
    assert len(TASKS["translate"].candidates(pairs, Languages("en", language))) == 2


VERBS = ("saw", "met", "heard", "liked", "found", "hired", "asked", "drew", "knew", "lost", "felt", "told", "sold")


def glossary_pairs() -> pl.DataFrame:
    """Sentences in which only the term always stands beside its katakana."""
    verbs = itertools.cycle(VERBS)
    rows = [(f"We {next(verbs)} Mary.", f"メアリー、{n}回。") for n in range(60)]
    rows += [(f"We {next(verbs)} Mary.", f"メリー、{n}回。") for n in range(6)]  # a rarer spelling
    rows += [(f"We {next(verbs)} New York.", f"ニューヨーク、{n}回。") for n in range(9)]  # not York
    rows += [(f"The man {next(verbs)} a piano.", f"ピアノ、{n}回。") for n in range(5)]
    rows += [(f"We {next(verbs)} a harp.", f"ハープ、{n}回。") for n in range(4)]  # too few together
    rows += [(f"We {next(verbs)} a harp.", "回。"), (f"We {next(verbs)} this.", "ハープ。")]
    rows += [(f"We {next(verbs)} Ken.", f"{n}回。") for n in range(30)]
    rows += [(f"We {next(verbs)} Ken.", f"ロン、{n}回。") for n in range(6)]  # Ron, at times with Ken
    rows += [(f"We {next(verbs)} this.", f"ロン、{n}回。") for n in range(3)]
    rows += [(f"The {next(verbs)} it.", f"パント、{n}回。") for n in range(9)]  # "The" is no name
    rows += [(f"We {next(verbs)} Romeo.", f"ロミオ、{n}回。") for n in range(3)]
    rows += [(f"We {next(verbs)} Romeo, Juliet.", f"ロミオ、{n}回。") for n in range(30)]
    rows += [(f"We {next(verbs)} French.", f"フランス語、{n}回。") for n in range(9)]  # not フランス
    rows += [(f"The man {next(verbs)} the {next(verbs)}.", f"{n}回。") for n in range(60)]
    return frame(*rows)


def test_terms_are_sure_ones():
    found = terms(glossary_pairs())
    assert set(found.select("term", "translation").iter_rows()) == {
        ("Mary", "メアリー"), ("Mary", "メリー"), ("piano", "ピアノ"), ("Romeo", "ロミオ")
    }  # fmt: skip


def test_glossary_names_what_is_in_the_text_and_in_the_reference():
    rows = made("glossary", glossary_pairs())
    for row in rows:
        term, translation = re.match(r".* \((.+) = (.+)\):\n", row["prompt"]).groups()
        assert term in row["source"] and translation in row["reference"]
    assert sum("(Mary = メアリー)" in row["prompt"] for row in rows) == MAX_PER_TERM
    assert sum("(メアリー = Mary)" in row["prompt"] for row in rows) == MAX_PER_TERM
