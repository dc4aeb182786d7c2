"""Loss and gradient norm that leave their running level: the sign of a run that is about to be lost."""

import statistics
from collections import deque

WINDOW = 64
FEWEST = 16


class Spikes:
    """The last ordinary values of some measures, and for how many steps one of them has been far above its median.

    Values far above are no part of the level. A level is known from 16 steps on; a measure whose level is not
    positive, such as the loss of RL, is not watched.
    """

    def __init__(self, factor: float, patience: int):
        self.factor, self.patience = factor, patience
        self.values: dict[str, deque[float]] = {}
        self.number = 0

    def see(self, **measured: float) -> str | None:
        """Take in a step; once `patience` steps in a row have been far above, say which measure is, and by how much."""
        found = None
        for name, value in measured.items():
            ordinary = self.values.setdefault(name, deque(maxlen=WINDOW))
            level = statistics.median(ordinary) if len(ordinary) >= FEWEST else 0.0
            if level > 0 and value > self.factor * level:
                found = f"{name} is {value:.4g}, and its running level is {level:.4g}"
            else:
                ordinary.append(value)
        self.number = self.number + 1 if found else 0
        return found if self.number >= self.patience else None

    def state(self) -> dict:
        return {"values": {name: list(values) for name, values in self.values.items()}, "number": self.number}

    def load(self, state: dict) -> None:
        self.values = {name: deque(values, maxlen=WINDOW) for name, values in state["values"].items()}
        self.number = state["number"]
