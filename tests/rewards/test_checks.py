"""What a recipe's reward lacks is told before the run."""

from types import SimpleNamespace

import pytest

from in2x.rewards.checks import PAIR_KINDS, recipe_problems
from in2x.rewards.unnatural import RULES
from in2x.sections import RewardSection, RlSection


def told(rl=None, reward=None):
    recipe = SimpleNamespace(rl=RlSection(**rl or {}), reward=RewardSection(**reward or {}))
    return {".".join(map(str, problem.place)): problem.message for problem in recipe_problems(recipe)}


def test_the_defaults_lack_nothing():
    assert told() == {}


@pytest.mark.parametrize(
    ("rl", "reward", "place"),
    [
        ({"reward_task_weights": {"maths": {"answr": 1.0}}}, {}, "rl.reward_task_weights.maths.answr"),
        ({"reward_task_weights": {"maths": {"answer": 0.0}}}, {}, "rl.reward_task_weights.maths"),
        ({"reward_cap_floor": 0.1, "reward_cap_by": "coverage"}, {}, "rl.reward_cap_by"),
        ({"reward_weights": {"rubric": 1.0}}, {}, "rl.reward_judge_url"),
        ({"reward_weights": {"embedding": 1.0}}, {}, "rl.reward_embedding_model"),
        ({"reward_weights": {"qe": 1.0}}, {}, "rl.reward_estimator"),
        ({"reward_weights": {"coverage": 1.0}}, {}, "reward.lexicon_pairs"),
        ({}, {"pair_kinds": {"passive": 1.0}}, "reward.pair_kinds.passive"),
        ({}, {"preference_files": ("none.jsonl",)}, "reward.preference_files.0"),
        ({}, {"sampling_model": "none"}, "reward.sampling_model"),
    ],
)
def test_each_problem_has_its_place(rl, reward, place):
    assert list(told(rl, reward)) == [place]


def test_what_is_there_is_no_problem(tmp_path):
    rl = {"reward_weights": {"coverage": 1.0, "rubric": 1.0}, "reward_judge_url": "http://localhost:1",
          "reward_judge_model": "m", "reward_cap_floor": 0.1, "reward_cap_by": "coverage"}  # fmt: skip
    assert told(rl, {"lexicon_pairs": 10, "continue_from": tmp_path}) == {}


def test_every_kind_has_its_rule():
    assert set(PAIR_KINDS) == {"sampled", "shuffled", *RULES}
