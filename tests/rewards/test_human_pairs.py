"""Files of people's preferences: what is read, and what is refused with its line."""

import json

import pytest

from in2x.artifacts import In2xError
from in2x.rewards.human_pairs import read_preferences


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_pairs_are_read(tmp_path):
    path = write(tmp_path / "mine.jsonl", {"chosen": "良い", "rejected": "悪い", "source": "good", "who": 3}, "",
                 {"chosen": "a", "rejected": "b"})  # fmt: skip
    assert read_preferences(path).rows() == [("good", "良い", "悪い", "human:mine"), ("", "a", "b", "human:mine")]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: expected an object"),
        ({"chosen": "a"}, "line 2: rejected: expected a text, got None"),
        ({"chosen": "a", "rejected": " "}, "line 2: rejected: expected a text"),
        ({"chosen": "a", "rejected": "a"}, "line 2: chosen and rejected are the same"),
        ({"chosen": "a", "rejected": "b", "source": 3}, "line 2: source: expected a text, got 3"),
    ],
)
def test_what_is_no_pair_is_refused_with_its_line(tmp_path, row, problem):
    with pytest.raises(In2xError, match="1 lines are no preference") as refused:
        read_preferences(write(tmp_path / "mine.jsonl", {"chosen": "a", "rejected": "b"}, row))
    assert problem in str(refused.value)


def test_no_file_and_no_pairs(tmp_path):
    with pytest.raises(In2xError, match="can't be read"):
        read_preferences(tmp_path / "none.jsonl")
    with pytest.raises(In2xError, match="no preferences"):
        read_preferences(write(tmp_path / "empty.jsonl", ""))
