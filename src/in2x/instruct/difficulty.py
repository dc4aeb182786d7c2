"""How hard a pair is to translate: five classes from length and rarity, without running a model.

A proxy. The paper (arXiv 2508.14472) grades by pass@16 where an answer can be checked, and by tags elsewhere; a
translation has no such check, and grading 200k pairs with a model would cost more than training on them. What is
known to make a sentence hard to translate is that it is long and that its words are rare:

    score = sum over both sides of  z(log length in characters) + z(mean negative log frequency of its units)

z standardises over the corpus, so no constant compares English letters with kanji. The units are words where a
language puts blanks between them, and pairs of characters elsewhere. The classes are cut at fixed quantiles.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from in2x.corpus.normalize import normal_key
from in2x.sections import DIFFICULTIES

UNSPACED = ("ja", "zh", "yue", "th", "lo", "km", "my")
"""Languages that put no blanks between words."""

CUTS = (0.80, 0.50, 0.20, 0.05)
"""Quantiles that begin the first four classes. The paper's 3:3:3:1:0 then leans to the hard half and leaves out only
what is commonplace ("Thank you.", "I see."), and not the everyday sentences that a translator meets most."""


def is_spaced(language: str) -> bool:
    return language.split("-")[0].lower() not in UNSPACED


def difficulty(pairs: pl.DataFrame, languages: Sequence[str]) -> pl.Series:
    """Class of each pair in `pairs`, one of DIFFICULTIES; `languages` are those of source and target."""
    score = np.zeros(len(pairs))
    for side, language in zip(("source", "target"), languages, strict=True):
        lengths = np.log(pairs[side].str.len_chars().to_numpy())
        score += _standardised(lengths) + _standardised(rarity(pairs[side], language))
    return classes_of(score)


def source_difficulty(sources: pl.Series, language: str) -> pl.Series:
    """Class of each source by itself, whatever its translation is like: among these sources, cut as pairs are."""
    lengths = np.log(sources.str.len_chars().clip(1).to_numpy())
    return classes_of(_standardised(lengths) + _standardised(rarity(sources, language)))


def classes_of(score: np.ndarray) -> pl.Series:
    """Cut scores at CUTS: the highest are very difficult. Equal scores share a class."""
    bounds = np.quantile(score, CUTS) if len(score) else np.zeros(len(CUTS))
    index = (score[:, None] < bounds[None, :]).sum(1)
    return pl.Series("difficulty", np.array(DIFFICULTIES)[index], dtype=pl.String)


def rarity(texts: pl.Series, language: str) -> np.ndarray:
    """Mean negative log frequency of the units of each text, in nats; 0 for a text without any."""
    units = _units(texts, language)
    counted = units.with_columns(count=pl.len().over("unit"))
    means = counted.group_by("row").agg(rarity=-(pl.col("count") / len(units)).log().mean())
    result = np.zeros(len(texts))
    result[means["row"].to_numpy()] = means["rarity"].to_numpy()
    return result


def _units(texts: pl.Series, language: str) -> pl.DataFrame:
    """Columns row, unit: the words of each text, or its pairs of neighbouring characters."""
    frame = pl.DataFrame({"text": texts}).with_row_index("row")
    if is_spaced(language):
        words = pl.col("text").str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]+")
        return frame.select("row", unit=words).explode("unit").drop_nulls()
    characters = frame.select("row", unit=normal_key(pl.col("text")).str.split("")).explode("unit")
    following = pl.when(pl.col("row") == pl.col("row").shift(-1)).then(pl.col("unit").shift(-1))
    return characters.with_columns(unit=pl.col("unit") + following).drop_nulls()


def _standardised(values: np.ndarray) -> np.ndarray:
    """Zero mean and unit (population) deviation; values that are all equal become zeros."""
    if not len(values):
        return values
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 0 else np.zeros(len(values))
