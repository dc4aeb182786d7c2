"""A component's failures are counted and never become a score; too many of them stop the run."""

import math

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.records import Completion
from in2x.rewards import measure as module
from in2x.rewards.components import COMPONENTS, Component, Resources, Unscorable, check_resources
from in2x.rewards.groups import Group
from in2x.rewards.measure import measure
from in2x.rewards.translation import TranslationReward

GOOD, WORSE, BAD = "彼は毎日学校へ行きます。", "彼は学校へ行く。", "犬が好きだ。"


def group(*texts, reference=GOOD, name="a", **more):
    completions = [Completion([7], [-1.0], text, True) for text in texts]
    return Group(name, [1], "He goes to school every day.", reference, "ja", completions, **more)


@pytest.fixture
def scripted(monkeypatch):
    """Put a component of the test's own into the table, under the name "probe"."""

    def install(score, low=0.0, high=1.0, **options):
        component = Component(score, (), low, high, "probe", **options)
        for table in (COMPONENTS, module.COMPONENTS):
            monkeypatch.setitem(table, "probe", component)

    return install


def passed(groups):
    return np.ones((len(groups), len(groups[0].completions)), dtype=bool)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not finite: nan"),
        (math.inf, "not finite: inf"),
        (None, "no number, got None"),
        ("high", "no number, got 'high'"),
        (Unscorable("server:\n gone"), "server: gone"),
    ],
)
def test_what_is_no_number_is_unscorable_with_its_reason(scripted, value, reason):
    scripted(lambda groups, resources: [[0.5, value, 1.0] for _ in groups])
    found = measure("probe", [group(GOOD, WORSE, BAD)], np.ones((1, 3), bool), Resources())
    assert found.reasons == {(0, 1): reason}
    assert found.values_PG[0, 0] == 0.5 and np.isnan(found.values_PG[0, 1]) and found.values_PG[0, 2] == 1.0


def test_one_bad_group_costs_only_itself(scripted):
    def score(groups, resources):
        if any(BAD in group.texts for group in groups):
            raise RuntimeError("cannot read this")
        return [[0.25] * len(group.completions) for group in groups]

    scripted(score)
    groups = [group(GOOD, WORSE), group(GOOD, BAD), group(WORSE, WORSE)]
    found = measure("probe", groups, passed(groups), Resources())
    assert set(found.reasons) == {(1, 0), (1, 1)}
    assert set(found.reasons.values()) == {"RuntimeError: cannot read this"}
    np.testing.assert_array_equal(found.values_PG, [[0.25, 0.25], [np.nan, np.nan], [0.25, 0.25]])


def test_a_wrong_number_of_values_or_rows_is_unscorable(scripted):
    scripted(lambda groups, resources: [[0.1] for _ in groups])
    groups = [group(GOOD, WORSE)]
    found = measure("probe", groups, passed(groups), Resources())
    assert set(found.reasons.values()) == {"gave 1 values for 2 completions"} and len(found.reasons) == 2
    scripted(lambda groups, resources: [])
    found = measure("probe", groups, passed(groups), Resources())
    assert set(found.reasons.values()) == {"gave 0 rows for 1 prompts"}


def test_a_value_out_of_its_bounds_stops_the_run(scripted):
    scripted(lambda groups, resources: [[0.5, 1.2] for _ in groups])
    with pytest.raises(In2xError, match=r"'probe': 1.2 at prompt 'a' is out of its bounds, 0.0 to 1.0"):
        measure("probe", [group(GOOD, WORSE)], np.ones((1, 2), bool), Resources())


def test_what_a_prompt_has_nothing_to_measure_for_is_no_failure(scripted):
    found = measure("adequacy", [group(GOOD, WORSE, reference=None)], np.ones((1, 2), bool), Resources())
    assert not found.reasons and np.isnan(found.values_PG).all()


