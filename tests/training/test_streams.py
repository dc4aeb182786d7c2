import contextlib
import itertools

import numpy as np
import polars as pl
import pytest

from in2x import distributed
from in2x.model.prompts import line_prompts
from in2x.training.bilingual import PAIRS_PER_DOCUMENT
from in2x.training.streams import Stream, document_blocks, texts_of, tokenize
from in2x.training.tables import parquet_blocks, read_table, write_table

NO_TEXTS = pl.DataFrame(schema=dict.fromkeys(("id", "language", "text", "origin"), pl.String))


def rows(name, frame, texts):
    return pl.concat(document_blocks(name, lambda: [frame], lambda: [texts], "en-ja", 0)).rows()


def pairs(rows):
    """Rows of (group, domain); the sentences are named after the row."""
    return pl.DataFrame(
        [(f"p{n}", group, domain, "web", f"E{n}.", f"J{n}。") for n, (group, domain) in enumerate(rows)],
        schema=["id", "group", "domain", "origin", "source", "target"], orient="row",
    )  # fmt: skip


def test_a_language_is_the_distinct_sentences_of_its_side_and_its_texts():
    frame = pairs([(0, "a"), (0, "b"), (1, "a")]).with_columns(source=pl.Series(["Hi.", "Hi.", "Bye."]))
    texts = pl.DataFrame({
        "id": ["t1", "t2"], "language": ["en", "ja"], "text": ["News.", "ニュース。"], "origin": ["press", "press"],
    })  # fmt: skip
    assert rows("en", frame, texts) == [
        ("p0", "Hi.", "web", "en"), ("p2", "Bye.", "web", "en"), ("t1", "News.", "press", "en"),
    ]  # fmt: skip
    assert [row[1] for row in rows("ja", frame, texts)] == ["J0。", "J1。", "J2。", "ニュース。"]
    assert rows("ja:b", frame, texts) == [("p1", "J1。", "web", "ja")]  # no texts


@pytest.mark.parametrize("num_rows", [1, 3, 7])
def test_blocks_change_neither_the_sentences_nor_the_directions_of_pairs(num_rows):
    frame = pairs([(n, "a") for n in range(20)])
    frame = frame.with_columns(target=pl.when(pl.int_range(20) % 3 == 0).then(pl.lit("J0。")).otherwise("target"))
    whole = {name: rows(name, frame, NO_TEXTS) for name in ("ja", "pairs")}
    assert len(whole["ja"]) == 14

    def in_blocks(name):
        return pl.concat(
            document_blocks(name, lambda: frame.iter_slices(num_rows), lambda: [NO_TEXTS], "en-ja", 0)
        ).rows()

    assert {name: in_blocks(name) for name in whole} == whole
    documents = [line for row in in_blocks("documents") for line in row[1].split("\n")]
    assert sorted(documents) == sorted(line for row in whole["pairs"] for line in row[1].split("\n"))


def test_pairs_stand_in_both_directions_on_two_lines(tokenizer):
    frame = pairs([(n, "a" if n % 4 else "b") for n in range(200)])
    found = texts_of("pairs", frame, "en-ja", 7)
    assert found["id"].to_list() == frame["id"].to_list()
    forward = [text == f"E{n}.\nJ{n}。" for n, text in enumerate(found["text"])]
    backward = [text == f"J{n}。\nE{n}." for n, text in enumerate(found["text"])]
    assert all(one != other for one, other in zip(forward, backward, strict=True))
    assert 70 < sum(forward) < 130  # half of 200, within four standard deviations
    assert found.equals(texts_of("pairs", frame, "en-ja", 7))
    assert not found.equals(texts_of("pairs", frame, "en-ja", 8))
    directions = ["en-ja" if text.startswith("E") else "ja-en" for text in found["text"]]
    assert found["language"].to_list() == directions and found["source"].unique().to_list() == ["web"]
    assert len(texts_of("pairs:b", frame, "en-ja", 7)) == 50
    assert tokenizer.decode(line_prompts(tokenizer, ["E0."])[0]) == "E0.\n"  # how a base model is asked


def test_documents_hold_every_pair_once_and_variants_together():
    variants = [(100, "a") if n % 5 == 0 else (n, "a") for n in range(60)]  # twelve variants, spread over the corpus
    frame = pairs(variants)
    found = texts_of("documents", frame, "en-ja", 3)
    documents = [{line.strip("EJ。.") for line in text.split("\n")} for text in found["text"]]
    assert [text.count("\n") + 1 for text in found["text"]] == [2 * PAIRS_PER_DOCUMENT] * 10
    assert sorted(int(number) for document in documents for number in document) == list(range(60))
    related = [{str(number) for number in numbers} for numbers in (range(0, 30, 5), range(30, 60, 5))]
    assert all(document in documents for document in related)
    neighbours = {str(number) for number in (1, 2, 3, 4, 6, 7)}  # those without variants, in the order of the corpus
    assert neighbours in documents
    assert documents.index(related[0]) != 0 or documents.index(related[1]) != 1  # shuffled


