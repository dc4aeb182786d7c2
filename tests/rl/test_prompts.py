"""Which prompts are drawn next."""

import numpy as np
import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.rl.prompts import Draw, Prompts, competence, expected_ease, load_prompts, measured_of


def table(number, difficulties=("simple",)):
    rows = [{"id": f"p{i}", "difficulty": difficulties[i % len(difficulties)]} for i in range(number)]
    return pl.DataFrame(rows)


def prompts(order, number=100, **fields):
    return Prompts(table(number, ("simple", "difficult")), order, 5, 11, 0.25, **fields)


def test_shuffled_takes_one_after_the_other_and_starts_again():
    source = prompts("shuffled", 5)
    assert source.draw(3, 0)["id"].to_list() == ["p0", "p1", "p2"]
    assert source.draw(1, 0, ["p0", "p1", "p2"])["id"].to_list() == ["p3"]
    assert source.draw(3, 1)["id"].to_list() == ["p4", "p0", "p1"]


def test_shuffled_is_the_order_drawn_from_the_seed(tmp_path):
    rows = [{"id": f"p{i}", "direction": "en-ja" if i % 2 else "ja-en"} for i in range(20)]
    pl.DataFrame(rows).write_parquet(tmp_path / "rl.parquet")
    section = type("S", (), {"directions": ("en-ja",), "seed": 3, "prompt_order": "shuffled", "num_batches": 2,
                             "start_competence": 0.5})  # fmt: skip
    expected = pl.DataFrame(rows).filter(direction="en-ja").sample(fraction=1.0, shuffle=True, seed=3)["id"].to_list()
    assert load_prompts(tmp_path / "rl.parquet", section).draw(10, 0)["id"].to_list() == expected
    section.directions = ("en-zh",)
    with pytest.raises(In2xError, match="no prompts in the directions"):
        load_prompts(tmp_path / "rl.parquet", section)


def test_a_larger_spread_is_drawn_more_often_in_proportion():
    spread = {f"p{i}": 2.0 if i < 50 else 1.0 for i in range(100)}
    counts = np.zeros(100)
    for batch in range(400):
        for id in prompts("spread", spread=spread).draw(5, batch)["id"]:
            counts[int(id[1:])] += 1
    assert counts.sum() == 2000
    assert counts[:50].sum() / counts[50:].sum() == pytest.approx(2.0, rel=0.15)  # 2,000 draws: 4 deviations


def test_prompts_without_a_spread_are_drawn_all_the_same_and_unseen_ones_as_the_average():
    spread = {f"p{i}": 0.0 if i < 50 else 1.0 for i in range(90)}  # the last ten have never been drawn
    counts = np.zeros(100)
    for batch in range(400):
        for id in prompts("spread", spread=spread).draw(5, batch)["id"]:
            counts[int(id[1:])] += 1
    average = 40 / 90
    rate = 2000 / (50 * 0.1 * average + 40 + 10 * average)
    assert counts[:50].mean() == pytest.approx(0.1 * average * rate, rel=0.4)
    assert counts[90:].mean() == pytest.approx(average * rate, rel=0.3)


@pytest.mark.parametrize("order", ["spread", "easy-to-hard"])
def test_draws_depend_on_seed_and_batch_alone_and_repeat_nothing(order):
    first, second = prompts(order), prompts(order)
    second.draw(7, 3)
    drawn = first.draw(20, 4)["id"].to_list()
    assert drawn == second.draw(20, 4)["id"].to_list() and len(set(drawn)) == 20
    assert drawn != first.draw(20, 5)["id"].to_list()
    assert not set(first.draw(20, 4, drawn)["id"]) & set(drawn)


@pytest.mark.parametrize("order", ["shuffled", "spread", "easy-to-hard"])
def test_a_batch_larger_than_the_prompts_repeats_them(order):
    assert len(prompts(order, 3).draw(8, 0)) == 8
    assert len(prompts(order, 3).draw(2, 0, ["p0", "p1"])) == 2


def test_competence_grows_with_the_square_root():
    assert competence(0.0, 0.25) == 0.25 and competence(1.0, 0.25) == 1.0
    assert competence(0.5, 0.25) == pytest.approx(np.sqrt(0.5 * (1 - 0.0625) + 0.0625))


def test_easy_prompts_come_first_and_all_in_the_end():
    ease = {f"p{i}": 1 - i / 100 for i in range(100)}
    early = {int(id[1:]) for id in prompts("easy-to-hard", ease=ease).draw(25, 0)["id"]}
    assert early == set(range(25))
    late = {int(id[1:]) for id in prompts("easy-to-hard", ease=ease).draw(100, 10)["id"]}
    assert late == set(range(100))


def test_an_unseen_prompt_is_as_easy_as_its_class():
    ease = {"p0": 0.9, "p2": 0.7, "p1": 0.1}
    assert expected_ease(table(6, ("simple", "difficult")), ease) == pytest.approx([0.9, 0.1, 0.7, 0.1, 0.8, 0.1])
    assert expected_ease(table(2, ("simple", "hard")), {"p0": 0.6}) == [0.6, 0.6]


def test_what_a_batch_tells_of_its_prompts():
    rollouts = pl.DataFrame({
        "prompt_id": ["a", "a", "b", "b", "c", "c"], "spread": [0.5, 0.5, 2.0, 2.0, 0.0, 0.0],
        "failed_gate": [None, "copy: x", None, None, None, None], "unscorable": [None] * 4 + ["down", "down"],
        "component.adequacy": [0.8, None, 0.2, 0.4, None, None],
    })  # fmt: skip
    assert measured_of(rollouts).rows() == [("a", 0.5, 0.4), ("b", 2.0, pytest.approx(0.3))]
    passed = measured_of(rollouts.drop("component.adequacy"))
    assert passed["ease"].to_list() == [0.5, 1.0]
    source = prompts("spread")
    source.learn(rollouts)
    assert source.spread == {"a": 0.5, "b": 2.0}


def test_a_wish_is_frozen():
    with pytest.raises(AttributeError):
        Draw(1, 0, frozenset(), 0.0, np.random.default_rng(0)).number = 2
