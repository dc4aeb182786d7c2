import math

import numpy as np
import pytest

from in2x.report.curves import curves, panels_for, read_log, smoothed, thinned


def test_phases_follow_one_another_where_steps_start_again():
    log = read_log([{"step": s, "phase": p, "loss": 1.0} for p in ("knowledge", "long") for s in (1, 2, 3)])
    assert log.steps == [1, 2, 3, 4, 5, 6]
    assert log.marks == [(1, "knowledge"), (4, "long")]


def test_phases_keep_steps_that_are_counted_through():
    log = read_log([{"step": s, "phase": "a" if s < 3 else "b", "loss": 1.0} for s in (1, 2, 3, 4)])
    assert log.steps == [1, 2, 3, 4]
    assert log.marks == [(1, "a"), (3, "b")]


def test_a_resumed_run_keeps_the_last_value_of_a_step():
    log = read_log(
        [
            {"step": 1, "loss": 3.0},
            {"step": 2, "loss": 9.0},
            {"step": 2, "loss": 2.0},
            {"step": 3, "loss": 1.0},
        ]
    )
    assert log.series("loss")[1].tolist() == [3.0, 2.0, 1.0]


def test_two_lines_of_one_step_are_one_row():
    log = read_log([{"step": 5, "loss": 1.0}, {"step": 5, "dev_loss": 2.0}])
    assert log.rows == [{"step": 5, "loss": 1.0, "dev_loss": 2.0}]


def test_keys_are_numbers_only():
    log = read_log([{"step": 1, "loss": None, "note": "x", "ok": True}, {"step": 2, "loss": 0.5}])
    assert log.keys() == ["loss"]


def test_steps_that_are_missing_or_not_finite_take_their_place_in_the_file():
    log = read_log([{"loss": 1.0}, {"step": math.nan, "loss": 2.0}, {"step": 2, "loss": 3.0}])
    assert log.steps == [0, 1, 2]


def test_smoothing_keeps_a_constant_and_ignores_gaps():
    values = np.full(100, 2.0)
    values[[10, 50]] = [math.nan, math.inf]
    assert smoothed(values) == pytest.approx(np.full(100, 2.0))


def test_smoothing_is_a_moving_average():
    values = np.zeros(41)
    values[20] = 5.0
    assert smoothed(values)[17:24] == pytest.approx([0, 1, 1, 1, 1, 1, 0])


def test_thinning_keeps_ends_and_extremes():
    values = np.sin(np.arange(5000.0))
    values[1234], values[4321] = 9.0, -9.0
    kept = thinned(values)
    assert len(kept) <= 402
    assert {0, 1234, 4321, 4999} <= set(kept.tolist())


def test_every_logged_key_has_one_panel():
    keys = ["reward", "component/x", "adequacy", "clip_high_fraction", "dual_clip_fraction", "unheard_of"]
    known, others = panels_for("rl", keys)
    drawn = [key for panel in (*known, *others) for key in panel.keys if key in keys]
    assert sorted(drawn) == sorted(keys)
    assert [panel.keys for panel in others] == [("unheard_of",)]


def test_nothing_logged():
    assert curves("sft", []) is None
    assert curves("sft", [{"step": 1}, {"step": 2, "note": "x"}]) is None


def test_unknown_stage_draws_what_it_finds():
    assert "My value" in curves("other", [{"step": 1, "my_value": 1.0}])
