"""The corpus stage: read every source, normalise, filter, tag, group near-duplicates, and split by group.

Writes pairs.parquet (in2x.records.PAIRS), text.parquet (monolingual text, where a source gives it), rejected.parquet,
and the counts. A split never separates two variants of a sentence: groups are held out whole, one sentence of each
is tested, and the others are set aside, so that no variant of it is ever trained on.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, atomic
from in2x.corpus import tatoeba
from in2x.corpus.domains import tag_domains
from in2x.corpus.filters import FilterSettings, apply_filters
from in2x.corpus.groups import highest_similarity, near_duplicate_groups
from in2x.corpus.normalize import normal_key, normalize_frame
from in2x.records import PAIRS, REJECTED
from in2x.sections import CorpusSection, Source

SHINGLE_CHARS = {"ja": 3, "zh": 2, "yue": 2, "ko": 3, "th": 3}
DEFAULT_SHINGLE_CHARS = 4
ROW_GROUP_TEXTS = 50_000
"""Read at a time by pre-training."""


def run(section: CorpusSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    source_language, target_language = section.pair.split("-")
    with TextFile(folder / "text.parquet") as texts:
        pairs, rejected, num_read = _read_sources(section.sources, texts)
    if pairs.is_empty():
        raise In2xError("corpus.sources: no translation pairs were read; a run needs at least one source of pairs")
    settings = FilterSettings(section.min_chars, section.max_chars, section.max_length_ratio)
    pairs, bad = apply_filters(normalize_frame(pairs), source_language, target_language, settings)
    pairs, repeated = _without_repeats(pairs)
    rejected = pl.concat([rejected, bad.select(REJECTED), repeated.select(REJECTED)])
    if pairs.is_empty():
        _write(rejected, folder / "rejected.parquet")
        raise In2xError(
            f"corpus: every row was rejected: {count(rejected, 'reason')}; see {folder / 'rejected.parquet'}"
        )
    pairs = tag_domains(pairs, source_language, target_language)
    pairs, similarity = split_by_group(pairs, section)
    set_aside = pairs.filter(split="aside").with_columns(reason=pl.lit("variant of a held-out sentence"))
    rejected = pl.concat([rejected, set_aside.select(REJECTED)])
    pairs = pairs.filter(pl.col("split") != "aside").select(PAIRS)
    for name, frame in {"pairs": pairs, "rejected": rejected}.items():
        _write(frame, folder / f"{name}.parquet")
    return {
        "num_read": num_read,
        "num_rejected": count(rejected, "reason"),
        "num_pairs": count(pairs, "split"),
        "num_groups": {split: rows["group"].n_unique() for (split,), rows in pairs.group_by("split")},
        "largest_group": pairs["group"].value_counts()["count"].max(),
        "domains": count(pairs.filter(split="train"), "domain"),
        "licences": {source.name: source.licence for source in section.sources},
        "num_text_documents": dict(texts.num_documents),
        "highest_similarity_to_training": similarity,
        "test_digest": test_digest(pairs),
    }


def test_digest(pairs: pl.DataFrame) -> str:
    """SHA-256 of the sorted held-out ids: two runs with the same digest hold out the same sentences."""
    ids = sorted(pairs.filter(pl.col("split") != "train")["id"])
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def count(frame: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(frame[column].value_counts(sort=True).iter_rows())


def _write(frame: pl.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        frame.write_parquet(temporary)


class TextFile:
    """text.parquet in the making: a source's texts are written when they have been read, and not kept.

    num_documents: by language.
    """

    SCHEMA = dict.fromkeys(("id", "language", "text", "origin"), pl.String)

    def __init__(self, path: Path):
        self.path, self.num_documents, self.closing = path, Counter(), ExitStack()

    def __enter__(self) -> Self:
        import pyarrow.parquet

        temporary = self.closing.enter_context(atomic(self.path))
        schema = _as_arrow(pl.DataFrame(schema=self.SCHEMA)).schema
        self.writer = self.closing.enter_context(pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd"))
        return self

    def __exit__(self, *error) -> bool | None:
        return self.closing.__exit__(*error)

    def add(self, texts: pl.DataFrame) -> None:
        self.writer.write_table(_as_arrow(texts.select(pl.col(name) for name in self.SCHEMA)), ROW_GROUP_TEXTS)
        self.num_documents.update(count(texts, "language"))


def _as_arrow(frame: pl.DataFrame):
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _read_sources(sources: tuple[Source, ...], texts: TextFile) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """All pairs, the broken rows, and the number of rows read by source; monolingual texts go to their file."""
    string = pl.String
    pairs = [pl.DataFrame(schema={"id": string, "source": string, "target": string, "origin": string})]
    broken = [pl.DataFrame(schema=dict.fromkeys(REJECTED, string))]
    num_read = {}
    for source in sources:
        if source.kind == "tatoeba":
            rows = tatoeba.load()
        else:
            from in2x.corpus.readers import read

            result = read(source)
            rows = result.rows
            num_read[f"{source.name} (broken)"] = len(result.broken)
            broken.append(
                result.broken.select(
                    id=pl.format("{}:{}", pl.col("origin"), pl.col("line")),
                    origin=pl.lit(source.name),
                    source=pl.col("raw"),
                    target=pl.lit(None, string),
                    reason=pl.format("broken: {}", pl.col("reason")),
                )
            )
        num_read[source.name] = len(rows)
        rows = rows.with_columns(origin=pl.lit(source.name))
        if source.kind == "text":
            texts.add(rows)
        else:
            pairs.append(rows.select("id", "source", "target", "origin"))
    num_read = {name: number for name, number in num_read.items() if number}
    return pl.concat(pairs), pl.concat(broken), num_read


def _without_repeats(pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep the first of the rows that are one pair but for case, width, punctuation and white space."""
    first = pl.struct(normal_key(pl.col("source")), normal_key(pl.col("target"))).is_first_distinct()
    pairs = pairs.with_columns(first=first)
    repeated = pairs.filter(~pl.col("first")).with_columns(reason=pl.lit("repeated"))
    return pairs.filter("first").drop("first"), repeated.drop("first")


