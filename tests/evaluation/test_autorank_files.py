"""Score files: what is read, and what is refused with file and line."""

import gzip
import json

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation.autorank import pool_hash, system_means
from in2x.evaluation.autorank_files import make_pool, pools, read_rows

PAIR = "en-ja_JP"


def _row(system="a", document="d1", scores=None, domain="news", pair=PAIR, **changes) -> dict:
    return {
        "system": system,
        "language_pair": pair,
        "domain": domain,
        "document_id": document,
        "metric_scores": scores or {"XCOMET-XL": [0.5, 0.7], "CometKiwi-XL": [0.6, 0.8]},
    } | changes


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _refusal(path, rows, *more) -> str:
    with pytest.raises(In2xError) as error:
        pools([row for file in (_write(path, rows), *more) for row in read_rows(file)])
    return str(error.value)


def test_a_pool_of_two_systems(tmp_path):
    rows = [
        _row("b", "d2", {"XCOMET-XL": [0.3]}, "social"),
        _row("b", "d1", {"XCOMET-XL": [0.1, 0.2]}),
        _row("a", "d1", {"XCOMET-XL": [0.4, 0.6]}),
        _row("a", "d2", {"XCOMET-XL": [1]}, "social"),
    ]
    pool = make_pool(PAIR, read_rows(_write(tmp_path / "scores.jsonl", rows)))
    assert (pool.systems, pool.metrics, pool.documents) == (("a", "b"), ("XCOMET-XL",), ("d1", "d2"))
    assert pool.domains == ("news", "social")
    assert pool.document_of_N.tolist() == [0, 0, 1]
    assert pool.scores_MSN.tolist() == [[[0.4, 0.6, 1], [0.1, 0.2, 0.3]]]
    assert pool.in_pool_S.all()


def test_gzip_order_of_rows_and_splitting_into_files_change_nothing(tmp_path):
    rows = [_row(system, document) for system in "abc" for document in ("d1", "d2")]
    plain = make_pool(PAIR, read_rows(_write(tmp_path / "scores.jsonl", rows)))
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in reversed(rows[2:])).encode()))
    split = [*read_rows(packed), *read_rows(_write(tmp_path / "a.jsonl", rows[:2]))]
    assert pool_hash(make_pool(PAIR, split)) == pool_hash(plain)


@pytest.mark.parametrize("name", ["GPT-4.1.jsonl", "GPT-4.1.jsonl.gz"])
def test_the_file_names_the_system_where_the_row_does_not(tmp_path, name):
    row = _row()
    del row["system"]
    assert read_rows(_write(tmp_path / name, [row]))[0].system == "GPT-4.1"


def test_nested_lists_are_flattened_and_missing_scores_are_no_zeros(tmp_path):
    rows = [
        _row("a", scores={"XCOMET-XL": [[0.5, None], [float("nan"), [1]]]}),
        _row("b", scores={"XCOMET-XL": [0.1, 0.2, 0.3, 0.4]}),
    ]
    pool = make_pool(PAIR, read_rows(_write(tmp_path / "scores.jsonl", rows)))
    np.testing.assert_array_equal(pool.scores_MSN[0, 0], [0.5, np.nan, np.nan, 1])
    np.testing.assert_allclose(system_means(pool), [[0.75, 0.25]])


def test_pairs_are_apart(tmp_path):
    rows = [_row(system, pair=pair) for pair in ("ja-zh_CN", PAIR) for system in "ab"]
    found = pools(read_rows(_write(tmp_path / "scores.jsonl", rows)))
    assert list(found) == [PAIR, "ja-zh_CN"]
    assert {pool.systems for pool in found.values()} == {("a", "b")}


def test_a_metric_that_does_not_count_may_be_missing(tmp_path):
    rows = [_row("a", scores={"XCOMET-XL": [1], "chrF++": [40]}), _row("b", scores={"XCOMET-XL": [0]})]
    assert make_pool(PAIR, read_rows(_write(tmp_path / "scores.jsonl", rows))).metrics == ("XCOMET-XL",)


def test_chosen_metrics_count_in_place_of_wmt25s(tmp_path):
    rows = read_rows(_write(tmp_path / "scores.jsonl", [_row("a"), _row("b")]))
    assert make_pool(PAIR, rows, ["XCOMET-XL"]).metrics == ("XCOMET-XL",)
    with pytest.raises(In2xError, match=r"no metric BLEU in the files, only CometKiwi-XL, XCOMET-XL"):
        make_pool(PAIR, rows, ["BLEU"])


