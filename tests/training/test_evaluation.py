from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from statsforecast import StatsForecast
from statsforecast.models import SeasonalNaive

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.models.gates import backtest_gates as gates
from forecast_assets.training.evaluation import seasonal_naive
from tests.support.fitted import fit
from tests.support.forecast_cases import WEEKDAY, lawful_panel, one_group, panel_of, series_of


def _metric(frame: pl.DataFrame, metric: str, segment: str = "all") -> dict[str, float]:
    return frame.filter(pl.col("metric") == metric, pl.col("segment") == segment).row(0, named=True)


@pytest.mark.parametrize(("days", "horizon"), [(7, 1), (9, 28), (60, 7), (61, 90)])
def test_seasonal_naive_is_that_of_statsforecast_to_the_last_bit(days: int, horizon: int) -> None:
    random = np.random.default_rng(days)
    history = np.where(random.random((40, days)) < 0.2, np.nan, random.gamma(0.5, 9.0, (40, days)))
    row, day = np.indices(history.shape)
    long = pl.DataFrame({"unique_id": row.ravel(), "ds": day.ravel(), "y": np.nan_to_num(history).ravel()})
    referee = StatsForecast([SeasonalNaive(7, alias="naive")], freq=1, n_jobs=1).forecast(horizon, long)
    expected = referee.sort("unique_id", "ds")["naive"].to_numpy().reshape(-1, horizon)
    np.testing.assert_array_equal(seasonal_naive(history, horizon), expected, strict=True)


def test_a_version_is_trained_and_judged_on_days_that_it_has_not_seen() -> None:
    trained = fit(lawful_panel(count=80, days=90), one_group(80), horizon=14, workers=1)
    EVALUATION_REPORTS.validate(trained.report)
    assert all(gates(trained.report).values())
    assert _metric(trained.report, "wape")["rows"] == 80 * 14 * 2
    assert abs(_metric(trained.report, "demand_bias")["value"]) < 0.03


def test_what_comes_after_an_origin_does_not_touch_its_forecast() -> None:
    """The last days are turned upside down: forecasts made before them stay the same."""
    panel = lawful_panel(count=20, days=50)
    turned = replace(panel, sales=np.concatenate([panel.sales[:, :-14], 100.0 - panel.sales[:, -14:]], axis=1))
    ours, theirs = (fit(one, one_group(20), horizon=14, workers=1).report for one in (panel, turned))
    total = panel.sales[:, -14:].sum(), turned.sales[:, -14:].sum()
    forecast = [_metric(r, "bias")["value"] * s + s for r, s in zip((ours, theirs), total, strict=True)]
    assert forecast[0] == pytest.approx(forecast[1])


@pytest.mark.parametrize("closed", [slice(162, 202), slice(192, 212), slice(182, 210)])
def test_a_store_that_is_closed_for_weeks_fails_no_gate_of_the_others(closed: slice) -> None:
    """One of three stores: closed across two windows and open again, closed to the end, closed but for two days."""
    series, random = series_of(30, stores=3), np.random.default_rng(3)
    mean = 8.0 * random.uniform(0.4, 1.6, (30, 1)) * WEEKDAY[np.arange(212) % 7]
    mean[(series["store_id"] == "S0").to_numpy(), closed] = 0.0
    panel = panel_of(random.poisson(mean).astype(np.float64), 28, series=series)
    report = fit(panel, one_group(30), horizon=28, workers=1).report
    assert all(gates(report).values())
    assert abs(_metric(report, "bias")["value"]) < 0.05


def test_closed_weekdays_are_judged() -> None:
    """As many pairs of days as without them."""
    panel = lawful_panel(20, 112, 14)
    open_days = panel.weekday[:112] != 6
    with_sundays, without = (
        fit(each, one_group(20), horizon=14, workers=1).report
        for each in (panel, replace(panel, sales=np.where(open_days, panel.sales, 0.0)))
    )
    assert _metric(without, "wape")["rows"] == _metric(with_sundays, "wape")["rows"]
    assert abs(_metric(without, "bias")["value"]) < 0.05
