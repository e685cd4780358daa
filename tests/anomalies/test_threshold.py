"""Thresholds: a promised rate is kept, and what cannot be promised is not."""

import numpy as np
import pytest

from forecast_assets.anomalies.threshold import calibrated_threshold, contaminated_threshold, least_rows


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_false_alarms_are_as_rare_as_promised(rate: float) -> None:
    random = np.random.default_rng(1)
    alarms = []
    for _ in range(400):
        held, to_come = random.exponential(size=199), random.exponential(size=200)
        threshold = calibrated_threshold(held, rate)
        assert threshold is not None
        alarms.append((to_come > threshold).mean())
    assert rate * 0.8 < np.mean(alarms) <= rate * 1.05


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.05, 0.01, 0.003])
def test_as_many_rows_as_are_said_are_enough_and_one_less_is_not(rate: float) -> None:
    enough = least_rows(rate)
    assert calibrated_threshold(np.arange(float(enough)), rate) is not None
    assert calibrated_threshold(np.arange(float(enough - 1)), rate) is None


def test_contamination_is_a_share_of_the_rows_themselves() -> None:
    scores = np.random.default_rng(2).normal(size=1000)
    assert (scores > contaminated_threshold(scores)).sum() == 100
    assert contaminated_threshold(np.array([4.0])) == 4.0
