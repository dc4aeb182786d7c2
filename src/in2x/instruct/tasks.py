"""The task types: what each makes of the pairs, and how its share is spread over directions and variants.

A task's function takes the pairs (with the columns row, register and difficulty) and returns every instruction that
it could make of them, with the columns CANDIDATES; which of them are taken is decided in `in2x.instruct.draw`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from in2x.corpus.normalize import normal_key
from in2x.instruct.difficulty import is_spaced
from in2x.instruct.glossary import MAX_PER_TERM, terms
from in2x.instruct.prompts import glossary_prompt, paraphrase_prompt, translation_prompt
from in2x.sections import DIFFICULTIES

CANDIDATES = (
    "task", "direction", "variant", "difficulty", "prompt", "source", "reference", "rows", "groups",
)  # fmt: skip
"""rows: the pairs that the instruction is made of; groups: their near-duplicate groups, without repetition."""

REGISTER_SHARES = {"polite": 0.5, "plain": 0.4, "honorific": 0.1}
"""Not as they are found (24 %, 73 %, 1 % of Tatoeba): a prompt that nearly always says "plain" would be ignored."""

PARAPHRASE_SIMILARITY = (0.15, 0.7)
"""Least and greatest Jaccard similarity of the character pairs: below it is another meaning, above another spelling."""

SENTENCE = r"^[^.!?。！？\n]+[.!?。！？]+[\"'”’」』)）]*$"
_PRONOUNS = "私|わたし|僕|ぼく|俺|おれ|あなた|君|きみ|彼女|彼|我々"


@dataclass(frozen=True)
class Languages:
    """The corpus's pair: `source`, the hub, and `target`."""

    source: str
    target: str

    @property
    def forward(self) -> str:
        return f"{self.source}-{self.target}"

    @property
    def backward(self) -> str:
        return f"{self.target}-{self.source}"

    @property
    def within(self) -> str:
        return f"{self.target}-{self.target}"


