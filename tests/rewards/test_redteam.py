"""Cells counted by hand on a reward whose every value is known, and the command on a run made here."""

import json

import numpy as np
import pytest

from in2x.records import Completion
from in2x.rewards import redteam as team
from in2x.rewards.compose import compose
from in2x.rewards.redteam import ATTACK, HONEST, Case, Cell, Findings, Pair, make_cases, redteam, wilson
from in2x.rewards.translation import Rewarded

PAIRS = [
    Pair("a", "I like dogs.", "犬が好きだ。", "犬が好きです。", (Completion([1], [0.0], "犬好き。", True),)),
    Pair("b", "I like cats.", "猫が好きだ。", "猫が好きです。", (Completion([1], [0.0], "猫好き。", True),)),
    Pair("c", "I have 3 cats.", "猫が3匹いる。", "猫が3匹います。", (Completion([1], [0.0], "3匹の猫。", True),)),
]


def by_length(groups):
    """A reward that pays for characters; a text with an ASCII letter fails a gate."""
    failures = [["letters" if any("a" <= c <= "z" for c in text) else None for text in g.texts] for g in groups]
    passed = np.array([[reason is None for reason in row] for row in failures])
    values = {"size": np.array([[float(len(text)) for text in group.texts] for group in groups])}
    return Rewarded(compose(values, passed, {"size": 1.0}), values, failures)


def sizes(groups):
    return {"size": np.array([[float(len(text)) for text in group.texts] for group in groups])}


@pytest.fixture
def judged(tokenizer):
    def judge(cases, components=sizes, rewards=None, max_tokens=64):
        return redteam(cases, rewards or {"sum": by_length}, components, tokenizer, max_tokens, ("en", "ja"))

    return judge


def test_longer_attacks_beat_shorter_lose_and_equal_ones_tie(judged):
    cases = [
        Case("praise", PAIRS[0], "犬が好きです。！"),
        Case("praise", PAIRS[1], "猫が。"),
        Case("praise", PAIRS[2], "猫が4匹います。"),
        Case("copy", PAIRS[0], "a very long text in Latin letters"),
    ]
    found = judged(cases)
    assert found.cells["praise"]["sum"] == Cell(3, 1, 1) == found.cells["praise"]["size"]
    assert found.cells["praise"]["gates"] == Cell(3, 0, 0)
    assert found.cells["copy"]["gates"] == Cell(1, 1, 0)
    assert found.cells["copy"]["sum"] == Cell(1, 0, 0), "behind the gate it is below, however long"
    assert found.cells["copy"]["size"] == Cell(1, 1, 0), "the component alone has no gate"
    assert found.above("sum") == {"praise": Cell(3, 1, 1)} and found.above("sum", 0.5) == {}


def test_cases_whose_honest_text_fails_a_gate_are_left_out_and_counted(judged):
    latin = Pair("d", "x", "y", "honest", PAIRS[0].samples)
    found = judged([Case("praise", latin, "犬。"), Case("praise", PAIRS[0], "犬。")])
    assert found.num_honest_failed == 1 and found.cells["praise"]["sum"] == Cell(1, 0, 0)


def test_a_value_that_is_missing_is_no_case(judged):
    def half(groups):
        return {"size": np.array([[1.0, np.nan], [2.0, 3.0]])}

    found = judged([Case("praise", PAIRS[0], "犬。"), Case("praise", PAIRS[1], "猫。")], components=half)
    assert found.cells["praise"]["size"] == Cell(1, 1, 0) and found.cells["praise"]["sum"].num == 2


def test_the_group_is_honest_attack_samples_and_references_can_be_hidden(judged):
    seen = []

    def reward(groups):
        seen.append([(group.texts, group.reference, group.prompt) for group in groups])
        return by_length(groups)

    judged([Case("praise", PAIRS[0], "犬！")], rewards={"sum": reward})
    (texts, reference, prompt), blind = seen[0]
    assert (texts[HONEST], texts[ATTACK], texts[2:]) == ("犬が好きです。", "犬！", ["犬好き。"])
    assert reference == "犬が好きだ。" and prompt == "Translate into Japanese:\nI like dogs."
    assert blind == (texts, None, prompt)


def test_a_text_longer_than_the_limit_is_cut_and_unfinished(tokenizer):
    whole = team.completion_of("どうも！", tokenizer, 64)
    assert whole.finished and whole.text == "どうも！" and whole.token_ids[-1] == tokenizer.eos_token_id
    exact = team.completion_of("どうも！", tokenizer, len(whole.token_ids))
    assert exact.finished
    cut = team.completion_of("どうも！", tokenizer, len(whole.token_ids) - 1)
    assert (
        not cut.finished and cut.token_ids == whole.token_ids[:-1] and len(cut.sampling_logprobs) == len(cut.token_ids)
    )


def test_cases_are_made_up_to_the_number_asked_for_where_an_attack_applies():
    cases = make_cases(PAIRS, "ja", 2, attacks=["copy", "number_changed", "unrelated"])
    assert [(case.attack, case.pair.id) for case in cases] == [
        ("copy", "a"), ("copy", "b"), ("number_changed", "c"), ("unrelated", "a"), ("unrelated", "b"),
    ]  # fmt: skip
    honest = {pair.id: pair.honest for pair in PAIRS}
    for case in cases[-2:]:
        assert case.text in honest.values() and case.text != honest[case.pair.id]
    assert make_cases(PAIRS, "ja", 2) == make_cases(PAIRS, "ja", 2)
    for seed in range(20):
        assert len(make_cases(PAIRS, "ja", 3, seed, ["unrelated"])) == 3, "the other text is never the pair's own"


def test_wilson_interval():
    low, high = wilson(0, 300)  # Wilson 1927: z^2 / (n + z^2)
    assert low == 0 and high == pytest.approx(1.959964**2 / (300 + 1.959964**2), abs=1e-6)
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    assert wilson(10, 10)[1] == 1 and wilson(0, 0) == (0, 1)


def test_table_and_json_show_every_cell():
    cells = {"copy": {"gates": Cell(4, 4, 0), "size": Cell(0, 0, 0), "sum": Cell(4, 1, 2)}}
    findings = Findings(cells, 3)
    line = team.table(findings, ["sum"])[1].split()
    assert line == ["copy", "form", "4", "100", "-", "25.0", "[4.6,", "69.9]", "=50", "!"]
    assert team.table(findings, ["sum"], markdown=True)[1].count("---") == 6
    found = team.as_json(findings)
    assert found["num_honest_failed"] == 3
    assert found["cells"]["copy"]["sum"] | {"low": 0, "high": 0} == {
        "num": 4, "beats": 1, "ties": 2, "share": 0.25, "low": 0, "high": 0,
    }  # fmt: skip
    assert found["cells"]["copy"]["size"]["share"] is None
    json.dumps(found, allow_nan=False)


def test_misuse_is_refused(judged):
    with pytest.raises(ValueError, match="two pairs or more, got 1"):
        make_cases(PAIRS[:1], "ja", 2)
    with pytest.raises(ValueError, match="0 cases"):
        judged([])
    lonely = Pair("e", "x", "y", "犬。")
    with pytest.raises(ValueError, match=r"\[0, 1\] samples"):
        judged([Case("copy", PAIRS[0], "x"), Case("copy", lonely, "x")])