def test_a_remote_component_is_not_asked_about_members_that_failed_their_gates(scripted):
    asked = []

    def score(groups, resources):
        asked.extend(text for group in groups for text in group.texts)
        return [[float(len(text)) for text in group.texts] for group in groups]

    scripted(score, high=math.inf, remote=True)
    groups = [group(GOOD, WORSE, BAD), group(GOOD, GOOD, GOOD)]
    found = measure("probe", groups, np.array([[True, False, True], [False] * 3]), Resources())
    assert asked == [GOOD, BAD]
    np.testing.assert_array_equal(found.values_PG, [[len(GOOD), np.nan, len(BAD)], [np.nan] * 3])


def test_a_remote_component_that_raises_is_not_asked_again_group_by_group(scripted):
    calls = []

    def score(groups, resources):
        calls.append(len(groups))
        raise ConnectionError("no route")

    scripted(score, remote=True)
    groups = [group(GOOD, WORSE)] * 3
    assert len(measure("probe", groups, passed(groups), Resources()).reasons) == 6
    assert calls == [3]


def flaky(number_bad):
    """A component that fails on the first `number_bad` of all members, and else gives the length."""

    def score(groups, resources):
        rows, seen = [], 0
        for one in groups:
            row = []
            for text in one.texts:
                row.append(float("nan") if seen < number_bad else len(text) / 100)
                seen += 1
            rows.append(row)
        return rows

    return score


def test_an_unscorable_member_has_the_mean_reward_of_its_group_and_moves_no_other(scripted):
    scripted(flaky(1))
    reward = TranslationReward({"probe": 1.0}, max_unscorable_fraction=0.5)
    rewarded = reward([group(BAD, WORSE, GOOD)])
    rewards = rewarded.composed.rewards_PG[0]
    assert rewards.tolist() == pytest.approx([0.0, -1.0, 1.0])
    assert rewarded.unscorable_counts() == {"probe": {"not finite: nan": 1}}
    assert np.isnan(rewarded.components_PG["probe"][0, 0])


def test_a_group_with_one_scorable_member_teaches_nothing(scripted):
    scripted(flaky(2))
    rewarded = TranslationReward({"probe": 1.0}, max_unscorable_fraction=1.0)([group(BAD, WORSE, GOOD)])
    assert len(set(rewarded.composed.rewards_PG[0].tolist())) == 1


def test_the_floor_of_failed_gates_stands_beside_unscorable_members(scripted):
    scripted(flaky(1))
    reward = TranslationReward({"probe": 1.0}, max_unscorable_fraction=0.5)
    rewards = reward([group(BAD, WORSE, GOOD, "English words only.")]).composed.rewards_PG[0]
    assert rewards[1:].tolist() == pytest.approx([-1.0, 1.0, -2.0])
    assert rewards[0] == pytest.approx(np.mean([-1.0, 1.0, -2.0]))  # centring gives it an advantage of 0


def test_too_many_stop_the_run_with_the_evidence(scripted):
    scripted(flaky(2))
    groups = [group(BAD, WORSE, GOOD, GOOD, name="first"), group(BAD, WORSE, GOOD, GOOD, name="second")]
    TranslationReward({"probe": 1.0}, max_unscorable_fraction=0.25)(groups)
    with pytest.raises(In2xError) as stopped:
        TranslationReward({"probe": 1.0}, max_unscorable_fraction=0.24)(groups)
    message = str(stopped.value)
    for part in ("'probe'", "2 of 8", "25.0%", "24.0%", "2 times: not finite: nan", "prompt 'first', completion 0"):
        assert part in message


def test_components_that_lack_their_means_are_refused_before_the_run():
    with pytest.raises(In2xError, match="'naturalness' needs a preference model"):
        TranslationReward({"naturalness": 1.0})
    with pytest.raises(In2xError, match="'length' needs max_tokens"):
        check_resources(["length"], Resources())
    with pytest.raises(In2xError, match="unknown reward component 'lenght'"):
        check_resources(["lenght"], Resources())


def test_every_row_of_the_table_has_bounds_and_a_description():
    for name, component in COMPONENTS.items():
        assert component.low < component.high, name
        assert component.description
