import json

import pytest

from in2x.training.spikes import FEWEST, Spikes


def quiet(spikes, number=FEWEST, **values):
    assert all(spikes.see(**values) is None for _ in range(number))
    return spikes


def test_several_steps_in_a_row_far_above_the_median_are_told():
    spikes = quiet(Spikes(10.0, patience=3), gradient_norm=0.5, loss=2.0)
    assert spikes.see(gradient_norm=5.1, loss=2.0) is None
    assert spikes.see(gradient_norm=5.1, loss=2.0) is None
    assert spikes.see(gradient_norm=6.0, loss=2.0) == "gradient_norm is 6, and its running level is 0.5"


def test_an_ordinary_step_between_begins_the_count_anew():
    spikes = quiet(Spikes(10.0, patience=2), gradient_norm=0.5)
    assert [spikes.see(gradient_norm=value) for value in (9.0, 0.5, 9.0)] == [None] * 3
    assert spikes.see(gradient_norm=9.0) is not None


def test_the_bound_itself_is_ordinary_and_spikes_do_not_raise_the_level():
    spikes = quiet(Spikes(10.0, patience=100), gradient_norm=1.0)
    for _ in range(90):
        assert spikes.see(gradient_norm=10.1) is None
    assert spikes.number == 90
    spikes.see(gradient_norm=10.0)
    assert spikes.number == 0


def test_no_level_is_known_before_sixteen_steps_nor_where_it_is_not_positive():
    spikes = quiet(Spikes(2.0, patience=1), FEWEST - 1, loss=1.0)
    assert spikes.see(loss=50.0) is None
    spikes = quiet(Spikes(2.0, patience=1), loss=-0.1)
    assert spikes.see(loss=50.0) is None


def test_its_state_goes_through_json():
    spikes = quiet(Spikes(10.0, patience=2), gradient_norm=0.5)
    spikes.see(gradient_norm=9.0)
    again = Spikes(10.0, patience=2)
    again.load(json.loads(json.dumps(spikes.state())))
    assert again.see(gradient_norm=9.0) == pytest.approx(spikes.see(gradient_norm=9.0))
