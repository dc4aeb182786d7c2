import gzip
import json
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from in2x.corpus.readers import BROKEN, CorpusError, read

PAIRS = [("Hello.", "こんにちは。"), ("Good night.", "おやすみ。")]
ROWS = [("s:1", "Hello.", "こんにちは。"), ("s:2", "Good night.", "おやすみ。")]


def source(kind, path=None, columns=("en", "ja"), **more):
    return SimpleNamespace(
        **{"name": "s", "kind": kind, "path": path, "columns": columns, "dataset": None, "split": None}
        | {"language": None, "licence": "CC0"}
        | more
    )


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


def tsv(pairs, header="en\tja\n"):
    return header + "".join(f"{one}\t{other}\n" for one, other in pairs)


def jsonl(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# --- the kinds --------------------------------------------------------------------------------------------


def test_text_from_parquet(tmp_path):
    frame = pl.DataFrame({"body": ["今日は晴れです。", None, "明日は雨です。"], "id": ["a", "b", "c"]})
    frame.write_parquet(tmp_path / "news.parquet")
    own = source("text", tmp_path / "news.parquet", columns=("body",), language="ja")
    result = read(own)
    assert result.rows.select("id", "language", "text").rows() == [
        ("s:a", "ja", "今日は晴れです。"), ("s:c", "ja", "明日は雨です。"),
    ]  # fmt: skip
    assert result.broken["reason"].to_list() == ["no 'body'"]
    with pytest.raises(CorpusError, match="no column 'text'; it has 'body'"):
        read(source("text", tmp_path / "news.parquet", columns=(), language="ja"))


def test_tsv_with_header(tmp_path):
    result = read(source("tsv", write(tmp_path / "a.tsv", tsv(PAIRS))))
    assert result.rows.columns == ["id", "source", "target"]
    assert result.rows.select("source", "target").rows() == PAIRS
    assert result.rows["id"].to_list() == ["s:2", "s:3"]  # lines of the file, whose first is the header
    assert result.broken.schema == BROKEN
    assert result.broken.is_empty()


def test_tsv_with_indices_id_and_document(tmp_path):
    path = write(tmp_path / "a.tsv", "9\tこんにちは。\tHello.\t-\n8\tおやすみ。\tGood night.\n")
    assert read(source("tsv", path, columns=("2", "1"))).rows.rows() == ROWS
    text = "id\tdocument\tja\ten\n9\td\tこんにちは。\tHello.\n9\td\tおやすみ。\tBye.\n8\te\t夜\tNight\n"
    rows = read(source("tsv", write(tmp_path / "b.tsv", text))).rows
    assert rows["id"].to_list() == ["s:9#2", "s:9#3", "s:8"]  # a repeated id is told apart by its line
    assert rows["document"].to_list() == ["s:d", "s:d", "s:e"]
    assert rows["target"].to_list() == ["こんにちは。", "おやすみ。", "夜"]


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff" + tsv(PAIRS),  # byte-order mark of UTF-8
        tsv(PAIRS).replace("\n", "\r\n"),
        tsv(PAIRS).replace("\n", "\r"),
        tsv(PAIRS).rstrip("\n"),
        tsv(PAIRS) + "\n\n",
        gzip.compress(tsv(PAIRS).encode()),
    ],
)
def test_tsv_spellings(tmp_path, data):
    for name in ("a.tsv", "a.txt"):
        result = read(source("tsv", write(tmp_path / name, data)))
        assert result.rows.select("source", "target").rows() == PAIRS
        assert result.broken.is_empty()


def test_only_lf_ends_a_line_and_quotes_are_text(tmp_path):
    path = write(tmp_path / "a.tsv", tsv([('"Well,\u2028', "「ええ」\u0085"), ("b\x0c", "い")]))
    rows = read(source("tsv", path)).rows
    assert rows["source"].to_list() == ['"Well,\u2028', "b\x0c"]


def test_tsv_broken_rows_are_kept_with_line_and_reason(tmp_path):
    first, second = ("\t".join(pair) for pair in PAIRS)
    lines = ["en\tja", first, "only English", "", "a\tb\tc", "x" * 300, second]
    result = read(source("tsv", write(tmp_path / "a.tsv", "\n".join(lines))))
    assert result.rows.select("source", "target").rows() == PAIRS
    assert result.broken.rows() == [
        ("a.tsv", 3, "only English", "1 fields, expected 2"),
        ("a.tsv", 4, "", "blank line"),
        ("a.tsv", 5, "a\tb\tc", "3 fields, expected 2"),
        ("a.tsv", 6, "x" * 200, "1 fields, expected 2"),
    ]


