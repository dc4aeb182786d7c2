"""Calibration and length bias by hand."""

import math

import numpy as np
import pytest

from in2x.rewards.calibration import (
    expected_calibration_error,
    length_correlation,
    length_matched,
    length_slope,
    reliability,
)


def margin(confidence):
    return math.log(confidence / (1 - confidence))


def test_by_hand():
    # Confidence .9 four times, three right: |.9 - .75|. Confidence .6 twice, both right: |.6 - 1|.
    margins = np.array([margin(0.9)] * 3 + [-margin(0.9)] + [margin(0.6)] * 2)
    assert expected_calibration_error(margins) == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    rows = reliability(margins)
    assert [row["num_pairs"] for row in rows] == [2, 4]
    assert [row["accuracy"] for row in rows] == [1.0, 0.75]


def test_bins_begin_at_a_half():
    # Ten bins from 0 to 1 would hold .52 and .58 together: their errors, |.52 - 1| and |.58 - 0|, would be evened out.
    assert expected_calibration_error(np.array([margin(0.52), -margin(0.58)])) == pytest.approx((0.48 + 0.58) / 2)


def test_a_calibrated_model_has_hardly_an_error():
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 50_000)
    right = rng.random(50_000) < 1 / (1 + np.exp(-np.abs(margins)))
    assert expected_calibration_error(np.where(right, np.abs(margins), -np.abs(margins))) < 0.01
    assert expected_calibration_error(np.where(right, 3, -3) * np.abs(margins)) > 0.1


def test_certainty_and_nothing():
    assert expected_calibration_error(np.array([1000.0, 800.0])) == pytest.approx(0.0)
    assert expected_calibration_error(np.array([])) == 0.0


def test_the_slope_over_length():
    texts = ["x" * n for n in (1, 3, 7, 15)]
    assert length_slope(2.5 * np.log1p([1, 3, 7, 15]) - 1, texts) == pytest.approx(2.5)
    assert length_slope(np.array([1.0, 2.0]), ["a", "b"]) == 0.0
    assert length_correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1.0)
    assert math.isnan(length_correlation(np.array([1.0, 1]), np.array([2.0, 4])))


def test_pairs_of_like_length():
    assert length_matched(["abcd", "a"], ["abce", "abcdef"]).tolist() == [True, False]
