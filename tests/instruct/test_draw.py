from collections import Counter

import numpy as np
import polars as pl
import pytest

from in2x.instruct.draw import Cell, apportion, draw, quotas
from in2x.instruct.tasks import Languages
from in2x.sections import InstructSection


def candidates(*rows: tuple[str, list[int]]) -> pl.DataFrame:
    """Candidates as (difficulty, groups), each of a pair of its own."""
    return pl.DataFrame(
        [("translate", "en-ja", "", grade, [number], groups) for number, (grade, groups) in enumerate(rows)],
        schema=["task", "direction", "variant", "difficulty", "rows", "groups"], orient="row",
    )  # fmt: skip


def cell(difficulty: str) -> Cell:
    return Cell("translate", "en-ja", "", difficulty)


def test_apportion_adds_up():
    assert apportion({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert apportion({"a": 0.7, "b": 0.3, "c": 0}, 9) == {"a": 6, "b": 3, "c": 0}


def test_quotas_follow_difficulty_direction_and_task():
    section = InstructSection(tasks={"translate": 3, "register": 1}, target_fraction=0.75)
    wanted = quotas(section, section.tasks, 4000, Languages("en", "ja"))
    assert sum(wanted.values()) == 4000

    def by(field):
        counted = Counter()
        for key, number in wanted.items():
            counted[getattr(key, field)] += number
        return counted

    assert by("difficulty") == {"very-difficult": 1200, "difficult": 1200, "moderate": 1200, "simple": 400}
    assert by("task") == {"translate": 3000, "register": 1000}
    assert by("direction") == {"en-ja": 2250 + 1000, "ja-en": 750}
    assert by("variant") == {"": 3000, "polite": 500, "plain": 400, "honorific": 100}


@pytest.mark.parametrize("seed", range(5))
def test_one_draw_per_group(seed):
    rows = candidates(*(("simple", [n % 4]) for n in range(40)), ("simple", [4, 5]), ("simple", [5, 6]))
    drawn = draw(rows, {cell("simple"): 20}, np.random.default_rng(seed))
    groups = [group for groups in drawn.rows["groups"] for group in groups]
    assert len(groups) == len(set(groups))
    assert len(drawn.rows) == 5  # groups 0 to 3, and one of the two that share group 5
    assert drawn.missing == {cell("simple"): 15}


@pytest.mark.parametrize("seed", range(5))
def test_the_scarcest_cell_chooses_first(seed):
    rows = candidates(*(("simple", [n]) for n in range(10)), ("difficult", [0]), ("difficult", [1]))
    drawn = draw(rows, {cell("simple"): 8, cell("difficult"): 2}, np.random.default_rng(seed))
    assert not drawn.missing and len(drawn.rows) == 10


def test_later_draws_take_fresh_groups_then_other_members_then_repeats():
    rows = candidates(*(("simple", [n // 2]) for n in range(8)))  # four groups of two
    rng = np.random.default_rng(0)
    first = draw(rows, {cell("simple"): 2}, rng)
    second = draw(rows, {cell("simple"): 2}, rng, first.rows)
    third = draw(rows, {cell("simple"): 4}, rng, pl.concat([first.rows, second.rows]))
    everything = pl.concat([first.rows, second.rows, third.rows])
    fourth = draw(rows, {cell("simple"): 4}, rng, everything)
    assert [set(drawn.rows["repeats"]) for drawn in (first, second, third, fourth)] == [{0}, {0}, {1}, {2}]
    assert everything["rows"].explode().n_unique() == 8


def test_seeds_draw_differently():
    rows = candidates(*(("simple", [n]) for n in range(100)))
    drawn = [draw(rows, {cell("simple"): 10}, np.random.default_rng(seed)).rows["rows"].explode() for seed in (0, 0, 1)]
    assert drawn[0].equals(drawn[1]) and set(drawn[0]) != set(drawn[2])
