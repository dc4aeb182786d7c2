"""A base is never tested on what it was trained on."""

import polars as pl
import pytest

from in2x.artifacts import In2xError, write_json
from in2x.model.provenance import FILE, refuse_contamination


@pytest.fixture
def folders(tmp_path):
    rows = [("tatoeba:1", "train", "tatoeba"), ("tatoeba:2", "test", "tatoeba"), ("mine:3", "dev", "mine")]
    pl.DataFrame(rows, schema=["id", "split", "origin"], orient="row").write_parquet(tmp_path / "pairs.parquet")
    return tmp_path / "base", tmp_path


def test_the_same_held_out_segments_and_other_corpora_pass(folders):
    base, corpus = folders
    refuse_contamination(base, corpus)  # no provenance: nothing is known
    write_json(base / FILE, {"licences": {"tatoeba": "CC-BY 2.0 FR"}, "held_out_ids": ["tatoeba:2", "tatoeba:9"]})
    refuse_contamination(base, corpus)


def test_a_base_that_saw_a_held_out_segment_is_refused(folders):
    base, corpus = folders
    write_json(base / FILE, {"licences": {"tatoeba": "CC-BY 2.0 FR"}, "held_out_ids": ["tatoeba:9"]})
    with pytest.raises(In2xError, match="tatoeba:2"):
        refuse_contamination(base, corpus)
