"""Parallel text as documents for next-token prediction: the bilingual objectives of continued pre-training.

- *pairs*: source and target on two lines, in either direction, so that a base model can be prompted with the first.
- *documents*: a run of pairs: the variants of one sentence (of a few, where they have few variants), or neighbours in
  the corpus.
- *switched*: the same runs as running text in which each sentence stands in either language; with a lexicon, words
  within the sentences too.
- *styled*: a source, and its translations, each after its genre and register: "(conversational, polite) ...". The
  register is read off the text where the target is Japanese.

Every maker takes pairs (records.PAIRS), the corpus's pair "en-ja" and a random generator, and returns the columns id,
text, source (where the document comes from) and language.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError
from in2x.corpus.domains import register

PAIRS_PER_DOCUMENT = 6
MAX_STYLES = 6
"""Translations of one source in a styled document."""
SWITCHED_FRACTION = 0.3
"""Of the words and phrases that the lexicon has; each is replaced with this probability."""
MAX_PHRASE_WORDS = 4
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

Lexicon = Mapping[str, Mapping[str, str]]
"""By language ("en", "ja"): its words and phrases in lower case, and what they are in the other one."""


def pairs(frame: pl.DataFrame, pair: str, rng: np.random.Generator) -> pl.DataFrame:
    """Every pair, in a random direction."""
    return _both(frame, pair, rng).select("id", "text", source="origin", language="direction")


def documents(frame: pl.DataFrame, pair: str, rng: np.random.Generator) -> pl.DataFrame:
    """Runs of PAIRS_PER_DOCUMENT related pairs: groups of variants first, then neighbours in the corpus."""
    return _shuffled(_joined(_in_runs(_both(frame, pair, rng)), "text", "\n"), rng)


def switched(frame: pl.DataFrame, pair: str, rng: np.random.Generator, lexicon: Lexicon | None = None) -> pl.DataFrame:
    """The same runs as running text: each sentence in either language, some words exchanged by the lexicon."""
    hub, target = pair.split("-")
    is_hub = rng.random(len(frame)) < 0.5
    chosen = frame.with_columns(text=pl.when(pl.Series(is_hub)).then("source").otherwise("target"))
    if lexicon:
        texts = [
            switch_words(text, lexicon[hub if own else target], rng)
            for text, own in zip(chosen["text"], is_hub, strict=True)
        ]
        chosen = chosen.with_columns(text=pl.Series(texts, dtype=pl.String))
    return _shuffled(_joined(_in_runs(chosen), "text", " "), rng)


def styled(frame: pl.DataFrame, pair: str, rng: np.random.Generator) -> pl.DataFrame:
    """A source line, then its translations, a line each, in a random order, each after its genre and register."""
    kind = register(pl.col("target")) if pair.split("-")[1] == "ja" else pl.lit("unknown")
    told = pl.when(kind.is_in(["polite", "plain", "honorific"])).then(pl.format("{}, {}", "domain", kind))
    lines = frame.with_columns(
        line=pl.format("({}) {}", told.otherwise(pl.col("domain")), pl.col("target")),
        order=pl.Series(rng.random(len(frame))),
    )
    grouped = lines.group_by("source", maintain_order=True).agg(
        pl.col("id").first(), pl.col("origin").first(), pl.col("line").sort_by("order").head(MAX_STYLES)
    )
    text = pl.format("{}\n{}", "source", pl.col("line").list.join("\n"))
    return grouped.select("id", text=text, source="origin").with_columns(language=pl.lit(pair))


MAKERS: dict[str, Callable[..., pl.DataFrame]] = {
    "pairs": pairs, "documents": documents, "switched": switched, "styled": styled,
}  # fmt: skip


def read_lexicon(path: Path, pair: str) -> Lexicon:
    """Both directions of a tab-separated file: hub word or phrase, target word or phrase; the first of several wins.

    Raises:
        In2xError: naming the line that has not two columns; or there is none.
    """
    hub, target = pair.split("-")
    tables: dict[str, dict[str, str]] = {hub: {}, target: {}}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise In2xError(f"{path}: the lexicon can't be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise In2xError(f"{path}, line {number}: expected '<{hub}>, a tab, <{target}>', got {line[:80]!r}")
        tables[hub].setdefault(columns[0].lower(), columns[1])
        tables[target].setdefault(columns[1].lower(), columns[0])
    if not tables[hub]:
        raise In2xError(f"{path}: the lexicon is empty; leave pretrain.lexicon out, or give one with entries")
    return tables


def switch_words(text: str, table: Mapping[str, str], rng: np.random.Generator, fraction=SWITCHED_FRACTION) -> str:
    """Exchange each word or phrase of the table with this probability, longest first.

    Words are runs of letters, joined by single blanks to phrases; in scripts without blanks, any run of characters
    that the table has.
    """
    parts, place = [], 0
    for start, end, found in matches(text, table):
        if rng.random() < fraction:
            parts += [text[place:start], table[found]]
            place = end
    return "".join([*parts, text[place:]])


def matches(text: str, table: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """Where entries of the table stand, left to right without overlap: start, end, entry."""
    longest = max(map(len, table), default=0)
    found, free = [], 0
    for word in WORD.finditer(text):
        spaced = word.group().isascii() or not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", word.group())
        starts = [word.start()] if spaced else range(word.start(), word.end())
        for start in starts:
            if start < free:
                continue
            ends = _phrase_ends(text, start) if spaced else range(min(word.end(), start + longest), start, -1)
            end = next((end for end in ends if text[start:end].lower() in table), None)
            if end is not None:
                found.append((start, end, text[start:end].lower()))
                free = end
    return found


def _phrase_ends(text: str, start: int) -> list[int]:
    """Ends of the phrases of at most MAX_PHRASE_WORDS words that begin here, longest first."""
    ends: list[int] = []
    for word in WORD.finditer(text, start):
        if len(ends) == MAX_PHRASE_WORDS or (ends and text[ends[-1] : word.start()] != " "):
            break
        ends.append(word.end())
    return ends[::-1]


def _both(frame: pl.DataFrame, pair: str, rng: np.random.Generator) -> pl.DataFrame:
    """The pairs with the columns text, the two sides on two lines, and direction."""
    forward = pl.Series(rng.random(len(frame)) < 0.5)
    first, second = (
        pl.when(forward).then(one).otherwise(other) for one, other in (("source", "target"), ("target", "source"))
    )
    directions = pair, "-".join(reversed(pair.split("-")))
    direction = pl.when(forward).then(pl.lit(directions[0])).otherwise(pl.lit(directions[1]))
    return frame.with_columns(text=pl.format("{}\n{}", first, second), direction=direction)


def _in_runs(frame: pl.DataFrame) -> pl.DataFrame:
    """In the order of the documents, with the column run."""
    ordered = frame.with_columns(variants=pl.len().over("group")).with_row_index("row")
    ordered = ordered.sort(pl.when(pl.col("variants") > 1).then(pl.col("group")).otherwise(10**9), "row")
    return ordered.with_columns(run=pl.int_range(pl.len()) // PAIRS_PER_DOCUMENT)


def _joined(frame: pl.DataFrame, column: str, separator: str) -> pl.DataFrame:
    grouped = frame.group_by("run", maintain_order=True).agg(
        pl.col("id").first(), pl.col(column).str.join(separator), pl.col("origin").first()
    )
    return grouped.select("id", text=column, source="origin").with_columns(language=pl.lit("mixed"))


def _shuffled(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return frame.sample(fraction=1.0, shuffle=True, seed=int(rng.integers(2**31)))