def split_by_group(pairs: pl.DataFrame, section: CorpusSection) -> tuple[pl.DataFrame, dict[str, float]]:
    """Add the columns `group` and `split`: "train", "dev", "test", or "aside" for the variants of held-out rows.

    Which groups are held out is decided by a hash of their content, never by the order of the rows (of rows with one
    source the first is taken). More rows elsewhere may crowd a sentence out of the held-out ones, but they bring none
    in that was trained on before. Returns also the highest similarity of held-out to training sentences, by side.
    """
    languages = section.pair.split("-")
    sizes = [SHINGLE_CHARS.get(language, DEFAULT_SHINGLE_CHARS) for language in languages]
    keys = pairs.select(normal_key(pl.col(side)) for side in ("source", "target"))
    sides = [keys["source"].to_list(), keys["target"].to_list()]
    groups = near_duplicate_groups(sides, sizes, section.similarity)
    split = _assign_splits(groups, sides[0], section)
    split, highest = _set_leaks_aside(split, sides, sizes, section.similarity)
    similarity = dict(zip(languages, highest, strict=True))
    return pairs.with_columns(group=pl.Series(groups), split=pl.Series(split)), similarity


def _assign_splits(groups: np.ndarray, keys: list[str], section: CorpusSection) -> np.ndarray:
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(int(group), []).append(row)
    small = [rows for rows in members.values() if len(rows) <= section.max_held_out_group]
    wanted = section.num_dev + section.num_test
    if len(small) < 2 * wanted:
        raise In2xError(
            f"corpus: {len(small)} groups of sentences can't give {wanted} held-out ones and leave as many "
            "to train on; lower corpus.num_dev and corpus.num_test"
        )
    ranked = sorted(small, key=lambda rows: _hash(min(keys[row] for row in rows)))
    split = np.full(len(groups), "train", dtype="<U5")
    for place, rows in enumerate(ranked[:wanted]):
        split[rows] = "aside"
        chosen = min(rows, key=lambda row: _hash(keys[row]))
        split[chosen] = "test" if place < section.num_test else "dev"
    return split


def _set_leaks_aside(
    split: np.ndarray, sides: list[list[str]], sizes: list[int], threshold: float
) -> tuple[np.ndarray, list[float]]:
    """Set training rows aside that exact similarity, where MinHash only estimates, shows to be held-out rows' twins.

    Returns also, by side, the highest similarity of the remaining training rows to held-out ones.
    """
    held_out, train = np.isin(split, ["dev", "test"]), split == "train"
    similarity = np.stack(
        [
            highest_similarity(_take(keys, train), _take(keys, held_out), size)
            for keys, size in zip(sides, sizes, strict=True)
        ]
    )
    leaks = (similarity >= threshold).any(axis=0)
    split = split.copy()
    split[np.flatnonzero(train)[leaks]] = "aside"
    return split, [round(float(side.max(initial=0)), 3) for side in similarity[:, ~leaks]]


def _take(keys: list[str], mask: np.ndarray) -> list[str]:
    return [keys[row] for row in np.flatnonzero(mask)]


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"in2x-split").digest()
