"""Rubric: prompts and answers, shares, groups in both orders, position bias, failures."""

import json

import pytest

from in2x.judging import rubric
from in2x.judging import rubric_prompts as prompts
from in2x.judging.rubric_wordings import WRITING
from in2x.judging.segments import no_gate

NONCE = "a1b2c3d4e5f60718"
SOURCE = "It rained cats and dogs."
FIXED = prompts.fixed_principles("en-ja")


def _text(**fields):
    return json.dumps({"id": "a1b2c3"} | fields, ensure_ascii=False)


def _judge(request_of, quality, *, bias=0, fail=lambda request: False, principles=("Heavy rain.",)):
    """A judge that answers yes to the first `quality[text]` principles, and to `bias` more in the first place."""

    def reply(body, number):
        request = request_of(body)
        if fail(request):
            return "?"
        if "principles" not in request.data:
            return json.dumps({"id": request.id, "principles": list(principles)})
        count = len(request.data["principles"])

        def items(text, extra=0):
            satisfied = min(count, quality[text] + extra)
            return ["yes"] * satisfied + ["no"] * (count - satisfied)

        if "translation" in request.data:
            return json.dumps({"id": request.id, "notes": "", "answers": items(request.data["translation"])})
        shown = request.data["translations"]
        answers = {item["label"]: items(item["text"], bias if place == 0 else 0) for place, item in enumerate(shown)}
        return json.dumps({"id": request.id, "answers": answers})

    return reply


def test_principles_are_asked_for_without_showing_a_translation(request_of):
    request = request_of({"messages": prompts.build_principles("en-ja", SOURCE, NONCE)})
    assert request.data == {"source": SOURCE} and "Japanese" in request.outside


@pytest.mark.parametrize(
    ("items", "found"),
    [(["One.", "Two."], ("One.", "Two.")), ([" One\n line. "], ("One line.",)), (["One.", "One."], ("One.",)),
     (list("abcdefg"), tuple("abcde")), ([], None), ([""], None), (["x" * 301], None), (["One.", 2], None),
     ("One.", None)],
)  # fmt: skip
def test_principles_are_read(items, found):
    assert prompts.parse_principles(_text(principles=items), NONCE) == found


def test_the_fixed_principles_name_the_language():
    assert len(FIXED) == 7 and any("Japanese" in line for line in FIXED) and not any("{" in line for line in FIXED)


@pytest.mark.parametrize(
    ("answers", "found"),
    [(["yes", "no", "partial"], ("yes", "no", "partial")), (["はい", "×", 0.5], ("yes", "no", "partial")),
     ({"1": "yes", "3": "no", "2": "no"}, ("yes", "no", "no")), (["yes", "no"], None), (["yes"] * 4, None),
     (["yes", "no", "?"], None), ({"1": "yes", "2": "no"}, None), ("yes", None), (None, None)],
)  # fmt: skip
def test_answers_are_read_if_all_are_there(answers, found):
    assert prompts.parse_single(_text(answers=answers), 3, NONCE) == found


def test_the_share_counts_a_partial_answer_as_half():
    assert prompts.share(("yes", "partial", "no", "no")) == 0.375


def test_texts_for_a_prompt_are_judged_as_that(request_of):
    parts = ("ja-ja", "猫の話", ("甲", "乙"), ("P.",), NONCE, WRITING)
    group = request_of({"messages": prompts.build_group(*parts)})
    assert group.data["prompt"] == "猫の話" and [item["text"] for item in group.data["texts"]] == ["甲", "乙"]
    single = request_of({"messages": prompts.build_single("ja-ja", "猫の話", "甲", ("P.",), NONCE, WRITING)})
    assert single.data == {"prompt": "猫の話", "text": "甲", "principles": ["P."]}
    asked = request_of({"messages": prompts.build_principles("ja-ja", "猫の話", NONCE, WRITING)})
    assert asked.data == {"prompt": "猫の話"}
    for request in (group, single, asked):
        assert "Japanese" in request.outside
    assert "translat" not in repr(WRITING).lower()
    assert not any("{" in line for line in prompts.fixed_principles("ja-ja", WRITING))


