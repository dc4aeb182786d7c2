"""Which prompts are drawn next: a literal table of orders, which know what the run itself has measured so far.

    shuffled      one after the other in an order drawn from the seed, and from the start again
    spread        at random, likelier where the group's rewards were further apart when the prompt was last drawn: those
                  are the prompts that teach most. One that was never drawn counts as an average one; none has less than
                  a tenth of the average's chance
    easy-to-hard  at random from the easiest share c of the prompts, which grows with the run's progress t as
                  sqrt(t (1 - c0^2) + c0^2) (the competence of arXiv 1903.09848). How easy a prompt is, is measured: the
                  mean adequacy of its last group, 0 where a gate failed. One that was never drawn counts as what was
                  drawn of its class of difficulty, or else as an average one

Every draw depends on the seed, the batch and the tables of earlier batches alone, so a resumed run draws the same.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError
from in2x.rl.rollout_log import COMPONENT, batch_file

LEAST_SHARE = 0.1

EASE = ("adequacy", "answer", "rubric")
"""Components that say how well a completion does its task, translation or not: 0..1."""


@dataclass(frozen=True)
class Draw:
    """A wish for `number` prompts; `num_drawn` and `taken` tell what the run and the batch have drawn before."""

    number: int
    num_drawn: int
    taken: frozenset[int]
    progress: float
    rng: np.random.Generator


@dataclass
class Prompts:
    """The prompts of a run (columns of in2x.records.INSTRUCTIONS), and what was measured of them, by id."""

    table: pl.DataFrame
    order: str
    seed: int
    num_batches: int
    start_competence: float
    num_drawn: int = 0
    spread: dict[str, float] = field(default_factory=dict)
    ease: dict[str, float] = field(default_factory=dict)

    def draw(self, number: int, batch: int, taken: Iterable[str] = ()) -> pl.DataFrame:
        """`number` prompts for a batch (0-based) that has `taken` those with these ids already."""
        ids, drawn = self.table["id"].to_list(), set(taken)
        wish = Draw(
            number,
            self.num_drawn,
            frozenset(row for row, id in enumerate(ids) if id in drawn) if drawn else frozenset(),
            batch / max(1, self.num_batches - 1),
            np.random.default_rng([self.seed, batch, len(drawn)]),
        )
        self.num_drawn += number
        return self.table[ORDERS[self.order](self, wish)]

    def learn(self, rollouts: pl.DataFrame) -> None:
        """Note what a batch (in2x.rl.rollout_log.ROLLOUTS) tells of its prompts."""
        if self.order != "shuffled":
            measured = measured_of(rollouts)
            self.spread |= dict(zip(measured["prompt_id"], measured["spread"], strict=True))
            self.ease |= dict(zip(measured["prompt_id"], measured["ease"], strict=True))


def load_prompts(path: Path, section) -> Prompts:
    """The prompts of the directions that rl trains, in an order drawn from the seed."""
    table = pl.read_parquet(path).filter(pl.col("direction").is_in(section.directions))
    if table.is_empty():
        raise In2xError(f"{path}: no prompts in the directions {list(section.directions)} (rl.directions)")
    table = table.sample(fraction=1.0, shuffle=True, seed=section.seed)
    return Prompts(table, section.prompt_order, section.seed, section.num_batches, section.start_competence)


def relearn(prompts: Prompts, folder: Path, num_batches: int) -> None:
    """Note what the first batches of an interrupted run told, from its tables."""
    if prompts.order != "shuffled":
        for batch in range(1, num_batches + 1):
            prompts.learn(pl.read_parquet(batch_file(folder, batch)))


def measured_of(rollouts: pl.DataFrame) -> pl.DataFrame:
    """prompt_id, spread, and ease: the mean of the first of EASE that graded it, else the share that passed; 0-1."""
    passed = pl.col("failed_gate").is_null()
    grades = [pl.col(COMPONENT + name) for name in EASE if COMPONENT + name in rollouts.columns]
    worth = pl.coalesce(*grades, pl.lit(1.0))
    return (
        rollouts.filter(pl.col("unscorable").is_null())
        .group_by("prompt_id", maintain_order=True)
        .agg(pl.col("spread").first(), pl.when(passed).then(worth).otherwise(0.0).mean().alias("ease"))
    )


def shuffled(prompts: Prompts, wish: Draw) -> list[int]:
    return [(wish.num_drawn + place) % len(prompts.table) for place in range(wish.number)]


def by_spread(prompts: Prompts, wish: Draw) -> list[int]:
    average = _mean(prompts.spread.values(), 1.0) or 1.0
    chances = np.array([prompts.spread.get(id, average) for id in prompts.table["id"]])
    return _drawn(np.maximum(chances, LEAST_SHARE * average), wish)


def easy_to_hard(prompts: Prompts, wish: Draw) -> list[int]:
    ease = np.array(expected_ease(prompts.table, prompts.ease))
    number = math.ceil(competence(wish.progress, prompts.start_competence) * len(ease))
    chances = np.zeros(len(ease))
    chances[np.argsort(-ease, kind="stable")[:number]] = 1.0
    return _drawn(chances, wish)


ORDERS: Mapping[str, Callable[[Prompts, Draw], list[int]]] = {
    "shuffled": shuffled,
    "spread": by_spread,
    "easy-to-hard": easy_to_hard,
}


def competence(progress: float, start: float) -> float:
    """Share of the prompts, easiest first, that is open at `progress` (0-1) of the run."""
    return min(1.0, math.sqrt(progress * (1 - start**2) + start**2))


def expected_ease(table: pl.DataFrame, ease: Mapping[str, float]) -> list[float]:
    """What was measured of each prompt, or else the mean of its class of difficulty, or else that of all."""
    average, by_class = _mean(ease.values(), 0.0), {}
    for (name,), rows in table.group_by("difficulty"):
        by_class[name] = _mean((ease[id] for id in rows["id"] if id in ease), average)
    return [ease.get(id, by_class[name]) for id, name in zip(table["id"], table["difficulty"], strict=True)]


def _drawn(chances: np.ndarray, wish: Draw) -> list[int]:
    """Rows by chance, none twice in a batch as long as there are others."""
    fresh = chances.copy()
    fresh[list(wish.taken)] = 0.0
    if np.count_nonzero(fresh) < wish.number:
        fresh = chances
    again = np.count_nonzero(fresh) < wish.number
    return wish.rng.choice(len(fresh), wish.number, replace=again, p=fresh / fresh.sum()).tolist()


def _mean(values: Iterable[float], without: float) -> float:
    values = list(values)
    return float(np.mean(values)) if values else without
