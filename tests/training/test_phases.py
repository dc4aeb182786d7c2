"""What a phase draws from, and the development set alone."""

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.training.phases import load_data, load_held_out, sample
from in2x.training.tables import write_table

SCHEMA = ("id", "language", "text", "origin")
ROWS = [
    ("a", "ja", "神戸", "web"),
    ("b", "en", "Kobe", "web"),
    ("c", "zh", "神户", "web"),
    ("d", "en", "Osaka", "books"),
]


@pytest.fixture
def texts(corpus):
    pl.DataFrame(ROWS, schema=SCHEMA, orient="row").write_parquet(corpus / "text.parquet")
    return corpus


def test_phases_draw_from_training_pairs_and_texts_in_their_languages(texts, tmp_path):
    found = load_data(texts, tmp_path / "streams", 1)
    assert (len(found.dev), found.pair, found.hub, found.lexicon) == (8, "en-ja", "en", None)
    held_out = set(found.dev["id"])
    english, pairs = (pl.read_ipc(found.stream(name)) for name in ("en", "pairs"))
    assert english["id"].to_list()[-2:] == ["b", "d"] and "c" not in set(english["id"])
    assert len(pairs) == 52 and not held_out & (set(pairs["id"]) | set(english["id"]))
    assert pl.read_ipc(found.pairs()).columns == ["source", "target", "group"]


def test_a_stream_is_made_once_and_an_empty_one_is_named(texts, tmp_path):
    found = load_data(texts, tmp_path / "streams", 1)
    file = found.stream("ja:conversational") if "conversational" in set(found.dev["domain"]) else found.stream("ja")
    before = file.stat().st_mtime_ns
    assert found.stream(file.stem.replace(".", ":")) == file and file.stat().st_mtime_ns == before
    with pytest.raises(In2xError, match="stream 'ja:law' holds no text; take it out"):
        found.stream("ja:law")
    assert not (tmp_path / "streams" / "ja.law.arrow").exists()


def test_a_sample_is_drawn_without_repeats(tmp_path):
    write_table([pl.DataFrame({"id": list("abcdef"), "text": list("ABCDEF")})], tmp_path / "t.arrow")
    drawn = sample(tmp_path / "t.arrow", 4, 3)
    assert drawn.columns == ["id", "text"] and len(set(drawn["id"])) == 4
    assert [id.upper() for id in drawn["id"]] == drawn["text"].to_list()
    assert sorted(sample(tmp_path / "t.arrow", 10, 3, "text")["text"]) == list("ABCDEF")


def test_stages_after_pretraining_read_the_development_set_alone(texts):
    found = load_held_out(texts)
    assert found.dev["id"].to_list() == [f"p{n}" for n in range(52, 60)]
    assert found.pair == "en-ja"
