"""The segment store: what is written is read, order and all; whatever is wrong is refused with its place."""

import gzip
import json

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation import store

ROW = {
    "pair": "en-ja", "domain": "news", "document": "d1", "segment": "d1:0", "system": "A", "source": "Hello.",
    "hypothesis": "こんにちは。", "references": ["やあ。", "こんにちは。"], "scores": {"BLEU": 12.5, "TER": None},
}  # fmt: skip


def rows():
    """Two systems, two segments, not in any sorted order; one hypothesis is empty."""
    second = ROW | {"segment": "d1:1", "source": "Bye.\u2028Now.", "references": [], "document": None}
    return [ROW | {"system": "B", "hypothesis": ""}, second | {"system": "B", "scores": {}}, second, ROW]


def write(path, lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def refusal(path, **options):
    with pytest.raises(In2xError) as error:
        store.read_store(path, **options)
    return str(error.value)


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.parquet"])
def test_written_and_read_again(tmp_path, name):
    frame = store.read_store(write(tmp_path / "in.jsonl", rows()))
    store.write_store(frame, tmp_path / name)
    again = store.read_store(tmp_path / name)
    assert again.equals(frame)
    assert again.schema == {**store.COLUMNS, "score.BLEU": pl.Float64, "score.TER": pl.Float64}
    assert again["segment"].to_list() == ["d1:0", "d1:1", "d1:1", "d1:0"]
    assert again["source"][1] == "Bye.\u2028Now."
    assert again["score.BLEU"].to_list() == [12.5, None, 12.5, 12.5]
    assert again["references"].to_list() == [["やあ。", "こんにちは。"], [], [], ["やあ。", "こんにちは。"]]


def test_gzip_is_the_same_whenever_it_is_written(tmp_path):
    frame = store.read_store(write(tmp_path / "in.jsonl", rows()))
    store.write_store(frame, tmp_path / "a.jsonl.gz")
    store.write_store(frame, tmp_path / "b.jsonl.gz")
    data = (tmp_path / "a.jsonl.gz").read_bytes()
    assert data == (tmp_path / "b.jsonl.gz").read_bytes()
    assert data[4:8] == b"\0\0\0\0"  # no time of writing
    assert len(gzip.decompress(data).split(b"\n")) == 5


def test_bom_crlf_and_blank_lines_are_no_problem(tmp_path):
    lines = [json.dumps(row) for row in rows()]
    (tmp_path / "s.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    assert len(store.read_store(tmp_path / "s.jsonl")) == 4


def test_every_problem_is_named_with_its_line(tmp_path):
    bad = [
        ROW,
        ROW,
        "",
        ROW | {"system": "B", "source": "Hi.", "references": ["やあ。"], "domain": None},
        ROW | {"hypothesis": None, "segment": "2"},
        {key: value for key, value in ROW.items() if key != "hypothesis"},
        "{nope",
        "[1]",
        ROW | {"segment": "3", "scores": {"BLEU": True, "TER": "high"}},
        ROW | {"segment": "4", "scores": {"BLEU": float("nan"), "TER": float("inf")}},
        ROW | {"segment": "5", "references": "やあ。"},
        ROW | {"segment": "6", "pair": "enja"},
        ROW | {"segment": "7", "hypotesis": "x"},
        ROW | {"segment": "8", "system": ""},
        ROW | {"segment": 9},
        ROW | {"segment": "10", "source": "\ud800"},
        ROW | {"segment": "11", "scores": [1]},
        ROW | {"segment": "12", "scores": {"BLEU": 10**400}},
        '{"pair": "en-ja", "scores": {"BLEU": ' + "9" * 5000 + "}}",
        ROW | {"segment": "14", "system": None},
    ]
    path = write(tmp_path / "s.jsonl", bad)
    message = refusal(path)
    assert message.startswith(f"{path}: 22 problems")
    for line in (
        "line 2: en-ja, segment 'd1:0', system 'A' is already at line 1; keep one of them",
        "line 4: en-ja, segment 'd1:0': source unlike that of line 1; every system must",
        "line 4: en-ja, segment 'd1:0': references unlike that of line 1",
        "line 4: en-ja, segment 'd1:0': domain unlike that of line 1",
        "line 5: hypothesis: null; write an empty string where the system gave nothing",
        "line 6: no 'hypothesis'; write an empty string",
        "line 7: not JSON (Expecting property name",
        "line 8: expected a JSON object, got [1]",
        "line 9: scores.BLEU: expected a number or null, got True",
        "line 9: scores.TER: expected a number or null, got 'high'",
        "line 10: score.BLEU: nan; write null",
        "line 10: score.TER: inf; write null",
        "line 11: references: expected a list of strings, got やあ。",
        "line 12: pair: expected a form such as 'en-ja', got 'enja'",
        "line 13: unknown key 'hypotesis'",
        "line 14: system: empty",
        "line 15: segment: expected text, got 9",
        "line 16: half a surrogate pair",
        "line 17: scores: expected an object",
        "line 18: scores.BLEU: a whole number of more than 308 digits",
    ):
        assert f"\n  {line}" in message
    assert message.endswith("\n  and 2 more")


def test_missing_segments_are_refused_or_left_out_aloud(tmp_path):
    incomplete = [*rows(), ROW | {"system": "C"}, ROW | {"pair": "en-zh", "system": "Z"}]
    path = write(tmp_path / "s.jsonl", incomplete)
    message = refusal(path)
    assert f"{path}: en-ja: 1 of 3 systems lack segments of others" in message
    assert "\n  C lacks 1 of 2: d1:1\n  1 segments are common to all systems\n" in message
    assert "en-zh" not in message
    notes = []
    frame = store.read_store(path, on_missing="intersect", note=notes.append)
    assert notes == [f"{path}: en-ja: 1 of 2 segments dropped, which not every system has"]
    assert frame.select("pair", "system", "segment").rows() == [
        ("en-ja", "B", "d1:0"), ("en-ja", "A", "d1:0"), ("en-ja", "C", "d1:0"), ("en-zh", "Z", "d1:0"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="on_missing: expected 'refuse' or 'intersect', got 'drop'"):
        store.read_store(path, on_missing="drop")


def test_nothing_in_common_is_refused(tmp_path):
    path = write(tmp_path / "s.jsonl", [ROW, ROW | {"system": "B", "segment": "2"}])
    assert "no segment is common to all 2 systems" in refusal(path, on_missing="intersect")


def test_pairs_may_have_the_same_ids(tmp_path):
    path = write(tmp_path / "s.jsonl", [ROW, ROW | {"pair": "en-zh", "source": "Hi.", "document": None}])
    assert store.read_store(path)["source"].to_list() == ["Hello.", "Hi."]


def test_complete_segments_counts_by_pair():
    frame = store.from_rows([(1, ROW), (2, ROW | {"system": "B"}), (3, ROW | {"segment": "2"})], "rows")
    kept, dropped = store.complete_segments(frame)
    assert (len(kept), dropped) == (2, {"en-ja": 1})
    assert store.complete_segments(kept)[1] == {}


def test_encodings(tmp_path):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows()]
    japanese = tmp_path / "sjis.jsonl"
    japanese.write_bytes("\n".join(lines).replace("\u2028", "").encode("cp932"))
    assert "it looks like Shift-JIS. Convert it: iconv -f CP932" in refusal(japanese)
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_bytes("\n".join(lines[:3]).encode() + b"\n" + lines[3].encode("cp932"))
    assert "line 4: not UTF-8: byte" in refusal(mixed)
    wide = tmp_path / "wide.jsonl"
    wide.write_bytes("\n".join(lines).encode("utf-16"))
    assert "this is UTF-16" in refusal(wide)


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert "empty.jsonl: empty" in refusal(tmp_path / "empty.jsonl")
    pl.DataFrame(schema=store.COLUMNS).write_parquet(tmp_path / "empty.parquet")
    assert "empty.parquet: no rows" in refusal(tmp_path / "empty.parquet")
    assert "no such file; did you mean 'empty.parquet'?" in refusal(tmp_path / "emty.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    assert "not a readable parquet file" in refusal(tmp_path / "text.parquet")
    assert "named .parquet, .jsonl or .jsonl.gz" in refusal(tmp_path / "s.csv")


def test_parquet_problems(tmp_path):
    frame = store.from_rows(list(enumerate(rows(), 1)), "rows")
    path = tmp_path / "s.parquet"
    frame.drop("hypothesis").with_columns(pl.lit(1).alias("segment"), extra=pl.lit(1)).write_parquet(path)
    message = refusal(path)
    assert "no column 'hypothesis'; write an empty string" in message
    assert "column 'segment': expected String, got Int32" in message
    assert "unknown column 'extra'; call a score score.<metric>" in message
    nulls = pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise("hypothesis").alias("hypothesis")
    frame.with_columns(nulls, pl.Series("score.TER", [0.0, None, float("nan"), 1.0])).write_parquet(path)
    message = refusal(path)
    assert "2 problems" in message
    assert "row 3: hypothesis: null" in message and "row 3: score.TER: nan" in message


def test_a_frame_that_is_no_store_is_not_written(tmp_path):
    frame = store.from_rows([(1, ROW)], "rows")
    with pytest.raises(In2xError, match="row 2: .* is already at row 1"):
        store.write_store(pl.concat([frame, frame]), tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_other_types_are_taken(tmp_path):
    scores = pl.lit(3).alias("score.int"), pl.lit(0.5, pl.Float32).alias("score.single")
    frame = store.from_rows([(1, ROW)], "rows").with_columns(*scores, pl.col("system").cast(pl.Categorical))
    store.write_store(frame, tmp_path / "s.parquet")
    again = store.read_store(tmp_path / "s.parquet")
    assert again.select("system", "score.int", "score.single").row(0) == ("A", 3.0, 0.5)


def test_add_scores():
    frame = store.from_rows([(1, ROW), (2, ROW | {"system": "B"})], "rows")
    scored = store.add_scores(frame, "human-esa", [87, None])
    assert scored["score.human-esa"].to_list() == [87.0, None]
    assert store.metrics(scored) == ["BLEU", "TER", "human-esa"]
    assert store.add_scores(scored, "human-esa", [1, 2], replace=True)["score.human-esa"].to_list() == [1.0, 2.0]
    for metric, values, message in [
        ("x", [1.0], "1 values for 2 rows"),
        ("x", [1.0, float("nan")], "value 1 is nan"),
        ("x", [float("-inf"), 1.0], "value 0 is -inf"),
        ("BLEU", [1.0, 2.0], "has scores of 'BLEU' already"),
        ("", [1.0, 2.0], "expected a name"),
    ]:
        with pytest.raises(ValueError, match=message):
            store.add_scores(frame, metric, values)


def test_systems_and_overview():
    frame = store.from_rows(list(enumerate(rows(), 1)), "rows")
    assert store.systems(frame) == ["B", "A"]
    assert store.overview(frame).rows() == [("en-ja", "B", 2, 1, 1, 1, 1), ("en-ja", "A", 2, 0, 1, 1, 1)]


@pytest.mark.parametrize(
    "pair, expected", [("en-ja", ("en", "ja")), ("en-zh-Hant", ("en", "zh-Hant")), ("pt_BR-en", ("pt_BR", "en"))]
)
def test_languages(pair, expected):
    assert store.languages(pair) == expected


def test_no_pair():
    with pytest.raises(ValueError, match="expected a form such as 'en-ja', got 'en'"):
        store.languages("en")


@pytest.mark.parametrize("name", ["s.jsonl", "s.parquet"])
def test_roles_are_written_and_read_again(tmp_path, name):
    frame = store.from_rows(list(enumerate(rows(), 1)), "rows")
    first = store.systems(frame)[0]
    marked = store.mark_roles(frame, {"chrF2": {first: "selector"}})
    marked = store.mark_roles(marked, {"chrF2": {store.systems(frame)[1]: "reward"}, "judge-esa": {first: "reward"}})
    store.write_store(marked, tmp_path / name)
    found = store.stored_roles(store.read_store(tmp_path / name))
    assert found == {"chrF2": {first: "selector", store.systems(frame)[1]: "reward"}, "judge-esa": {first: "reward"}}
    assert store.stored_roles(frame) == {}


def test_roles_that_are_none_or_contradict_are_refused(tmp_path):
    wrong = rows()
    wrong[0]["roles"] = {"chrF2": "boss"}
    message = refusal(write(tmp_path / "a.jsonl", map(json.dumps, wrong)))
    assert 'line 1: role.chrF2: expected "reward" or "selector" or null, got \'boss\'' in message
    wrong = [row for row in rows() if row["system"] == rows()[0]["system"]]
    wrong[0]["roles"], wrong[1]["roles"] = {"chrF2": "reward"}, {"chrF2": "selector"}
    message = refusal(write(tmp_path / "b.jsonl", map(json.dumps, wrong)))
    assert "line 2: role.chrF2: selector of" in message and "but reward at line 1" in message
    wrong[1]["roles"] = ["chrF2"]
    assert "line 2: roles: expected an object" in refusal(write(tmp_path / "c.jsonl", map(json.dumps, wrong)))
    with pytest.raises(In2xError, match="no such system; there are"):
        store.mark_roles(store.from_rows(list(enumerate(rows(), 1)), "rows"), {"chrF2": {"nobody": "reward"}})
