"""A base is never tested on what it was trained on."""

import polars as pl
import pytest

from in2x.artifacts import In2xError, read_json, write_json
from in2x.model.loading import load_model, save_model
from in2x.model.provenance import FILE, export, provenance, refuse_contamination


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


def test_an_exported_base_carries_its_origin_and_its_weights_in_half_precision(
    folders, make_model, tokenizer, tmp_path
):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (tmp_path / "pairs.parquet").rename(corpus / "pairs.parquet")
    write_json(corpus / "manifest.json", {"status": "complete", "results": {"licences": {"tatoeba": "CC-BY 2.0 FR"}}})
    phase = {
        "name": "stable",
        "tokens": 1200,
        "mixture": {"en": 1.0},
        "schedule": "constant",
        "lr": 0.1,
        "perplexity": {"en": 20.5},
    }
    write_json(tmp_path / "pretrain" / "manifest.json", {
        "stage": "pretrain", "status": "complete", "seconds": 7200, "machine": {"cpu": "a CPU"}, "versions": {},
        "section": {"base": None}, "git_commit": None, "results": {"num_parameters": 5_000_000, "phases": [phase]},
    })  # fmt: skip
    model = make_model(seed=2)
    save_model(model, tokenizer, tmp_path / "pretrain" / "model")
    export(tmp_path / "pretrain" / "model", tmp_path / "exported")
    assert read_json(tmp_path / "exported" / FILE)["held_out_ids"] == ["mine:3", "tatoeba:2"]
    text = (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    assert (
        "2.0 hours" in text and "| stable | 1,200 | 100% en | constant, 0.1 | 20.5 |" in text and "CC-BY 2.0 FR" in text
    )
    assert read_json(tmp_path / "exported" / "config.json")["dtype"] == "float16"
    for name, weight in load_model(tmp_path / "exported").state_dict().items():
        assert (weight - model.state_dict()[name]).abs().max() < 1e-3  # half precision of weights below 1
    with pytest.raises(In2xError, match="tatoeba:1"):
        swapped = pl.read_parquet(corpus / "pairs.parquet").with_columns(split=pl.lit("test"))
        swapped.write_parquet(corpus / "pairs.parquet")
        refuse_contamination(tmp_path / "exported", corpus)


def test_a_base_of_a_base_carries_both_origins(folders):
    _, corpus = folders
    phase = {"name": "more", "tokens": 5}
    earlier = {"licences": {"mine": "CC0"}, "phases": [{"name": "first", "tokens": 3}], "base": None, "hours": 1.5,
               "held_out_ids": ["mine:3", "other:4", "tatoeba:1"]}  # fmt: skip
    write_json(corpus / "first" / FILE, earlier)
    write_json(corpus / "manifest.json", {"status": "complete", "results": {"licences": {"tatoeba": "CC-BY 2.0 FR"}}})
    stage = {"seconds": 1800, "machine": {"cpu": "a CPU"}, "versions": {}, "section": {"base": str(corpus / "first")},
             "git_commit": None, "results": {"num_parameters": 5, "phases": [phase]}}  # fmt: skip
    found = provenance(stage, corpus)
    assert found["hours"] == 2.0 and found["base"] is None
    assert [one["name"] for one in found["phases"]] == ["first", "more"]
    assert found["licences"] == {"mine": "CC0", "tatoeba": "CC-BY 2.0 FR"}
    assert found["held_out_ids"] == ["mine:3", "other:4", "tatoeba:2"]  # tatoeba:1 has been trained on since
    stage["section"]["base"] = "Qwen/Qwen3-0.6B"
    assert provenance(stage, corpus)["base"] == "Qwen/Qwen3-0.6B"
