import pytest

from in2x.training.schedule import factor


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Ten steps, the first two of warm-up; then eight of progress 0, 1/8 .. 7/8 down to 0.2.
        ("constant", {0: 0.5, 1: 1.0, 2: 1.0, 9: 1.0}),
        ("linear", {0: 0.5, 1: 1.0, 2: 1.0, 4: 0.8, 6: 0.6, 9: 0.3}),
        ("cosine", {0: 0.5, 2: 1.0, 4: 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 6: 0.6, 8: 0.2 + 0.8 * (1 - 0.5**0.5) / 2}),
        ("wsd", {0: 0.5, 1: 1.0, 2: 1.0, 8: 1.0, 9: 1.0 - 0.8 * 0.375}),
    ],
)
def test_factors_by_hand(schedule, expected):
    assert {step: factor(schedule, step, 10, 0.2, 0.2) for step in expected} == pytest.approx(expected)


def test_no_warm_up_and_end_at_zero():
    assert [factor("linear", step, 4, 0.0) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert factor("cosine", 0, 4, 0.0) == 1.0
    assert factor("constant", 0, 1, 0.0) == 1.0


def test_wsd_decays_over_the_last_fifth():
    values = [factor("wsd", step, 100, 0.0) for step in range(100)]
    assert values[:81] == pytest.approx([1.0] * 81)
    assert values[81:] == pytest.approx([1 - step / 20 for step in range(1, 20)])


def test_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="unknown schedule 'cosin'"):
        factor("cosin", 0, 10, 0.0)
