"""The reward model's part of the page: accuracy, calibration and length, as the stage writes them."""

from types import SimpleNamespace

import pytest

from in2x.report.parts.reward import render

RESULTS = {
    "num_pairs": 2_000,
    "num_by_kind": {"sampled": 1_500, "shuffled": 500},
    "accuracy": {"held_out": 0.7, "held_out_shuffled": 0.9},
    "calibration": {
        "expected_error": 0.123,
        "reliability": [{"confidence": 0.55, "accuracy": 0.5, "num_pairs": 41}, {"confidence": 0.95, "accuracy": 0.9,
                        "num_pairs": 59}],
    },
    "length": {"score_correlation": -0.31, "matched_accuracy": 0.66, "num_matched": 77, "slope_removed": 0.0},
}  # fmt: skip


def page(results):
    stage = SimpleNamespace(results=results, metrics=lambda: [])
    return str(render({"reward": stage}))


@pytest.mark.parametrize(
    "shown",
    ["70.0 %", "90.0 %", "12.3 %", "55.0 %", "95.0 %", "59", "−0.310", "0.660", "77", "Calibration", "correlation"],
)
def test_what_was_measured_is_shown(shown):
    assert shown in page(RESULTS)


def test_a_run_from_before_has_no_calibration():
    assert "Calibration" not in page({"accuracy": 0.7, "num_pairs": 3})
