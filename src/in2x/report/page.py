"""The page: header, pipeline strip, and the parts in a literal table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from in2x.report.folders import Run
from in2x.report.markup import Html, element, note
from in2x.report.parts import data, environment, header, results, reward, rl, training, translations
from in2x.report.shell import page

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One part of the page; `stages` are those it tells of: where none has run, it says so."""

    id: str
    title: str
    stages: tuple[str, ...]
    render: Callable[[Run], Html]


def parts(max_samples: int) -> tuple[Part, ...]:
    return (
        Part("results", "Results", ("evaluate",), results.render),
        Part("translations", "Translations", ("evaluate",), lambda run: translations.render(run, max_samples)),
        Part("data", "Data", ("corpus",), data.corpus),
        Part("pretrain", "Pre-training", ("pretrain",), training.pretrain),
        Part("instruct", "Instruction data", ("instruct",), data.instruct),
        Part("sft", "Supervised fine-tuning", ("sft",), training.sft),
        Part("reward", "Reward model", ("reward",), reward.render),
        Part("rl", "Reinforcement learning", ("rl",), rl.render),
        Part("merge", "Merging", ("merge",), training.merge),
        Part("environment", "Environment and cost", (), environment.cost),
        Part("signatures", "Metric signatures", ("evaluate",), results.signatures),
        Part("reproduce", "How to reproduce", (), environment.reproduce),
    )


def render(run: Run, title: str, max_samples: int) -> str:
    """Return the whole page; it loads nothing and runs no script."""
    chosen = parts(max_samples)
    return page(title, header.render(run, title), [(part.id, part.title, _body(part, run)) for part in chosen])


def _body(part: Part, run: Run) -> Html:
    ran = not part.stages or any(run[name].has_run for name in part.stages)
    return _guarded(part, run) if ran else element("p", "Not run.", class_="absent")


def _guarded(part: Part, run: Run) -> Html:
    """Render a part; one whose manifest has an unknown form must not cost the reader the others."""
    try:
        return part.render(run)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.exception("report: the part %r could not be rendered", part.id)
        return note(f"This part could not be shown: {type(error).__name__}: {error}")