def translate(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Every pair in both directions."""
    return _both_directions("translate", pairs.with_columns(
        rows=pl.concat_list("row"), groups=pl.concat_list("group")), languages)  # fmt: skip


def register(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Translate into the register that the reference has; only single sentences, whose register is one."""
    known = pairs.filter(pl.col("register").is_in(list(REGISTER_SHARES)), pl.col("target").str.contains(SENTENCE))
    prompt = pl.coalesce(
        pl.when(register=name).then(_format(translation_prompt("{}", languages.target, name), "source"))
        for name in REGISTER_SHARES
    )
    return known.select(
        task=pl.lit("register"), direction=pl.lit(languages.forward), variant="register", difficulty="difficulty",
        prompt=prompt, source="source", reference="target", rows=pl.concat_list("row"), groups=pl.concat_list("group"),
    )  # fmt: skip


def paragraph(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Two or three neighbouring sentences of one register and domain, in running text or a line each.

    Neighbours in Tatoeba are alike in topic. A paragraph never repeats a group, and is as hard as its hardest part.
    """
    whole = pairs.filter(pl.col("source").str.contains(SENTENCE), pl.col("target").str.contains(SENTENCE))
    kinds = ["register", "domain"]
    place = pl.int_range(pl.len()).over(kinds)
    # Five sentences in turn make a paragraph of three and one of two; every other five are a line each.
    runs = whole.with_columns(run=place // 5 * 2 + (place % 5 >= 3), lines=place // 5 % 2 == 1)
    parts = runs.group_by([*kinds, "run", "lines"], maintain_order=True).agg(
        "source", "target", rows="row", groups="group", difficulty=_hardest())  # fmt: skip
    distinct = pl.col("groups").list.n_unique()
    joined = parts.filter(distinct >= 2, distinct == pl.col("groups").list.len()).with_columns(
        _joined("source", languages.source), _joined("target", languages.target))  # fmt: skip
    return _both_directions("paragraph", joined, languages)


def paraphrase(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Two translations of one sentence: the second says the first in other words.

    The response is the one with fewer pronouns: in Japanese they are a mark of literal translation.
    """
    keyed = pairs.with_columns(key=normal_key(pl.col("source")), asks=pl.col("source").str.contains(r"[?？]"),
                               pronouns=pl.col("target").str.count_matches(_PRONOUNS))  # fmt: skip
    joined = keyed.join(keyed, on=["group", "key", "asks"], suffix="_2", maintain_order="left_right")
    fewer = pl.col("pronouns_2") < pl.col("pronouns")
    # Without a difference in pronouns the parity of the rows decides which one asks: one order, at random.
    even = (pl.col("row") + pl.col("row_2")) % 2 == (pl.col("row") < pl.col("row_2")).cast(pl.UInt32)
    chosen = joined.filter(fewer | (pl.col("pronouns") == pl.col("pronouns_2")) & even)
    least, greatest = PARAPHRASE_SIMILARITY
    similarity = [_similarity(a, b) for a, b in zip(chosen["target"], chosen["target_2"], strict=True)]
    return chosen.filter(pl.Series(similarity, dtype=pl.Float64).is_between(least, greatest)).select(
        task=pl.lit("paraphrase"), direction=pl.lit(languages.within), variant=pl.lit(""),
        difficulty=pl.concat_list("difficulty", "difficulty_2").list.eval(_hardest(pl.element())).list.first(),
        prompt=_format(paraphrase_prompt("{}"), "target"), source="target", reference="target_2",
        rows=pl.concat_list("row", "row_2"), groups=pl.concat_list("group"),
    )  # fmt: skip


def glossary(pairs: pl.DataFrame, languages: Languages) -> pl.DataFrame:
    """Translate with a given term, both ways; Japanese only."""
    if languages.target != "ja" or not is_spaced(languages.source):
        return translate(pairs.clear(), languages)
    found = pairs.join(terms(pairs), on="row", maintain_order="left")
    scattered = pl.col("row").cast(pl.UInt64) * 7919 % 10007  # neighbours in the corpus are alike
    found = found.filter(scattered.rank("ordinal").over("term", "translation") <= MAX_PER_TERM)
    forward = _format(glossary_prompt("{}", languages.target, "{}", "{}"), "term", "translation", "source")
    backward = _format(glossary_prompt("{}", languages.source, "{}", "{}"), "translation", "term", "target")
    parts = found.with_columns(rows=pl.concat_list("row"), groups=pl.concat_list("group"))
    return _both_directions("glossary", parts, languages, forward, backward)


def both_directions(languages: Languages, target_fraction: float) -> dict[tuple[str, str], float]:
    return {(languages.forward, ""): target_fraction, (languages.backward, ""): 1 - target_fraction}


def by_register(languages: Languages, target_fraction: float) -> dict[tuple[str, str], float]:
    return {(languages.forward, name): share for name, share in REGISTER_SHARES.items()}


def within_target(languages: Languages, target_fraction: float) -> dict[tuple[str, str], float]:
    return {(languages.within, ""): 1.0}


@dataclass(frozen=True)
class Task:
    """How candidates are made, and the share of each (direction, variant)."""

    candidates: Callable[[pl.DataFrame, Languages], pl.DataFrame]
    spread: Callable[[Languages, float], Mapping[tuple[str, str], float]]


TASKS = {
    "translate": Task(translate, both_directions),
    "register": Task(register, by_register),
    "paragraph": Task(paragraph, both_directions),
    "paraphrase": Task(paraphrase, within_target),
    "glossary": Task(glossary, both_directions),
}
RL_TASKS = ("translate", "register")
"""Tasks with one sentence and a reference, which the reward is made for."""


def _both_directions(
    task: str,
    parts: pl.DataFrame,
    languages: Languages,
    forward: pl.Expr | None = None,
    backward: pl.Expr | None = None,
) -> pl.DataFrame:
    """Instructions from source to target and back; prompts are plain translation prompts where none are given."""
    if forward is None:
        forward = _format(translation_prompt("{}", languages.target), "source")
    if backward is None:
        backward = _format(translation_prompt("{}", languages.source), "target")
    parts = parts.with_columns(task=pl.lit(task), variant=pl.lit(""))
    there = parts.with_columns(direction=pl.lit(languages.forward), prompt=forward, reference="target")
    back = parts.with_columns(
        direction=pl.lit(languages.backward), prompt=backward, source="target", reference="source"
    )
    return pl.concat([there.select(CANDIDATES), back.select(CANDIDATES)])


def _format(template: str, *columns: str) -> pl.Expr:
    return pl.format(template, *(pl.col(column) for column in columns))


def _joined(side: str, language: str) -> pl.Expr:
    blank = pl.lit(" " if is_spaced(language) else "")
    return pl.col(side).list.join(pl.when("lines").then(pl.lit("\n")).otherwise(blank))


def _hardest(element: pl.Expr | None = None) -> pl.Expr:
    """The hardest of several difficulties; DIFFICULTIES are listed from the hardest."""
    place = (pl.col("difficulty") if element is None else element).replace_strict(
        list(DIFFICULTIES), list(range(len(DIFFICULTIES))), return_dtype=pl.Int8)  # fmt: skip
    return place.min().replace_strict(list(range(len(DIFFICULTIES))), list(DIFFICULTIES), return_dtype=pl.String)


def _similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of character pairs."""
    a, b = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (first, second))
    return len(a & b) / len(a | b) if a | b else 1.0
