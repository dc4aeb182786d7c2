"""What a metric was to a system of a run: its judge, its reward, or the selector of its output.

RL rewards, and so do the checkpoints that the merge chose between by chrF; MBR selects by its utility. A metric that
takes part in either says how well that worked, not how good the translation is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from in2x.artifacts import read_json
from in2x.decoding.selection import CHRF, selector_metrics

REWARDED_SYSTEMS = ("rl", "merge")
REWARD_METRICS = {
    "adequacy": CHRF, "bleu": ("BLEU",), "numbers": ("number-fidelity",), "names": ("name-fidelity",),
}  # fmt: skip
"""Component of the reward -> metrics that measure the same."""


def role(
    system: str, decoding: str, metric: str, selectors: Sequence[str] = CHRF, rewards: Sequence[str] = CHRF
) -> str:
    """What the metric is to this system: what chose its output, what it was rewarded by, or a judge."""
    if metric in selectors and decoding == "mbr":
        return "selector"
    return "reward" if metric in rewards and system in REWARDED_SYSTEMS else "judge"


def selectors_of(run: Path) -> tuple[str, ...]:
    """The metrics that MBR chose by in a run, from the settings of its stage translate."""
    return selector_metrics(_section(run / "translate"))


def rewards_of(run: Path) -> tuple[str, ...]:
    """The metrics that RL rewarded or the merge chose by in a run: chrF, and those of the reward's components."""
    names = _section(run / "rl").get("reward_weights", {})
    return tuple(dict.fromkeys((*CHRF, *(metric for name in names for metric in REWARD_METRICS.get(name, ())))))


def run_roles(run: Path, systems: Sequence[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """metric -> "system/decoding" -> role of all that is not a judge; `systems` are (system, decoding)."""
    selectors, rewards = selectors_of(run), rewards_of(run)
    found: dict[str, dict[str, str]] = {}
    for metric in dict.fromkeys((*selectors, *rewards)):
        for system, decoding in systems:
            name = role(system, decoding, metric, selectors, rewards)
            if name != "judge":
                found.setdefault(metric, {})[f"{system}/{decoding}"] = name
    return found


def _section(stage: Path) -> dict:
    path = stage / "manifest.json"
    return read_json(path).get("section", {}) if path.exists() else {}
