"""The reward of a translation: gates, then named components, standardised in the group and weighted.

Components: adequacy (chrF against the reference, with a length factor, 0-1), naturalness (the preference model's
score), length (the soft penalty in tokens), repetition, numbers and markup (fidelity to the source). Only those with
a weight are computed.

Legend: P prompts, G group size.
"""

from dataclasses import dataclass

import numpy as np

from in2x.records import Completion
from in2x.rewards import adequacy, rules
from in2x.rewards.compose import Composed, compose
from in2x.rewards.gates import check_gates
from in2x.rewards.length import soft_length_penalty
from in2x.rewards.naturalness import naturalness


@dataclass(frozen=True)
class Group:
    """The completions of one prompt, with what they are judged against."""

    id: str
    prompt_ids: list[int]
    source: str
    reference: str
    target_language: str
    completions: list[Completion]


@dataclass(frozen=True)
class Rewarded:
    """composed rewards, the raw components (name -> P x G, NaN where a gate failed), and the failed gates' reasons."""

    composed: Composed
    components_PG: dict[str, np.ndarray]
    failures_PG: list[list[str | None]]


class TranslationReward:
    def __init__(
        self,
        weights: dict[str, float],
        preference_model,
        tokenizer,
        max_tokens: int,
        buffer_tokens: int,
        chrf_beta: float = 2.0,
    ):
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.preference_model, self.tokenizer = preference_model, tokenizer
        self.max_tokens, self.buffer_tokens, self.chrf_beta = max_tokens, buffer_tokens, chrf_beta

    def __call__(self, groups: list[Group]) -> Rewarded:
        failures_PG = [
            [check_gates(c.text, group.source, group.target_language, c.finished) for c in group.completions]
            for group in groups
        ]
        passed_PG = np.array([[reason is None for reason in row] for row in failures_PG])
        components_PG = {name: np.full(passed_PG.shape, np.nan) for name in self.weights}
        for name, values_PG in components_PG.items():
            values_PG[passed_PG] = COMPONENTS[name](self, groups)[passed_PG]
        return Rewarded(compose(components_PG, passed_PG, self.weights), components_PG, failures_PG)

    def _adequacy(self, groups: list[Group]) -> np.ndarray:
        references = [group.reference for group in groups]
        return adequacy.chrf_scores([_texts(group) for group in groups], references, self.chrf_beta)

    def _naturalness(self, groups: list[Group]) -> np.ndarray:
        texts = [text for group in groups for text in _texts(group)]
        return naturalness(self.preference_model, self.tokenizer, texts).reshape(len(groups), -1)

    def _length(self, groups: list[Group]) -> np.ndarray:
        lengths_PG = np.array([[len(completion.token_ids) for completion in group.completions] for group in groups])
        return soft_length_penalty(lengths_PG, self.max_tokens, self.buffer_tokens)

    def _repetition(self, groups: list[Group]) -> np.ndarray:
        return np.array([[rules.repetition_penalty(text) for text in _texts(group)] for group in groups])

    def _numbers(self, groups: list[Group]) -> np.ndarray:
        return np.array([[rules.number_fidelity(group.source, text) for text in _texts(group)] for group in groups])

    def _markup(self, groups: list[Group]) -> np.ndarray:
        return np.array([[rules.markup_fidelity(group.source, text) for text in _texts(group)] for group in groups])


COMPONENTS = {
    "adequacy": TranslationReward._adequacy,
    "naturalness": TranslationReward._naturalness,
    "length": TranslationReward._length,
    "repetition": TranslationReward._repetition,
    "numbers": TranslationReward._numbers,
    "markup": TranslationReward._markup,
}


def _texts(group: Group) -> list[str]:
    return [completion.text for completion in group.completions]