def test_an_inserted_system_is_not_in_the_pool(tmp_path):
    pool_rows = read_rows(_write(tmp_path / "pool.jsonl", [_row("a"), _row("c")]))
    own = read_rows(_write(tmp_path / "b.jsonl", [_row("b")]), inserted=True)
    assert make_pool(PAIR, pool_rows + own).in_pool_S.tolist() == [True, False, True]
    clash = read_rows(_write(tmp_path / "own.jsonl", [_row("a", "d9")]), inserted=True)
    with pytest.raises(In2xError, match=r"pool.jsonl:1: a is in the pool and inserted too"):
        make_pool(PAIR, pool_rows + clash)
    with pytest.raises(In2xError, match="two systems or more in the pool, found 1"):
        make_pool(PAIR, pool_rows[:1] + own)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object, got list"),
        (json.dumps({"system": "a", "metric_scores": {}}), "no language_pair, domain, document_id"),
        (json.dumps(_row(document_id=7)), "document_id: expected a non-empty string, got 7"),
        (json.dumps(_row(system="")), "system: expected a non-empty string, got ''"),
        (json.dumps(_row(metric_scores=[1])), r"metric_scores: expected an object of lists by metric, got \[1\]"),
        (json.dumps(_row(metric_scores={})), "metric_scores: expected an object of lists by metric"),
    ],
)
def test_a_line_that_is_no_row_is_refused(tmp_path, line, said):
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps(_row()) + "\n\n" + line + "\n")
    with pytest.raises(In2xError, match=f"scores.jsonl:3: {said}"):
        read_rows(path)


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "scores.jsonl"
    with pytest.raises(In2xError, match="not there"):
        read_rows(path)
    with pytest.raises(In2xError, match="a folder"):
        read_rows(tmp_path)
    for content in (b"", b"\n \n"):
        path.write_bytes(content)
        with pytest.raises(In2xError, match="scores.jsonl: the file is empty"):
            read_rows(path)
    path.write_bytes(json.dumps(_row()).encode() + b"\n" + '{"system": "日本"}'.encode("shift_jis"))
    with pytest.raises(In2xError, match=r"scores.jsonl:2: not UTF-8 \(byte 0x93\)"):
        read_rows(path)
    path.write_bytes(json.dumps(_row()).encode("utf-16"))
    with pytest.raises(In2xError, match="scores.jsonl:1: not UTF-8"):
        read_rows(path)
    path.write_bytes(gzip.compress(json.dumps(_row()).encode())[:-9])
    with pytest.raises(In2xError, match="begins like gzip but can't be unpacked"):
        read_rows(path)


def test_the_same_document_twice_is_refused(tmp_path):
    said = _refusal(tmp_path / "scores.jsonl", [_row("a"), _row("b"), _row("a")])
    assert "scores.jsonl:3: a on document d1 a second time; first: " in said
    assert said.endswith("scores.jsonl:1")


def test_other_documents_are_refused(tmp_path):
    rows = [_row("a"), _row("b"), _row("c"), _row("a", "d2"), _row("c", "d2")]
    said = _refusal(tmp_path / "scores.jsonl", rows)
    assert "scores.jsonl:4: en-ja_JP: document d2 has scores of 2 of 3 systems, none of b;" in said


def test_other_numbers_of_segments_are_refused(tmp_path):
    short = {"XCOMET-XL": [0.5], "CometKiwi-XL": [0.6]}
    said = _refusal(tmp_path / "scores.jsonl", [_row("a"), _row("b", scores=short)])
    assert "scores.jsonl:2: b has 1 segments of document d1 by CometKiwi-XL, a has 2 by CometKiwi-XL" in said
    uneven = {"XCOMET-XL": [0.5], "CometKiwi-XL": [0.6, 0.7]}
    said = _refusal(tmp_path / "scores.jsonl", [_row("a", scores=uneven), _row("b", scores=uneven)])
    assert "scores.jsonl:1: a has 1 segments of document d1 by XCOMET-XL, a has 2 by CometKiwi-XL" in said


def test_a_document_in_two_domains_is_refused(tmp_path):
    said = _refusal(tmp_path / "scores.jsonl", [_row("a"), _row("b", domain="social")])
    assert "scores.jsonl:2: document d1 is of domain social, of news in" in said


def test_unequal_metrics_are_refused(tmp_path):
    rows = [_row("a"), _row("b", scores={"XCOMET-XL": [0.5, 0.7]})]
    said = _refusal(tmp_path / "scores.jsonl", rows)
    assert "scores.jsonl:2: b has no CometKiwi-XL, which counts for en-ja_JP, only XCOMET-XL" in said


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (["0.5"], "expected a number, null or a list of them, got '0.5'"),
        ([True], "expected a number, null or a list of them, got True"),
        ([], "no segment"),
        (0.5, "expected a list of scores, got 0.5"),
        ([float("-inf")], "-inf is infinite or too large for a score"),
        ([10**400], "inf is infinite or too large for a score"),
    ],
)
def test_what_is_no_score_is_refused(tmp_path, scores, said):
    rows = [_row("a", scores={"XCOMET-XL": [0.5]}), _row("b", scores={"XCOMET-XL": scores})]
    assert f"scores.jsonl:2: XCOMET-XL: {said}" in _refusal(tmp_path / "scores.jsonl", rows)


def test_metricx_that_is_not_negated_is_refused(tmp_path):
    right, wrong = {"MetricX-24-Hybrid-XL": [-2, 0]}, {"MetricX-24-Hybrid-XL": [3.5, -1]}
    rows = [_row("a", "d1", right), _row("a", "d2", right), _row("b", "d1", right), _row("b", "d2", wrong)]
    said = _refusal(tmp_path / "scores.jsonl", rows)
    assert "scores.jsonl:4: MetricX-24-Hybrid-XL: 3.5 is above 0" in said
    assert "change the sign" in said


def test_a_system_without_any_score_of_a_metric_is_refused(tmp_path):
    rows = [_row("a", scores={"XCOMET-XL": [0.5]}), _row("b", scores={"XCOMET-XL": [None]})]
    assert "scores.jsonl:2: b has no score of XCOMET-XL at all" in _refusal(tmp_path / "scores.jsonl", rows)


def test_a_single_system_is_no_ranking(tmp_path):
    assert "a ranking needs two systems or more in the pool, found 1" in _refusal(tmp_path / "a.jsonl", [_row("a")])
