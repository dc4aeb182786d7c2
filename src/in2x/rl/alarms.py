"""Alarms: what a collapse looks like in the measures of the rollout batches, with a bound to warn and one to stop.

    entropy      it falls below a share of the first batches' entropy
    length       completions become longer, or shorter, than the first batches' by a factor
    truncated    completions are cut at max_completion_tokens
    repetition   completions loop
    language     completions are not in the language asked for, the worst target language
    dev_chrf     the training reward rises while development chrF falls below its best: the reward is being gamed
    component    the training reward rises while a weighted component falls: one part is bought with another
    unscorable   groups that no reward could be given to
    finite       a measure is no number; always stops

Pure functions of the measures so far, so that all processes of a run, and a resumed one, take the same decisions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from in2x.artifacts import In2xError
from in2x.sections.rl import Alarms, Bounds

Measured = Mapping[str, float]
MOST = 0.5
"""A component that fewer of a batch's prompts have (names) is another mean at every draw of them, and no sign."""
LEAST_SPREAD = 0.01
"""Of a component, in its own unit: one that is the same in nearly all groups, as a penalty for loops, has no spread."""


class Alarmed(In2xError):
    """A run was stopped by one of its alarms."""


@dataclass(frozen=True)
class Reading:
    """An alarm's value now, in the unit of its bounds, and what it means; low: whether it is alarming to be below."""

    value: float
    told: str
    low: bool = False


@dataclass(frozen=True)
class Alarm:
    """Example: Alarm("entropy", "entropy is 0.2 nats per token, 0.17 of the first batches' 1.2", stops=False)"""

    name: str
    message: str
    stops: bool


def alarms(batches: Sequence[Measured], section) -> list[Alarm]:
    """The alarms of the last of the batches; `section` is an RlSection."""
    found = [Alarm("finite", f"{name} is {value}", stops=True) for name, value in _not_finite(batches[-1])]
    for name, read in READINGS.items():
        bounds: Bounds = getattr(section.alarms, name)
        reading = read(batches, section)
        if reading is None or not math.isfinite(reading.value):
            continue
        for bound, stops in ((bounds.stop, True), (bounds.warn, False)):
            if bound is not None and (reading.value < bound if reading.low else reading.value > bound):
                kind = "stop" if stops else "warn"
                setting = f"rl.alarms.{name}.{kind} is {bound:g}"
                found.append(Alarm(name, f"{reading.told} ({setting})", stops))
                break
    return found


def evidence(rollouts: Path, checkpoint: Path | None) -> str:
    """Where to look: the table of the batch's rollouts, and the last checkpoint before it."""
    saved = f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been written yet"
    return f"its rollouts are in {rollouts}; {saved}"


def _not_finite(measured: Measured) -> list[tuple[str, float]]:
    return [(name, value) for name, value in measured.items() if isinstance(value, float) and not math.isfinite(value)]


def _entropy(batches: Sequence[Measured], section) -> Reading | None:
    first, now = _first(batches, "entropy", section), batches[-1].get("entropy")
    if not first or now is None:
        return None
    share = now / first
    told = f"entropy is {now:.3g} nats per token, {share:.2f} of the first batches' {first:.3g}"
    return Reading(share, told, low=True)


def _length(batches: Sequence[Measured], section) -> Reading | None:
    first, now = _first(batches, "completion_tokens", section), batches[-1]["completion_tokens"]
    if not first or not now:
        return None
    factor = max(now / first, first / now)
    return Reading(factor, f"completions have {now:.1f} tokens, those of the first batches {first:.1f}")


def _share(name: str, told: str) -> Callable:
    def read(batches: Sequence[Measured], section) -> Reading:
        value = batches[-1].get(name, 0.0)
        return Reading(value, f"{value:.0%} of {told}")

    return read


def _language(batches: Sequence[Measured], section) -> Reading | None:
    prefix = "wrong_language/"
    shares = {name.removeprefix(prefix): value for name, value in batches[-1].items() if name.startswith(prefix)}
    if not shares:
        return None
    worst = max(shares, key=shares.get)
    return Reading(shares[worst], f"{shares[worst]:.0%} of the completions asked for in {worst!r} are not in it")


def _dev_chrf(batches: Sequence[Measured], section) -> Reading | None:
    scores = [(place, batch["dev_chrf"]) for place, batch in enumerate(batches) if "dev_chrf" in batch]
    if len(scores) < 2 or scores[-1][0] != len(batches) - 1:
        return None
    place, best = max(scores, key=lambda score: score[1])
    recent = section.alarms.recent_batches
    then, now = _mean(batches[: place + 1][-recent:], "reward"), _mean(batches[-recent:], "reward")
    if then is None or now is None or now <= then:
        return None
    fall = best - scores[-1][1]
    told = f"development chrF is {scores[-1][1]:.1f}, {fall:.1f} below that of batch {place + 1}"
    return Reading(fall, f"{told}, while the reward has risen from {then:.3f} to {now:.3f}")


def _component(batches: Sequence[Measured], section) -> Reading | None:
    """The weighted component that has fallen most, while the reward rose, of those measured at most prompts."""
    first, recent = section.alarms.baseline_batches, section.alarms.recent_batches
    if len(batches) < first + recent:
        return None
    then, now = _mean(batches[:first], "reward"), _mean(batches[-recent:], "reward")
    if then is None or now is None or now <= then:
        return None
    falls = []
    of_tasks = {name: weight for own in section.reward_task_weights.values() for name, weight in own.items()}
    for name, weight in (of_tasks | section.reward_weights).items():
        spread = _first(batches, f"spread/{name}", section)
        before, after = (_mean(some, f"component/{name}") for some in (batches[:first], batches[-recent:]))
        if (
            _mean(batches[-recent:], f"groups/{name}", 1.0) < MOST
            or _mean(batches[:first], f"groups/{name}", 1.0) < MOST
        ):
            continue
        if weight and spread and before is not None and after is not None:
            unit = max(spread, LEAST_SPREAD)
            fall = math.copysign(1, weight) * (before - after) / unit
            told = f"component {name} went from {before:.3f} to {after:.3f}, {fall:.1f} of its spread within a group"
            falls.append(Reading(fall, f"{told}, while the reward has risen from {then:.3f} to {now:.3f}"))
    return max(falls, key=lambda reading: reading.value, default=None)


READINGS: Mapping[str, Callable[[Sequence[Measured], object], Reading | None]] = {
    "entropy": _entropy,
    "length": _length,
    "truncated": _share("truncated_fraction", "the completions were cut at max_completion_tokens"),
    "repetition": _share("gate/repetition", "the completions loop"),
    "language": _language,
    "dev_chrf": _dev_chrf,
    "component": _component,
    "unscorable": _share("unscorable_fraction", "the groups could not be rewarded"),
}
assert READINGS.keys() == Alarms.model_fields.keys() - {"baseline_batches", "recent_batches"}


def _first(batches: Sequence[Measured], name: str, section) -> float | None:
    """Mean over the first batches, once there are as many."""
    number = section.alarms.baseline_batches
    return _mean(batches[:number], name) if len(batches) > number else None


def _mean(batches: Sequence[Measured], name: str, absent: float | None = None) -> float | None:
    """Mean over the batches that have it; where `absent` is given, the others count as that."""
    values = [batch.get(name, absent) for batch in batches]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
