"""Terms of a glossary, found by counting: names and loanwords that Japanese spells in katakana.

A run of katakana is paired with the word of the source sentences that it keeps company with. Dice's coefficient
(Smadja et al. 1996) accepts a pair, and for names also the share of the katakana's sentences that have the word:
Mary is メアリー in most sentences and メリー in a few, and both are what a glossary may ask for.
"""

import polars as pl

MIN_SENTENCES = 5
MIN_DICE = 0.6
MIN_NAME_SHARE = 0.9
MAX_PER_TERM = 40
"""Sentences per term: without it a quarter of all glossaries would say that Tom is トム."""

_KATAKANA = r"[ァ-ヴー]{2,}"
# Of フランス語 (French) and アメリカ人 (an American) the katakana is no term by itself.
_COMPOUND = r"\p{Han}[ァ-ヴー]+|[ァ-ヴー]+[\p{Han}・＝=]"
_WORD = r"\p{L}{3,}"
# Of "Los Angeles" no part is a term by itself.
_LONG_NAME = r"\p{Lu}[\p{L}.'’]* (?:\p{Lu}[\p{L}.'’]* ?)+"


def terms(pairs: pl.DataFrame) -> pl.DataFrame:
    """One term for each Japanese pair that has a sure one, the rarest: columns row, term, translation."""
    words = _occurrences(pairs, pl.col("source").str.replace_all(_LONG_NAME, ""), _WORD, "term")
    katakana = _occurrences(pairs, pl.col("target").str.replace_all(_COMPOUND, ""), _KATAKANA, "translation")
    both = katakana.join(words, on="row").with_columns(both=pl.len().over("term", "translation"))
    both = both.with_columns(dice=2 * pl.col("both") / (pl.col("term_count") + pl.col("translation_count")))
    # "The" is a word that begins sentences, not a name.
    is_name = pl.col("term").str.contains(r"^\p{Lu}") & ~pl.col("term").str.to_lowercase().is_in(
        words["term"].implode()
    )
    share = pl.col("both") / pl.col("translation_count")
    sure = (pl.col("dice") >= MIN_DICE) | (is_name & (share >= MIN_NAME_SHARE))
    found = both.filter(pl.col("both") >= MIN_SENTENCES, sure)
    # Romeo is seen with Juliet: of several terms for one translation the surest counts.
    found = found.filter(pl.col("dice") == pl.col("dice").max().over("translation"))
    rarest = found.sort("row", "both", "term", "translation").unique("row", keep="first", maintain_order=True)
    return rarest.select("row", "term", "translation")


def _occurrences(pairs: pl.DataFrame, text: pl.Expr, pattern: str, name: str) -> pl.DataFrame:
    """Columns row, `name`, and the number of sentences that it stands in; only those seen often enough."""
    found = pairs.select("row", text.str.extract_all(pattern).list.unique().alias(name)).explode(name).drop_nulls()
    counted = found.with_columns(pl.len().over(name).alias(f"{name}_count"))
    return counted.filter(pl.col(f"{name}_count") >= MIN_SENTENCES)
