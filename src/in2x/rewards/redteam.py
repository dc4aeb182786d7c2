"""Red team: how often an attack gets a higher reward than the honest translation it is made from.

1. Attacks are made from honest translations (`in2x.rewards.attacks`), up to a number for each attack.
2. Each attack stands in a group as RL has it: the honest translation, the attack, samples of the policy. A text that
   is longer than RL's limit is cut there and counts as unfinished, as a completion would be.
3. The reward judges the groups as in RL: gates, components, standardisation, weights, floor. Each component is also
   asked alone, without gates, about the two texts.
4. A cell counts, over the pairs whose honest translation passes the gates, how often the attack is above (beats) or
   level (ties). In the sum an attack that fails a gate lies below. Intervals are Wilson's for a share (Wilson 1927).

Legend: P groups, G group size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from in2x.instruct.prompts import translation_prompt
from in2x.records import Completion
from in2x.rewards.attacks import ATTACKS, Material, attacked
from in2x.rewards.groups import Group

if TYPE_CHECKING:
    from in2x.rewards.translation import Rewarded

BOUND = 0.02
"""The sum may prefer an attack in so many cases: above, a cell is marked."""
BLIND = " without references"
HONEST, ATTACK = 0, 1  # places in a group
Z_95 = 1.959963984540054
TIE = 1e-9  # relative: differences below it are rounding


@dataclass(frozen=True)
class Pair:
    """A source with its reference (None: there is none), an honest translation, and samples of the policy."""

    id: str
    source: str
    reference: str | None
    honest: str
    samples: tuple[Completion, ...] = ()


@dataclass(frozen=True)
class Case:
    """One attack on one pair."""

    attack: str
    pair: Pair
    text: str


@dataclass(frozen=True)
class Cell:
    """Of `num` cases: where the attack was above, and where level; in the column of the gates, where one stopped it."""

    num: int
    beats: int
    ties: int

    @property
    def share(self) -> float:
        return self.beats / self.num if self.num else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.beats, self.num)


@dataclass(frozen=True)
class Findings:
    """cells: attack -> column -> Cell; num_honest_failed: cases left out, since a gate stopped the honest text."""

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    num_honest_failed: int = 0

    def above(self, column: str, bound: float = BOUND) -> dict[str, Cell]:
        """The attacks that beat the honest translation in a larger share of cases than `bound`."""
        return {
            attack: row[column] for attack, row in self.cells.items() if column in row and row[column].share > bound
        }


def make_cases(
    pairs: Sequence[Pair],
    target_language: str,
    num_cases: int,
    seed: int = 0,
    attacks: Sequence[str] = tuple(ATTACKS),
) -> list[Case]:
    """Make each attack from the first `num_cases` pairs that it applies to; `unrelated` texts are drawn from `pairs`.

    Raises:
        ValueError: fewer than two pairs, so that there is no other text.
    """
    if len(pairs) < 2:
        raise ValueError(f"expected two pairs or more, got {len(pairs)}")
    found = []
    for number, name in enumerate(attacks):
        made = 0
        for place, pair in enumerate(pairs):
            if made == num_cases:
                break
            rng = np.random.default_rng([seed, number, place])
            text = attacked(name, _material(pairs, place, target_language, rng), rng)
            if text is not None:
                found.append(Case(name, pair, text))
                made += 1
    return found


def group_of(case: Case, tokenizer, max_tokens: int, direction: tuple[str, str]) -> Group:
    """The group of a case, in `direction` (source and target language): honest translation, attack, samples."""
    written = [completion_of(text, tokenizer, max_tokens) for text in (case.pair.honest, case.text)]
    completions = [*written, *case.pair.samples]
    return Group(
        f"{case.pair.id}/{case.attack}", [], case.pair.source, case.pair.reference, direction[1], completions,
        source_language=direction[0], prompt=translation_prompt(case.pair.source, direction[1]),
    )  # fmt: skip


def completion_of(text: str, tokenizer, max_tokens: int) -> Completion:
    """A text as if a policy had written it: with its end token, or cut off at `max_tokens`."""
    ids = tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id]
    if len(ids) <= max_tokens:
        return Completion(ids, [0.0] * len(ids), text, True)
    cut = ids[:max_tokens]
    return Completion(cut, [0.0] * max_tokens, tokenizer.decode(cut, skip_special_tokens=False), False)


def redteam(
    cases: Sequence[Case],
    rewards: Mapping[str, Callable[[list[Group]], Rewarded]],
    components: Callable[[list[Group]], Mapping[str, np.ndarray]],
    tokenizer,
    max_tokens: int,
    direction: tuple[str, str],
) -> Findings:
    """Judge all cases by each component and by each reward, and count.

    `components` gives the raw values, name -> P x G, NaN where there is none. The columns of the result: "gates" (how
    often a gate stopped the attack), the components, and for each reward its composed sum, and the same where no
    reference exists.

    Raises:
        ValueError: no case or no reward, or groups of different sizes.
    """
    sizes = {len(case.pair.samples) for case in cases}
    if len(sizes) != 1 or not rewards:
        raise ValueError(
            f"expected rewards, and cases with the same number of samples; got {len(rewards)} rewards and {len(cases)} "
            f"cases with {sorted(sizes)} samples"
        )
    groups = [group_of(case, tokenizer, max_tokens, direction) for case in cases]
    columns = dict(components([replace(group, completions=group.completions[:2]) for group in groups]))
    blind = [replace(group, reference=None) for group in groups]
    for key, reward in rewards.items():
        rewarded = reward(groups + blind)  # at once: a text that both have is scored once
        columns[key], columns[key + BLIND] = np.split(rewarded.composed.rewards_PG[:, :2], 2)
        failed = rewarded.failures_PG[: len(groups)]
    return _count(cases, columns, failed)


def wilson(num_successes: int, num: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a share, 95 % by default; (0, 1) where nothing was seen (Wilson 1927)."""
    if num == 0:
        return 0.0, 1.0
    share, square = num_successes / num, z * z / num
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / num + square / (4 * num))
    return (centre - half if num_successes else 0.0), (centre + half if num_successes < num else 1.0)


