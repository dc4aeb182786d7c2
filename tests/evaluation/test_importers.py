"""Importers of plain text, WMT's files and runs: every text arrives where it belongs, and bad files are refused."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.evaluation import importers, importers_wmt, store
from in2x.records import HYPOTHESES

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def jsonl(path, rows):
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def refusal(call, *arguments, **options):
    with pytest.raises(In2xError) as error:
        call(*arguments, **options)
    return str(error.value)


# --- parallel text ----------------------------------------------------------------------------------------


def test_plain_files(tmp_path):
    source = write(tmp_path / "src.en", "\ufeffone\r\ntwo \u2028two\x0b\x85\r\n\r\n")
    first = write(tmp_path / "ref.ja", "一\n二\n三\n")
    second = write(tmp_path / "ref2.ja.gz", gzip.compress("壱\n弐\n参".encode()))
    output = write(tmp_path / "a.txt", "いち\nに\n\n")
    documents = write(tmp_path / "docs", "d1\tnews\nd1\tnews\nd2\n")
    systems = {"A": output, "B": first}
    frame = importers.import_plain(source, systems, [first, second], pair="en-ja", documents=documents)
    assert frame["segment"].to_list() == ["1", "1", "2", "2", "3", "3"]
    assert frame["system"].to_list() == ["A", "B"] * 3
    assert frame["source"].to_list()[::2] == ["one", "two \u2028two\x0b\x85", ""]
    assert frame.filter(system="A")["hypothesis"].to_list() == ["いち", "に", ""]
    assert frame.filter(system="B")["hypothesis"].to_list() == ["一", "二", "三"]
    assert frame["references"].to_list()[::2] == [["一", "壱"], ["二", "弐"], ["三", "参"]]
    assert frame["document"].to_list()[::2] == ["d1", "d1", "d2"]
    assert frame["domain"].to_list()[::2] == ["news", "news", None]
    assert frame["pair"].unique().to_list() == ["en-ja"]


def test_plain_files_without_references_or_documents(tmp_path):
    source, output = write(tmp_path / "s", "a\nb"), write(tmp_path / "o", "c\nd\n")
    frame = importers.import_plain(source, {"A": output}, pair="en-ja")
    assert frame["references"].to_list() == [[], []]
    assert frame["document"].to_list() == [None, None]
    assert "no file of a system's" in refusal(importers.import_plain, source, {}, pair="en-ja")


def test_blank_lines_at_the_end_are_lines(tmp_path):
    assert importers.text_lines(write(tmp_path / "a", "x\n\n\n")) == ["x", "", ""]
    assert importers.text_lines(write(tmp_path / "b", "x\r\n\r\ny")) == ["x", "", "y"]
    assert importers.text_lines(write(tmp_path / "c.gz", gzip.compress(b"x\n\n"))) == ["x", ""]


def test_different_line_counts_are_refused_with_the_counts(tmp_path):
    source, output = write(tmp_path / "s", "a\nb\nc\n"), write(tmp_path / "o", "d\n")
    message = refusal(importers.import_plain, source, {"A": output}, [source], pair="en-ja")
    assert f"3 lines in {source}" in message and f"1 lines in {output}" in message


def test_plain_files_of_wrong_or_mixed_encoding(tmp_path):
    source = write(tmp_path / "s", "a\nb\nc\nd")
    sjis = write(tmp_path / "sjis", "一です\n二です\n三です\n四です".encode("cp932"))
    assert "it looks like Shift-JIS" in refusal(importers.import_plain, source, {"A": sjis}, pair="en-ja")
    mixed = write(tmp_path / "mixed", "一です\n二です\n三です\n".encode() + "四です".encode("cp932"))
    message = refusal(importers.import_plain, source, {"A": mixed}, pair="en-ja")
    assert message.startswith(f"{mixed}: 1 problem\n  line 4: not UTF-8: byte 0x8e at 1")
    assert "a folder; expected a file" in refusal(importers.import_plain, tmp_path, {"A": source}, pair="en-ja")


def test_documents_without_an_id(tmp_path):
    source, documents = write(tmp_path / "s", "a\nb\nc"), write(tmp_path / "d", "\tnews\nd1\tnews\textra\nd2")
    message = refusal(importers.import_plain, source, {"A": source}, pair="en-ja", documents=documents)
    assert "line 1: expected a document's id" in message and "line 2: expected a document's id" in message


def test_reference_system(tmp_path):
    a, b, c = (write(tmp_path / name, f"{name}1\n{name}2") for name in "abc")
    frame = importers.import_plain(a, {"A": a, "human": b, "C": c}, [c], pair="en-ja")
    own = importers.use_as_reference(frame, "human")
    assert store.systems(own) == ["A", "C"]
    assert own.filter(system="A")["references"].to_list() == [["b1", "c1"], ["b2", "c2"]]
    store.check_store(own, "own")
    assert "no system 'D' beside others" in refusal(importers.use_as_reference, frame, "D")
    assert "no system 'A' beside others" in refusal(importers.use_as_reference, frame.filter(system="A"), "A")


# --- WMT's records ----------------------------------------------------------------------------------------

DOCUMENTS = [
    {"id": "en-ja_JP_#_news_#_bbc.1", "domain": "news", "paras": ["p0", "p1"],
     "hyps": {"A": ["a0", ""], "B": ["b0", "b1"]}},
    {"id": "en-ja_JP_#_speech_#_vid_Q5", "domain": "speech", "paras": ["q0"], "hyps": {"A": ["a2"], "B": ["b2"]}},
]  # fmt: skip
AUTOMATIC = [
    {"system": system, "language_pair": "en-ja_JP", "document_id": document, "metric_scores": {"M": scores}}
    for system, document, scores in [
        ("B", "bbc.1", [1, None]), ("A", "Q5", [2.5]), ("A", "bbc.1", [3, 4]), ("C", "bbc.1", [5, 6]),
        ("A", "bbc.2", [7]),
    ]
]  # fmt: skip


def test_documents_with_automatic_scores(tmp_path):
    notes = []
    path, scores = jsonl(tmp_path / "d.jsonl", DOCUMENTS), jsonl(tmp_path / "s.jsonl", AUTOMATIC)
    frame = importers_wmt.import_wmt(path, scores=scores, note=notes.append)
    columns = ("pair", "domain", "document", "segment", "system", "source", "hypothesis", "score.M")
    assert frame.select(columns).rows() == [
        ("en-ja", "news", "bbc.1", "bbc.1:0", "A", "p0", "a0", 3.0),
        ("en-ja", "news", "bbc.1", "bbc.1:1", "A", "p1", "", 4.0),
        ("en-ja", "news", "bbc.1", "bbc.1:0", "B", "p0", "b0", 1.0),
        ("en-ja", "news", "bbc.1", "bbc.1:1", "B", "p1", "b1", None),
        ("en-ja", "speech", "Q5", "Q5:0", "A", "q0", "a2", 2.5),
        ("en-ja", "speech", "Q5", "Q5:0", "B", "q0", "b2", None),
    ]
    assert notes == [f"{scores}: left out, without texts here: document bbc.2, system C"]
    assert importers_wmt.import_wmt(path, pair="en-ja_JP")["pair"].unique().to_list() == ["en-ja_JP"]


def test_broken_documents_are_named(tmp_path):
    first = DOCUMENTS[0]
    path = jsonl(tmp_path / "d.jsonl", [
        DOCUMENTS[1],
        first | {"hyps": {"A": ["a0"], "B": "b0"}},
        first | {"paras": ["p0", None]},
        first | {"id": "en-ja_JP_#_news_#_bbc.2", "hyps": {"A": ["a0", None]}},
        {"id": "x"},
    ])  # fmt: skip
    message = refusal(importers_wmt.import_wmt, path)
    for line in (
        "line 2: A: 1 paragraphs, the source has 2",
        "line 2: B: 'b0', the source has 2",
        "line 3: expected a list of texts in 'paras'",
        "line 4: hypothesis: null",
        "line 5: no 'paras'; other lines have one",
        "line 5: no 'hyps'",
    ):
        assert f"\n  {line}" in message
    assert "6 problems" in message


@pytest.mark.parametrize(
    "scores, message",
    [
        ([1], "M: expected 2 numbers or nulls, as bbc.1 has paragraphs"),
        ([1, float("nan")], "M: expected 2 numbers or nulls"),
        ([1, True], "M: expected 2 numbers or nulls"),
        ({}, "M: expected 2 numbers or nulls"),
    ],
)
def test_broken_automatic_scores(tmp_path, scores, message):
    path = jsonl(tmp_path / "d.jsonl", DOCUMENTS)
    row = {"system": "A", "document_id": "bbc.1", "metric_scores": {"M": scores}}
    assert f"line 1: {message}" in refusal(importers_wmt.import_wmt, path, scores=jsonl(tmp_path / "s.jsonl", [row]))


def test_automatic_scores_of_another_test_set(tmp_path):
    path, scores = jsonl(tmp_path / "d.jsonl", DOCUMENTS), jsonl(tmp_path / "s.jsonl", AUTOMATIC[3:])
    assert "is it of the same test set?" in refusal(importers_wmt.import_wmt, path, scores=scores)


def test_outputs_with_their_table(tmp_path):
    table = write(tmp_path / "t.tsv", 'id\tdoc\tdomain\tsrc\tref\nw.en-ja.0\td\tnews\t"a\tx\nw.en-ja.1\t\t\tb\ty\n')
    path = jsonl(tmp_path / "o.jsonl", [
        {"id": "w.en-ja.0", "hyps": {"A": "h0", "B": ""}}, {"id": "w.en-ja.1", "hyps": {"A": "h1", "B": "k1"}},
    ])  # fmt: skip
    frame = importers_wmt.import_wmt(path, segments=table)
    assert frame.drop("references").rows() == [
        ("en-ja", "news", "d", "w.en-ja.0", "A", '"a', "h0"),
        ("en-ja", "news", "d", "w.en-ja.0", "B", '"a', ""),
        ("en-ja", None, None, "w.en-ja.1", "A", "b", "h1"),
        ("en-ja", None, None, "w.en-ja.1", "B", "b", "k1"),
    ]
    assert frame["references"].to_list() == [["x"], ["x"], ["y"], ["y"]]
    assert "give the table with id, src and ref" in refusal(importers_wmt.import_wmt, path)


def test_outputs_and_table_of_different_segments(tmp_path):
    table = write(tmp_path / "t.tsv", "id\tsrc\nw.en-ja.1\tb\nw.en-ja.2\tc\n")
    path = jsonl(tmp_path / "o.jsonl", [{"id": "w.en-ja.0", "hyps": {"A": ""}}, {"id": "w.en-ja.1", "hyps": {"A": ""}}])
    message = refusal(importers_wmt.import_wmt, path, segments=table)
    assert "1 are in the first alone (w.en-ja.0), 1 in the second alone (w.en-ja.2)" in message
    broken = write(tmp_path / "b.tsv", "id\tsrc\nx\ta\nx\tb\ny\n")
    message = refusal(importers_wmt.import_wmt, path, segments=broken)
    assert "line 3: id 'x' again" in message and "line 4: 1 fields, expected 2" in message
    nameless = write(tmp_path / "c.tsv", "id\tsource\n")
    assert "no column 'src'" in refusal(importers_wmt.import_wmt, path, segments=nameless)


ESA = {"id": "w.en-ja.10", "doc": "d", "domain": "news", "system": "A", "esa": 80, "src": "s", "hyp": "h", "spans": []}


def test_human_scores(tmp_path):
    notes = []
    path = jsonl(tmp_path / "e.jsonl", [
        ESA, ESA | {"esa": 90.0}, ESA | {"id": "w.en-ja.9", "esa": None, "hyp": ""}, ESA | {"system": "B", "hyp": "k"},
    ])  # fmt: skip
    frame = importers_wmt.import_wmt(path, note=notes.append)
    assert frame.select("segment", "system", "hypothesis", "score.human-esa", "document", "domain").rows() == [
        ("w.en-ja.9", "A", "", None, "d", "news"),
        ("w.en-ja.10", "A", "h", 85.0, "d", "news"),
        ("w.en-ja.10", "B", "k", 80.0, "d", "news"),
    ]
    assert notes == [f"{path}: 1 hypotheses were scored more than once; their scores are the means"]


def test_broken_human_scores(tmp_path):
    path = jsonl(tmp_path / "e.jsonl", [
        ESA, ESA | {"hyp": "other"}, ESA | {"system": "B", "esa": "80"}, ESA | {"system": "C", "src": "t"},
    ])  # fmt: skip
    message = refusal(importers_wmt.import_wmt, path, note=lambda text: None)
    assert "line 2: src or hyp unlike that of line 1" in message
    assert "line 3: esa: expected a number or null, got '80'" in message
    assert "line 4: en-ja, segment 'w.en-ja.10': source unlike that of line 1" in message


def test_other_records_are_no_store(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"id": "x", "better": "a", "worse": "b"}])
    message = refusal(importers_wmt.import_wmt, path)
    assert "records with id, better, worse" in message and "esa: id, system, src, hyp, esa" in message
    nameless = jsonl(tmp_path / "n.jsonl", [ESA | {"id": "7"}])
    assert "line 1: no languages in the id '7'" in refusal(importers_wmt.import_wmt, nameless)
    assert importers_wmt.import_wmt(nameless, pair="ja-zh")["pair"].to_list() == ["ja-zh"]
    assert "line 1: not JSON" in refusal(importers_wmt.import_wmt, write(tmp_path / "x.jsonl", "{nope\n"))


def wmt_file(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there: WMT's data is not shipped")
    return path


@pytest.mark.parametrize("pair, region", [("en-ja", "JP"), ("ja-zh", "CN")])
def test_wmt25_documents_have_the_published_means(pair, region):
    path, scores = (
        wmt_file(f"wmt/wmt25.{pair}.docs.jsonl.gz"),
        wmt_file(f"wmt25/automatic_scores.{pair}_{region}.jsonl.gz"),
    )
    published = json.loads(wmt_file(f"wmt25/published.{pair}_{region}.json").read_text("utf-8"))
    frame = importers_wmt.import_wmt(path, scores=scores, note=lambda text: None)
    assert set(frame["pair"]) == {pair}
    for (system,), rows in frame.group_by("system"):
        for metric in store.metrics(frame):
            digits = 3 if abs(published[system][metric]) < 1 else 1
            mean = rows[store.PREFIX + metric].mean()
            assert mean == pytest.approx(published[system][metric], abs=0.501 * 10**-digits), (system, metric)


# --- runs -------------------------------------------------------------------------------------------------


def make_run(folder, hypotheses):
    for name, manifest in (("corpus", {"section": {"pair": "en-ja"}}), ("translate", {"results": {}})):
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_text(json.dumps(manifest))
    pairs = {"id": ["t:2", "t:1"], "domain": ["speech", "news"], "source": ["b", "a"], "target": ["y", "x"]}
    pl.DataFrame(pairs).write_parquet(folder / "corpus" / "pairs.parquet")
    hypotheses.write_parquet(folder / "translate" / "hypotheses.parquet")
    return folder


def hypotheses_of(*systems):
    rows = [
        (system, decoding, segment, source, reference, f"{system}{segment}", 3, True)
        for system, decoding in systems
        for segment, source, reference in (("t:1", "a", "x"), ("t:2", "b", "y"))
    ]
    return pl.DataFrame(rows, schema=list(HYPOTHESES), orient="row")


def test_run_folder(tmp_path):
    frame = importers.import_run(make_run(tmp_path, hypotheses_of(("sft", "greedy"), ("merge", "mbr"))))
    assert frame.drop("references").select(pl.exclude("^role\\..*$")).rows() == [
        ("en-ja", "news", None, "t:1", "sft/greedy", "a", "sftt:1"),
        ("en-ja", "speech", None, "t:2", "sft/greedy", "b", "sftt:2"),
        ("en-ja", "news", None, "t:1", "merge/mbr", "a", "merget:1"),
        ("en-ja", "speech", None, "t:2", "merge/mbr", "b", "merget:2"),
    ]
    assert frame["references"].to_list() == [["x"], ["y"], ["x"], ["y"]]
    selected = {"merge/mbr": "selector"}
    assert store.stored_roles(frame) == {"chrF2": selected, "chrF++": selected}


def test_no_run_folder(tmp_path):
    assert "give the folder of a run" in refusal(importers.import_run, tmp_path)
    run = make_run(tmp_path / "run", hypotheses_of(("sft", "greedy")).drop("decoding"))
    assert "no column decoding; run the stage translate again" in refusal(importers.import_run, run)