def test_a_group_is_labelled_in_the_order_given(request_of):
    request = request_of({"messages": prompts.build_group("en-ja", SOURCE, ("甲", "乙"), ("P.",), NONCE)})
    assert request.data["translations"] == [{"label": "A", "text": "甲"}, {"label": "B", "text": "乙"}]
    assert '"A": ["..."], "B": ["..."]' in request.outside
    for wrong in ([], ["x"] * 17):
        with pytest.raises(ValueError, match="1 to 16"):
            prompts.build_group("en-ja", SOURCE, wrong, ("P.",), NONCE)


@pytest.mark.parametrize(
    ("answers", "found"),
    [({"A": ["yes"], "B": ["no"]}, [("yes",), ("no",)]), ({"B": ["no"], "A": ["yes"]}, [("yes",), ("no",)]),
     ({"A": ["yes"]}, None), ({"A": ["yes"], "B": ["no"], "C": ["no"]}, None), ({"A": ["yes"], "B": []}, None),
     ([["yes"], ["no"]], None)],
)  # fmt: skip
def test_group_answers_are_read_if_all_are_there(answers, found):
    assert prompts.parse_group(_text(answers=answers), 2, 1, NONCE) == found


def test_single_scores_are_shares_of_fixed_and_generated_principles(make_client, request_of):
    client = make_client(_judge(request_of, {"土砂降り。": 8, "猫と犬。": 2}))
    group = rubric.Group("en-ja", SOURCE, ("猫と犬。", "土砂降り。", "猫と犬。", "It rained."))
    found = rubric.judge(client, [group]).groups[0]
    assert [verdict.score for verdict in found] == [2 / 8, 1.0, 2 / 8, 0.0]
    assert found[3].status == "gated" and found[1].detail == dict.fromkeys((*FIXED, "Heavy rain."), "yes")
    assert len(client.test_server.bodies) == 3  # the principles, and each distinct text once


def test_principles_are_generated_once_for_a_source(make_client, request_of):
    quality = {"雨。": 4, "雪。": 0, "嵐。": 8}
    client = make_client(_judge(request_of, quality))
    groups = [rubric.Group("en-ja", SOURCE, (text,)) for text in quality]
    assert [v[0].score for v in rubric.judge(client, groups).groups] == [0.5, 0.0, 1.0]
    assert sum("principles" not in request_of(body).data for body in client.test_server.bodies) == 1
    again = make_client(_judge(request_of, quality))
    rubric.judge(again, groups)
    assert again.test_server.bodies == []


