"""Choose among a segment's samples as a recipe says: which utility, approximated how, against which pseudo-references.

| approximation | what is computed | for |
|---|---|---|
| none | every candidate against every pseudo-reference | chrF, BLEU: the exact matrix is cheap |
| aggregate | chrF against one mean pseudo-reference | chrf, chrf++ alone |
| coarse-to-fine | exactly for the `keep` candidates nearest to the mean pseudo-reference | dear utilities |
| pruned | candidates that lose on a sample of the pseudo-references are dropped | utilities in this process |

What each loses is measured in `in2x.decoding.approximate`. To the expected utility the likelihood of the source,
translated back, can be added (`in2x.evaluation.reconstruction`): samples of one model agree on its mistakes, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from in2x.artifacts import In2xError
from in2x.decoding.approximate import select_aggregated, select_pruned, shortlist
from in2x.decoding.mbr import MbrChoice, select_all
from in2x.decoding.utilities import RowUtility, TableUtility, Utility, make_utility

if TYPE_CHECKING:
    from in2x.sections import TranslateSection

CHRF = ("chrF2", "chrF++")
PLUGIN_ROWS = 1 << 20  # rows for one process of a plugin: it loads its model once


Reconstruct = Callable[[list[tuple[str, str]]], np.ndarray]
"""Pairs of source and hypothesis -> mean log-likelihood of the source given the hypothesis, nats per token."""


def choose_all(
    section: TranslateSection,
    candidate_lists: Sequence[Sequence[str]],
    pseudo_reference_lists: Sequence[Sequence[str] | None] | None,
    sources: Sequence[str],
    target_language: str,
    reconstruct: Reconstruct | None = None,
) -> list[int]:
    """The index of the chosen candidate of each segment; without pseudo-references the candidates are their own.

    With `reconstruct`, and a reconstruction_weight, what counts is

        expected utility + reconstruction_weight * log p(source | candidate) / tokens of the source

    among the reconstruction_keep candidates of highest expected utility.

    Raises:
        In2xError: a plugin that can't be run, or that fails for a row.
    """
    references = pseudo_reference_lists or [None] * len(candidate_lists)
    choices = _choices(section, candidate_lists, references, sources, target_language)
    if not section.reconstruction_weight:
        return [choice.index for choice in choices]
    kept = [
        _leading(candidates, choice, section.reconstruction_keep)
        for candidates, choice in zip(candidate_lists, choices, strict=True)
    ]
    asked = [
        (source, candidates[place])
        for source, candidates, places in zip(sources, candidate_lists, kept, strict=True)
        for place in places
    ]
    scores = iter(reconstruct(asked).tolist())
    weight = section.reconstruction_weight
    return [
        max(places, key=lambda place: choice.expected_utilities[place] + weight * next(scores))
        for places, choice in zip(kept, choices, strict=True)
    ]


def _leading(candidates: Sequence[str], choice: MbrChoice, keep: int) -> list[int]:
    """Places of the `keep` distinct candidates of highest expected utility, best first; NaN is never among them."""
    first_of: dict[str, int] = {}
    for place in np.argsort(-choice.expected_utilities, kind="stable").tolist():
        if not np.isnan(choice.expected_utilities[place]):
            first_of.setdefault(candidates[place], place)
    return list(first_of.values())[:keep]


def _choices(section, candidate_lists, references, sources, target_language) -> list[MbrChoice]:
    """Minimum Bayes risk as the section says."""
    pairs = list(zip(candidate_lists, references, strict=True))
    beta, word_order = section.chrf_beta, 2 if section.utility == "chrf++" else 0
    if section.approximation == "aggregate":
        return [select_aggregated(texts, pseudo, beta=beta, word_order=word_order) for texts, pseudo in pairs]
    utility = section_utility(section, target_language)
    if section.approximation == "pruned":
        return [select_pruned(texts, utility, pseudo, seed=section.seed) for texts, pseudo in pairs]
    if section.approximation == "none":
        return select_all(candidate_lists, utility, references, sources=sources)
    kept = [shortlist(texts, pseudo, keep=section.keep, beta=beta) for texts, pseudo in pairs]
    shortlists = [[texts[place] for place in places] for (texts, _), places in zip(pairs, kept, strict=True)]
    choices = select_all(shortlists, utility, [pseudo or texts for texts, pseudo in pairs], sources=sources)
    return [_among(len(texts), places, choice) for (texts, _), places, choice in zip(pairs, kept, choices, strict=True)]


def _among(number: int, places: Sequence[int], choice: MbrChoice) -> MbrChoice:
    """A choice among some places, as one among all; the others' expected utilities are NaN."""
    expected = np.full(number, np.nan)
    expected[list(places)] = choice.expected_utilities
    return MbrChoice(places[choice.index], choice.expected_utility, expected)


def section_utility(section: TranslateSection, target_language: str) -> Utility | TableUtility:
    """The utility that the recipe names; of a plugin one that asks a process of its own for all rows together."""
    if section.utility != "plugin":
        return make_utility(section.utility, beta=section.chrf_beta, target_language=target_language)
    return RowUtility(lambda rows: _plugin_scores(section, rows), batch_size=PLUGIN_ROWS)


def selector_metrics(section: Mapping) -> tuple[str, ...]:
    """The metrics that took part in the choice, by the settings of translate as they are kept in its manifest.

    They are no judges of what was chosen. A metric from before a setting existed is chrF, which was the only one.
    """
    utility = section.get("utility", "chrf")
    chosen_by = {"chrf": CHRF, "chrf++": CHRF, "bleu": ("BLEU",), "exact": ()}.get(utility)
    if chosen_by is None:
        chosen_by = (plugin_name(section["plugin"], section["plugin_model"]),)
    coarse = CHRF if section.get("approximation", "none") in ("aggregate", "coarse-to-fine") else ()
    return tuple(dict.fromkeys((*chosen_by, *coarse)))


def plugin_name(plugin: str, model: str) -> str:
    """What `in2x score --plugin` calls the scores, so that the same metric is known again."""
    return f"{Path(plugin).stem}-{Path(model).name}"


def _plugin_scores(section: TranslateSection, rows: Sequence[tuple[str | None, str, str]]) -> list[float]:
    from in2x.evaluation.plugins.host import Row, score_rows

    asked = [Row(source or "", hypothesis, reference) for source, hypothesis, reference in rows]
    found = score_rows(section.plugin, asked, python=section.plugin_python, model=section.plugin_model)
    lacking = [row for row, value in zip(asked, found.values, strict=True) if value is None]
    if lacking:
        raise In2xError(
            f"translate.plugin {section.plugin}: no score of {len(lacking):,} of {len(asked):,} rows, such as of "
            f"{lacking[0].hypothesis[:60]!r}; minimum-Bayes-risk decoding needs them all"
        )
    return list(found.values)
