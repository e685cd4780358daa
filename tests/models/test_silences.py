import numpy as np
import pytest

from forecast_assets.models.silences import running, runs, sells_that_week, surprise_of_a_silent_day


def test_the_chance_of_a_silent_day_is_counted() -> None:
    sold = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0, 0, 1]], dtype=np.bool_)
    assert surprise_of_a_silent_day(~sold, sold) == pytest.approx([-np.log(0.05), -np.log(0.75)])


def test_a_run_has_all_of_its_days_and_only_a_sale_ends_it() -> None:
    """The fourth day is neither silent nor sold on: nothing is known of it."""
    silent = np.array([[0, 1, 1, 0, 1, 0, 1]], dtype=np.bool_)
    sold = np.array([[1, 0, 0, 0, 0, 1, 0]], dtype=np.bool_)
    found = runs(silent, sold, np.array([[2.0]]))
    assert found.length.tolist() == [[0, 3, 3, 0, 3, 0, 1]]
    assert found.surprise.tolist() == [[0, 6, 6, 0, 6, 0, 2]]
    assert running(silent, sold, np.array([[2.0]]))[0].tolist() == [[0, 1, 2, 2, 3, 0, 1]]


def test_runs_of_a_weekday_look_at_that_weekday_alone() -> None:
    sold = np.ones((1, 28), dtype=np.bool_)
    sold[0, [6, 13, 27]] = False
    sold[0, 15] = False
    found = runs(~sold, sold, np.ones((1, 28)), every=7)
    assert found.length[0, [6, 13, 15, 27]].tolist() == [2, 2, 1, 1]
    assert found.length.sum() == 6


def test_a_week_counts_by_the_three_days_on_either_side() -> None:
    sold = np.zeros((1, 12), dtype=np.bool_)
    sold[0, 5] = True
    assert np.flatnonzero(sells_that_week(sold)[0]).tolist() == [2, 3, 4, 5, 6, 7, 8]
