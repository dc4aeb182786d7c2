"""Composition: worked examples and the invariants that make weights mean something."""

import numpy as np
import pytest

from in2x.rewards.compose import Cap, compose

ALL_PASSED = np.ones((1, 4), dtype=bool)


def _random(num_prompts=5, group_size=8, seed=0):
    generator = np.random.default_rng(seed)
    components = {name: generator.normal(size=(num_prompts, group_size)) for name in ("chrf", "judge", "length")}
    return components, generator.random((num_prompts, group_size)) < 0.8


WEIGHTS = {"chrf": 1.0, "judge": 0.5, "length": 0.25}


def test_worked_example():
    # chrf [1, 3, 1, 3]: mean 2, population std 1 -> [-1, 1, -1, 1]; judge [0, 0, 8, 8] -> [-1, -1, 1, 1].
    composed = compose(
        {"chrf": np.array([[1.0, 3, 1, 3]]), "judge": np.array([[0.0, 0, 8, 8]])},
        ALL_PASSED,
        {"chrf": 2, "judge": 1},
    )
    np.testing.assert_allclose(composed.rewards_PG, [[-3, 1, -1, 3]])
    assert composed.component_means == {"chrf": 2.0, "judge": 4.0}
    assert composed.passed_fraction == 1.0


def test_docstring_example_and_floor():
    composed = compose({"chrf": np.array([[0.2, 0.4, np.nan]])}, np.array([[True, True, False]]), {"chrf": 1.0})
    np.testing.assert_allclose(composed.rewards_PG, [[-1, 1, -2]])
    assert composed.component_means == {"chrf": pytest.approx(0.3)}
    assert composed.passed_fraction == pytest.approx(2 / 3)


def test_failed_members_do_not_move_the_others():
    components, passed = _random()
    rewards = compose(components, passed, WEIGHTS).rewards_PG
    spoiled = {name: np.where(passed, value, 1e9) for name, value in components.items()}
    np.testing.assert_array_equal(compose(spoiled, passed, WEIGHTS).rewards_PG, rewards)


def test_floor_is_below_every_passed_member_by_the_sum_of_weights():
    components, passed = _random()
    rewards = compose(components, passed, WEIGHTS, floor_distance=2.0).rewards_PG
    for reward_G, passed_G in zip(rewards, passed, strict=True):
        np.testing.assert_allclose(reward_G[~passed_G], reward_G[passed_G].min() - 2 * 1.75)


def test_scale_and_shift_of_a_component_change_nothing():
    components, passed = _random()
    moved = components | {"judge": 1000 * components["judge"] - 77, "chrf": 0.001 * components["chrf"] + 5}
    np.testing.assert_allclose(
        compose(moved, passed, WEIGHTS).rewards_PG, compose(components, passed, WEIGHTS).rewards_PG
    )


def test_permutation_of_members_and_prompts():
    components, passed = _random()
    rewards = compose(components, passed, WEIGHTS).rewards_PG
    order = np.ix_([3, 0, 4, 1, 2], [5, 2, 7, 0, 1, 6, 4, 3])
    permuted = {name: value[order] for name, value in components.items()}
    np.testing.assert_allclose(compose(permuted, passed[order], WEIGHTS).rewards_PG, rewards[order])


def test_constant_component_contributes_nothing():
    # 0.1 has no exact binary form: its group std is rounding, not a signal.
    components = {"chrf": np.array([[1.0, 2, 3]]), "number": np.full((1, 3), 0.1)}
    assert components["number"].std() > 0
    rewards = compose(components, np.ones((1, 3), dtype=bool), {"chrf": 1, "number": 100}).rewards_PG
    np.testing.assert_allclose(rewards, [[-(1.5**0.5), 0, 1.5**0.5]], atol=1e-12)


def test_constant_over_the_passed_members_only():
    passed = np.array([[True, True, False, True]])
    rewards = compose({"number": np.array([[1.0, 1, 0, 1]])}, passed, {"number": 1}).rewards_PG
    np.testing.assert_allclose(rewards, [[0, 0, -1, 0]])


def test_a_group_in_which_all_failed_is_flat():
    components = {"chrf": np.array([[1.0, 3], [1.0, 3]])}
    composed = compose(components, np.array([[False, False], [True, True]]), {"chrf": 1})
    np.testing.assert_allclose(composed.rewards_PG, [[-1, -1], [-1, 1]])
    nobody = compose(components, np.zeros((2, 2), dtype=bool), {"chrf": 1})
    assert nobody.passed_fraction == 0.0 and np.isnan(nobody.component_means["chrf"])


def test_component_not_measured_for_a_group():
    components = {"chrf": np.array([[np.nan, np.nan], [0.2, 0.6]]), "judge": np.array([[0.0, 1], [0.0, 1]])}
    composed = compose(components, np.ones((2, 2), dtype=bool), {"chrf": 1, "judge": 1})
    np.testing.assert_allclose(composed.rewards_PG, [[-1, 1], [-2, 2]])
    assert composed.component_means["chrf"] == pytest.approx(0.4)


def test_component_without_a_weight_is_only_logged():
    components, passed = _random()
    rewards = compose(components, passed, {"chrf": 1.0})
    np.testing.assert_array_equal(
        rewards.rewards_PG, compose({"chrf": components["chrf"]}, passed, {"chrf": 1.0}).rewards_PG
    )
    assert set(rewards.component_means) == {"chrf", "judge", "length"}


