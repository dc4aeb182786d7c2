"""Systems and their scores: the order of the pipeline, and which score may stand at the head of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ORDER = ("base", "pretrain", "sft", "rl", "merge")
DECODINGS = ("greedy", "mbr")
DECODING_NAMES = {"greedy": "greedy", "mbr": "MBR"}
INDEPENDENT = "judge"

Score = Mapping[str, Any]


def ordered(names: Iterable[str]) -> list[str]:
    """Return the distinct systems as the pipeline makes them; unknown ones come last."""

    def place(name: str) -> int:
        stage = name.split("/")[0]
        return ORDER.index(stage) if stage in ORDER else len(ORDER)

    return sorted(dict.fromkeys(names), key=place)


def split_name(name: str) -> tuple[str, str]:
    """Return ("pretrain/long", "greedy") for "pretrain/long/greedy"."""
    system, _, decoding = name.rpartition("/")
    return (system, decoding) if system else (name, "")


def display(system: str) -> str:
    stage, _, phase = system.partition("/")
    names = {"base": "Base", "pretrain": "Pre-trained", "sft": "SFT", "rl": "RL", "merge": "Merged"}
    name = names.get(stage, stage)
    return f"CPT {phase}" if stage == "pretrain" and phase else f"{name} {phase}".strip()


def decoding_name(decoding: str) -> str:
    return DECODING_NAMES.get(decoding, decoding)


def find(scores: Iterable[Score], system: str, decoding: str, metric: str) -> Score | None:
    wanted = (system, decoding, metric)
    return next((s for s in scores if (s.get("system"), s.get("decoding"), s.get("metric")) == wanted), None)


def final_system(scores: Iterable[Score]) -> str | None:
    """Return the system that the pipeline ends with: the last one made, not the best one."""
    names = ordered(str(score.get("system")) for score in scores)
    known = [name for name in names if name.split("/")[0] in ORDER]
    return (known or names or [None])[-1]


def headlines(scores: list[Score], decoding: str) -> list[Score]:
    """Return the final system's scores by metrics that neither trained it nor selected its output."""
    final = final_system(scores)
    own = [s for s in scores if s.get("system") == final and s.get("decoding") == decoding]
    return [score for score in own if score.get("role") == INDEPENDENT]
