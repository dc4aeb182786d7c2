import numpy as np
import polars as pl
import pytest

from in2x.model.prompts import line_prompts
from in2x.training.bilingual import PAIRS_PER_DOCUMENT
from in2x.training.streams import Stream, texts_of, tokenize

NO_TEXTS = pl.DataFrame(schema=dict.fromkeys(("id", "language", "text", "origin"), pl.String))


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
    assert texts_of("en", frame, texts, "en-ja", 0).rows() == [
        ("p0", "Hi.", "web", "en"), ("p2", "Bye.", "web", "en"), ("t1", "News.", "press", "en"),
    ]  # fmt: skip
    assert texts_of("ja", frame, texts, "en-ja", 0)["text"].to_list() == ["J0。", "J1。", "J2。", "ニュース。"]
    assert texts_of("ja:b", frame, texts, "en-ja", 0).rows() == [("p1", "J1。", "web", "ja")]  # no texts


def test_pairs_stand_in_both_directions_on_two_lines(tokenizer):
    frame = pairs([(n, "a" if n % 4 else "b") for n in range(200)])
    found = texts_of("pairs", frame, NO_TEXTS, "en-ja", 7)
    assert found["id"].to_list() == frame["id"].to_list()
    forward = [text == f"E{n}.\nJ{n}。" for n, text in enumerate(found["text"])]
    backward = [text == f"J{n}。\nE{n}." for n, text in enumerate(found["text"])]
    assert all(one != other for one, other in zip(forward, backward, strict=True))
    assert 70 < sum(forward) < 130  # half of 200, within four standard deviations
    assert found.equals(texts_of("pairs", frame, NO_TEXTS, "en-ja", 7))
    assert not found.equals(texts_of("pairs", frame, NO_TEXTS, "en-ja", 8))
    directions = ["en-ja" if text.startswith("E") else "ja-en" for text in found["text"]]
    assert found["language"].to_list() == directions and found["source"].unique().to_list() == ["web"]
    assert len(texts_of("pairs:b", frame, NO_TEXTS, "en-ja", 7)) == 50
    assert tokenizer.decode(line_prompts(tokenizer, ["E0."])[0]) == "E0.\n"  # how a base model is asked


def test_documents_hold_every_pair_once_and_variants_together():
    variants = [(100, "a") if n % 5 == 0 else (n, "a") for n in range(60)]  # twelve variants, spread over the corpus
    frame = pairs(variants)
    found = texts_of("documents", frame, NO_TEXTS, "en-ja", 3)
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
        texts_of("fr", pairs([(0, "a")]), NO_TEXTS, "en-ja", 0)


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


def test_shuffled_is_epoch_after_epoch_without_repeats():
    stream = Stream(list("abcdefgh"), [np.zeros(1)] * 8)
    drawn = stream.shuffled(np.random.default_rng(0))
    epochs = [[next(drawn) for _ in range(8)] for _ in range(3)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    with pytest.raises(ValueError, match="without documents"):
        next(Stream([], []).shuffled(np.random.default_rng(0)))


def test_documents_are_read_off_the_column(tokenizer):
    frame = pl.concat([pl.DataFrame({"id": [f"d{n}"], "text": [text]}) for n, text in enumerate(["Kobe", "神戸"])])
    stream = tokenize(frame, tokenizer, 3)
    assert isinstance(stream.token_ids.texts, pl.Series)
    assert [stream.document(n).id for n in (1, 0)] == ["d1", "d0"]
    assert tokenizer.decode(stream.document(1).token_ids[:-1]) == "神戸"
