"""The table of a rollout batch, and what is shown of it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from in2x.artifacts import In2xError, write_json
from in2x.records import Completion
from in2x.rewards.groups import Group
from in2x.rl.draw import Drawn, Scored
from in2x.rl.rollout_log import batch_file, print_rollouts, read_rollouts, rollout_table

GROUPS = [
    Group("a", [1], "Good morning.", "おはよう。", "ja", [Completion([3], [-1.0], "おはよう。", True),
                                                        Completion([4, 5], [-1.0, -2.0], "[b]朝", False)]),
    Group("b", [1], "Yes.", "はい。", "ja", [Completion([6], [-1.0], "はい。", True)] * 2),
]  # fmt: skip
SCORED = Scored(
    np.array([[1.0, -2.0], [0.5, 0.5]]),
    {"adequacy": np.array([[0.9, np.nan], [0.75, 0.75]])},
    [[None, "truncated: no end"], [None, None]],
    [None, None],
    np.zeros((2, 2), bool),
)
ADVANTAGES = np.array([[1.0, -1.0], [0.0, 0.0]])


def table(batch=1, **changes):
    scored = replace(SCORED, **changes)
    drawn = Drawn(GROUPS, scored, np.ones((2, 2), bool), np.array([True, False]), np.array([1.5, 0.0]), 0)
    return rollout_table(drawn, ADVANTAGES, batch)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "rl"
    (folder / "rollouts").mkdir(parents=True)
    write_json(folder / "manifest.json", {"section": {"batch_completions": 4, "mini_batch_completions": 2}})
    for batch in (1, 2):
        table(batch).write_parquet(batch_file(folder, batch))
    return tmp_path


def test_a_row_for_each_completion_with_what_was_made_of_it():
    first, second, third, _ = table().to_dicts()
    assert first == {
        "batch": 1, "prompt_id": "a", "source": "Good morning.", "reference": "おはよう。", "sample": 0,
        "text": "おはよう。", "num_tokens": 1, "finished": True, "reward": 1.0, "advantage": 1.0, "informative": True,
        "failed_gate": None, "unscorable": None, "spread": 1.5, "component.adequacy": 0.9,
    }  # fmt: skip
    assert second["failed_gate"] == "truncated: no end" and second["component.adequacy"] is None
    assert second["sample"] == 1 and second["num_tokens"] == 2 and not second["finished"]
    assert third["prompt_id"] == "b" and not third["informative"]


def test_a_table_in_which_no_gate_failed_has_the_same_columns():
    assert (
        table(components_PG={"adequacy": np.full((2, 2), np.nan)}, failures_PG=[[None] * 2] * 2).schema
        == table().schema
    )


def test_what_could_not_be_scored_has_no_reward_and_a_reason():
    lost = np.array([[False, True], [True, True]])
    found = table(unscorable_PG=lost, unscorable_P=[None, "adequacy: timeout"])
    assert found["reward"].to_list() == [1.0, None, None, None]
    assert found["unscorable"].to_list() == [None, None, "adequacy: timeout", "adequacy: timeout"]
    out = io.StringIO()
    print_rollouts(found, 2, Console(file=out, width=120))
    assert "Yes." in out.getvalue()


@pytest.mark.parametrize(("step", "batch"), [(1, 1), (2, 1), (3, 2), (4, 2), (None, 2)])
def test_a_step_belongs_to_the_batch_that_it_was_made_with(run, step, batch):
    assert read_rollouts(run, step)["batch"].unique().to_list() == [batch]
    assert read_rollouts(run / "rl", step).equals(read_rollouts(run, step))


def test_a_step_or_a_run_without_rollouts_is_refused(run, tmp_path):
    with pytest.raises(In2xError, match="step 5 has no rollouts; there are steps 1 to 4"):
        read_rollouts(run, 5)
    with pytest.raises(In2xError, match="no rollouts are here"):
        read_rollouts(tmp_path / "elsewhere")


def test_groups_are_shown_best_first_and_texts_as_they_are():
    out = io.StringIO()
    print_rollouts(table(), 1, Console(file=out, width=120))
    shown = out.getvalue()
    assert "2 prompts, 1 of them with contrast" in shown
    assert shown.index("おはよう。") < shown.index("[b]朝") and "[truncated: no end]" in shown
    assert "0.90" in shown and "Yes." not in shown
    assert "Good morning." in shown
