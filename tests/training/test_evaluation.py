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
from tests.support.forecast_cases import lawful_panel, one_group


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
