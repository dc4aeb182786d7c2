"""Bradley-Terry: closed forms, invariances, recovery of known strengths, intervals."""

import numpy as np
import pytest
from scipy.optimize import minimize

from in2x.judging import bradley_terry

TINY = 1e-9


def _wins(strengths, games, seed):
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    wins = np.triu(rng.binomial(games, chance), 1)
    return wins + np.tril(games - wins.T, -1)


def test_two_systems_have_the_log_odds_of_their_wins():
    """9 wins of 12: log(9 / 3), up to the ridge; the anchor is at 0."""
    strengths = bradley_terry.fit([[0, 9], [3, 0]], anchors=[1], ridge=TINY)
    assert strengths == pytest.approx([np.log(3), 0])


def test_the_ridge_solves_its_equation():
    """With strengths +-t: 9 - 12 sigmoid(2 t) = ridge t, solved here by bisection."""
    low, high = 0.0, 2.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 9 - 12 / (1 + np.exp(-2 * middle)) > 0.5 * middle else (low, middle)
    assert bradley_terry.fit([[0, 9], [3, 0]], anchors=[1], ridge=0.5) == pytest.approx([2 * low, 0], abs=1e-9)


def test_the_anchors_mean_is_zero_and_differences_do_not_depend_on_it():
    wins = _wins(np.array([0.0, 1.0, -1.0, 0.3]), 40, seed=1)
    one, two = bradley_terry.fit(wins, [0]), bradley_terry.fit(wins, [1, 2])
    assert one[0] == 0 and two[[1, 2]].mean() == pytest.approx(0)
    assert one - one[1] == pytest.approx(two - two[1])


def test_ties_are_half_a_win_each():
    assert bradley_terry.fit([[0, 5], [5, 0]], [0]) == pytest.approx([0, 0])
    ties = np.array([[0, 6 + 0.5 * 4], [2 + 0.5 * 4, 0]])
    assert bradley_terry.fit(ties, [1], ridge=TINY)[0] == pytest.approx(np.log(8 / 4))


def test_it_is_the_maximum_that_a_general_optimiser_finds():
    wins = _wins(np.array([0.0, 2.0, -1.5, 0.4, 0.1]), 7, seed=2).astype(float)

    def loss(strengths):
        differences = strengths[:, None] - strengths[None, :]
        return (wins * np.logaddexp(0, -differences)).sum() + 0.05 * (strengths**2).sum()

    expected = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
    assert bradley_terry.fit(wins, [0], ridge=0.1) == pytest.approx(expected - expected[0], abs=1e-6)


def test_strengths_are_recovered():
    truth = np.array([0.0, 0.8, -0.8, 1.6])
    assert bradley_terry.fit(_wins(truth, 20_000, seed=3), [0]) == pytest.approx(truth, abs=0.06)


def test_permuting_the_systems_permutes_the_strengths():
    wins, order = _wins(np.array([0.0, 1.0, -1.0]), 30, seed=4), [2, 0, 1]
    assert bradley_terry.fit(wins[np.ix_(order, order)], [1]) == pytest.approx(bradley_terry.fit(wins, [0])[order])


@pytest.mark.parametrize("games", [1, 100, 100_000])
def test_a_system_that_won_everything_stays_finite(games):
    wins = np.array([[0, games, games], [0, 0, games], [0, 0, 0]])
    strengths = bradley_terry.fit(wins, [2])
    assert np.isfinite(strengths).all() and strengths[0] > strengths[1] > strengths[2] == 0


def test_games_against_oneself_do_not_count():
    assert bradley_terry.fit([[7, 9], [3, 7]], [1]) == pytest.approx(bradley_terry.fit([[0, 9], [3, 0]], [1]))


def test_intervals_have_the_width_of_a_log_odds():
    """One game a unit, 3 of 4 won: the standard error of the log-odds is 1 / sqrt(n p (1 - p))."""
    wins = np.tile([[[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]]], (100, 1, 1))
    low, high = bradley_terry.intervals(wins, [1], num_resamples=500, ridge=TINY)
    assert low[1] == high[1] == 0 and low[0] < np.log(3) < high[0]
    assert high[0] - low[0] == pytest.approx(2 * 1.96 / np.sqrt(400 * 0.75 * 0.25), rel=0.15)
    assert np.array_equal(bradley_terry.intervals(wins, [1], num_resamples=500, ridge=TINY), (low, high))
    narrow = bradley_terry.intervals(wins, [1], num_resamples=500, ridge=TINY, confidence=0.5)
    assert narrow[1][0] - narrow[0][0] == pytest.approx(2 * 0.674 / np.sqrt(400 * 0.75 * 0.25), rel=0.2)


def test_units_are_drawn_whole():
    """One unit holds all the games: every draw is the same, and the interval is a point."""
    wins = np.array([[[0, 9], [3, 0]]])
    low, high = bradley_terry.intervals(wins, [1], num_resamples=10)
    assert low == pytest.approx(high)


def test_systems_without_a_path_to_an_anchor_are_found():
    wins = np.zeros((5, 5))
    wins[0, 1] = wins[2, 1] = wins[3, 4] = 1
    assert bradley_terry.connected(wins, [0]).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("wins", "anchors", "ridge"),
    [([[0, 1]], [0], 0.1), ([[0, -1], [1, 0]], [0], 0.1), ([[0, np.nan], [1, 0]], [0], 0.1),
     ([[0, 1], [1, 0]], [], 0.1), ([[0, 1], [1, 0]], [0], 0)],
)  # fmt: skip
def test_bad_input_is_refused(wins, anchors, ridge):
    with pytest.raises(ValueError, match="bradley_terry"):
        bradley_terry.fit(wins, anchors, ridge)
