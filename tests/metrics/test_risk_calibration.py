from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.contracts import CALIBRATION
from forecast_assets.core.arrays import Floats
from forecast_assets.metrics.backtests import Backtest
from forecast_assets.metrics.risk_calibration import risk_calibration_rows
from forecast_assets.metrics.risks import ReliabilityBins
from forecast_assets.models.artifact import RISK_THRESHOLDS

FIRST = date(2025, 1, 1)


def backtest(probability: Floats | None, happened: Floats | None, days_later: int = 0) -> Backtest:
    shape = (1, 1) if probability is None else probability.shape
    nothing = np.zeros(shape)
    return Backtest(
        cutoff=FIRST + timedelta(days=days_later), hierarchy=None, past_sales=nothing, sales=nothing,
        expected_sales=nothing, demand=nothing, mean=nothing, quantiles=np.zeros((*shape, 13)),
        demand_class=np.full(shape[0], "smooth"), others={}, naive_demand=nothing, stockout_probability=probability,
        is_stockout=happened,
    )  # fmt: skip


def rows_of(*backtests: Backtest) -> pl.DataFrame:
    return risk_calibration_rows(backtests, RISK_THRESHOLDS)


def test_days_are_told_by_what_was_said_of_them() -> None:
    """Ten days of which 0.15 was said and two came, ten of which 0.9 was said and all came."""
    said = np.repeat([[0.15, 0.9]], 10, axis=0)
    came = np.stack([np.arange(10) < 2, np.ones(10)], axis=1).astype(np.float64)
    found = CALIBRATION.validate(rows_of(backtest(said, came)))
    whole = found.filter(segment_kind="all")
    curve = whole.filter(metric="reliability").select("bin", "low", "high", "expected", "value", "rows").rows()
    assert curve == [(2, 0.1, 0.2, pytest.approx(0.15), 0.2, 10), (10, 0.9, 1.0, pytest.approx(0.9), 1.0, 10)]
    scores = dict(whole.filter(pl.col("metric") != "reliability").select("metric", "value").iter_rows())
    assert scores["brier"] == pytest.approx((8 * 0.15**2 + 2 * 0.85**2 + 10 * 0.1**2) / 20)
    assert scores["brier_reliability"] == pytest.approx((0.05**2 + 0.1**2) / 2)
    assert scores["brier_uncertainty"] == pytest.approx(0.6 * 0.4)
    # Of 96 pairs of a day with and one without, 16 are ties.
    assert scores["roc_auc"] == pytest.approx((80 + 16 / 2) / 96)


def test_days_are_divided_by_band_and_by_days_ahead() -> None:
    said = np.tile([0.01, 0.1, 0.3, 0.7, 0.01, 0.01, 0.01, 0.01], (5, 1))
    found = rows_of(backtest(said, np.zeros((5, 8)))).filter(metric="brier")
    told = found.filter(pl.col("segment_kind").is_in(["risk_band", "step"])).select("segment", "rows").rows()
    assert told == [("low", 25), ("moderate", 5), ("high", 5), ("critical", 5), ("1-7", 35), ("8-14", 5)]
    assert found.filter(segment_kind="day_ahead").height == 8


def test_days_of_several_cutoffs_count_once_and_unknown_ones_not_at_all() -> None:
    said = np.full((3, 4), 0.5)
    came = np.where(np.arange(4) == 0, np.nan, 1.0) * np.ones((3, 1))
    found = rows_of(backtest(said, came), backtest(said, came, days_later=2)).filter(metric="brier", segment_kind="all")
    assert found.select("rows", "effective_rows", "dates").row(0) == (18, 15, 5)


def test_without_probabilities_there_is_no_row() -> None:
    assert rows_of(backtest(None, None)).is_empty()
    assert rows_of(backtest(np.full((1, 1), np.nan), np.ones((1, 1)))).is_empty()


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=60))
def test_the_three_parts_add_up_to_the_score(days: list[tuple[int, bool]]) -> None:
    """Of probabilities that are the same within each stretch."""
    said = np.array([(stretch + 0.5) / 10 for stretch, _ in days])
    came = np.array([float(happened) for _, happened in days])
    reliability, resolution, uncertainty = ReliabilityBins.of(said, came).brier_parts()
    assert reliability - resolution + uncertainty == pytest.approx(float(((said - came) ** 2).mean()))
    assert min(reliability, resolution, uncertainty) >= 0
