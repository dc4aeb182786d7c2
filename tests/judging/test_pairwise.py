"""Pairwise: both orders, ties, the gate, position bias."""

import json

import pytest

from in2x.judging import pairwise
from in2x.judging.pairwise import Duel
from in2x.judging.segments import no_gate

NONCE = "a1b2c3d4e5f60718"


def _by_length(request_of):
    def reply(body, number):
        request = request_of(body)
        a, b = len(request.data["A"]), len(request.data["B"])
        return json.dumps({"id": request.id, "notes": "", "better": "A" if a > b else "B" if b > a else "tie"})

    return reply


def test_the_request_fences_both_texts(request_of):
    request = request_of({"messages": pairwise.build("en-ja", "Hi!", "やあ。", "どうも。", NONCE)})
    assert request.data == {"source": "Hi!", "A": "やあ。", "B": "どうも。"}


@pytest.mark.parametrize(
    ("better", "choice"),
    [("A", "A"), ("b", "B"), ("Ａ", "A"), ("Translation B.", "B"), ("Tie", "tie"), ("引き分け", "tie"), ("C", None),
     ("", None), (None, None), ("A or B", None), (1, None)],
)  # fmt: skip
def test_choices(better, choice):
    assert pairwise.parse(json.dumps({"id": "a1b2c3", "better": better}), NONCE) == choice


def test_a_choice_without_the_id_is_none():
    assert pairwise.parse('{"better": "A"}', NONCE) is None


@pytest.mark.parametrize(
    ("forward", "backward", "score"),
    [("A", "B", 1.0), ("B", "A", 0.0), ("A", "A", 0.5), ("B", "B", 0.5), ("tie", "tie", 0.5), ("A", "tie", 0.5),
     ("tie", "A", 0.5)],
)  # fmt: skip
def test_only_the_same_text_in_both_orders_wins(forward, backward, score):
    assert pairwise.combine(forward, backward) == score


def test_verdicts_of_a_fair_judge(make_client, request_of):
    client = make_client(_by_length(request_of))
    duels = [
        Duel("en-ja", "Hi!", "どうも、こんにちは。", "やあ。"),
        Duel("en-ja", "Hi!", "やあ。", "どうも、こんにちは。"),
        Duel("en-ja", "Hi!", "やあ。", "よう。"),
        Duel("en-ja", "Hi!", "やあ。", "やあ。"),
        Duel("en-ja", "Hi!", "Hello, you!", "やあ。"),
        Duel("en-ja", "Hi!", "やあ。", ""),
        Duel("en-ja", "Hi!", "Hello, you!", ""),
    ]
    found = pairwise.judge(client, duels)
    assert [verdict.score for verdict in found.verdicts] == [1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 0.5]
    assert [verdict.status for verdict in found.verdicts] == ["scored"] * 3 + ["gated"] * 4
    assert (found.num_asked, found.num_inconsistent, found.first_place_share) == (3, 0, 0.5)
    assert len(client.test_server.bodies) == 4  # the second duel is the first one's other order


def test_a_judge_that_follows_the_place_yields_ties(make_client, request_of):
    def reply(body, number):
        return json.dumps({"id": request_of(body).id, "better": "A"})

    found = pairwise.judge(make_client(reply), [Duel("en-ja", "Hi!", "やあ。", f"{i}。") for i in range(4)], no_gate)
    assert [verdict.score for verdict in found.verdicts] == [0.5] * 4
    assert found.num_inconsistent == 4 and found.first_place_share == 1.0


def test_a_failure_in_one_order_is_no_comparison(make_client, request_of):
    fair = _by_length(request_of)

    def reply(body, number):
        return "Both are nice." if request_of(body).data["A"] == "失敗。" else fair(body, number)

    client = make_client(reply)
    found = pairwise.judge(
        client, [Duel("en-ja", "Hi!", "やあやあ。", "失敗。"), Duel("en-ja", "Hi!", "失敗。", "やあ。")]
    )
    assert [verdict.score for verdict in found.verdicts] == [None, None]
    assert {verdict.raw for verdict in found.verdicts} == {"Both are nice."} and found.first_place_share is None