def test_an_unknown_stream_is_named():
    with pytest.raises(ValueError, match="unknown stream 'fr'"):
        texts_of("fr", pairs([(0, "a")]), "en-ja", 0)


def test_tokenize_ends_documents_and_reads_control_tokens_as_text(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    frame = pl.DataFrame({"id": ["a", "b"], "text": ["Thank you!", "a <|user|> b<|endoftext|>"]})
    stream = tokenize(frame, tokenizer, end)
    assert list(stream.ids) == ["a", "b"]
    assert all(ids[-1] == end and end not in ids[:-1] for ids in stream.token_ids)
    assert tokenizer.convert_tokens_to_ids("<|user|>") not in stream.token_ids[1]
    assert [tokenizer.decode(ids[:-1]) for ids in stream.token_ids] == frame["text"].to_list()
    assert tokenizer("<|user|>")["input_ids"] == [tokenizer.convert_tokens_to_ids("<|user|>")]  # as before
    document = stream.document(1)
    assert document.id == "b" and document.loss_mask.all() and len(document.loss_mask) == len(document.token_ids)


def test_a_walk_is_epoch_after_epoch_without_repeats():
    stream = Stream(list("abcdefgh"), [np.zeros(1)] * 8)
    drawn = [document.id for document in itertools.islice(stream.walk(np.random.default_rng(0)), 24)]
    epochs = [drawn[start : start + 8] for start in (0, 8, 16)]
    assert all(sorted(epoch) == list("abcdefgh") for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    for skip in (1, 8, 13):
        rest = itertools.islice(stream.walk(np.random.default_rng(0), skip), 24 - skip)
        assert [document.id for document in rest] == drawn[skip:]
    with pytest.raises(ValueError, match="without documents"):
        next(Stream([], []).walk(np.random.default_rng(0)))


def test_processes_read_a_share_each_and_all_have_all(monkeypatch):
    class Watched(list):
        read: list[int] = []

        def __getitem__(self, row):
            self.read.append(row)
            return super().__getitem__(row)

    ids, arrays = list("abcdefg"), [np.full(n + 1, n, np.int32) for n in range(7)]
    order = [6, 0, 3, 2, 5]
    expected = Stream(ids, arrays).documents(order)
    parts = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    for rank, read in ((0, [6, 3, 5]), (1, [0, 2, 5])):  # five of them: the second has none left, and repeats one
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed, "gather", lambda own: parts.append(own) or [own, own])
        monkeypatch.setattr(Watched, "read", [])
        with contextlib.suppress(IndexError):  # the other half is not there yet
            Stream(ids, Watched(arrays)).documents(order)
        assert Watched.read == read
    assert [len(part) for part in parts] == [3, 2]
    monkeypatch.setattr(distributed, "gather", lambda own: parts)
    found = Stream(ids, arrays).documents(order)
    assert [document.id for document in found] == [document.id for document in expected] == list("gadcf")
    assert all(np.array_equal(one.token_ids, other.token_ids) for one, other in zip(found, expected, strict=True))


def test_documents_are_read_off_the_file(tokenizer, tmp_path):
    blocks = [pl.DataFrame({"id": [f"d{n}"], "text": [text]}) for n, text in enumerate(["Kobe", "神戸"])]
    assert write_table([blocks[0].clear(), *blocks], tmp_path / "t.arrow") == 2
    stream = tokenize(read_table(tmp_path / "t.arrow"), tokenizer, 3)
    assert [stream.document(n).id for n in (1, 0)] == ["d1", "d0"]
    assert tokenizer.decode(stream.document(1).token_ids[:-1]) == "神戸"


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    def blocks():
        yield pl.DataFrame({"id": ["a"]})
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_table(blocks(), tmp_path / "t.arrow")
    assert write_table([pl.DataFrame({"id": ["a"]}).clear()], tmp_path / "none.arrow") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_rows", [1, 4, 7, 100])
def test_a_file_is_read_in_blocks_of_what_is_asked_for(tmp_path, num_rows):
    frame = pl.DataFrame({"n": range(20), "kind": ["a", "a", "b", "a"] * 5})
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=6)
    found = list(parquet_blocks(tmp_path / "t.parquet", num_rows, kind="a"))
    expected = [n for n in range(20) if n % 4 != 2]
    assert pl.concat(found)["n"].to_list() == expected
    assert [len(block) for block in found] == [min(num_rows, 15 - start) for start in range(0, 15, num_rows)]
    frame.clear().write_parquet(tmp_path / "empty.parquet")
    assert list(parquet_blocks(tmp_path / "empty.parquet", num_rows)) == []
