"""The challenge set and its scoring: every item is tried with good, literal, foreign and damaged translations."""

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.bootstrap import paired_bootstrap
from in2x.evaluation.challenge import score_challenge, sources, statistics
from in2x.evaluation.challenge.command import challenge_command, read_hypotheses
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


def best():
    """The example of every source, as a perfect system would give it."""
    found = {}
    for _, item in items():
        if isinstance(item, RegisterItem):
            found |= {f"{item.id}.{register}": getattr(item, register) for register in REGISTERS}
        else:
            found[item.id] = item.example
    return found


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


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


def test_a_perfect_system_scores_hundred_everywhere():
    result = score_challenge(best(), num_resamples=20)
    assert list(result.categories) == list(CATEGORIES)
    for score in [*result.categories.values(), *result.kinds.values()]:
        assert (score.accepted.value, score.accepted.low, score.accepted.high) == (100, 100, 100)
        assert score.trap.value == score.neither.value == 0 and score.points.value == 100
    assert result.categories["register"].num_translations == 3 * len(REGISTER_ITEMS)
    assert sum(score.num_translations for score in result.kinds.values()) == len(result.verdicts) == len(sources())


def test_rates_are_counted_by_hand():
    hypotheses = {key: text for key, text in best().items() if key.startswith("idiom")}
    idioms = load("idioms")
    for item in idioms[:45]:
        hypotheses[item.id] = item.trap_example
    for item in idioms[45:54]:
        hypotheses[item.id] = ""
    score = score_challenge(hypotheses, ["idioms"]).categories["idioms"]
    assert (score.accepted.value, score.trap.value, score.neither.value) == pytest.approx((70, 25, 5))
    assert score.accepted.low < 70 < score.accepted.high and score.accepted.low > 60 and score.accepted.high < 80


def test_the_registers_of_one_sentence_are_drawn_together():
    result = score_challenge({key: text for key, text in best().items() if "register" in key}, ["register"])
    counts = statistics(result.verdicts)
    assert counts.counts_NK.shape == (len(REGISTER_ITEMS), 2)
    assert (counts.counts_NK == 3).all()


def test_two_systems_are_compared_on_the_same_items():
    good = {key: text for key, text in best().items() if key.startswith("slang")}
    bad = good | {item.id: item.trap_example for item in load("slang")[:30]}
    verdicts = [score_challenge(each, ["slang"], num_resamples=10).verdicts for each in (good, bad)]
    comparison = paired_bootstrap(*map(statistics, verdicts), num_resamples=200)
    assert comparison.delta == pytest.approx(100 * 30 / len(load("slang"))) and comparison.p_value < 0.05


def test_statistics_refuse_what_they_cannot_count():
    with pytest.raises(ValueError, match="measure"):
        statistics([], "bleu")
    with pytest.raises(ValueError, match="no verdicts"):
        statistics([])


def test_missing_unknown_and_wrong_hypotheses_are_refused():
    hypotheses = {key: text for key, text in best().items() if key.startswith("slang")}
    del hypotheses["slang-003"], hypotheses["slang-007"]
    with pytest.raises(ValueError, match="2 of 116 ids have no hypothesis: slang-003, slang-007"):
        score_challenge(hypotheses, ["slang"])
    hypotheses |= {"slang-003": "あ", "slang-007": "あ", "slang-999": "あ"}
    with pytest.raises(ValueError, match="1 ids are not among the 116 to score: slang-999"):
        score_challenge(hypotheses, ["slang"])
    del hypotheses["slang-999"]
    with pytest.raises(ValueError, match="slang-003: expected a string, got NoneType"):
        score_challenge(hypotheses | {"slang-003": None}, ["slang"])
    with pytest.raises(ValueError, match="expected one of idioms, slang, register, literary"):
        score_challenge({}, ["idiom"])


def test_register_sources_say_the_register_and_the_scene():
    found = {source.id: source for source in sources(["register"])}
    item = REGISTER_ITEMS[0]
    assert "plain form" in found[f"{item.id}.plain"].instruction
    assert "desu/masu" in found[f"{item.id}.polite"].instruction
    assert item.scene in found[f"{item.id}.keigo"].instruction
    written = next(item for item in REGISTER_ITEMS if item.style == "written")
    assert "da/dearu" in found[f"{written.id}.plain"].instruction


def test_command_writes_sources_and_scores_what_comes_back(tmp_path, capsys):
    challenge_command(None, tmp_path / "sources.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "sources.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(sources()) and set(rows[0]) == {"id", "category", "kind", "instruction", "source"}
    challenge_command(None, tmp_path / "sources.tsv", ["literary"])
    first = (tmp_path / "sources.tsv").read_text(encoding="utf-8").splitlines()[0].split("\t")
    assert first == [PASSAGES[0].id, "Translate into natural Japanese.", PASSAGES[0].source]
    answers = [{"id": row["id"], "hypothesis": best()[row["id"]]} for row in rows]
    capsys.readouterr()
    challenge_command(write_jsonl(tmp_path / "answers.jsonl", answers), tmp_path / "result.json")
    shown = capsys.readouterr().out
    assert "idioms" in shown and "keigo" in shown and "100.0 [100.0, 100.0]" in shown
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["categories"]["idioms"]["accepted"]["value"] == 100
    assert len(result["verdicts"]) == len(rows) and result["data"]


def test_command_without_out_prints_json_alone_to_standard_output(tmp_path, capsys):
    lines = [f"{key}\t{text}" for key, text in best().items() if key.startswith("literary")]
    lines[0] = f"{PASSAGES[0].id}\t"
    path = tmp_path / "answers.tsv"
    path.write_text("\r\n".join(lines), encoding="utf-8")
    challenge_command(path, None, ["literary"])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["verdicts"][0]["reason"] == "empty" and result["verdicts"][1]["outcome"] == "accepted"
    assert "challenge set" in captured.err and "1 hypotheses are empty" in captured.err
    challenge_command(None, None, ["literary"])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["id"] == PASSAGES[0].id


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "expected a file ending in .jsonl, .txt or .tsv"),
        ("a.jsonl", b'{"id": "a"}\n', "a.jsonl:1: hypothesis: expected a string, got null"),
        ("a.jsonl", b'{"id": 3, "hypothesis": ""}\n', "a.jsonl:1: id: expected a string, got 3"),
        ("a.jsonl", b'\n{"id"\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", b"[]\n", "a.jsonl:1: id: expected a string"),
        ("a.txt", b"slang-001 x\n", "a.txt:1: expected an id, a tab and a translation"),
        ("a.txt", b"slang-001\tx\nslang-001\ty\n", "a.txt:2: id slang-001 for the second time"),
        ("a.txt", b"slang-001\t\xff\n", "a.txt: not UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_named_with_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(In2xError, match=message):
        read_hypotheses(tmp_path / name)


def test_command_refuses_in_words(tmp_path):
    with pytest.raises(In2xError, match="no such file"):
        challenge_command(tmp_path / "none.txt", None)
    with pytest.raises(In2xError, match="--category poetry: expected one of"):
        challenge_command(None, None, ["poetry"])
    with pytest.raises(In2xError, match="expected a name ending in .jsonl"):
        challenge_command(None, tmp_path / "sources.csv")
    answers = write_jsonl(tmp_path / "a.jsonl", [{"id": "slang-001", "hypothesis": "あ"}])
    with pytest.raises(In2xError, match="115 of 116 ids have no hypothesis: slang-002.*writes the sources"):
        challenge_command(answers, None, ["slang"])
