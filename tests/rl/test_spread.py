"""Which groups teach anything: the raw components' spread, in units of their usual one."""

import numpy as np
import pytest

from in2x.rl.spread import group_spread, has_contrast, relative_spreads, stds_P

NAN = np.nan


def test_std_is_the_populations_over_what_was_measured():
    values_PG = np.array([[1.0, 3.0, NAN], [NAN, NAN, 2.0], [0.0, 3.0, 6.0]])
    assert stds_P(values_PG) == pytest.approx([1.0, 0.0, np.sqrt(6.0)])


def test_rounding_is_no_spread():
    values_PG = np.array([[5.0, 5.0 + 1e-6], [1e-9, 3e-9]])
    assert stds_P(values_PG) == pytest.approx([0.0, 1e-9])


def test_spread_is_relative_to_the_usual_one_whatever_the_unit():
    share_PG = np.array([[0.1, 0.3], [0.2, 0.6], [0.5, 0.5]])
    components = {"adequacy": share_PG, "judge": 1000 * share_PG + 7, "unweighted": share_PG}
    relative = relative_spreads(components, {"adequacy": 1.0, "judge": 3.0})
    usual = np.sqrt((0.1**2 + 0.2**2) / 3)
    assert relative.keys() == {"adequacy", "judge"}
    for std_P in relative.values():
        assert std_P == pytest.approx([0.1 / usual, 0.2 / usual, 0.0])
    assert group_spread(relative, {"adequacy": 1.0, "judge": 3.0}) == pytest.approx([0.1 / usual, 0.2 / usual, 0.0])


def test_spreads_are_weighted_and_groups_without_a_value_do_not_count_for_the_usual_one():
    components = {"a": np.array([[0.0, 2.0], [0.0, 2.0]]), "b": np.array([[1.0, 1.0], [NAN, NAN]])}
    relative = relative_spreads(components, {"a": 1.0, "b": -3.0})
    assert relative["a"].tolist() == [1.0, 1.0] and relative["b"].tolist() == [0.0, 0.0]
    assert group_spread(relative, {"a": 1.0, "b": -3.0}).tolist() == [0.25, 0.25]
    only = {"a": np.array([[0.0, 2.0], [NAN, 5.0]])}
    assert relative_spreads(only, {"a": 1.0})["a"].tolist() == [1.0, 0.0]


def test_a_group_has_contrast_by_a_component_or_by_its_gates():
    relative = {"a": np.array([0.5, 0.009, 0.0, 0.0, 0.0])}
    passed_PG = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [1, 1]], bool)
    assert has_contrast(relative, passed_PG, 0.01).tolist() == [True, False, True, False, False]
    assert has_contrast(relative, passed_PG, 0.0).tolist() == [True, True, True, False, False]
