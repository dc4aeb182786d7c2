"""Measure one component of P groups so that a failure is counted, and never becomes a score.

A member is *unscorable* by a component that raised, gave no number (None, NaN, infinity), gave another number of values
than there are completions, or could not be reached. A component that has nothing to measure at a prompt (no reference,
no term asked for) says so with None in place of the row, and that is no failure. A value out of the component's bounds
is a fault of the program: it stops the run.

Legend: P prompts, G group size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from in2x import distributed
from in2x.artifacts import In2xError
from in2x.rewards.components import COMPONENTS, Component, Resources, Row, Unscorable
from in2x.rewards.groups import Group

BOUND_SLACK = 1e-6  # rounding of float32 models
MAX_REASON_CHARS = 200
REASONS_SHOWN = 3


@dataclass(frozen=True)
class Measured:
    """values_PG: NaN where there is no value; reasons: (prompt, member) -> why a member that passed has none."""

    values_PG: np.ndarray
    reasons: dict[tuple[int, int], str]


def measure(
    name: str,
    groups: Sequence[Group],
    passed_PG: np.ndarray,
    resources: Resources,
    asked_P: Sequence[bool] | None = None,
) -> Measured:
    """Measure component `name` over the members that passed their gates, at the prompts asked for (by default all).

    A remote component is not shown the members that failed; a local one is, and what it says of them is not read.

    Raises:
        In2xError: a value out of the component's bounds.
    """
    component = COMPONENTS[name]
    wanted = [
        p
        for p in range(len(groups))
        if (asked_P is None or asked_P[p]) and (passed_PG[p].any() or not component.remote)
    ]
    rows = dict(zip(wanted, _rows(component, groups, wanted, passed_PG, resources), strict=True))
    values_PG, reasons = np.full(passed_PG.shape, np.nan), {}
    for p, row in rows.items():
        for g in np.flatnonzero(passed_PG[p]) if row is not None else ():
            value = _value(name, component, row[g], groups[p].id)
            if isinstance(value, Unscorable):
                reasons[p, int(g)] = value.reason
            else:
                values_PG[p, g] = value
    return Measured(values_PG, reasons)


def refuse_unscorable(
    name: str, reasons: Mapping[tuple[int, int], str], num_members: int, max_fraction: float, groups: Sequence[Group]
) -> None:
    """Stop where a component could not score more than `max_fraction` of the `num_members` that it was asked about.

    Raises:
        In2xError: names the component, the counts by reason, and the first member concerned.
    """
    if len(reasons) <= max_fraction * num_members:
        return
    common = Counter(reasons.values()).most_common(REASONS_SHOWN)
    (p, g), first = next(iter(reasons.items()))
    raise In2xError(
        f"reward component {name!r}: {len(reasons):,} of {num_members:,} completions could not be scored "
        f"({len(reasons) / num_members:.1%}; reward_max_unscorable_fraction allows {max_fraction:.1%}).\n"
        + "\n".join(f"  {number:,} times: {reason}" for reason, number in common)
        + f"\nThe first: prompt {groups[p].id!r}, completion {g}: {first}\nMend the component's cause, take its "
        "weight away, or allow more"
    )


def _rows(component: Component, groups, wanted: list[int], passed_PG, resources) -> list[list | None]:
    """One row of G entries, or None, for each wanted prompt."""
    if not wanted:
        return []
    if not component.remote:
        return _guarded(component, [groups[p] for p in wanted], resources)
    members = [np.flatnonzero(passed_PG[p]) for p in wanted]
    asked = [
        replace(groups[p], completions=[groups[p].completions[g] for g in kept])
        for p, kept in zip(wanted, members, strict=True)
    ]
    # One process asks, or the others' answers could differ from its own.
    mine = _guarded(component, asked, resources) if distributed.is_main() else None
    found = distributed.gather(mine)[0]
    return [_spread(row, kept, passed_PG.shape[1]) for row, kept in zip(found, members, strict=True)]


def _guarded(component: Component, groups: list[Group], resources: Resources) -> list[list | None]:
    """The component's rows; where it raises, of each group alone, so that one bad group costs only itself."""
    try:
        rows: Sequence[Row] = component.score(groups, resources)
    except Exception as error:  # whatever a component does, its failure is recorded and counted
        if len(groups) > 1 and not component.remote:
            return [row for group in groups for row in _guarded(component, [group], resources)]
        failure = Unscorable(_short(f"{type(error).__name__}: {error}"))
        return [[failure] * len(group.completions) for group in groups]
    if len(rows) != len(groups):
        failure = Unscorable(f"gave {len(rows)} rows for {len(groups)} prompts")
        return [[failure] * len(group.completions) for group in groups]
    return [_full(row, len(group.completions)) for row, group in zip(rows, groups, strict=True)]


def _full(row: Row, number: int) -> list | None:
    if row is None or len(row) == number:
        return row if row is None else list(row)
    return [Unscorable(f"gave {len(row)} values for {number} completions")] * number


def _spread(row: list | None, kept: np.ndarray, number: int) -> list | None:
    if row is None:
        return None
    whole = [None] * number
    for g, value in zip(kept, row, strict=True):
        whole[g] = value
    return whole


def _value(name: str, component: Component, value, prompt: str) -> float | Unscorable:
    if isinstance(value, Unscorable):
        return replace(value, reason=_short(value.reason))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Unscorable(_short(f"no number, got {value!r}"))
    if not math.isfinite(number):
        return Unscorable(f"not finite: {number}")
    if not component.low - BOUND_SLACK <= number <= component.high + BOUND_SLACK:
        raise In2xError(
            f"reward component {name!r}: {number} at prompt {prompt!r} is out of its bounds, "
            f"{component.low} to {component.high}"
        )
    return number


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= MAX_REASON_CHARS else line[:MAX_REASON_CHARS] + "..."
