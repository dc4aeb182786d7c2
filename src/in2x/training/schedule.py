"""Learning-rate schedules: the factor on the peak learning rate as a function of the step."""

import math
from collections.abc import Callable

WSD_DECAY_FRACTION = 0.2


def factor(schedule: str, step: int, num_steps: int, warmup_fraction: float, end_fraction: float = 0.0) -> float:
    """Factor for `step` (0-based) of `num_steps`.

    All schedules warm up linearly. Then: "constant"; "linear" and "cosine" down to end_fraction, which the step after
    the last would have; "wsd" (warm-up, stable, decay: Hu et al., arXiv 2404.06395), constant with a linear decay over
    the last fifth.
    """
    warmup_steps = round(warmup_fraction * num_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 + (end_fraction - 1.0) * progress
    if schedule == "cosine":
        return end_fraction + (1.0 - end_fraction) * (1.0 + math.cos(math.pi * progress)) / 2.0
    if schedule == "wsd":
        return 1.0 + (end_fraction - 1.0) * max(0.0, (progress - 1.0 + WSD_DECAY_FRACTION) / WSD_DECAY_FRACTION)
    raise ValueError(f"unknown schedule {schedule!r}; known: constant, linear, cosine, wsd")


def learning_rate(section, num_steps: int) -> Callable[[int], float]:
    """Learning rate by step of a stage whose section has lr, schedule and warmup_fraction."""
    return lambda step: section.lr * factor(section.schedule, step, num_steps, section.warmup_fraction)
