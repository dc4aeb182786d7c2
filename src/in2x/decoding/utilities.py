"""Utilities of MBR: how good is a hypothesis if a reference were the truth? Always a matrix, higher is better.

| name | score | needs |
|---|---|---|
| chrf | chrF of sacreBLEU, recall weighted by `beta` | |
| chrf++ | the same with words and pairs of words | |
| bleu | sentence BLEU with effective order | the target language |
| exact | 1 for equal strings, else 0: MBR is then the most frequent candidate | |

Any other metric joins as `RowUtility`: a function from rows of texts to scores, in this process or another one.

Legend: H hypotheses, R references of one segment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from in2x.artifacts import In2xError
from in2x.evaluation.chrf import BETA, pairwise_chrf

Utility = Callable[[list[str], list[str]], np.ndarray]  # H hypotheses, R references -> H x R, higher is better
Row = tuple[str | None, str, str]  # source, hypothesis, reference


class Grid(NamedTuple):
    """The pairs of one segment to be scored, every hypothesis with every reference."""

    source: str | None
    hypotheses: list[str]
    references: list[str]


class TableUtility(Protocol):
    """A utility that profits from many segments at once, or needs the source."""

    def tables(self, grids: Sequence[Grid]) -> list[np.ndarray]:
        """Return H x R utilities of each segment."""
        ...


def make_utility(name: str, *, beta: float = BETA, target_language: str | None = None) -> Utility:
    """Build a utility by its name.

    Raises:
        In2xError: an unknown name, or BLEU without a language.
    """
    if name not in UTILITIES:
        raise In2xError(f"utility: expected one of {', '.join(UTILITIES)}, got {name!r}")
    return UTILITIES[name](beta, target_language)


def exact(hypotheses: list[str], references: list[str]) -> np.ndarray:
    """1 where the strings are equal, else 0: H x R."""
    return np.array([[float(hypothesis == reference) for reference in references] for hypothesis in hypotheses])


def tables(utility: Utility | TableUtility, grids: Sequence[Grid]) -> list[np.ndarray]:
    """Return H x R utilities of each segment, asked for together where the utility can use that.

    Raises:
        ValueError: a table of another shape or with values that are not finite.
    """
    if hasattr(utility, "tables"):
        found = utility.tables(grids)
    else:
        found = [utility(grid.hypotheses, grid.references) for grid in grids]
    if len(found) != len(grids):
        raise ValueError(f"mbr: expected {len(grids)} tables of utilities, got {len(found)}")
    return [_checked(table, grid, number) for number, (table, grid) in enumerate(zip(found, grids, strict=True))]


class RowUtility:
    """Make a utility of a function that scores rows (source, hypothesis, reference), such as a neural metric.

    `score_rows` gets lists of at most `batch_size` distinct rows and returns one score each, higher is better. Rows of
    all segments are pooled, each one is scored once, longest first so that a batch holds rows of similar length.

    Example: RowUtility(lambda rows: [float(len(hypothesis)) for _, hypothesis, _ in rows])
    """

    def __init__(self, score_rows: Callable[[list[Row]], Sequence[float]], *, batch_size: int = 1024):
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.score_rows = score_rows
        self.batch_size = batch_size

    def __call__(self, hypotheses: list[str], references: list[str]) -> np.ndarray:
        return self.tables([Grid(None, hypotheses, references)])[0]

    def tables(self, grids: Sequence[Grid]) -> list[np.ndarray]:
        rows = sorted(dict.fromkeys(row for grid in grids for row in _rows(grid)), key=_length, reverse=True)
        score_of: dict[Row, float] = {}
        for first in range(0, len(rows), self.batch_size):
            batch = rows[first : first + self.batch_size]
            scores = np.asarray(self.score_rows(batch), dtype=np.float64)
            if scores.shape != (len(batch),):
                raise ValueError(f"utility: expected {len(batch)} scores, one per row, got shape {scores.shape}")
            score_of.update(zip(batch, scores.tolist(), strict=True))
        return [
            np.array([score_of[row] for row in _rows(grid)]).reshape(len(grid.hypotheses), len(grid.references))
            for grid in grids
        ]


def _rows(grid: Grid) -> Iterator[Row]:
    return ((grid.source, hypothesis, reference) for hypothesis in grid.hypotheses for reference in grid.references)


def _length(row: Row) -> int:
    return sum(len(text) for text in row if text)


def _bleu(beta: float, target_language: str | None) -> Utility:
    from in2x.evaluation.sentence_bleu import pairwise_bleu

    if not target_language:
        raise In2xError("utility: bleu cuts text by language; give the target language, such as 'ja'")
    return functools.partial(pairwise_bleu, target_language=target_language)


def _checked(table: np.ndarray, grid: Grid, number: int) -> np.ndarray:
    table = np.asarray(table, dtype=np.float64)
    expected = (len(grid.hypotheses), len(grid.references))
    if table.shape != expected or not np.isfinite(table).all():
        raise ValueError(
            f"mbr: segment {number}: expected finite utilities of shape {expected}, "
            f"got shape {table.shape}, {int((~np.isfinite(table)).sum())} not finite"
        )
    return table


UTILITIES: dict[str, Callable[[float, str | None], Utility]] = {
    "chrf": lambda beta, _: functools.partial(pairwise_chrf, beta=beta),
    "chrf++": lambda beta, _: functools.partial(pairwise_chrf, beta=beta, word_order=2),
    "bleu": _bleu,
    "exact": lambda *_: exact,
}
