"""Where a base comes from: exported beside its weights, so that nobody tests it on what it was trained on."""

from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, manifest, read_json, results, write_json
from in2x.model.loading import load_model, load_tokenizer, save_model

FILE = "provenance.json"


def export(stage: Path, destination: Path, dtype: str = "float16") -> dict:
    """Write the model of a pretrain stage's folder, its weights in `dtype`, with its provenance; returns the latter."""
    made = manifest(stage)
    if not made or made["stage"] != "pretrain" or made["status"] != "complete":
        raise In2xError(f"{stage}: not the folder of a complete pretrain stage")
    corpus = stage.parent / "corpus"
    found = {
        "licences": results(corpus)["licences"],
        "num_parameters": made["results"]["num_parameters"],
        "phases": made["results"]["phases"],
        "seconds": made["seconds"],
        "versions": made["versions"],
        "git_commit": made["git_commit"],
        "held_out_ids": sorted(held_out_ids(corpus)),
    }
    save_model(load_model(stage / "model"), load_tokenizer(stage / "model"), destination, dtype)
    write_json(destination / FILE, found)
    return found


def refuse_contamination(base: Path, corpus: Path) -> None:
    """Raise In2xError where a held-out segment comes from a corpus that `base` was trained on, and was not held out there.

    A base without provenance (most bases of the hub) can't be checked.
    """
    if not (base / FILE).exists():
        return
    known = read_json(base / FILE)
    pairs = pl.read_parquet(corpus / "pairs.parquet", columns=["id", "split", "origin"])
    suspects = pairs.filter(pl.col("split") != "train", pl.col("origin").is_in(list(known["licences"])))
    seen = set(suspects["id"]) - set(known["held_out_ids"])
    if seen:
        raise In2xError(
            f"{base}: this base was trained on {len(seen)} of the held-out segments ({', '.join(sorted(seen)[:3])}, ...); "
            f"hold out the same segments as its recipe ([corpus] num_dev, num_test, similarity), or take another base"
        )


def held_out_ids(corpus: Path) -> set[str]:
    pairs = pl.read_parquet(corpus / "pairs.parquet", columns=["id", "split"])
    return set(pairs.filter(pl.col("split") != "train")["id"])
