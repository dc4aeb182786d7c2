"""Alarms: what makes each ring, at which bound, and what must not."""

import math
from pathlib import Path

import pytest

from in2x import stages
from in2x.recipe import load
from in2x.rl.alarms import alarms, evidence
from in2x.sections import RlSection
from in2x.sections.rl import Alarms


def section(**bounds):
    quiet = dict.fromkeys(
        ("entropy", "length", "truncated", "repetition", "language", "dev_chrf", "component", "unscorable"), {}
    )
    weights = {"adequacy": 1.0, "naturalness": 0.5, "repetition": -1.0}
    return RlSection(reward_weights=weights, alarms=quiet | {"baseline_batches": 2, "recent_batches": 2} | bounds)


def batch(**values):
    plain = {"reward": 1.0, "entropy": 2.0, "completion_tokens": 10.0, "truncated_fraction": 0.0}
    return plain | {name.replace("__", "/"): value for name, value in values.items()}


def names(batches, **bounds):
    return [(alarm.name, alarm.stops) for alarm in alarms(batches, section(**bounds))]


@pytest.mark.parametrize(
    ("name", "bounds", "quiet", "loud"),
    [
        ("entropy", {"warn": 0.5}, {"entropy": 1.01}, {"entropy": 0.99}),
        ("length", {"warn": 2.0}, {"completion_tokens": 19.9}, {"completion_tokens": 20.1}),
        ("length", {"warn": 2.0}, {"completion_tokens": 5.1}, {"completion_tokens": 4.9}),
        ("truncated", {"warn": 0.2}, {"truncated_fraction": 0.2}, {"truncated_fraction": 0.21}),
        ("repetition", {"warn": 0.2}, {"gate__repetition": 0.2}, {"gate__repetition": 0.21}),
        (
            "language",
            {"warn": 0.2},
            {"wrong_language__ja": 0.2},
            {"wrong_language__ja": 0.0, "wrong_language__en": 0.3},
        ),
        ("unscorable", {"warn": 0.1}, {"unscorable_fraction": 0.1}, {"unscorable_fraction": 0.2}),
    ],
)
def test_an_alarm_rings_beyond_its_bound_and_not_before(name, bounds, quiet, loud):
    before = [batch(), batch()]
    assert names([*before, batch(**quiet)], **{name: bounds}) == []
    assert names([*before, batch(**loud)], **{name: bounds}) == [(name, False)]
    assert names([*before, batch(**loud)], **{name: {"stop": bounds["warn"]}}) == [(name, True)]
    assert names([*before, batch(**loud)]) == []


def test_the_stop_bound_comes_before_the_warning_and_is_named():
    (alarm,) = alarms([batch(), batch(), batch(entropy=0.2)], section(entropy={"warn": 0.5, "stop": 0.2}))
    assert alarm.stops
    assert alarm.message == (
        "entropy is 0.2 nats per token, 0.10 of the first batches' 2 (rl.alarms.entropy.stop is 0.2)"
    )


def test_the_first_batches_are_what_later_ones_are_compared_with():
    assert names([batch(entropy=4.0), batch(entropy=0.1)], entropy={"warn": 0.9}) == []
    assert names([batch(entropy=4.0), batch(entropy=2.0), batch(entropy=1.6)], entropy={"warn": 0.5}) == []
    assert names([batch(entropy=4.0), batch(entropy=2.0), batch(entropy=1.4)], entropy={"warn": 0.5}) != []


def test_development_chrf_falls_while_the_reward_rises():
    rising = [
        batch(dev_chrf=30.0),
        batch(reward=1.5, dev_chrf=34.0),
        batch(reward=2.0),
        batch(reward=2.1, dev_chrf=30.9),
    ]
    (alarm,) = alarms(rising, section(dev_chrf={"warn": 3.0}))
    assert "development chrF is 30.9, 3.1 below that of batch 2, while the reward has risen from 1.250 to 2.050" in (
        alarm.message
    )
    assert names(rising, dev_chrf={"warn": 3.2}) == []
    falling = [batch(dev_chrf=30.0), batch(reward=1.5, dev_chrf=34.0), batch(reward=0.5), batch(dev_chrf=30.9)]
    assert names(falling, dev_chrf={"warn": 3.0}) == []
    assert names(rising[:3], dev_chrf={"warn": 0.0}) == [], "a batch without a measurement says nothing"


