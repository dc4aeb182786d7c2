"""A small grid on the cipher language: run, reported, skipped when nothing has changed."""

import json

import polars as pl

from in2x.ablation.command import ablate


def test_a_grid_is_run_reported_and_not_run_twice(cipher_run, capsys):
    rl = cipher_run.rl.model_copy(update={"num_batches": 2, "dev_every_batches": 1, "num_dev": 5})
    recipe = cipher_run.model_copy(update={"rl": rl})
    page = ablate(recipe, ["token"], num_seeds=2)
    first = capsys.readouterr().out
    figures = json.loads((page.parent / "ablation.json").read_text(encoding="utf-8"))
    assert [row["arm"] for row in figures["scores"]["BLEU"]] == ["full", "token"]
    assert all(len(row["by_seed"]) == 2 for row in figures["scores"]["chrF2"])
    assert figures["measures"]["full"]["entropy"] > 0
    html = page.read_text(encoding="utf-8")
    assert "ratio of each token" in html and "<script" not in html
    runs = [page.parent / arm / f"seed-{seed}" for arm in ("full", "token") for seed in (3, 4)]
    rows = [pl.read_parquet(run / "hypotheses.parquet") for run in runs]
    assert all(len(table) == cipher_run.translate.num_segments for table in rows)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in runs]
    assert len(set(weights)) == 4  # arm and seed each make a difference
    assert "as before" not in first
    ablate(recipe, ["token"], num_seeds=2)
    assert capsys.readouterr().out.count("as before") == 4
