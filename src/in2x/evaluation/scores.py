"""Scores that need neither a model nor a network, one per segment and one per system, by name in the table `SCORES`.

A new score is a function from `Texts` to `Scored` and a row of the table. BLEU, chrF and TER are sacreBLEU's, with its
signatures: BLEU cuts Japanese by MeCab and Chinese by character. On one segment BLEU is taken with effective order, as
sacreBLEU's sentence_bleu does. The rules are those that rewards use (`in2x.rewards.rules`, `in2x.rewards.gates`).

A segment has a null score where there is nothing to measure: no reference, or no name to keep. That depends on the
segment, never on the system, so that systems are always averaged over the same segments.

Legend: N segments.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import polars as pl

import in2x
from in2x.artifacts import In2xError
from in2x.corpus.files import nearest
from in2x.evaluation import store
from in2x.evaluation.metrics import bleu_scores, multi_reference_statistics
from in2x.evaluation.name_fidelity import name_fidelity
from in2x.rewards import gates, rules


@dataclass(frozen=True)
class Texts:
    """What one system made of one pair's segments: four lists of length N, and the two languages."""

    sources: list[str]
    hypotheses: list[str]
    references: list[list[str]]
    source_language: str
    target_language: str


@dataclass(frozen=True)
class Scored:
    """values: one per segment, None where there is nothing to measure; corpus: of all that have one, None for none."""

    values: list[float | None]
    corpus: float | None
    signature: str


@dataclass(frozen=True)
class OfflineScore:
    """higher_is_better is None where a target in between is best; high is None where there is no limit."""

    score: Callable[[str, Texts], Scored]
    needs_reference: bool
    higher_is_better: bool | None
    low: float
    high: float | None
    description: str


@dataclass(frozen=True)
class SystemScore:
    """One system's score of one pair. num_segments: those that have a value, of num_given.

    Example: SystemScore("en-ja", "In2x", "BLEU", 31.2, 998, 998, "nrefs:1|case:mixed|eff:no|tok:ja-mecab-...")
    """

    pair: str
    system: str
    metric: str
    value: float | None
    num_segments: int
    num_given: int
    signature: str


def score_store(frame: pl.DataFrame, names: Sequence[str] = ()) -> tuple[pl.DataFrame, list[SystemScore]]:
    """Compute the named scores (by default all that the store has references for) of every pair and system.

    Returns the store with a column for each, in place of any of that name, and the scores of the systems.

    Raises:
        In2xError: an unknown name, a score that needs references where none are, or a language that is not known.
    """
    chosen = _chosen(frame, names)
    indexed = frame.with_row_index("row")
    values: dict[str, list[float | None]] = {name: [None] * len(frame) for name in chosen}
    found = []
    for (pair, system), rows in indexed.group_by("pair", "system", maintain_order=True):
        texts = _texts(rows, pair)
        for name in chosen:
            scored = score_texts(name, texts)
            for row, value in zip(rows["row"], scored.values, strict=True):
                values[name][row] = value
            number = len(texts.sources) - scored.values.count(None)
            found.append(SystemScore(pair, system, name, scored.corpus, number, len(texts.sources), scored.signature))
    for name in chosen:
        frame = store.add_scores(frame, name, values[name], replace=True)
    return frame, found


def score_texts(name: str, texts: Texts) -> Scored:
    """Compute one score of one system; segments without references have none where it needs them.

    Raises:
        In2xError: a language without tokenizer or script.
    """
    row = SCORES[name]
    has_reference = [bool(references) for references in texts.references]
    if not row.needs_reference or all(has_reference):
        return row.score(name, texts)
    if not any(has_reference):
        return Scored([None] * len(has_reference), None, "")
    scored = row.score(name, _only(texts, has_reference))
    values = iter(scored.values)
    return replace(scored, values=[next(values) if found else None for found in has_reference])


def _sacrebleu(name: str, texts: Texts) -> Scored:
    try:
        found = multi_reference_statistics(name, texts.hypotheses, texts.references, texts.target_language)
    except RuntimeError as error:  # a tokenizer that is not installed
        raise In2xError(str(error)) from error
    values = bleu_scores(found.counts_NK, effective_order=True) if name == "BLEU" else found.score(found.counts_NK)
    return Scored(values.tolist(), found.value, found.signature)


def _mean_of(rule: Callable[[Texts, int], float | None]) -> Callable[[str, Texts], Scored]:
    """The score of a rule for the n-th segment; a system's is the mean over the segments that have a value."""

    def score(name: str, texts: Texts) -> Scored:
        values = [rule(texts, n) for n in range(len(texts.sources))]
        measured = [value for value in values if value is not None]
        return Scored(values, statistics.fmean(measured) if measured else None, _signature(name, texts))

    return score