def test_a_line_that_is_not_utf8_is_broken_alone(tmp_path):
    text = b"en\tja\n" + "Hello.\tこんにちは。\nGood night.\tおやすみ。\n".encode() + b"caf\xe9\tcafe\n"
    result = read(source("tsv", write(tmp_path / "a.tsv", text)))
    assert result.rows.select("source", "target").rows() == PAIRS
    assert result.broken.select("line", "reason").rows() == [(4, "not UTF-8: byte 0xe9 at 4")]


def test_jsonl(tmp_path):
    rows = [{"id": 7, "en": "Hello.", "ja": "こんにちは。", "x": [1]}, {"ja": "夜", "en": "", "document": 1}]
    result = read(source("jsonl", write(tmp_path / "a.jsonl", jsonl(*rows))))
    assert result.rows.columns == ["id", "source", "target", "document"]
    assert result.rows.rows() == [("s:7", "Hello.", "こんにちは。", None), ("s:2", "", "夜", "s:1")]
    nested = [{"translation": {"en": one, "ja": other}} for one, other in PAIRS]
    assert read(source("jsonl", write(tmp_path / "b.jsonl", jsonl(*nested)))).rows.rows() == ROWS


def test_jsonl_broken_rows(tmp_path):
    good = '{"en": "Hello.", "ja": "こんにちは。"}'
    lines = [
        good,
        '{"en": "a", "ja": "い"',
        '["a", "い"]',
        '{"en": "a", "ja": ["い"]}',
        '{"en": "a"}',
        "",
        '{"en": 5, "ja": "五", "id": {"n": 1}}',
        f"{good}, {good}",
        '{"en": "a\\ud83d", "ja": "い"}',
    ]
    result = read(source("jsonl", write(tmp_path / "a.jsonl", "\n".join(lines))))
    assert result.rows.rows() == [("s:1", "Hello.", "こんにちは。"), ("s:7", "5", "五"), ("s:9", "a?", "い")]
    assert result.broken.select("line", "reason").rows() == [
        (2, "not a JSON object"),
        (3, "not a JSON object"),
        (4, "'ja' is a list, expected text"),
        (5, "no 'ja'"),
        (8, "not a JSON object"),
    ]


def test_two_objects_on_one_line_do_not_shift_the_others(tmp_path):
    one, two = ('{"en": "a", "ja": "い"}', '{"en": "b", "ja": "ろ"}')
    result = read(source("jsonl", write(tmp_path / "a.jsonl", f"{one}, {two}\n{two}\n")))
    assert result.rows.rows() == [("s:2", "b", "ろ")]
    assert result.broken["line"].to_list() == [1]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"en": ["Hello.", None], "ja": ["こんにちは。", "夜"], "id": [3, 4]})
    frame.write_parquet(path)
    result = read(source("parquet", path))
    assert result.rows.rows() == [("s:3", "Hello.", "こんにちは。")]
    assert result.broken.rows() == [("a.parquet", 2, "null\t夜", "no 'en'")]
    with pytest.raises(CorpusError, match="column 'id' holds Int64, expected text"):
        read(source("parquet", path, columns=("en", "id")))
    with pytest.raises(CorpusError, match="not a readable parquet file"):
        read(source("parquet", write(path, "en,ja\n")))


def test_moses(tmp_path):
    paths = (
        write(tmp_path / "a.en", "Hello.\nGood night.\n"),
        write(tmp_path / "a.ja.gz", gzip.compress("こんにちは。\nおやすみ。".encode())),
    )
    assert read(source("moses", paths, columns=())).rows.rows() == ROWS
    write(paths[0], "Hello.\n\nGood night.\n")
    with pytest.raises(CorpusError, match=r"a\.en has 3 lines, .*a\.ja\.gz has 2"):
        read(source("moses", paths, columns=()))


def test_moses_keeps_an_empty_line_in_its_place(tmp_path):
    paths = (write(tmp_path / "a.en", "Hello.\n\nBye.\n"), write(tmp_path / "a.ja", "どうも。\n空\nでは。\n"))
    assert read(source("moses", paths, columns=())).rows["source"].to_list() == ["Hello.", "", "Bye."]


def test_text(tmp_path):
    lines = source("text", write(tmp_path / "a.txt", "一つ目。\n\n二つ目。\n"), columns=(), language="ja")
    assert read(lines).rows.to_dict(as_series=False) == {
        "id": ["s:1", "s:3"],
        "language": ["ja", "ja"],
        "text": ["一つ目。", "二つ目。"],
    }
    objects = write(tmp_path / "a.jsonl.gz", gzip.compress(jsonl({"body": "本文", "id": "x"}).encode()))
    rows = read(source("text", objects, columns=("body",), language="ja")).rows
    assert rows.rows() == [("s:x", "ja", "本文")]
    assert rows.columns == ["id", "language", "text"]


def hub(monkeypatch, frame):
    calls = []

    def load_dataset(*arguments, **more):
        calls.append((arguments, more))
        if isinstance(frame, Exception):
            raise frame
        return SimpleNamespace(to_polars=lambda: frame)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return calls


