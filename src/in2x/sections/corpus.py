"""The corpus stage: sources, and how they are cleaned and split."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from in2x.sections.common import Count, Fraction, Positive, Section, StageSection


class Source(Section):
    """One corpus: pairs of the recipe's two languages, or text of one of them."""

    name: str
    kind: Literal["tatoeba", "tsv", "jsonl", "parquet", "moses", "huggingface", "text"]
    path: Path | tuple[Path, Path] | None = None
    """File of the corpus; two files for `moses`. None for `tatoeba`, which the program fetches itself."""
    dataset: str | None = None
    """Hugging Face dataset id, for `huggingface`."""
    split: str | None = None
    columns: tuple[str, ...] = ()
    """Names (or 0-based indices) of the source and the target column; of the text column for `text`."""
    language: str | None = None
    licence: str = "unknown"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "huggingface" and not self.dataset:
            raise ValueError("a huggingface source needs `dataset`, the id on the hub")
        if self.kind not in ("tatoeba", "huggingface") and self.path is None:
            raise ValueError(f"a {self.kind} source needs `path`")
        if (self.kind == "moses") != isinstance(self.path, tuple):
            raise ValueError("`path` is two files for moses, one file for the other kinds")
        if self.kind == "text" and not self.language:
            raise ValueError("a text source needs `language`")
        return self


class CorpusSection(StageSection):
    pair: str = Field("en-ja", pattern=r"^[a-z]{2,3}-[a-z]{2,3}$")
    """Hub and target language, BCP 47."""
    sources: tuple[Source, ...] = (Source(name="tatoeba", kind="tatoeba", licence="CC-BY 2.0 FR"),)
    similarity: Fraction = 0.6
    """Least Jaccard similarity of character n-grams that makes two sentences variants of one another."""
    num_dev: Count = 500
    num_test: Count = 1000
    max_held_out_group: Count = 8
    """Only groups of at most so many variants are held out; the larger ones are for training."""
    min_chars: Count = 2
    max_chars: Count = 500
    max_length_ratio: Positive = 3.0
