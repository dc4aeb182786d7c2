"""The reward of a completion: gates, then named components, standardised in the group and weighted.

The components are the rows of `in2x.rewards.components`. Only those with a weight are computed, at the prompts of the
tasks that give them one. What can't be scored is counted, and stops the run above a share.

Legend: P prompts, G group size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from in2x.rewards.components import COMPONENTS, Resources, check_resources
from in2x.rewards.compose import Cap, Composed, compose
from in2x.rewards.gates import TRANSLATION_TASKS, check_gates
from in2x.rewards.groups import Group, Span
from in2x.rewards.guards import guard
from in2x.rewards.measure import measure, refuse_unscorable

__all__ = ["COMPONENTS", "Group", "Rewarded", "TranslationReward"]


@dataclass(frozen=True)
class Rewarded:
    """composed rewards, the raw components (name -> P x G, NaN where a gate failed), and the failed gates' reasons.

    unscorable: component -> (prompt, member) -> why a member that passed its gates has no value; its reward is the mean
    of its group's, so that it teaches nothing. spans: component -> (prompt, member) -> the places it found fault with.
    """

    composed: Composed
    components_PG: dict[str, np.ndarray]
    failures_PG: list[list[str | None]]
    unscorable: dict[str, dict[tuple[int, int], str]] = field(default_factory=dict)
    spans: dict[str, dict[tuple[int, int], list[Span]]] = field(default_factory=dict)

    def unscorable_counts(self) -> dict[str, dict[str, int]]:
        """Component -> reason -> how many members of this batch, for the log."""
        return {name: dict(Counter(reasons.values())) for name, reasons in self.unscorable.items() if reasons}


class TranslationReward:
    """`weights` by component; `task_weights` in their place for the tasks that it names.

    `max_unscorable_fraction`: of the members that passed their gates, by component; above it the run stops.
    `guards`: translations must also pass in2x.rewards.guards.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        preference_model=None,
        tokenizer=None,
        max_tokens: int | None = None,
        buffer_tokens: int | None = None,
        chrf_beta: float = 2.0,
        *,
        resources: Resources | None = None,
        task_weights: Mapping[str, Mapping[str, float]] | None = None,
        cap: Cap | None = None,
        max_unscorable_fraction: float = 0.1,
        with_spans: bool = False,
        guards: bool = False,
    ):
        self.weights = _nonzero(weights)
        self.task_weights = {task: _nonzero(own) for task, own in (task_weights or {}).items()}
        self.resources = resources or Resources(
            chrf_beta,
            max_tokens,
            buffer_tokens,
            None if preference_model is None else (preference_model, tokenizer),
        )
        self.cap, self.max_unscorable_fraction = cap, max_unscorable_fraction
        self.with_spans, self.guards = with_spans, guards
        every = [self.weights, *self.task_weights.values()]
        self.names = list(dict.fromkeys(name for own in every for name in own))
        if cap is not None and cap.gate not in self.names:
            raise ValueError(f"cap: its gate {cap.gate!r} has no weight; components with one are {self.names}")
        check_resources(self.names, self.resources)

    def __call__(self, groups: list[Group]) -> Rewarded:
        """Reward P groups of one size.

        Raises:
            In2xError: a component could not score too many members, or gave a value out of its bounds.
        """
        failures_PG = [
            [
                check_gates(c.text, g.source, g.target_language, c.finished, prompt=g.prompt, task=g.task)
                or (guard(c.text, g.source, g.target_language) if self.guards and g.task in TRANSLATION_TASKS else None)
                for c in g.completions
            ]
            for g in groups
        ]
        passed_PG = np.array([[reason is None for reason in row] for row in failures_PG])
        weights_P = [self.task_weights.get(group.task, self.weights) for group in groups]
        components_PG, unscorable = {}, {}
        for name in self.names:
            asked_P = [name in own for own in weights_P]
            measured = measure(name, groups, passed_PG, self.resources, asked_P)
            components_PG[name], unscorable[name] = measured.values_PG, measured.reasons
            refuse_unscorable(
                name, measured.reasons, int(passed_PG[asked_P].sum()), self.max_unscorable_fraction, groups
            )
        unscorable_PG = np.zeros(passed_PG.shape, dtype=bool)
        for p, g in (place for reasons in unscorable.values() for place in reasons):
            unscorable_PG[p, g] = True
        composed = compose(components_PG, passed_PG, weights_P, unscorable_PG=unscorable_PG, cap=self.cap)
        spans = self._spans(groups, passed_PG, weights_P) if self.with_spans else {}
        return Rewarded(composed, components_PG, failures_PG, unscorable, spans)

    def close(self) -> None:
        """End the processes, and close the files, of what other processes answer."""
        if self.resources.estimator is not None:
            self.resources.estimator.close()
        if self.resources.judge is not None:
            self.resources.judge.close()

    def _spans(self, groups, passed_PG: np.ndarray, weights_P) -> dict[str, dict[tuple[int, int], list[Span]]]:
        return {
            name: {
                (int(p), int(g)): COMPONENTS[name].spans(groups[p], groups[p].completions[g].text)
                for p, g in np.argwhere(passed_PG)
                if name in weights_P[p]
            }
            for name in self.names
            if COMPONENTS[name].spans is not None
        }


def _nonzero(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight}
