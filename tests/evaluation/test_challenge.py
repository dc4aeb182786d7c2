"""The challenge set and its scoring: every item is tried with good, literal, foreign and damaged translations."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from in2x.evaluation.challenge import sources
from in2x.evaluation.challenge.items import CATEGORIES, REGISTERS, RegisterItem, items, load
from in2x.evaluation.challenge.judge import judge_passage, judge_phrase, judge_register
from in2x.evaluation.challenge.patterns import (
    compile_patterns,
    find_spans,
    fold_kana,
    is_japanese,
    normalise,
    uncovered,
)
from in2x.evaluation.challenge.registers import ends, find_form, is_honorific, register_problem

PHRASES = [*load("idioms"), *load("slang")]
REGISTER_ITEMS = load("register")
PASSAGES = load("literary")


def all_texts():
    """(item id, text) of every good translation in the data."""
    for _, item in items():
        if isinstance(item, RegisterItem):
            yield from ((item.id, getattr(item, register)) for register in REGISTERS)
            yield from ((item.id, text) for texts in item.also.values() for text in texts)
        else:
            yield from ((item.id, text) for text in (item.example, *item.also))


def remove(text, patterns, *, fold=True):
    """The normalised text without any match of the patterns."""
    body = normalise(text)
    cut = {
        position
        for low, high in find_spans(compile_patterns(patterns, fold=fold), fold_kana(body) if fold else body)
        for position in range(low, high)
    }
    return "".join(char for position, char in enumerate(body) if position not in cut)


def planted(item):
    """The good example with the trap of the trap example said once more at its end."""
    body = normalise(item.trap_example)
    low, high = find_spans(compile_patterns(item.traps, fold=False), body)[0]
    return f"{item.example}。{body[low:high]}、"


def test_there_are_as_many_items_as_promised():
    counts = {category: len(load(category)) for category in CATEGORIES}
    assert counts["idioms"] >= 150 and counts["slang"] >= 100 and counts["register"] >= 100 and counts["literary"] >= 50


def test_ids_and_sources_are_unique():
    found = sources()
    assert len({source.id for source in found}) == len(found)
    texts = [item.source for _, item in items()]
    assert [text for text, count in Counter(texts).items() if count > 1] == []
    examples = [text for _, text in all_texts()]
    assert [text for text, count in Counter(examples).items() if count > 1] == []


def test_kinds_are_the_ones_named():
    kinds = {category: {item.kind for item in load(category)} for category in CATEGORIES}
    assert kinds["idioms"] == {"equivalent", "sense"}
    assert kinds["slang"] == {"spoken", "internet", "gaming", "texting"}
    assert kinds["register"] == {"respectful", "humble", "courteous"}
    assert kinds["literary"] == {"description", "dialogue", "monologue", "humour", "period"}
    assert {item.style for item in REGISTER_ITEMS} == {"casual", "written"}


def test_sources_are_english_lines_and_passages_have_several_sentences():
    for source in sources():
        assert source.source.strip() == source.source and "\n" not in source.source and "\t" not in source.source
        assert not is_japanese(normalise(source.source))
    for item in PASSAGES:
        assert sum(item.source.count(mark) for mark in ".?!") >= 2, item.id


def test_every_pattern_compiles_and_is_said_once():
    for item in PHRASES:
        for patterns, fold in ((item.accepted, True), (item.context, True), (item.traps, False)):
            assert patterns and len(compile_patterns(patterns, fold=fold)) == len(set(patterns)), item.id
    for item in REGISTER_ITEMS:
        for patterns in (item.content, item.accepted["keigo"], item.forbidden["keigo"]):
            assert patterns and len(compile_patterns(patterns, fold=True)) == len(set(patterns)), item.id
    for item in PASSAGES:
        assert len(compile_patterns(item.required, fold=True)) >= 5 and compile_patterns(item.traps, fold=False), (
            item.id
        )


def test_good_phrases_are_accepted_and_show_no_trap():
    judged = [(item.id, text, *judge_phrase(item, text)) for item in PHRASES for text in (item.example, *item.also)]
    assert len(judged) > len(PHRASES)
    assert [row for row in judged if row[2] != "accepted"] == []


def test_literal_phrases_are_caught():
    judged = [(item.id, *judge_phrase(item, item.trap_example)) for item in PHRASES]
    assert [row for row in judged if row[1] != "trap"] == []


def test_a_trap_planted_in_a_good_phrase_is_caught():
    judged = [(item.id, *judge_phrase(item, planted(item))) for item in PHRASES]
    assert [row for row in judged if row[1] != "trap"] == []


def test_what_is_no_translation_of_the_phrase_is_not_accepted():
    damaged = [
        (item, text)
        for item in PHRASES
        for text in ("", item.source, remove(item.example, item.accepted), remove(item.example, item.context))
    ]
    assert [(item.id, text) for item, text in damaged if judge_phrase(item, text)[0] != "neither"] == []


def test_the_translation_of_another_item_is_not_accepted():
    pairs = product(PHRASES, all_texts())
    wrong = [
        (item.id, id_, text)
        for item, (id_, text) in pairs
        if id_ != item.id and judge_phrase(item, text)[0] == "accepted"
    ]
    assert wrong == []


def test_register_examples_pass_their_own_register_and_fail_the_others():
    judged = {
        (item.id, said, asked): judge_register(item, getattr(item, said), asked)[0]
        for item in REGISTER_ITEMS
        for said, asked in product(REGISTERS, REGISTERS)
    }
    for (id_, said, asked), outcome in judged.items():
        if said == asked:
            assert outcome == "accepted", (id_, said)
        elif (said, asked) == ("polite", "keigo"):  # お待たせしました may pass for a humble form that the item lacks
            assert outcome != "accepted", id_
        else:
            assert outcome == "trap", (id_, said, asked)


def test_further_register_renderings_are_accepted():
    judged = [
        (item.id, register, text, *judge_register(item, text, register))
        for item in REGISTER_ITEMS
        for register, texts in item.also.items()
        for text in texts
    ]
    assert len(judged) > 50
    assert [row for row in judged if row[3] != "accepted"] == []


def test_keigo_in_the_wrong_direction_is_found():
    for item in REGISTER_ITEMS:
        forbidden = compile_patterns(item.forbidden["keigo"], fold=True)
        assert find_form(forbidden, item.trap_example), item.id
        assert not find_form(forbidden, item.keigo), item.id
        assert judge_register(item, item.trap_example, "keigo")[0] != "accepted", item.id


def test_a_register_example_without_one_of_its_content_words_is_not_accepted():
    for item, register in product(REGISTER_ITEMS, REGISTERS):
        for pattern in item.content:
            damaged = remove(getattr(item, register), [pattern])
            assert judge_register(item, damaged, register)[0] == "neither", (item.id, register, pattern)


def test_no_other_text_is_accepted_in_a_register():
    wrong = [
        (item.id, register, id_, text)
        for item, (id_, text), register in product(REGISTER_ITEMS, all_texts(), REGISTERS)
        if id_ != item.id and judge_register(item, text, register)[0] == "accepted"
    ]
    assert wrong == []
    for item, register in product(REGISTER_ITEMS, REGISTERS):
        for text in ("", item.source):
            assert judge_register(item, text, register)[0] == "neither", item.id


def test_keigo_is_needed_where_keigo_was_asked_for():
    item = next(item for item in REGISTER_ITEMS if item.source == "When did you come to Japan?")
    assert judge_register(item, "いつ日本に来ましたか。", "keigo") == ("trap", "no honorific or humble form")
    assert judge_register(item, "いつ日本に来ていただきましたか。", "keigo") == (
        "neither",
        "no known form for this scene",
    )


@pytest.mark.parametrize(
    ("text", "register", "problem"),
    [
        ("明日行く。", "plain", None),
        ("明日行きます。", "plain", "polite"),
        ("明日行きますが、雨かもしれない。", "plain", "ますが"),
        ("目を覚ましたが、まだ眠い。", "plain", None),
        ("先生がいらっしゃる。", "plain", "いらっしゃ"),
        ("明日行く。楽しみです。", "polite", "plain"),
        ("ありがとうございます。明日行きます。", "polite", None),
        ("明日参ります。", "polite", "参り"),
        ("母は「早く寝ろ」と言いました。", "polite", None),
        ("母は「もう寝ます」と言った。", "plain", None),
        ("看板に「お静かに願います」とある。", "plain", None),
        ("店員は「何になさいますか」と聞いた。", "plain", None),
        ("コーヒー。", "polite", "no sentence end"),
        ("明日参ります。", "keigo", None),
        ("明日参る。", "keigo", "plain"),
        ("「明日行きます。」", "plain", "polite"),
    ],
)
def test_register_problem(text, register, problem):
    found = register_problem(text, register)
    assert found is None if problem is None else problem in found


def test_ends_leave_quotations_out():
    assert ends("「行くぞ！」と彼は叫びました。「待て」") == ["polite"]
    assert ends("「行くぞ。」") == ends("行くぞ。")
    assert not is_honorific("「いらっしゃいますか」と聞いた。") and is_honorific("こちらにございます。")


def test_good_passages_have_all_points_and_no_trap():
    for item in PASSAGES:
        assert judge_passage(item, item.example)[:2] == ("accepted", 1.0), item.id
        for text in item.also:
            assert judge_passage(item, text)[0] == "accepted", (item.id, text)


def test_literal_passages_are_caught_and_score_less():
    for item in PASSAGES:
        outcome, points, _ = judge_passage(item, item.trap_example)
        assert outcome == "trap" and points <= 1 - 1 / len(item.required) + 1e-9, item.id
        assert judge_passage(item, planted(item))[0] == "trap", item.id


def test_a_passage_loses_every_point_whose_words_are_gone():
    for item in PASSAGES:
        share = 1 / len(item.required)
        for pattern in item.required:
            _, points, reason = judge_passage(item, remove(item.example, [pattern]))
            assert points <= 1 - share + 1e-9 and reason != "all points", (item.id, pattern)


def test_other_texts_are_no_translation_of_a_passage():
    for item in PASSAGES:
        assert judge_passage(item, "")[:2] == ("neither", 0.0)
        assert judge_passage(item, item.source)[:2] == ("neither", 0.0)
        for id_, text in all_texts():
            assert id_ == item.id or judge_passage(item, text)[0] != "accepted", (item.id, id_)


def test_the_points_of_a_passage_are_counted_by_hand():
    item = PASSAGES[0]
    one_missing = remove(item.example, [item.required[2]])
    assert len(item.required) == 7
    assert judge_passage(item, one_missing)[1] == pytest.approx(6 / 7)
    assert judge_passage(item, planted(item))[1] == pytest.approx(6 / 7)


def test_many_versions_in_one_hypothesis_are_no_translation():
    for item in PHRASES[:20]:
        assert judge_phrase(item, "\n".join([item.example] * 9))[0] == "neither"
    assert judge_passage(PASSAGES[0], PASSAGES[0].example * 5)[0] == "neither"


def test_normalise_and_fold():
    assert normalise(" ＴＬ；ＤＲ　“要 するに”〜\n") == 'tl;dr"要するに"~'
    assert fold_kana("ピンとヴァー") == "ぴんとゔぁー"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("行く", True),
        ("我去了", False),
        ("hello", False),
        ("OK、行くよ", True),
        ("This is a long one、ね", False),
        ("", False),
    ],
)
def test_is_japanese(text, expected):
    assert is_japanese(text) is expected


def test_a_trap_inside_an_accepted_phrase_is_covered_and_beside_it_is_not():
    covers = find_spans(compile_patterns(["猫の手も借り"], fold=True), "猫の手も借りたい猫")
    traps = find_spans(compile_patterns(["猫"], fold=False), "猫の手も借りたい猫")
    assert traps == [(0, 1), (8, 9)]
    assert uncovered(traps, covers) == [(8, 9)]
    assert uncovered([(5, 7)], covers) == [(5, 7)]  # half outside


def test_a_trap_outranks_an_accepted_phrase_unless_it_is_part_of_it():
    item = replace(PHRASES[0], accepted=("猫の手も借り",), context=("忙し",), traps=("猫",))
    assert judge_phrase(item, "忙しくて猫の手も借りたい。")[0] == "accepted"
    assert judge_phrase(item, "忙しくて猫の手も借りたい猫。") == ("trap", "猫")
    assert judge_phrase(item, "忙しくて手が足りない。") == ("neither", "no accepted rendering")


@pytest.mark.parametrize("pattern", ["", "ＡＢ", "どう？", "A", "(", "あ*"])
def test_bad_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match="pattern"):
        compile_patterns([pattern], fold=True)


def test_traps_do_not_fold_kana_but_accepted_do():
    assert find_spans(compile_patterns(["ベル"], fold=False), "食べる") == []
    assert find_spans(compile_patterns(["ピンと"], fold=True), fold_kana("ぴんと来ない")) == [(0, 3)]
