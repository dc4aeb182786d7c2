"""ESA: what is asked, what is read, spans that stand in the text, the gate, failures."""

import json

import pytest

from in2x.artifacts import In2xError
from in2x.judging import esa
from in2x.judging.segments import Segment, check_failing, default_gate, failing_share

NONCE = "a1b2c3d4e5f60718"
SEGMENT = Segment("en-ja", "He put off the meeting until Friday.", "彼は会議を木曜日まで、延期しました。")


def _answer(score=40, errors=(), **changes):
    return json.dumps({"id": "a1b2c3", "errors": list(errors), "score": score} | changes, ensure_ascii=False)


def _error(span, severity="major", category="mistranslation"):
    return {"span": span, "severity": severity, "category": category}


def test_the_request_names_the_languages_and_fences_the_texts(request_of):
    messages = esa.build(SEGMENT, NONCE)
    request = request_of({"messages": messages})
    assert request.data == {"source": SEGMENT.source, "translation": SEGMENT.hypothesis}
    assert "from English into Japanese" in request.outside and "reference" not in request.outside
    assert f'"id": "{NONCE[:6]}"' in messages[1]["content"]
    with_reference = Segment(SEGMENT.pair, SEGMENT.source, SEGMENT.hypothesis, "彼は会議を金曜に延ばした。")
    request = request_of({"messages": esa.build(with_reference, NONCE)})
    assert request.data["reference"] == "彼は会議を金曜に延ばした。" and 'under "reference"' in request.outside


def test_an_unknown_language_is_refused():
    with pytest.raises(In2xError, match="no name of this language"):
        esa.build(Segment("en-xx", "a", "b"), NONCE)
    with pytest.raises(In2xError, match="expected source and target"):
        esa.build(Segment("japanese", "a", "b"), NONCE)


def test_score_and_spans_are_read():
    errors = [
        _error("木曜日"),
        _error("延期しました", "Minor", "Register"),
        _error("until Friday", "minor", "omission"),
    ]
    result = esa.parse(_answer(40, errors), SEGMENT, NONCE)
    assert result == esa.EsaResult(
        40.0,
        (
            esa.ErrorSpan("木曜日", "major", "mistranslation", 5, 8),
            esa.ErrorSpan("延期しました", "minor", "register", 11, 17),
            esa.ErrorSpan("until Friday", "minor", "omission", 23, 35),
        ),
        0,
    )
    assert SEGMENT.hypothesis[5:8] == "木曜日" and SEGMENT.source[23:35] == "until Friday"


@pytest.mark.parametrize(
    "error",
    [_error("金曜日"), _error(""), _error("木曜日", "critical"), _error("until Friday"),
     {"span": 3, "severity": "major"}, _error("彼は", category="omission"), "木曜日", None],
)  # fmt: skip
def test_what_stands_nowhere_is_dropped_and_counted(error):
    result = esa.parse(_answer(40, [error, _error("木曜日")]), SEGMENT, NONCE)
    assert len(result.spans) == 1 and result.num_dropped == 1


def test_an_unknown_category_is_other():
    assert esa.parse(_answer(40, [_error("木曜日", category="vibe")]), SEGMENT, NONCE).spans[0].category == "other"


@pytest.mark.parametrize(
    ("span", "text", "place"),
    [("bc", "abcabc", (1, 3)), ("「会議」", "彼の会議", (2, 4)), ("ＡＢ", "xABx", (1, 3)), ("２０", "全20人", (1, 3)),
     ("a b", "xa  bx", (1, 5)), ("ガ", "ｶﾞｽ", None), ("株式会社", "x㍿x", (1, 2)), (" ", "ab", None),
     ("「」", "ab", None)],
)  # fmt: skip
def test_places(span, text, place):
    assert esa.locate(span, text) == place


@pytest.mark.parametrize(
    "text",
    ["", "no idea", _answer(101), _answer(-1), _answer("good"), _answer(None), _answer(0.85), _answer(True),
     _answer(id="ffffff"), json.dumps({"id": "a1b2c3", "errors": []})],
)  # fmt: skip
def test_without_a_certain_score_there_is_no_result(text):
    assert esa.parse(text, SEGMENT, NONCE) is None


@pytest.mark.parametrize("text", ["85", "スコア：８５点", _answer("８５"), _answer(85)])
def test_a_score_alone_has_no_spans(text):
    assert esa.parse(text, SEGMENT, NONCE) == esa.EsaResult(85.0, (), 0)


@pytest.mark.parametrize(("errors", "dropped"), [(None, 0), ("none", 1), ({}, 0)])
def test_errors_that_are_no_list(errors, dropped):
    text = json.dumps({"id": "a1b2c3", "errors": errors, "score": 85})
    assert esa.parse(text, SEGMENT, NONCE) == esa.EsaResult(85.0, (), dropped)


def test_a_zero_is_a_score():
    assert esa.parse(_answer(0), SEGMENT, NONCE).score == 0.0


def test_verdicts_follow_the_segments_and_the_gate_asks_nothing(make_client, request_of):
    def reply(body, number):
        request = request_of(body)
        if request.data["translation"] == "読めません。":
            return "I'd rather not."
        score = 90 if "金曜" in request.data["translation"] else 20
        return json.dumps({"id": request.id, "errors": [], "score": score})

    texts = ["金曜に延期。", "", "He put it off.", "読めません。", "木曜に延期。", "長い" * 400]
    client = make_client(reply)
    verdicts = esa.judge(client, [Segment("en-ja", SEGMENT.source, text) for text in texts])
    assert [v.status for v in verdicts] == ["scored", "gated", "gated", "failed", "scored", "gated"]
    assert [v.score for v in verdicts] == [90.0, 0.0, 0.0, None, 20.0, 0.0]
    assert verdicts[2].reason.startswith("language") and verdicts[5].reason.startswith("over-long")
    assert verdicts[3].raw == "I'd rather not." and len(client.test_server.bodies) == 3
    assert failing_share(verdicts) == pytest.approx(1 / 3)


def test_too_many_failures_end_with_three_raw_answers(make_client):
    client = make_client(lambda body, n: f"Nope. \x1b[31m \u202e number {n}")
    verdicts = esa.judge(client, [Segment("en-ja", "Hi!", f"どうも{i}。") for i in range(5)])
    check_failing(verdicts, 1.0)
    with pytest.raises(In2xError) as error:
        check_failing(verdicts, 0.2)
    message = str(error.value)
    assert message.startswith("5 of 5 judgements failed (100%; --max-failing allows 20%)")
    assert message.count('no score could be read: "Nope.') == 3 and "\x1b" not in message and "\u202e" not in message


def test_the_bound_itself_is_allowed():
    from in2x.judging.segments import Verdict, failed

    verdicts = [Verdict("scored", 1.0)] * 4 + [failed("x", "raw")]
    check_failing(verdicts, 0.2)
    check_failing([Verdict("gated", 0.0)] * 3, 0.0)
    check_failing([], 0.0)
    with pytest.raises(In2xError, match="1 of 5"):
        check_failing([*verdicts, Verdict("gated", 0.0)], 0.19)


def test_the_gate_knows_its_languages():
    assert default_gate("どうも。", "Hi.", "ja_JP") is None
    assert default_gate("Hello there, friend.", "やあ。", "en") is None
    assert default_gate("你们好，我的朋友们，很高兴见到你们。", "Hello, my friends!", "ja").startswith("language")
    with pytest.raises(In2xError, match="--no-gate"):
        default_gate("x", "y", "tlh")
