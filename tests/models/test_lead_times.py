"""Lead times are whole days of a normal law, and no order arrives on the day it is placed."""

import numpy as np

from forecast_assets.models.lead_times import whole_lead_times


def test_lead_times_are_whole_and_at_least_a_day() -> None:
    scores = np.array([-2.0, -0.4, 0.0, 0.6, 2.0])
    drawn = whole_lead_times(np.array([0.0, 3.0, 3.0]), np.array([0.0, 0.0, 1.0]), scores)
    assert drawn.tolist() == [[1.0] * 5, [3.0] * 5, [1.0, 3.0, 3.0, 4.0, 5.0]]


def test_series_may_have_scores_of_their_own() -> None:
    drawn = whole_lead_times(np.array([4.0, 4.0]), np.array([1.0, 2.0]), np.array([[0.0, 1.0], [1.0, -1.0]]))
    assert drawn.tolist() == [[4.0, 5.0], [6.0, 2.0]]