def _by_script(rule: Callable[[Texts, int], float]) -> Callable[[str, Texts], Scored]:
    """The score of a rule that has to know the script of the target language."""

    def score(name: str, texts: Texts) -> Scored:
        try:
            gates.wrong_language("", texts.target_language)
        except ValueError as error:
            raise In2xError(f"{name}: {error}; or leave this score out by naming the others") from error
        return _mean_of(rule)(name, texts)

    return score


def _length_ratio(name: str, texts: Texts) -> Scored:
    """Characters of the hypothesis over those of the reference nearest in length; the system's is that of the sums."""
    own = [_num_chars(hypothesis) for hypothesis in texts.hypotheses]
    wanted = [
        min(filter(None, map(_num_chars, references)), key=lambda chars, a=a: (abs(chars - a), chars), default=0)
        for a, references in zip(own, texts.references, strict=True)
    ]
    values = [a / b if b else None for a, b in zip(own, wanted, strict=True)]
    measured = sum(a for a, b in zip(own, wanted, strict=True) if b)
    return Scored(values, measured / sum(wanted) if any(wanted) else None, _signature(name, texts))


def _exact_match(texts: Texts, n: int) -> float:
    return float(texts.hypotheses[n].strip() in [text.strip() for text in texts.references[n]])


def _copied(texts: Texts, n: int) -> float:
    return float(gates.copied(texts.hypotheses[n], texts.sources[n], texts.target_language) is not None)


def _in_target_language(texts: Texts, n: int) -> float:
    """An empty hypothesis is in no language; a text without letters is in every one."""
    if gates.empty(texts.hypotheses[n]) and not gates.empty(texts.sources[n]):
        return 0.0
    return float(gates.wrong_language(texts.hypotheses[n], texts.target_language) is None)


def _number_fidelity(texts: Texts, n: int) -> float:
    return rules.number_fidelity(texts.sources[n], texts.hypotheses[n])


def _name_fidelity(texts: Texts, n: int) -> float | None:
    languages = texts.source_language, texts.target_language
    return name_fidelity(texts.sources[n], texts.hypotheses[n], texts.references[n], *languages)


# name: function, needs a reference, higher is better, lowest, highest, what it is
SCORES = {
    "BLEU": OfflineScore(_sacrebleu, True, True, 0, 100, "n-grams of words, cut by ja-mecab, zh, ko-mecab or 13a"),
    "chrF2": OfflineScore(_sacrebleu, True, True, 0, 100, "n-grams of characters, recall counted twice"),
    "chrF++": OfflineScore(_sacrebleu, True, True, 0, 100, "chrF2 with words and pairs of words"),
    "TER": OfflineScore(_sacrebleu, True, False, 0, None, "edits per hundred words of the reference"),
    "exact-match": OfflineScore(_mean_of(_exact_match), True, True, 0, 1, "equal to a reference"),
    "length-ratio": OfflineScore(_length_ratio, True, None, 0, None, "characters over the reference's; 1 is best"),
    "copy-rate": OfflineScore(_by_script(_copied), False, False, 0, 1, "the source handed back"),
    "target-language": OfflineScore(_by_script(_in_target_language), False, True, 0, 1, "in the target's script"),
    "number-fidelity": OfflineScore(_mean_of(_number_fidelity), False, True, 0, 1, "numbers kept, none invented"),
    "name-fidelity": OfflineScore(_mean_of(_name_fidelity), True, True, 0, 1, "names kept that a reference keeps"),
}


def _chosen(frame: pl.DataFrame, names: Sequence[str]) -> list[str]:
    has_references = bool((frame["references"].list.len() > 0).any())
    if not names:
        return [name for name, row in SCORES.items() if has_references or not row.needs_reference]
    for name in names:
        if name not in SCORES:
            raise In2xError(f"unknown score {name!r}{nearest(name, SCORES)} Known are {', '.join(SCORES)}")
        if SCORES[name].needs_reference and not has_references:
            others = [other for other, row in SCORES.items() if not row.needs_reference]
            raise In2xError(f"{name} needs references, and the store has none; without there are {', '.join(others)}")
    return list(dict.fromkeys(names))


def _texts(rows: pl.DataFrame, pair: str) -> Texts:
    columns = (rows[name].to_list() for name in ("source", "hypothesis", "references"))
    return Texts(*columns, *store.languages(pair))


def _only(texts: Texts, kept: Sequence[bool]) -> Texts:
    lists = {name: getattr(texts, name) for name in ("sources", "hypotheses", "references")}
    return replace(texts, **{name: list(compress(values, kept)) for name, values in lists.items()})


def _signature(name: str, texts: Texts) -> str:
    return f"{name}|source:{texts.source_language}|target:{texts.target_language}|version:in2x-{in2x.__version__}"


def _num_chars(text: str) -> int:
    return len("".join(text.split()))
