"""Where a base comes from: exported beside its weights, so that nobody tests it on what it was trained on."""

from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, atomic, manifest, read_json, results, write_json
from in2x.model.loading import load_model, load_tokenizer, save_model

FILE = "provenance.json"


def export(model: Path, destination: Path, dtype: str = "float16") -> None:
    """Write a model with its weights in `dtype`; that of a pretrain stage with its provenance and a model card."""
    with atomic(destination) as temporary:
        save_model(load_model(model), load_tokenizer(model), temporary, dtype)
        stage = manifest(model.parent)
        if stage and stage["stage"] == "pretrain" and stage["status"] == "complete":
            found = provenance(stage, model.parent.parent / "corpus")
            write_json(temporary / FILE, found)
            (temporary / "README.md").write_text(card(destination.name, found), encoding="utf-8")


def provenance(stage: dict, corpus: Path) -> dict:
    """What the manifests of a pretrain stage and of its corpus say of the model's origin, and its base's of that."""
    base = stage["section"]["base"]
    known = read_json(Path(base) / FILE) if base and (Path(base) / FILE).exists() else None
    earlier = known or {"licences": {}, "phases": [], "base": base, "hours": 0.0, "held_out_ids": []}
    held_out, trained = split_ids(corpus)
    return {
        "licences": earlier["licences"] | results(corpus)["licences"],
        "num_parameters": stage["results"]["num_parameters"],
        "phases": earlier["phases"] + stage["results"]["phases"],
        "base": earlier["base"],
        "hours": earlier["hours"] + stage["seconds"] / 3600,
        "cpu": stage["machine"]["cpu"],
        "versions": stage["versions"],
        "git_commit": stage["git_commit"],
        "held_out_ids": sorted((held_out | set(earlier["held_out_ids"])) - trained),
    }


def card(name: str, found: dict) -> str:
    """The model card, in Markdown."""
    phases = "\n".join(
        f"| {phase['name']} | {phase['tokens']:,} | {_mixture(phase['mixture'])} "
        f"| {phase['schedule']}, {phase['lr']:g} | "
        + " | ".join(f"{value:.1f}" for value in phase["perplexity"].values())
        + " |"
        for phase in found["phases"]
    )
    columns = [f"perplexity, {stream}" for stream in found["phases"][0]["perplexity"]]
    corpora = "\n".join(f"- {source}: {licence}" for source, licence in found["licences"].items())
    start = f"continued from `{found['base']}`" if found["base"] else "trained from random weights"
    return f"""---
license: apache-2.0
library_name: transformers
---
# {name}

A base language model of {found["num_parameters"] / 1e6:.2f} million parameters, {start}
in {found["hours"]:.1f} hours on {found["cpu"]}. It is a starting point for training, not
a translator: it continues a line of text with another one.

| phase | tokens | mixture | learning rate | {" | ".join(columns)} |
|---|---:|---|---|{"---:|" * len(columns)}
{phases}

Perplexity is per token, on held-out segments. Those ({len(found["held_out_ids"]):,} of them) and all of their
variants were never trained on; their ids are in `{FILE}`, and a run that would test this model on what it was trained
on is refused.

Trained on:

{corpora}

Limits: a small vocabulary, single sentences of everyday language, and all the errors of fact and taste of its corpora.
"""


def _mixture(mixture: dict[str, float]) -> str:
    return ", ".join(f"{share:.0%} {stream}" for stream, share in mixture.items())


def refuse_contamination(base: Path, corpus: Path) -> None:
    """Raise In2xError where `base` may have been trained on a held-out segment.

    That is: the segment comes from a corpus of the base's, and was not held out there too. A base without provenance
    (most bases of the hub) can't be checked.
    """
    if not (base / FILE).exists():
        return
    known = read_json(base / FILE)
    pairs = pl.read_parquet(corpus / "pairs.parquet", columns=["id", "split", "origin"])
    suspects = pairs.filter(pl.col("split") != "train", pl.col("origin").is_in(list(known["licences"])))
    seen = set(suspects["id"]) - set(known["held_out_ids"])
    if seen:
        raise In2xError(
            f"{base}: this base was trained on {len(seen)} of the held-out segments "
            f"({', '.join(sorted(seen)[:3])}, ...); hold out the same segments as its recipe "
            "([corpus] num_dev, num_test, similarity), or take another base"
        )


def split_ids(corpus: Path) -> tuple[set[str], set[str]]:
    """Ids of the segments that are held out, and of those that are trained on."""
    pairs = pl.read_parquet(corpus / "pairs.parquet", columns=["id", "split"])
    is_train = pairs["split"] == "train"
    return set(pairs.filter(~is_train)["id"]), set(pairs.filter(is_train)["id"])