def as_json(findings: Findings) -> dict:
    """Counts, shares and intervals of every cell."""
    return {
        "num_honest_failed": findings.num_honest_failed,
        "cells": {
            attack: {column: asdict(cell) | _shares(cell) for column, cell in row.items()}
            for attack, row in findings.cells.items()
        },
    }


def _shares(cell: Cell) -> dict[str, float | None]:
    """JSON has no NaN: the share of nothing is null."""
    return {"share": cell.share if cell.num else None, "low": cell.interval[0], "high": cell.interval[1]}


def table(findings: Findings, sums: Sequence[str], markdown: bool = False) -> list[str]:
    """Lines of the table: beats in per cent, "=" ties; sums with their interval, and "!" above the bound; "-" where
    nothing was measured. Intervals of all cells are in `as_json`."""
    columns = list(next(iter(findings.cells.values())))
    rows = [["attack", "kind", "cases", *columns]]
    for attack, row in findings.cells.items():
        cells = [_shown(name, cell, name in sums) for name, cell in row.items()]
        rows.append([attack, ATTACKS[attack].kind, str(max(cell.num for cell in row.values())), *cells])
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _material(pairs: Sequence[Pair], place: int, target_language: str, rng: np.random.Generator) -> Material:
    other = pairs[(place + 1 + int(rng.integers(len(pairs) - 1))) % len(pairs)]
    pair = pairs[place]
    alternative = next((c.text for c in pair.samples if c.text.strip() and c.text != pair.honest), "")
    return Material(pair.source, pair.honest, other.source, other.honest, alternative, target_language)


def _count(
    cases: Sequence[Case], columns: Mapping[str, np.ndarray], failed: Sequence[Sequence[str | None]]
) -> Findings:
    attacks = list(dict.fromkeys(case.attack for case in cases))
    honest_passed_P = np.array([row[HONEST] is None for row in failed])
    gated_P = np.array([row[ATTACK] is not None for row in failed])
    of_attack_P = np.array([case.attack for case in cases])
    cells: dict[str, dict[str, Cell]] = {}
    for attack in attacks:
        rows_P = honest_passed_P & (of_attack_P == attack)
        cells[attack] = {"gates": Cell(int(rows_P.sum()), int(gated_P[rows_P].sum()), 0)}
        cells[attack] |= {name: _cell(values_P2[rows_P]) for name, values_P2 in columns.items()}
    return Findings(cells, int((~honest_passed_P).sum()))


def _cell(values_P2: np.ndarray) -> Cell:
    """Compare the attack with the honest text; cases in which one has no value were not measured."""
    values_P2 = values_P2[np.isfinite(values_P2).all(axis=1)]
    difference_P = values_P2[:, ATTACK] - values_P2[:, HONEST]
    slack_P = TIE * np.maximum(1.0, np.abs(values_P2[:, HONEST]))
    return Cell(len(values_P2), int((difference_P > slack_P).sum()), int((np.abs(difference_P) <= slack_P).sum()))


def _shown(column: str, cell: Cell, is_sum: bool) -> str:
    if not cell.num:
        return "-"
    if column == "gates":
        return f"{100 * cell.share:.0f}"
    ties = f" ={100 * cell.ties / cell.num:.0f}" if cell.ties else ""
    if not is_sum:
        return f"{100 * cell.share:.1f}{ties}"
    low, high = cell.interval
    mark = " !" if cell.share > BOUND else ""
    return f"{100 * cell.share:.1f} [{100 * low:.1f}, {100 * high:.1f}]{ties}{mark}"
