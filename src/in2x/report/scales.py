"""Axes: from a value to a place between 0 and 1, and round values to write beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` multiples of 1, 2 or 5 times a power of ten, within [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda multiple: abs(math.log(multiple * power / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values 1, 2, 5 times a power of ten within [low, high]; every third where they crowd."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**power for power in powers for m in (1, 2, 5) if low <= m * 10.0**power <= high]
    if len(ticks) > 6:
        ticks = [tick for tick in ticks if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)]
    return ticks if len(ticks) >= 2 else nice_ticks(low, high)


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis over [low, high]."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def fit(cls, values: Iterable[float], padding: float = 0.06, log: bool = False) -> Scale:
        """Cover the finite values with some air; a flat line gets a range of its own size."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if log and low > 0:
            factor = max(high / low, 1.1) ** padding
            return cls(low / factor, high * factor, log=True)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            room = abs(high) * 0.5 or 1.0
            return cls(low - room, high + room)
        room = (high - low) * padding
        floor = 0.0 if low >= 0 else -math.inf  # air never takes a positive quantity below zero
        return cls(max(low - room, floor), high + room)

    def place(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, count: int = 4) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else nice_ticks(self.low, self.high, count)


def tick_label(value: float, percent: bool = False) -> str:
    """Return a short label: 20k, 0.4, 2e-5, 40 %."""
    if percent:
        return f"{100 * value:.4g} %".replace("-", "−")
    if abs(value) >= 10_000:
        size, unit = (1e9, "B") if abs(value) >= 1e9 else (1e6, "M") if abs(value) >= 1e6 else (1e3, "k")
        return f"{value / size:.4g}{unit}".replace("-", "−")
    if value and abs(value) < 1e-3:
        return f"{value:.2g}".replace("e-0", "e-")
    return f"{value:.4g}".replace("-", "−")
