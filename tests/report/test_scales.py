import math

import pytest

from in2x.report.scales import Scale, log_ticks, nice_ticks, tick_label


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1, 880, [200, 400, 600, 800]),
        (-0.9, 1.1, [-0.5, 0, 0.5, 1.0]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_log_ticks_thin_out_where_they_crowd():
    assert log_ticks(9, 60) == pytest.approx([10, 20, 50])
    assert log_ticks(9, 2500) == pytest.approx([10, 100, 1000])


def test_place_on_linear_and_log_axes():
    assert Scale(10, 20).place(12.5) == 0.25
    assert Scale(1, 100, log=True).place(10) == pytest.approx(0.5)


def test_fit_ignores_values_that_are_not_finite():
    scale = Scale.fit([1.0, math.nan, 2.0, math.inf])
    assert (scale.low, scale.high) == pytest.approx((0.94, 2.06))


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [5.0, 5.0], [-2.0]])
def test_fit_gives_flat_and_empty_series_a_range(values):
    scale = Scale.fit(values)
    assert scale.high > scale.low
    assert all(0 <= scale.place(value) <= 1 for value in values if math.isfinite(value))


def test_air_never_takes_a_positive_quantity_below_zero():
    assert Scale.fit([0.0, 1.0]).low == 0.0
    assert Scale.fit([-1.0, 1.0]).low < -1.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [(20_000, "20k"), (4_000_000, "4M"), (0.4, "0.4"), (2e-5, "2e-5"), (-0.5, "−0.5"), (1200, "1200")],
)
def test_tick_label(value, expected):
    assert tick_label(value) == expected


def test_tick_label_in_per_cent():
    assert tick_label(0.125, percent=True) == "12.5 %"
