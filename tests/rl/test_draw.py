"""From groups to what is trained on: which groups teach, what is left out, and the advantages of the rest."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from in2x.records import Completion
from in2x.rewards.compose import Composed
from in2x.rewards.groups import Group, Span
from in2x.rewards.translation import Rewarded
from in2x.rl.draw import advantages, as_judged, component_weights, draw, joined, scored, sifted, temperature
from in2x.rl.watch import batch_measures, stability, update_means
from in2x.sections import RlSection

NAN = np.nan


def group(name, lengths, finished=None, target="ja"):
    ended = finished or [True] * len(lengths)
    made = [Completion([7] * n, [-1.0] * n, "x", end) for n, end in zip(lengths, ended, strict=True)]
    return Group(name, [1], "source", "reference", target, made)


def rewarded(rewards, components=None, failures=None, unscorable=None):
    rewards_PG = np.array(rewards, dtype=float)
    components = components or {"adequacy": rewards_PG.copy()}
    failures = failures or [[None] * rewards_PG.shape[1] for _ in rewards_PG]
    arrays = {name: np.array(value, dtype=float) for name, value in components.items()}
    return Rewarded(Composed(rewards_PG, {}, 1.0), arrays, failures, unscorable or {})


def section(**settings):
    plain = {"batch_completions": 4, "mini_batch_completions": 2, "group_size": 2, "reward_weights": {"adequacy": 1.0}}
    return RlSection(**plain | settings)


def sift(found, groups=None, **settings):
    groups = groups or [group(f"g{p}", [2] * found.composed.rewards_PG.shape[1]) for p in range(len(found.failures_PG))]
    return sifted(groups, scored(found), section(**settings), 0)


def test_a_near_tie_teaches_nothing_however_far_its_standardised_rewards_are_apart():
    raw = [[0.2, 0.6], [0.5, 0.5 + 1e-4], [0.5, 0.5]]
    drawn = sift(rewarded([[-1, 1], [-1, 1], [0, 0]], {"adequacy": raw}))
    assert drawn.informative_P.tolist() == [True, False, False]
    usual = np.sqrt((0.2**2 + 5e-5**2) / 3)
    assert drawn.spread_P == pytest.approx([0.2 / usual, 5e-5 / usual, 0.0])


def test_a_component_without_weight_makes_no_contrast():
    components = {"adequacy": [[0.5, 0.5], [0.1, 0.9]], "numbers": [[0.0, 1.0], [1.0, 1.0]]}
    assert sift(rewarded([[-1, 1], [-1, 1]], components)).informative_P.tolist() == [False, True]


def test_gates_alone_make_contrast():
    failures = [[None, "copy: all"], ["empty", "empty"]]
    drawn = sift(rewarded([[0.0, -1.0], [-1.0, -1.0]], {"adequacy": [[0.5, NAN], [NAN, NAN]]}, failures))
    assert drawn.informative_P.tolist() == [True, False]
    one = rewarded([[0.0, -1.0]], {"adequacy": [[0.5, NAN]]}, failures[:1])
    assert sift(one, reward_clip=[-9, -1]).informative_P.tolist() == [False]


def test_what_is_unscorable_is_left_out_and_a_group_with_fewer_than_two_others_is_lost():
    found = rewarded([[1.0, 2.0, 3.0], [1.0, 1.0, 5.0]],
                     unscorable={"adequacy": {(0, 1): "timeout", (1, 0): "timeout", (1, 2): "refused"}})  # fmt: skip
    drawn = sift(found, batch_completions=6, mini_batch_completions=3, group_size=3)
    assert drawn.scored.unscorable_P == [None, "adequacy: timeout"]
    assert drawn.kept_PG.tolist() == [[True, False, True], [False, True, False]]
    assert drawn.informative_P.tolist() == [True, False]
    assert advantages(drawn, section(advantage="group-mean")).tolist() == [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_what_is_left_out_makes_no_contrast_by_its_gates():
    failures = [[None, "truncated: x", "copy: all"], [None, "truncated: x", "copy: all"], ["copy: all"] * 2 + [None]]
    lost = {"adequacy": {(2, 2): "timeout"}}
    found = rewarded([[0.0, -1.0, -1.0]] * 3, {"adequacy": [[0.5, NAN, NAN]] * 3}, failures, lost)
    groups = [group("a", [1] * 3, [True, False, True]), group("b", [1] * 3, [True, False, False]), group("c", [1] * 3)]
    drawn = sift(found, groups, truncated="masked", batch_completions=6, mini_batch_completions=3, group_size=3)
    assert drawn.kept_PG.sum(axis=1).tolist() == [2, 1, 2]
    assert drawn.informative_P.tolist() == [True, False, False]


@pytest.mark.parametrize("value", [NAN, np.inf])
def test_a_reward_that_is_no_number_is_never_zero(value):
    drawn = sift(rewarded([[1.0, value], [0.0, 1.0]], {"adequacy": [[0.1, 0.2], [0.3, 0.9]]}))
    assert drawn.scored.unscorable_P == [f"a reward of {value}", None]
    assert drawn.informative_P.tolist() == [False, True] and np.isfinite(advantages(drawn, section())).all()


def test_rewards_are_clipped_and_divided_by_length_before_the_estimator():
    drawn = sift(rewarded([[-5.0, 3.0]], {"adequacy": [[0.1, 0.9]]}), [group("g", [2, 4])])
    clipped = advantages(drawn, section(advantage="group-mean", reward_clip=[-1, 1]))
    assert clipped.tolist() == [[-1.0, 1.0]]
    by_length = advantages(drawn, section(advantage="group-mean", length_corrected=True))
    assert by_length == pytest.approx(np.array([[-2.5 - 0.75, 0.75 + 2.5]]) / 2)
    assert advantages(drawn, section(advantage="leave-one-out")).tolist() == [[-8.0, 8.0]]


def test_completions_count_as_ended_only_where_they_are_kept():
    groups = [group("g", [2, 2], [True, False])]
    assert as_judged(groups, "penalised") is groups
    assert [c.finished for c in as_judged(groups, "kept")[0].completions] == [True, True]
    assert [c.finished for c in groups[0].completions] == [True, False]


def test_refills_ask_for_what_is_missing_and_stop_at_the_bound():
    asked, number = [], iter(range(100))

    def prompts_draw(wanted, batch, taken):
        asked.append((wanted, list(taken)))
        return [next(number) for _ in range(wanted)]

    def sample(rows, first_key):
        assert first_key == len(asked[-1][1])
        return [group(f"g{row}", [1, 1]) for row in rows]

    def reward(groups):  # only prompt 3 teaches something
        raw = [[0.0, 1.0] if item.id == "g3" else [0.5, 0.5] for item in groups]
        return rewarded(raw)

    drawn = draw(sample, reward, SimpleNamespace(draw=prompts_draw), section(max_refills=2), 0)
    assert asked == [(2, []), (2, ["g0", "g1"]), (1, ["g0", "g1", "g2", "g3"])]
    assert drawn.num_refills == 2 and [g.id for g in drawn.groups] == ["g0", "g1", "g2", "g3", "g4"]
    assert drawn.informative_P.tolist() == [False, False, False, True, False]
    assert len(drawn.scored.rewards_PG) == len(drawn.scored.failures_PG) == 5


def test_rounds_are_joined_even_where_one_lacks_a_component():
    first = scored(rewarded([[0.0, 1.0]], {"adequacy": [[0.0, 1.0]]}))
    both = joined([first, scored(rewarded([[2.0, 3.0]], {"terms": [[0.5, 0.5]]}))])
    assert both.rewards_PG.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    np.testing.assert_array_equal(both.components_PG["terms"], [[NAN, NAN], [0.5, 0.5]])


def test_the_largest_weight_of_any_task_counts():
    chosen = section(reward_weights={"adequacy": 1.0, "length": 0.0},
                     reward_task_weights={"maths": {"answer": -2.0, "adequacy": 0.5}})  # fmt: skip
    assert component_weights(chosen) == {"adequacy": 1.0, "answer": 2.0}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1.0, 1.0, 1.0]), ("linear", [1.0, 0.8, 0.6]), ("cosine", [1.0, 0.8, 0.6])],
)
def test_the_temperature_follows_its_schedule(schedule, expected):
    chosen = section(num_batches=5, start_temperature=1.0, end_temperature=0.6, temperature_schedule=schedule)
    assert [temperature(chosen, batch) for batch in (0, 2, 4)] == pytest.approx(expected)
    quarter = {"constant": 1.0, "linear": 0.9, "cosine": 1 - 0.4 * (1 - np.sqrt(0.5)) / 2}
    assert temperature(chosen, 1) == pytest.approx(quarter[schedule])
    assert temperature(section(num_batches=1), 0) == 1.0


def test_measures_of_a_batch_by_hand():
    groups = [group("a", [2, 4], [True, False]), group("b", [3, 3], target="en")]
    found = rewarded([[0.0, -1.0], [0.0, 0.0]], {"adequacy": [[0.4, NAN], [0.6, 0.8]]},
                     [[None, "language: no kana"], [None, None]])  # fmt: skip
    measured = batch_measures(sift(found, groups), section(), 0.9)
    assert measured["reward"] == measured["component/adequacy"] == pytest.approx(0.6)
    assert measured["spread/adequacy"] == pytest.approx(0.05)  # 0 for one measured, 0.1 for 0.6 and 0.8
    expected = {"gate_pass_fraction": 0.75, "gate/language": 0.25, "wrong_language/ja": 0.5, "wrong_language/en": 0.0,
                "informative_fraction": 0.5, "drawn_prompts": 2, "refills": 0, "unscorable_fraction": 0.0,
                "unscorable_completions": 0, "completion_tokens": 3.0, "truncated_fraction": 0.25,
                "temperature": 0.9}  # fmt: skip
    assert {name: measured[name] for name in expected} == expected


def test_spreads_are_of_the_groups_that_a_component_was_measured_in():
    groups = [group(name, [2, 4]) for name in "abc"]
    found = rewarded([[0.0, 1.0]] * 3, {"adequacy": [[0.4, 0.6]] * 3, "names": [[0.0, 1.0], [NAN, NAN], [NAN, NAN]]})
    weights = {"adequacy": 1.0, "names": 1.0}
    measured = batch_measures(sift(found, groups, reward_weights=weights), section(reward_weights=weights), 0.9)
    assert measured["spread/names"] == 0.5 and measured["groups/names"] == pytest.approx(1 / 3)
    assert measured["spread/adequacy"] == pytest.approx(0.1) and "groups/adequacy" not in measured


def test_what_is_unscorable_is_logged_by_component_and_reason():
    groups = [group("a", [2, 4]), group("b", [3, 3])]
    part = replace(
        rewarded([[0.0, 1.0], [0.0, 1.0]], {"qe": [[0.4, NAN], [NAN, NAN]]}),
        unscorable={"qe": {(0, 1): "no answer", (1, 0): "no answer", (1, 1): "died"}, "rubric": {}},
    )
    weights = {"qe": 1.0}
    drawn = sift(part, groups, reward_weights=weights)
    measured = batch_measures(drawn, section(reward_weights=weights), 0.9)
    assert measured["unscorable/qe"] == 3 and "unscorable/rubric" not in measured
    assert measured["unscorable_reasons"] == [
        {"component": "qe", "reason": "no answer", "completions": 2},
        {"component": "qe", "reason": "died", "completions": 1},
    ]
    both = joined([scored(part), scored(part)])
    assert both.unscorable_counts == {"qe": {"no answer": 4, "died": 2}}


def test_spans_of_several_rounds_are_joined():
    one = replace(rewarded([[0.0, 1.0]], {}), spans={"script": {(0, 1): [Span(0, 1, 1.0, "")]}})
    other = replace(
        rewarded([[0.0, 1.0]], {}),
        spans={"script": {(0, 0): [Span(1, 2, 0.5, "")], (0, 1): []}, "untranslated": {(0, 0): [Span(3, 4, 1.0, "")]}},
    )
    both = joined([scored(one), scored(other)])
    assert both.spans == {(0, 1): [Span(0, 1, 1.0, "")], (1, 0): [Span(1, 2, 0.5, ""), Span(3, 4, 1.0, "")]}


def test_each_task_counts_in_the_logged_reward_by_its_own_weights():
    groups = [group("a", [2, 4]), replace(group("b", [3, 3]), task="arithmetic"), group("c", [2, 2])]
    found = rewarded([[0.0, 1.0]] * 3, {"adequacy": [[0.4, 0.6], [NAN, NAN], [0.1, 0.3]],
                                        "answer": [[NAN, NAN], [0.0, 1.0], [NAN, NAN]]})  # fmt: skip
    own = section(reward_weights={"adequacy": 1.0}, reward_task_weights={"arithmetic": {"answer": 2.0}})
    assert batch_measures(sift(found, groups), own, 0.9)["reward"] == pytest.approx((0.35 * 2 + 1.0) / 3)


def test_updates_are_averaged_and_the_weights_spread_follows_from_the_means():
    means = update_means([{"ratio": 1.0, "ratio_chi2": 0.0}, {"ratio": 1.0, "ratio_chi2": 0.5}])
    assert means["ratio_variance"] == 0.25 and means["ratio_effective_fraction"] == pytest.approx(1 / 1.25)
    assert update_means([]) == {}


def test_stability_is_the_variance_between_the_last_ten_batches():
    assert stability([], {"reward": 1.0}) == {}
    assert stability([{"reward": 1.0}], {"reward": 3.0}) == {"reward_step_variance": 1.0}
    old = [{"reward": 99.0}] * 5 + [{"reward": 2.0}] * 9
    assert stability(old, {"reward": 2.0}) == {"reward_step_variance": 0.0}
