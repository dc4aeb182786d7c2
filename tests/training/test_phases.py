"""What a phase draws from, and the development set alone."""

import polars as pl
import pytest

from in2x.training.phases import load_data, load_held_out

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


def test_phases_draw_from_training_pairs_and_texts_in_their_languages(texts):
    found = load_data(texts)
    assert found.texts["id"].to_list() == ["a", "b", "d"]
    assert (len(found.train), len(found.dev), found.pair, found.hub) == (52, 8, "en-ja", "en")
    assert set(found.train["split"]) == {"train"} and found.lexicon is None


def test_stages_after_pretraining_read_the_development_set_alone(texts):
    found = load_held_out(texts)
    assert found.dev["id"].to_list() == [f"p{n}" for n in range(52, 60)]
    assert found.train.is_empty() and found.texts.is_empty()
    assert found.train.schema == found.dev.schema and found.texts.columns == list(SCHEMA)