def test_a_group_is_judged_in_both_orders(make_client, request_of):
    quality = {"甲。": 1, "乙。": 3, "丙。": 5, "丁。": 7}
    client = make_client(_judge(request_of, quality, principles=("P.",)))
    found = rubric.judge(client, [rubric.Group("en-ja", SOURCE, tuple(quality))], groupwise=True, gate=no_gate)
    assert [verdict.score for verdict in found.groups[0]] == [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert found.bias.gain == 0.0 and found.bias.num_compared == 4
    shown = [
        [item["text"] for item in request_of(body).data["translations"]]
        for body in client.test_server.bodies
        if "translations" in request_of(body).data
    ]
    assert len(shown) == 2 and shown[0] == shown[1][::-1] and sorted(shown[0]) == sorted(quality)


def test_the_position_bias_is_measured_and_averaged_out(make_client, request_of):
    """The judge adds 2 of 8 principles to what stands first: the ends gain 1/8 each, two of four are biased by 2/8."""
    quality = {"甲。": 1, "乙。": 1, "丙。": 1, "丁。": 1}
    client = make_client(_judge(request_of, quality, bias=2))
    found = rubric.judge(client, [rubric.Group("en-ja", SOURCE, tuple(quality))], groupwise=True, gate=no_gate)
    order = rubric.shuffled(SOURCE, list(quality))
    scores = dict(zip(quality, (verdict.score for verdict in found.groups[0]), strict=True))
    assert [scores[text] for text in order] == [2 / 8, 1 / 8, 1 / 8, 2 / 8]
    assert found.bias.gain == pytest.approx((2 / 8 + 0 + 0 + 2 / 8) / 4)


def test_the_one_in_the_middle_says_nothing_of_the_bias(make_client, request_of):
    client = make_client(_judge(request_of, {"甲。": 1, "乙。": 2, "丙。": 3}, bias=1))
    found = rubric.judge(
        client, [rubric.Group("en-ja", SOURCE, ("甲。", "乙。", "丙。"))], groupwise=True, gate=no_gate
    )
    assert found.bias.num_compared == 2 and found.bias.gain == pytest.approx(1 / 8)


def test_one_unread_order_leaves_the_group_without_scores(make_client, request_of):
    quality = {"甲。": 1, "乙。": 3, "丙。": 1}
    order = rubric.shuffled(SOURCE, ["甲。", "乙。"])

    def fail(request):
        return request.data.get("translations", [{"text": None}])[0]["text"] == order[1]

    client = make_client(_judge(request_of, quality, fail=fail))
    groups = [rubric.Group("en-ja", SOURCE, ("甲。", "乙。", "")), rubric.Group("en-ja", "Hi.", ("丙。",))]
    found = rubric.judge(client, groups, groupwise=True, gate=no_gate)
    assert [verdict.score for verdict in found.groups[0]] == [None, None, 0.0]
    assert found.groups[0][0].raw == "?" and found.groups[1][0].score == 1 / 8
    assert found.bias.num_compared == 0 and found.bias.gain is None


def test_without_principles_there_is_no_score(make_client, request_of):
    client = make_client(_judge(request_of, {}, fail=lambda request: "principles" not in request.data))
    found = rubric.judge(client, [rubric.Group("en-ja", SOURCE, ("雨。", "雪。"))], gate=no_gate).groups[0]
    assert [(verdict.status, verdict.score, verdict.reason) for verdict in found] == [
        ("failed", None, "no principles")
    ] * 2
    assert len(client.test_server.bodies) == 1


def test_a_group_that_the_gate_empties_costs_nothing(make_client):
    client = make_client(lambda body, n: "never")
    found = rubric.judge(client, [rubric.Group("en-ja", SOURCE, ("", "It rained."))], groupwise=True)
    assert [verdict.score for verdict in found.groups[0]] == [0.0, 0.0] and client.test_server.bodies == []


def test_the_order_is_drawn_from_the_texts_and_not_from_their_order():
    texts = [f"訳{i}" for i in range(12)]
    order = rubric.shuffled(SOURCE, texts)
    assert order == rubric.shuffled(SOURCE, texts[::-1]) and sorted(order) == sorted(texts)
    assert order != sorted(texts) and order != rubric.shuffled("another source", texts)


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (16, [16]), (17, [9, 8]), (43, [15, 14, 14])])
def test_large_groups_are_parted_evenly(number, sizes):
    parts = rubric.parts_of([str(i) for i in range(number)])
    assert [len(part) for part in parts] == sizes and len({text for part in parts for text in part}) == number


def test_a_large_group_is_judged_in_parts(make_client, request_of):
    quality = {f"訳{i}。": i % 9 for i in range(20)}
    client = make_client(_judge(request_of, quality))
    found = rubric.judge(client, [rubric.Group("en-ja", SOURCE, tuple(quality))], groupwise=True, gate=no_gate)
    assert [verdict.score for verdict in found.groups[0]] == [i % 9 / 8 for i in range(20)]
    assert len(client.test_server.bodies) == 1 + 2 * 2