def test_a_component_is_bought_with_another():
    def at(reward, adequacy, naturalness, repetition=0.0):
        return batch(reward=reward, component__adequacy=adequacy, component__naturalness=naturalness,
                     component__repetition=repetition, spread__adequacy=0.1, spread__naturalness=2.0,
                     spread__repetition=0.1)  # fmt: skip

    start = [at(1.0, 0.5, 1.0), at(1.0, 0.5, 1.0)]
    worse = [at(1.5, 0.38, 4.0), at(1.5, 0.38, 4.0)]
    (alarm,) = alarms(start + worse, section(component={"warn": 1.0}))
    assert alarm.message.startswith("component adequacy went from 0.500 to 0.380, 1.2 of its spread within a group")
    assert names(start + worse, component={"warn": 1.3}) == []
    assert names(start + [at(0.9, 0.2, 1.0)] * 2, component={"warn": 1.0}) == [], "the reward fell too: no divergence"
    punished = [at(1.5, 0.5, 4.0, repetition=0.2)] * 2
    assert names(start + punished, component={"warn": 1.0}) == [("component", False)], "its weight is negative"


def test_a_component_that_hardly_ever_differs_raises_no_alarm_by_itself():
    def at(reward, adequacy):
        return batch(reward=reward, component__adequacy=adequacy, spread__adequacy=0.0001)

    start = [at(0.3, 0.0)] * 2
    assert names(start + [at(0.5, -0.005)] * 2, component={"warn": 1.0}) == []
    assert names(start + [at(0.5, -0.05)] * 2, component={"warn": 1.0}) == [("component", False)]


def test_a_component_that_few_prompts_have_is_not_watched():
    def at(reward, adequacy, groups):
        return batch(reward=reward, component__adequacy=adequacy, spread__adequacy=0.1, groups__adequacy=groups)

    for share, expected in ((0.4, []), (0.6, [("component", False)])):
        batches = [at(0.3, 0.5, share)] * 2 + [at(0.5, 0.1, share)] * 2
        assert names(batches, component={"warn": 1.0}) == expected
    batches = [at(0.3, 0.5, 0.9)] * 2 + [batch(reward=0.5, component__adequacy=0.1, spread__adequacy=0.1)] * 2
    assert names(batches, component={"warn": 1.0}) == [("component", False)]  # not logged: all prompts have it


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_always_stops(value):
    assert names([batch(dev_chrf=value)]) == [("finite", True)]


def test_evidence_names_the_rollouts_and_the_checkpoint():
    assert evidence(Path("r/batch-00001.parquet"), Path("rl/checkpoint")) == (
        "its rollouts are in r/batch-00001.parquet; the last checkpoint is rl/checkpoint"
    )
    assert "no checkpoint had been written yet" in evidence(Path("r"), None)


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"entropy": {"warn": 0.1}}, False),
        ({"entropy": {}}, False),
        ({"entropy": {"warn": 0.25, "stop": 0.1}}, True),
        ({"unscorable": {"warn": 0.05}}, True),
        ({"baseline_batches": 9}, True),
    ],
)
def test_a_stage_is_stale_by_what_stops_it_and_not_by_what_warns(monkeypatch, changed, again):
    monkeypatch.setattr(stages, "_file_hashes", lambda name, section: {})
    recipe = load(Path(__file__).parents[2] / "recipes" / "tiny.toml")
    plain = recipe.model_copy(update={"rl": recipe.rl.model_copy(update={"alarms": Alarms()})})
    other = recipe.model_copy(update={"rl": recipe.rl.model_copy(update={"alarms": Alarms(**changed)})})
    prints = [stages.fingerprints(one)["rl"] for one in (plain, other)]
    assert (prints[0] != prints[1]) is again
