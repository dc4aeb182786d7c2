"""metrics.jsonl as a grid of line charts: known values with their titles and units, the others by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from in2x.report.markup import Html, element, fold, words
from in2x.report.plots import Line, line_chart

MAX_POINTS = 400  # drawn per series
MIN_SMOOTHED = 24  # shorter series are drawn as they are
COMPONENT = "component/"


@dataclass(frozen=True)
class Panel:
    """One chart: the values it draws together, of one unit. `smooth` is off for schedules.

    prefix: keys that begin so are drawn too, by the rest of their name.
    """

    title: str
    unit: str
    keys: tuple[str, ...]
    percent: bool = False
    smooth: bool = True
    prefix: str = ""

    def among(self, keys: Sequence[str]) -> Panel:
        """Return the panel with the keys of its prefix."""
        found = tuple(key for key in keys if self.prefix and key.startswith(self.prefix) and key not in self.keys)
        return replace(self, keys=self.keys + found)


TRAINING = (
    Panel("Learning rate", "", ("learning_rate",), smooth=False),
    Panel("Gradient norm", "", ("gradient_norm",)),
    Panel("Throughput", "tokens per second", ("tokens_per_second",)),
)
LOSS = Panel("Loss", "nats per token", ("loss", "dev_loss"))
PANELS: Mapping[str, tuple[Panel, ...]] = {
    "pretrain": (LOSS, *TRAINING),
    "sft": (LOSS, *TRAINING),
    "reward": (
        Panel("Preference loss", "nats per pair", ("loss", "dev_loss")),
        Panel("Accuracy", "chosen over rejected", ("accuracy", "dev_accuracy"), percent=True),
        *TRAINING,
    ),
    "rl": (
        Panel("Reward", "weighted mean", ("reward",)),
        Panel("Steadiness of the reward", "variance over ten batches", ("reward_step_variance",)),
        Panel("Development chrF", "chrF2", ("dev_chrf",)),
        Panel("Adequacy", "component", ("adequacy",)),
        Panel("Naturalness", "component", ("naturalness",)),
        Panel("Length penalty", "component", ("length_penalty",)),
        Panel("Passed every gate", "of rollouts", ("gate_pass_fraction",), percent=True),
        Panel("Failed a gate", "of rollouts", (), percent=True, prefix="gate/"),
        Panel("In another language", "of rollouts", (), percent=True, prefix="wrong_language/"),
        Panel("Groups that teach", "of groups", ("informative_fraction",), percent=True),
        Panel("Groups that could not be rewarded", "of groups", ("unscorable_fraction",), percent=True),
        Panel("Prompts drawn", "per batch, refills included", ("drawn_prompts",)),
        Panel("Entropy", "nats per token", ("entropy",)),
        Panel("Entropy coefficient", "", ("entropy_coefficient",), smooth=False),
        Panel("Clipped", "of ratios", ("clip_high_fraction", "clip_low_fraction", "dual_clip_fraction"), percent=True),
        Panel("Completion length", "tokens", ("completion_tokens",)),
        Panel("Truncated", "of rollouts", ("truncated_fraction",), percent=True),
        Panel("Ratio", "new over old policy", ("ratio",)),
        Panel("Variance of the ratio", "", ("ratio_variance",)),
        Panel("Effective sample", "of the ratios' sample", ("ratio_effective_fraction",), percent=True),
        Panel("KL to the old policy", "nats", ("approx_kl",)),
        Panel("KL to the reference", "nats per token", ("ref_kl",)),
        Panel("Sampler against trainer", "KL, nats per token", ("mismatch_kl",)),
        Panel("Sampling temperature", "", ("temperature",), smooth=False),
        Panel("Loss", "", ("loss",)),
        Panel("Loss on SFT translations", "nats per token", ("sft_loss",)),
        *TRAINING,
    ),
}
LABELS = {"loss": "train", "dev_loss": "dev", "accuracy": "train", "dev_accuracy": "dev"}
LABELS |= {"clip_high_fraction": "upper clip", "clip_low_fraction": "lower clip", "dual_clip_fraction": "dual clip"}
NOT_DRAWN = {"step", "epoch", "time", "timestamp"}


@dataclass(frozen=True)
class Log:
    """The logged values by step; `marks` are the steps at which a named phase began."""

    steps: Sequence[float]
    rows: Sequence[Mapping[str, Any]]
    marks: Sequence[tuple[float, str]]

    def keys(self) -> list[str]:
        """Return the names that hold a number on some line, in order of appearance."""
        named = dict.fromkeys(key for row in self.rows for key, value in row.items() if _is_number(value))
        return [key for key in named if key not in NOT_DRAWN]

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        found = [(step, row[key]) for step, row in zip(self.steps, self.rows, strict=True) if _is_number(row.get(key))]
        steps, values = zip(*found, strict=True) if found else ((), ())
        return np.array(steps, dtype=float), np.array(values, dtype=float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_log(metrics: Iterable[Mapping[str, Any]]) -> Log:
    """Order the lines by phase and step; a step logged twice (a resumed run) keeps its last values.

    Phases follow one another on one axis, whether their steps are counted through or start again.
    """
    phases: dict[Any, dict[float, dict[str, Any]]] = {}
    for position, row in enumerate(metrics):
        step = row.get("step")
        step = float(step) if _is_number(step) and math.isfinite(step) else float(position)
        at_step = phases.setdefault(row.get("phase"), {}).setdefault(step, {})
        at_step.update(row)
    steps, rows, marks, end = [], [], [], 0.0
    for phase, by_step in phases.items():
        offset = end if steps and min(by_step) <= end else 0.0
        ordered = sorted(by_step)
        if phase is not None:
            marks.append((ordered[0] + offset, str(phase)))
        steps += [step + offset for step in ordered]
        rows += [by_step[step] for step in ordered]
        end = steps[-1]
    return Log(steps, rows, marks)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return the centred moving average over about a twentieth of the series, one-sided at its ends."""
    half = max(2, len(values) // 40)
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    totals = counts[high] - counts[low]
    return np.where(totals > 0, (sums[high] - sums[low]) / np.maximum(totals, 1), np.nan)


def thinned(values: np.ndarray, limit: int = MAX_POINTS) -> np.ndarray:
    """Return the positions to draw: all, or the lowest and the highest of each of `limit` / 2 stretches."""
    if len(values) <= limit:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), limit // 2):
        known = np.where(np.isfinite(values[part]), values[part], 0.0)
        kept |= {int(part[known.argmin()]), int(part[known.argmax()])}
    return np.array(sorted(kept))