def test_huggingface(monkeypatch):
    nested = pl.DataFrame({"translation": [{"en": one, "ja": other} for one, other in PAIRS]})
    calls = hub(monkeypatch, nested)
    assert read(source("huggingface", dataset="owner/set:en-ja", split="test")).rows.rows() == ROWS
    assert calls == [(("owner/set", "en-ja"), {"split": "test"})]
    hub(monkeypatch, pl.DataFrame(PAIRS, schema=["en", "ja"], orient="row"))
    assert read(source("huggingface", dataset="owner/set")).rows.rows() == ROWS


def test_huggingface_errors(monkeypatch):
    hub(monkeypatch, ValueError("Unknown split \"dev\". Should be one of ['train'].\nmore"))
    with pytest.raises(CorpusError, match="owner/set, split 'dev': .*Unknown split.*'train'"):
        read(source("huggingface", dataset="owner/set", split="dev"))
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it weren't installed
    with pytest.raises(CorpusError, match=r"pip install 'in2x\[hub\]'"):
        read(source("huggingface", dataset="owner/set"))


# --- unusable sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (tsv(PAIRS).encode("utf-16"), "is UTF-16. .*iconv -f UTF-16 -t UTF-8 .*a.tsv > a.tsv.utf8"),
        (tsv(PAIRS).encode("utf-16-le"), "is UTF-16"),
        (tsv(PAIRS).encode("cp932"), r"line 2, byte 8 \(0x82\): .*Shift-JIS.*iconv -f CP932"),
        (tsv(PAIRS).encode("euc_jp"), r"line 2, byte 8 \(0xa4\): .*EUC-JP.*iconv -f EUC-JP"),
        (gzip.compress(tsv(PAIRS).encode("cp932")), "line 2, byte 8 .*Shift-JIS"),
        ("en\tja\nétude\tcafé\n".encode("latin-1"), r"line 2, byte 1 \(0xe9\): expected UTF-8. Convert"),
        (gzip.compress(tsv(PAIRS).encode())[:-9], "damaged or cut short"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"PAR1rest", 'kind = "parquet"'),
        (tsv(PAIRS, "english\tja\n"), "no column 'en'; it has 'english', 'ja'; did you mean 'english'"),
        (tsv(PAIRS).replace("\t", ","), "no column 'en'; it has 'en,ja'.*no tab"),
        ("en\tja\na い\nb ろ\n", "all 2 rows are broken.* line 2: 1 fields, expected 2: 'a い'"),
        ("en\tja\n", "empty; expected at least one row"),
    ],
)
def test_unusable_tsv(tmp_path, data, message):
    with pytest.raises(CorpusError, match=message):
        read(source("tsv", write(tmp_path / "a.tsv", data)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"en": "a", "jp": "い"}], "no column 'ja'; it has 'en', 'jp'"),
        (
            [{"translation": {"english": "a", "ja": "い"}}],
            "no column 'en'; it has 'translation', 'english', 'ja'",
        ),
        ([{"en": "a", "ja": None}], "all 1 rows are broken.* no 'ja'"),
        (["a", ["b"]], "all 2 rows are broken.* line 1: not a JSON object"),
    ],
)
def test_unusable_jsonl(tmp_path, rows, message):
    with pytest.raises(CorpusError, match=message):
        read(source("jsonl", write(tmp_path / "a.jsonl", jsonl(*rows))))


def test_missing_file_names_the_nearest(tmp_path):
    write(tmp_path / "train.en-ja.tsv", tsv(PAIRS))
    with pytest.raises(CorpusError, match="train.en_ja.tsv: no such file; did you mean 'train.en-ja.tsv'"):
        read(source("tsv", tmp_path / "train.en_ja.tsv"))
    with pytest.raises(CorpusError, match="the folder .*nowhere doesn't exist either"):
        read(source("tsv", tmp_path / "nowhere" / "a.tsv"))
    with pytest.raises(CorpusError, match="a folder; expected a file, such as one of .*train.en-ja.tsv"):
        read(source("tsv", tmp_path))


def test_a_file_named_gz_that_is_not(tmp_path):
    with pytest.raises(CorpusError, match="named .gz, but not gzip data: it starts with b'en"):
        read(source("tsv", write(tmp_path / "a.tsv.gz", tsv(PAIRS))))


def test_unknown_kind_and_wrong_number_of_columns(tmp_path):
    with pytest.raises(CorpusError, match="unknown kind 'json'; did you mean 'jsonl'"):
        read(source("json", tmp_path))
    with pytest.raises(CorpusError, match="`columns` has 1 names"):
        read(source("tsv", write(tmp_path / "a.tsv", tsv(PAIRS)), columns=("en",)))
