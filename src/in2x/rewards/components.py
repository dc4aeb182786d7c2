"""The components of the reward, one row of a table each: what it needs, its bounds, what it is.

Higher is always better; a penalty runs from below 0 to 0. A component is a function of P groups and the resources
that gives, for each group, one entry per completion, or None where the prompt has nothing to measure. An entry is a
number or `Unscorable`, with the reason. `in2x.rewards.measure` calls them, and counts what fails.

Legend: P prompts, G group size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from in2x.artifacts import In2xError
from in2x.rewards import adequacy, answers, fidelity, japanese, length, names, polarity, rules, style
from in2x.rewards.groups import Group, Span

if TYPE_CHECKING:
    from in2x.evaluation.reconstruction import Reconstructor
    from in2x.rewards.alignment import Lexicon
    from in2x.rewards.embedding import Embedder
    from in2x.rewards.length import LengthRatios
    from in2x.rewards.remote import QualityEstimator, RubricJudge

Need = Literal["source", "reference", "tokens", "prompt", "preference", "embedder", "lexicon", "reconstructor", "judge",
               "estimator"]  # fmt: skip


@dataclass(frozen=True)
class Unscorable:
    """In place of a score: why there is none."""

    reason: str


Row = Sequence["float | Unscorable"] | None


@dataclass(frozen=True)
class Resources:
    """What components may need besides the groups; None where the run doesn't have it.

    max_tokens, buffer_tokens: of the soft length penalty. length_ratios: expected lengths, where no reference gives
    them. expect_from: what the relative length is relative to.
    """

    chrf_beta: float = 2.0
    max_tokens: int | None = None
    buffer_tokens: int | None = None
    preference: tuple | None = None
    """(model, tokenizer) of in2x.rewards.naturalness."""
    embedder: Embedder | None = None
    lexicon: Lexicon | None = None
    reconstructor: Reconstructor | None = None
    length_ratios: LengthRatios | None = None
    expect_from: Literal["reference", "source"] = "reference"
    judge: RubricJudge | None = None
    estimator: QualityEstimator | None = None


@dataclass(frozen=True)
class Component:
    """One row. `remote`: asked about members that passed the gates only, by one process, and never group by group.

    `spans` finds the places that a score is about, in one completion's text, for span-level credit.
    """

    score: Callable[[Sequence[Group], Resources], Sequence[Row]]
    needs: tuple[Need, ...]
    low: float
    high: float
    description: str
    remote: bool = False
    spans: Callable[[Group, str], list[Span]] | None = None


def _each(rule: Callable[[Group, str], float], where: Callable[[Group], object] = lambda group: True):
    """A component that looks at one text at a time, at the prompts `where` it applies."""

    def score(groups: Sequence[Group], resources: Resources) -> list[Row]:
        return [[rule(group, text) for text in group.texts] if where(group) else None for group in groups]

    return score


def _adequacy(groups: Sequence[Group], resources: Resources) -> list[Row]:
    scores_PG = adequacy.chrf_scores(
        [group.texts for group in groups], [group.reference or None for group in groups], resources.chrf_beta
    )
    return [row if group.reference else None for row, group in zip(scores_PG, groups, strict=True)]


def _bleu(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return [
        adequacy.bleu_scores(group.texts, group.reference, group.target_language) if group.reference else None
        for group in groups
    ]


def _naturalness(groups: Sequence[Group], resources: Resources) -> list[Row]:
    from in2x.rewards.naturalness import naturalness

    scores = naturalness(*resources.preference, [text for group in groups for text in group.texts]).tolist()
    return _by_group(scores, groups)


def _embedding(groups: Sequence[Group], resources: Resources) -> list[Row]:
    scores = resources.embedder.similarities(
        [group.source for group in groups for _ in group.texts], [text for group in groups for text in group.texts]
    )
    return _by_group(scores.tolist(), groups)


def _coverage(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return [[resources.lexicon.coverage(group.source, text) for text in group.texts] for group in groups]


def _reconstruction(groups: Sequence[Group], resources: Resources) -> list[Row]:
    rows = [(group.source, text, group.source_language) for group in groups for text in group.texts]
    return _by_group(resources.reconstructor.scores(rows).tolist(), groups)


def _length(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return [
        length.soft_length_penalty(
            [len(completion.token_ids) for completion in group.completions],
            resources.max_tokens,
            resources.buffer_tokens,
        )
        for group in groups
    ]


def _relative_length(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return [length.relative_row(group, resources.length_ratios, resources.expect_from) for group in groups]


def _rubric(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return resources.judge.rows(groups)


def _estimated(groups: Sequence[Group], resources: Resources) -> list[Row]:
    return resources.estimator.rows(groups)


def _by_group(values: list, groups: Sequence[Group]) -> list[Row]:
    rest = iter(values)
    return [[next(rest) for _ in group.completions] for group in groups]


_REFERENCE, _SOURCE = ("reference",), ("source",)
COMPONENTS = {
    "adequacy": Component(_adequacy, _REFERENCE, 0, 1, "chrF2 against the reference, times a length factor"),
    "bleu": Component(_bleu, _REFERENCE, 0, 1, "sentence BLEU against the reference, smoothed"),
    "embedding": Component(_embedding, ("source", "embedder"), -1, 1, "cosine of source and translation"),
    "coverage": Component(_coverage, ("source", "lexicon"), 0, 1, "words of either side that the other accounts for"),
    "reconstruction": Component(
        _reconstruction, ("source", "reconstructor"), -math.inf, 0,
        "log-likelihood of the source, translated back, nats per token",
    ),
    "qe": Component(
        _estimated, ("source", "estimator"), -math.inf, math.inf, "a quality-estimation metric's score", remote=True
    ),
    "naturalness": Component(
        _naturalness, ("preference",), -math.inf, math.inf, "the preference model's score, log-odds"
    ),
    "rubric": Component(_rubric, ("source", "judge"), 0, 1, "share of the rubric's principles satisfied", remote=True),
    "length": Component(_length, ("tokens",), -1, 0, "soft penalty before the limit of tokens"),
    "relative_length": Component(_relative_length, _SOURCE, -1, 0, "penalty for another length than expected"),
    "repetition": Component(
        _each(lambda group, text: rules.repetition_penalty(text)), (), -1, 0, "penalty for repeated 8-grams"
    ),
    "numbers": Component(
        _each(lambda group, text: rules.number_fidelity(group.source, text)), _SOURCE, 0, 1,
        "numbers kept, none invented",
    ),
    "dates": Component(
        _each(lambda group, text: fidelity.date_fidelity(group.source, text)), _SOURCE, 0, 1,
        "dates and weekdays kept, none invented",
    ),
    "markup": Component(
        _each(lambda group, text: rules.markup_fidelity(group.source, text)), _SOURCE, 0, 1,
        "URLs, placeholders, tags kept",
    ),
    "terms": Component(
        _each(fidelity.term_fidelity, fidelity.requested_terms), ("prompt",), 0, 1, "the prompt's glossary terms used"
    ),
    "untranslated": Component(
        _each(fidelity.translated_share), _SOURCE, 0, 1, "letters that are not words of the source left as they were",
        spans=fidelity.untranslated_spans,
    ),
    "script": Component(
        _each(japanese.script_score, japanese.is_japanese), _SOURCE, 0, 1, "Japanese script and punctuation",
        spans=japanese.script_spans,
    ),
    "register": Component(
        _each(japanese.register_score, japanese.requested_register), ("prompt",), 0, 1,
        "sentences in the register that the prompt asks for",
    ),
    "polarity": Component(
        _each(polarity.polarity_score, polarity.can_tell), _SOURCE, 0, 1, "negates where the English source does"
    ),
    "names": Component(
        _each(names.name_score, names.demanded), _REFERENCE, 0, 1, "the reference's names, by spelling or sound"
    ),
    "style": Component(
        _each(style.style_score, japanese.is_japanese), (), 0, 1, "Japanese with kanji, in one register"
    ),
    "answer": Component(
        _each(lambda group, text: answers.correct(text, group.reference), lambda group: group.reference), _REFERENCE,
        0, 1, "the final answer is the reference's: number, choice or text",
    ),
    "format": Component(
        _each(lambda group, text: answers.well_formed(text)), (), 0, 1, "one final answer, boxed or on an Answer: line"
    ),
}  # fmt: skip

RESOURCES: dict[Need, str] = {
    "tokens": "max_tokens and buffer_tokens (rl.max_completion_tokens, rl.length_buffer_tokens)",
    "preference": "a preference model: run the stage reward, or name its folder",
    "embedder": "an embedding model: rl.reward_embedding_model",
    "lexicon": "an alignment lexicon: set reward.lexicon_pairs, so that the stage reward trains one",
    "reconstructor": "a model that translates back: run the stage sft, or name its folder",
    "judge": "a judge: rl.reward_judge_url and rl.reward_judge_model",
    "estimator": "a quality-estimation metric: rl.reward_estimator",
}


def check_resources(names: Sequence[str], resources: Resources) -> None:
    """Refuse components that the run has not what they need for.

    Raises:
        In2xError: an unknown component, or one whose model, server or limit is missing.
    """
    there = {name: getattr(resources, name, None) is not None for name in RESOURCES}
    there["tokens"] = resources.max_tokens is not None and resources.buffer_tokens is not None
    for name in names:
        if name not in COMPONENTS:
            raise In2xError(f"unknown reward component {name!r}; there are {', '.join(COMPONENTS)}")
        for need in COMPONENTS[name].needs:
            if not there.get(need, True):
                raise In2xError(f"reward component {name!r} needs {RESOURCES[need]}")
