"""Components that another process answers: the rubric judge's server, and quality estimation in an environment apart.

Both are asked about members that passed their gates only, by one process of the run. What they can't answer is
`Unscorable` with the reason, never a score.

Legend: P prompts, G group size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from in2x.artifacts import In2xError
from in2x.evaluation.plugins import host
from in2x.judging import rubric
from in2x.judging.client import JudgeClient
from in2x.judging.rubric_wordings import TRANSLATION, WRITING
from in2x.judging.segments import no_gate
from in2x.rewards.components import Row, Unscorable
from in2x.rewards.gates import TRANSLATION_TASKS
from in2x.rewards.groups import Group


class RubricJudge:
    """The rubric judge of in2x.judging over an OpenAI-compatible server; `groupwise` shows a whole group at once.

    The client keeps its answers on disk: a resumed run does not ask again.
    """

    def __init__(self, client: JudgeClient, groupwise: bool = True):
        self.client, self.groupwise = client, groupwise

    def rows(self, groups: Sequence[Group]) -> list[Row]:
        """Share of the principles that each completion satisfies, on [0, 1].

        Raises:
            In2xError: the server is gone or refuses every request.
        """
        nameless = next((group.id for group in groups if not group.source_language), None)
        if nameless is not None:
            raise ValueError(
                f"prompt {nameless!r}: the judge has to know the source's language (Group.source_language)"
            )
        asked = [
            rubric.Group(
                f"{group.source_language}-{group.target_language}",
                group.source,
                tuple(group.texts),
                TRANSLATION if group.task in TRANSLATION_TASKS else WRITING,
            )
            for group in groups
        ]
        verdicts = rubric.judge(self.client, asked, groupwise=self.groupwise, gate=no_gate)
        return [
            [Unscorable(verdict.reason) if verdict.score is None else verdict.score for verdict in row]
            for row in verdicts.groups
        ]

    def close(self) -> None:
        """Close the file that answers are kept in."""
        if self.client.cache is not None:
            self.client.cache.close()


class QualityEstimator:
    """A metric of in2x.evaluation.plugins (CometKiwi, MetricX-QE, or a script), kept running from batch to batch.

    `plugin` is "comet", "metricx" or a script's path; `python` that of its own environment; `model` its weights.
    `sign` -1 turns a metric around for which lower is better, such as MetricX.
    """

    def __init__(self, plugin: str, python: Path, model: str, *, sign: float = 1.0, batch_size: int = 16):
        if sign not in (1.0, -1.0):
            raise ValueError(f"sign: expected 1 or -1, got {sign}")
        self.plugin, self.python, self.model, self.sign, self.batch_size = plugin, python, model, sign, batch_size
        self._stack, self._worker = ExitStack(), None

    def rows(self, groups: Sequence[Group]) -> list[Row]:
        """The metric's score of each completion.

        Raises:
            In2xError: its environment, its weights, or references that it reads are missing, or its process died.
        """
        rows = [host.Row(group.source, text, group.reference or "") for group in groups for text in group.texts]
        distinct = list(dict.fromkeys(rows))
        self._refuse_missing(distinct)
        found: dict[host.Row, float | None] = {}
        for at in range(0, len(distinct), host.ROWS_PER_MESSAGE):
            part = distinct[at : at + host.ROWS_PER_MESSAGE]
            found |= zip(part, self._running().score(part), strict=True)
        return [
            [self._entry(found[host.Row(group.source, text, group.reference or "")]) for text in group.texts]
            for group in groups
        ]

    def close(self) -> None:
        """End the metric's process."""
        self._stack.close()
        self._worker = None

    def _entry(self, value: float | None) -> float | Unscorable:
        if value is None:
            return Unscorable(f"{self.plugin}: {self._worker.last_error or 'no score'}")
        return self.sign * value

    def _running(self) -> host.Worker:
        """The process, started where it isn't running; after it died the next batch starts another."""
        if self._worker is not None and self._worker.process.poll() is not None:
            self.close()
        if self._worker is None:
            started = host.running(self.plugin, self.python, self.model, self.batch_size)
            self._worker = self._stack.enter_context(started)
        return self._worker

    def _refuse_missing(self, rows: Sequence[host.Row]) -> None:
        if self._running().needs_reference and any(not row.reference for row in rows):
            raise In2xError(f"{self.plugin} with {self.model} reads references, and some prompts have none")