def test_negative_weight_turns_a_component_round():
    components = {"error": np.array([[1.0, 3, 0]])}
    passed = np.array([[True, True, False]])
    np.testing.assert_allclose(compose(components, passed, {"error": -1}).rewards_PG, [[1, -1, -2]])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weights": {"chrff": 1.0}}, r"unknown components \['chrff'\]; there are \['chrf'\]"),
        ({"weights": {}}, "non-zero weight"),
        ({"weights": {"chrf": 0.0}}, "non-zero weight"),
        ({"weights": {"chrf": float("nan")}}, "finite"),
        ({"components_PG": {"chrf": np.zeros((4, 1))}}, r"'chrf': expected shape \(1, 4\), got \(4, 1\)"),
        ({"components_PG": {"chrf": np.array([[1, 2, np.nan, 3]])}}, "'chrf': prompt 0, member 2 .* has nan"),
        ({"components_PG": {"chrf": np.array([[1, np.inf, 2, 3]])}}, "'chrf': prompt 0, member 1 .* has inf"),
        ({"gates_passed_PG": np.ones(4, dtype=bool)}, r"expected shape \(P, G\)"),
        ({"floor_distance": 0.0}, "positive distance"),
    ],
)
def test_bad_input(changes, message):
    arguments = {
        "components_PG": {"chrf": np.array([[1.0, 3, 1, 3]])},
        "gates_passed_PG": ALL_PASSED,
        "weights": {"chrf": 1.0},
    }
    with pytest.raises(ValueError, match=message):
        compose(**arguments | changes)


def test_the_cap_by_hand():
    # adequacy has the median .25: factors [0, .5, 1, 1] at width .1. naturalness is standardised to [1, -1, -1, 1].
    components = {"adequacy": np.array([[0.1, 0.2, 0.3, 0.4]]), "naturalness": np.array([[3.0, 1, 1, 3]])}
    weights = {"adequacy": 0.0, "naturalness": 1.0}
    capped = compose(components, ALL_PASSED, weights, cap=Cap(quantile=0.5, width=0.1)).rewards_PG
    np.testing.assert_allclose(capped, [[0.0, -1, -1, 1]])
    components["naturalness"] = np.array([[1.0, 3, 1, 3]])
    capped = compose(components, ALL_PASSED, weights, cap=Cap(quantile=0.5, width=0.1)).rewards_PG
    np.testing.assert_allclose(capped, [[-1, 0.5, -1, 1]])


def test_the_cap_takes_the_larger_threshold_and_leaves_losses_and_other_components():
    components, passed = _random()
    capped = compose(components, passed, WEIGHTS, cap=Cap("chrf", ("judge",), quantile=0.2, floor=9.0, width=0.5))
    without_gains = {**components}
    whole = compose(components, passed, WEIGHTS).rewards_PG
    judge_only = compose(without_gains, passed, {"judge": 0.5}).rewards_PG
    expected = np.where(passed, whole - np.maximum(judge_only, 0), np.nan)
    np.testing.assert_allclose(np.where(passed, capped.rewards_PG, np.nan), expected, atol=1e-12)


def test_a_cap_where_the_gate_was_not_measured_changes_nothing():
    components, passed = _random()
    components["chrf"][:] = np.nan
    plain = compose(components, passed, WEIGHTS).rewards_PG
    np.testing.assert_array_equal(
        compose(components, passed, WEIGHTS, cap=Cap("chrf", ("judge",), 0.5)).rewards_PG, plain
    )


def test_each_group_by_its_own_weights():
    components, passed = _random()
    weights = [WEIGHTS, {"judge": 1.0}, WEIGHTS, {"length": 2.0}, {"chrf": 1.0}]
    components["judge"][4] = np.nan  # not asked for there
    mixed = compose(components, passed, weights).rewards_PG
    for p, own in enumerate(weights):
        alone = compose({n: v[p : p + 1] for n, v in components.items()}, passed[p : p + 1], own).rewards_PG
        np.testing.assert_array_equal(mixed[p : p + 1], alone)


def test_unscorable_members_move_no_other_and_get_the_mean():
    components, passed = _random()
    unscorable = np.zeros(passed.shape, bool)
    unscorable[:, 2] = True
    found = compose(components, passed, WEIGHTS, unscorable_PG=unscorable).rewards_PG
    others = np.arange(passed.shape[1]) != 2
    left = {name: value[:, others] for name, value in components.items()}
    np.testing.assert_allclose(found[:, others], compose(left, passed[:, others], WEIGHTS).rewards_PG)
    counted = passed[:, 2]
    np.testing.assert_allclose(found[counted, 2], found[counted][:, others].mean(axis=1))


@pytest.mark.parametrize("settings", [{}, {"quantile": 1.1}, {"floor": 0.1, "width": 0.0}])
def test_caps_that_cannot_be(settings):
    with pytest.raises(ValueError, match="Cap"):
        Cap(**settings)


def test_weights_for_another_number_of_groups_are_refused():
    components, passed = _random()
    with pytest.raises(ValueError, match="weights of 2 groups, but there are 5"):
        compose(components, passed, [WEIGHTS, WEIGHTS])
    with pytest.raises(ValueError, match="no component 'adequacy'"):
        compose(components, passed, WEIGHTS, cap=Cap(floor=0.5))
