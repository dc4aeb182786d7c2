"""The arms of an ablation: the recipe's own RL, and RL with one thing changed. No torch: this is only settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from in2x.artifacts import In2xError
from in2x.problems import nearest
from in2x.sections import RlSection

FULL = "full"


@dataclass(frozen=True)
class Arm:
    """One arm: what is changed, in words, and the settings that change it."""

    what: str
    changes: Callable[[RlSection], Mapping]


def _without_length_penalty(section: RlSection) -> dict:
    weights = {name: weight for name, weight in section.reward_weights.items() if name != "length"}
    return {"reward_weights": weights}


ARMS: Mapping[str, Arm] = {
    FULL: Arm("the recipe's own settings", lambda section: {}),
    "no-dual-clip": Arm("negative advantages unbounded", lambda section: {"dual_clip": "none"}),
    "two-sided": Arm("a lower clip beside the upper one", lambda section: {"clip": "two-sided", "clip_low": 0.2}),
    "no-length-penalty": Arm("no soft length penalty in the reward", _without_length_penalty),
    "no-entropy": Arm("no entropy bonus", lambda section: {"entropy_coefficient": 0.0}),
    "constant-temperature": Arm(
        "sampling stays at its first temperature", lambda section: {"end_temperature": section.start_temperature}
    ),
    "token": Arm("ratio of each token", lambda section: {"importance_level": "token"}),
    "sequence": Arm("geometric mean of the tokens' ratios", lambda section: {"importance_level": "sequence"}),
    "length-fair": Arm("a band of k sqrt(L) around the log-ratio", lambda section: {"clip": "length-fair"}),
    "grpo": Arm("plain GRPO as published", lambda section: {"algorithm": "grpo"}),
}


def section_of(name: str, section: RlSection, seed: int) -> RlSection:
    """The settings of one run of an arm; one checkpoint is kept, since nothing is merged.

    Raises:
        In2xError: the recipe does already what the arm would change, so that there is nothing to compare.
    """
    changes = dict(ARMS[name].changes(section))
    if name != FULL and all(getattr(section, key) == value for key, value in changes.items()):
        raise In2xError(f"ablation {name!r} changes nothing: the recipe has {changes} already; leave this arm out")
    return section.model_validate(section.model_dump() | changes | {"seed": seed, "keep_checkpoints": 1})


def chosen(names: Sequence[str]) -> list[str]:
    """The arms asked for, the full one first; all of them where none is named."""
    for name in names:
        if name not in ARMS:
            close = nearest(name, list(ARMS))
            hint = f"did you mean {close!r}?" if close else f"there are {', '.join(ARMS)}"
            raise In2xError(f"no ablation is called {name!r}; {hint}")
    return [name for name in ARMS if name == FULL or not names or name in names]