def _line(log: Log, key: str, smooth: bool) -> Line:
    steps, values = log.series(key)
    keep = thinned(values)
    trend = smoothed(values)[keep].tolist() if smooth and len(values) >= MIN_SMOOTHED else None
    label = LABELS.get(key, words(key.split("/", 1)[-1]))
    return Line(label, steps[keep].tolist(), values[keep].tolist(), trend)


def panels_for(stage: str, keys: Sequence[str]) -> tuple[list[Panel], list[Panel]]:
    """Return the charts of the known values that were logged, and those of all other values."""
    known = [panel.among(keys) for panel in PANELS.get(stage, ())]
    known = [panel for panel in known if any(key in keys for key in panel.keys)]
    claimed = {key for panel in known for key in panel.keys}
    components = [key for key in keys if key.startswith(COMPONENT) and key not in claimed]
    place = 1 + max((i for i, panel in enumerate(known) if panel.unit == "component"), default=0)
    named = [Panel(words(key.removeprefix(COMPONENT)).capitalize(), "component", (key,)) for key in components]
    known[place:place] = named
    others = [key for key in keys if key not in claimed and key not in components]
    return known, [Panel(_title(key), "", (key,), key.endswith("_fraction")) for key in others]


def _title(key: str) -> str:
    """Return 'Spread: adequacy' for 'spread/adequacy'."""
    return words(key).replace("/", ": ").capitalize()


def curves(stage: str, metrics: Iterable[Mapping[str, Any]]) -> Html | None:
    """Return the charts of a stage's log, or None where nothing was logged."""
    log = read_log(metrics)
    known, others = panels_for(stage, log.keys())
    if not known and not others:
        return None
    grid = element("div", *(_chart(log, panel) for panel in known), class_="charts") if known else None
    more = element("div", *(_chart(log, panel) for panel in others), class_="charts") if others else None
    folded = fold(f"Other logged values ({len(others)})", more) if more and grid else more
    return element("div", grid, folded)


def _chart(log: Log, panel: Panel) -> Html:
    logged = [key for key in panel.keys if len(log.series(key)[0])]
    lines = [_line(log, key, panel.smooth) for key in logged]
    return line_chart(panel.title, panel.unit, lines, percent=panel.percent, marks=log.marks)
