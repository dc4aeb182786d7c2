import math

import pytest
import torch

from in2x.rl.advantages import (
    ADVANTAGES,
    among_kept,
    clip_rewards,
    group_mean,
    group_standardised,
    informative_groups,
    length_corrected,
    multi_objective,
    without_uninformative,
)

REWARDS_PG = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
GROUP_RELATIVE = [name for name in ADVANTAGES if name != "batch-mean"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # mean 3, squared deviations 4 + 1 + 0 + 9 = 14
        ("group-standardised", [x / (math.sqrt(14 / 4) + 1e-4) for x in (-2.0, -1.0, 0.0, 3.0)]),
        ("group-standardised-sample", [x / (math.sqrt(14 / 3) + 1e-4) for x in (-2.0, -1.0, 0.0, 3.0)]),
        ("group-mean", [-2.0, -1.0, 0.0, 3.0]),
        ("leave-one-out", [1 - 11 / 3, 2 - 10 / 3, 3 - 9 / 3, 6 - 6 / 3]),
        ("batch-mean", [1 - 13 / 8, 2 - 13 / 8, 3 - 13 / 8, 6 - 13 / 8]),
    ],
)
def test_hand_computed(name, expected):
    advantages_PG = ADVANTAGES[name](REWARDS_PG)
    torch.testing.assert_close(advantages_PG[0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_constant_added_to_the_rewards_changes_nothing(name):
    torch.testing.assert_close(ADVANTAGES[name](REWARDS_PG + 17.0), ADVANTAGES[name](REWARDS_PG))


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_a_constant_per_group_changes_nothing(name):
    shift_P1 = torch.tensor([[5.0], [-3.0]])
    torch.testing.assert_close(ADVANTAGES[name](REWARDS_PG + shift_P1), ADVANTAGES[name](REWARDS_PG))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_permuting_groups_and_members_permutes_advantages(name):
    members = torch.tensor([2, 0, 3, 1])
    permuted = ADVANTAGES[name](REWARDS_PG.flip(0)[:, members])
    torch.testing.assert_close(permuted, ADVANTAGES[name](REWARDS_PG).flip(0)[:, members])


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_advantages_of_a_group_sum_to_zero(name):
    torch.testing.assert_close(ADVANTAGES[name](REWARDS_PG).sum(1), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_equal_rewards_have_no_advantage(name):
    advantages_PG = ADVANTAGES[name](torch.full((2, 4), 0.1, dtype=torch.float64))
    torch.testing.assert_close(advantages_PG, torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_a_group_of_one_is_an_error(name):
    with pytest.raises(ValueError, match=r"group of one has no baseline, got shape \(3, 1\)"):
        ADVANTAGES[name](torch.ones(3, 1))


def test_batch_mean_takes_groups_of_one_but_not_one_reward():
    torch.testing.assert_close(ADVANTAGES["batch-mean"](torch.tensor([[1.0], [3.0]])), torch.tensor([[-1.0], [1.0]]))
    with pytest.raises(ValueError, match="a baseline needs two rewards"):
        ADVANTAGES["batch-mean"](torch.ones(1, 1))


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_reward_that_is_not_a_number_is_named(name):
    rewards_PG = REWARDS_PG.clone()
    rewards_PG[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"rewards_PG\[1, 2\]: expected a finite reward, got nan"):
        ADVANTAGES[name](rewards_PG)


def test_integer_or_flat_rewards_are_refused():
    with pytest.raises(ValueError, match=r"expected floats of shape \(P, G\), got torch.int64 \(1, 2\)"):
        ADVANTAGES["group-mean"](torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match=r"expected floats of shape \(P, G\), got torch.float32 \(2,\)"):
        ADVANTAGES["group-mean"](torch.tensor([0.0, 1.0]))


def test_informative_groups_compares_the_population_std_with_the_floor():
    # Population std 1 and 0.01 (sample std 1.41 and 0.014), and none at all.
    rewards_PG = torch.tensor([[1.0, 3.0], [0.50, 0.52], [0.7, 0.7]], dtype=torch.float64)
    assert informative_groups(rewards_PG, floor=0.005).tolist() == [True, True, False]
    assert informative_groups(rewards_PG, floor=0.012).tolist() == [True, False, False]


def test_informative_groups_does_not_depend_on_the_unit_of_the_reward():
    rewards_PG = torch.tensor([[1.0, 3.0], [0.50, 0.52]])
    percent_P = informative_groups(100 * rewards_PG, floor=0.05, reward_scale=100.0)
    assert percent_P.tolist() == informative_groups(rewards_PG, floor=0.05).tolist() == [True, False]


def test_dropped_groups_have_exactly_zero_advantage():
    # 0.1 three times has a mean that is not 0.1: the division by a std of nothing leaves a remainder.
    rewards_PG = torch.tensor([[0.1, 0.1, 0.1], [0.0, 0.5, 1.0]])
    advantages_PG = without_uninformative(group_standardised(rewards_PG), informative_groups(rewards_PG))
    assert advantages_PG[0].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(advantages_PG[1], group_standardised(rewards_PG)[1])


@pytest.mark.parametrize("wrong", [torch.tensor([True]), torch.tensor([1, 0])])
def test_a_mask_of_groups_must_be_one_bool_for_each(wrong):
    with pytest.raises(ValueError, match=r"informative_P: expected bools of shape \(2,\), got"):
        without_uninformative(REWARDS_PG, wrong)


# Component a has deviations of 1, b of 100 about another order: standardised, they weigh the same.
COMPONENTS = {
    "a": torch.tensor([[1.0, -1.0]], dtype=torch.float64),
    "b": torch.tensor([[300.0, 500.0]], dtype=torch.float64),
}


def test_multi_objective_standardises_each_component_before_the_weighted_sum():
    advantages_PG = multi_objective(COMPONENTS, {"a": 2.0, "b": 0.5}, delta=0.0)
    assert advantages_PG[0].tolist() == pytest.approx([2.0 - 0.5, -2.0 + 0.5])


def test_multi_objective_does_not_depend_on_the_unit_of_a_component():
    weights = {"a": 1.0, "b": 1.0}
    scaled = COMPONENTS | {"b": 3.0 + 0.01 * COMPONENTS["b"]}
    torch.testing.assert_close(multi_objective(scaled, weights, 0.0), multi_objective(COMPONENTS, weights, 0.0))
    assert multi_objective(COMPONENTS, weights, 0.0)[0].tolist() == pytest.approx([0.0, 0.0])


def test_multi_objective_wants_a_weight_for_each_component_and_groups_of_two():
    with pytest.raises(ValueError, match=r"components: expected those of the weights, \['a'\], got \['a', 'b'\]"):
        multi_objective(COMPONENTS, {"a": 1.0})
    with pytest.raises(ValueError, match="a group of one has no baseline"):
        multi_objective({"a": torch.ones(3, 1)}, {"a": 1.0})


def test_reward_clipping():
    assert clip_rewards(REWARDS_PG, 0.5, 2.5).tolist() == [[1.0, 2.0, 2.5, 2.5], [0.5, 0.5, 1.0, 0.5]]
    with pytest.raises(ValueError, match="low, high: expected low < high, got 1, 1"):
        clip_rewards(REWARDS_PG, 1, 1)


def test_length_correction_divides_before_the_estimator():
    lengths_PG = torch.tensor([[1, 2, 6, 3], [5, 5, 4, 0]])
    corrected_PG = length_corrected(REWARDS_PG, lengths_PG)
    assert corrected_PG.tolist() == [[1.0, 1.0, 0.5, 2.0], [0.0, 0.0, 0.25, 0.0]]
    with pytest.raises(ValueError, match=r"lengths_PG: expected shape \(2, 4\), got \(2, 3\)"):
        length_corrected(REWARDS_PG, lengths_PG[:, :3])


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
def test_a_completion_that_is_not_kept_counts_for_nothing(name):
    rewards_PG = torch.tensor([[1.0, 2.0, 6.0, 99.0], [0.5, -0.5, 77.0, 1.5]], dtype=torch.float64)
    kept_PG = torch.tensor([[True, True, True, False], [True, True, False, True]])
    found_PG = among_kept(ADVANTAGES[name], rewards_PG, kept_PG)
    expected_PK = ADVANTAGES[name](torch.tensor([[1.0, 2.0, 6.0], [0.5, -0.5, 1.5]], dtype=torch.float64))
    torch.testing.assert_close(found_PG[kept_PG].view(2, 3), expected_PK)
    assert (found_PG[~kept_PG] == 0).all()


def test_a_completion_alone_in_its_group_gets_zero():
    rewards_PG = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    kept_PG = torch.tensor([[True, False], [True, True]])
    assert among_kept(group_mean, rewards_PG, kept_PG).tolist() == [[0.0, 0.0], [-1.0, 1.0]]
    with pytest.raises(ValueError, match="kept_PG: expected bools of shape"):
        among_kept(group_mean, rewards_PG, kept_PG.float())
