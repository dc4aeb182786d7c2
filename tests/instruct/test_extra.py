import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.instruct.extra import read_extra
from in2x.sections.instruct import Extra

GOOD = {"prompt": "Write a haiku.", "response": "古池や", "answer": 42}


def extra(path, use="sft", **more) -> Extra:
    return Extra(**{"path": path, "use": use, "task": "creative", "direction": "ja-ja", "count": 5} | more)


@pytest.fixture
def write(tmp_path):
    def made(*rows, name="a.jsonl"):
        path = tmp_path / name
        text = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return path

    return made


def test_rows_for_sft_and_for_rl(write):
    path = write(GOOD, {"prompt": "２", "response": "b", "answer": "3/4"})
    sft = read_extra(extra(path)).rows
    assert sft["response"].to_list() == sft["reference"].to_list() == ["古池や", "b"]
    assert sft["line"].to_list() == [1, 2] and sft["key"].to_list() == ["writeahaiku", "2"]
    rl = read_extra(extra(path, "rl", answer_column="answer")).rows
    assert rl["reference"].to_list() == rl["response"].to_list() == ["42", "3/4"]
    assert rl["source"].to_list() == rl["prompt"].to_list()
    judged = read_extra(extra(path, "rl")).rows
    assert judged["reference"].to_list() == [None, None]


def test_other_names_of_columns_and_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"q": ["one", "two"], "s": ["1", "2"], "a": [1.5, None]}).write_parquet(path)
    read = read_extra(extra(path, "rl", prompt_column="q", source_column="s", answer_column="a",
                            max_broken_fraction=0.5))  # fmt: skip
    assert read.rows.select("prompt", "source", "reference").rows() == [("one", "1", "1.5")]
    assert read.rejected.row(0)[1:3] == (2, "a: expected text, got nothing")


def test_conversations(write):
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "x"},
             {"role": "assistant", "content": "a"}]  # fmt: skip
    path = write(
        {"messages": turns}, {"messages": turns[:2]}, {"messages": []}, {"messages": turns[::2]},
        {"messages": [{"role": "tool", "content": "x"}]}, {"messages": [*turns, *turns[1:]]}, {"messages": turns},
    )  # fmt: skip
    read = read_extra(extra(path, messages_column="messages", max_broken_fraction=0.8))
    assert read.rows["prompt"].to_list() == ["u", "u"] and read.rows["response"].to_list() == ["a", "a"]
    plain = {"role": "user", "content": "u"}  # what a message has beside role and content is left out
    assert read.rows["messages"].to_list()[0][1] == plain and len(read.rows["messages"].to_list()[1]) == 5
    assert read.rejected["reason"].to_list() == [
        "messages: the last message is no answer of the assistant",
        "messages: expected a list of messages, got list",
        "messages: no message of the user",
        "messages: message 0: expected role (system, user, assistant) and content, both text",
        "the same as line 1",
    ]


def test_broken_rows_are_kept_aside_with_line_and_reason(write):
    path = write(
        GOOD, "", "{not", [1], {"prompt": " ", "response": "x"}, {"prompt": "p", "response": 3}, {"response": "x"},
        GOOD, {"prompt": "\ud83d", "response": "half"} | {"prompt": "q"},
    )  # fmt: skip
    read = read_extra(extra(path, max_broken_fraction=0.9))
    assert read.num_read == 8 and len(read.rows) == 2
    assert read.rejected["line"].to_list() == [3, 4, 5, 6, 7, 8]
    reasons = read.rejected["reason"].to_list()
    assert reasons[0].startswith("not JSON") and reasons[1] == "expected an object of JSON, got list"
    assert reasons[2:] == ["prompt: empty", "response: expected text, got int", "prompt: expected text, got nothing",
                           "the same as line 1"]  # fmt: skip
    assert set(read.rejected["path"]) == {str(path)} and read.rejected["raw"][0] == "{not"


def test_half_a_surrogate_pair_is_replaced(write):
    path = write('{"prompt": "p \\ud83d", "response": "r"}')
    assert read_extra(extra(path)).rows["prompt"].to_list() == ["p ?"]


def test_too_many_broken_rows_stop_with_the_first_of_them(write):
    path = write(GOOD, {"prompt": "p", "response": ""}, {"prompt": "q", "response": ""})
    with pytest.raises(In2xError, match=r"(?s)a.jsonl: 2 of 3 rows are broken.*allows 10%.*2 times: response: empty.*"
                                        r"line 2: response: empty: .*Mend"):  # fmt: skip
        read_extra(extra(path))
    assert len(read_extra(extra(path, max_broken_fraction=0.67)).rows) == 1
    repeated = write(*[GOOD] * 20, name="b.jsonl")  # repeated rows are none that have to be mended
    assert len(read_extra(extra(repeated)).rows) == 1


def test_an_answer_that_no_rule_can_find(write):
    path = write({"prompt": "p", "answer": "x" * 501}, {"prompt": "q", "answer": True}, {"prompt": "r", "answer": 7})
    read = read_extra(extra(path, "rl", answer_column="answer", max_broken_fraction=0.7))
    assert read.rejected["reason"].to_list() == [
        "answer: 501 characters; an answer has 500 at most", "answer: expected text, got bool"]  # fmt: skip
    translated = extra(path, "rl", answer_column="answer", task="translate", max_broken_fraction=0.7)
    assert read_extra(translated).rows["reference"].str.len_chars().to_list() == [501, 1]


def test_a_missing_column_and_a_missing_file_name_the_mend(write, tmp_path):
    path = write({"prompt": "p", "reply": "r"})
    with pytest.raises(In2xError, match="a.jsonl: no row has the column 'response'; there are 'prompt', 'reply'.*"
                                        "instruct.extra: response_column"):  # fmt: skip
        read_extra(extra(path))
    with pytest.raises(In2xError, match="b.jsonl: no such file; did you mean 'a.jsonl'"):
        read_extra(extra(tmp_path / "b.jsonl"))
    (tmp_path / "c.parquet").write_text("no parquet")
    with pytest.raises(In2xError, match="c.parquet: not a readable parquet file"):
        read_extra(extra(tmp_path / "c.parquet"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": None}, "one of share and count"),
        ({"share": 0.1}, "one of share and count"),
        ({"answer_column": "a"}, 'goes with use = "rl"'),
        ({"use": "rl", "messages_column": "m"}, 'goes with use = "sft"'),
        ({"direction": "ja"}, "direction"),
        ({"task": "Two words"}, "task"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        extra("a.jsonl", **settings)
