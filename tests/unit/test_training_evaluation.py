from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from statsforecast import StatsForecast
from statsforecast.models import SeasonalNaive

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.training.evaluation import Outcome, gates, report, seasonal_naive
from forecast_assets.training.fitting import fit
from tests.forecast_cases import lawful_panel, one_group

BY_HAND = Outcome(
    sales=np.array([[4.0, 6.0], [np.nan, 10.0]]),
    expected_sales=np.array([[5.0, 5.0], [9.0, 12.0]]),
    naive_sales=np.array([[8.0, 6.0], [9.0, 10.0]]),
    demand=np.array([[4.0, 8.0], [np.nan, 12.0]]),
    mean=np.array([[5.0, 7.0], [9.0, 12.0]]),
    naive_demand=np.array([[4.0, 8.0], [9.0, 0.0]]),
    quantiles=np.array([[[5.0] * 13, [7.0] * 13], [[9.0] * 13, [12.0] * 13]]),
    demand_class=np.array(["smooth", "lumpy"]),
)


def _metric(frame: pl.DataFrame, metric: str, segment: str = "all") -> dict[str, float]:
    return frame.filter(pl.col("metric") == metric, pl.col("segment") == segment).row(0, named=True)


def test_metrics_are_those_worked_out_by_hand() -> None:
    found = report(BY_HAND)
    EVALUATION_REPORTS.validate(found)
    assert _metric(found, "wape")["value"] == pytest.approx(4 / 20)
    assert _metric(found, "wape")["baseline_value"] == pytest.approx(4 / 20)
    assert _metric(found, "bias")["value"] == pytest.approx(2 / 20)
    assert _metric(found, "wape")["rows"] == 3
    assert _metric(found, "demand_wape")["value"] == pytest.approx(2 / 24)
    assert _metric(found, "demand_wape")["baseline_value"] == pytest.approx(12 / 24)
    assert _metric(found, "wape", "smooth")["value"] == pytest.approx(2 / 10)
    assert _metric(found, "wape", "1-7")["rows"] == 3


def test_a_point_forecast_has_its_absolute_error_as_scaled_pinball_loss() -> None:
    assert _metric(report(BY_HAND), "scaled_pinball_loss")["value"] == pytest.approx(2 / 24)


def test_coverage_counts_the_days_between_two_quantiles() -> None:
    wide = np.linspace(-0.5, 12.5, 13)
    found = report(replace(BY_HAND, quantiles=np.broadcast_to(wide, (2, 2, 13))))
    assert _metric(found, "coverage_99")["value"] == 1.0
    assert _metric(found, "coverage_80")["value"] == pytest.approx(2 / 3)


def test_segments_without_rows_are_left_out_and_without_sales_have_no_value() -> None:
    unsold = replace(BY_HAND, sales=np.zeros((2, 2)), demand_class=np.array(["dead", "dead"]))
    found = report(unsold)
    assert "smooth" not in found["segment"].to_list()
    assert _metric(found, "wape", "dead")["value"] is None


def test_gates_name_what_a_version_fails() -> None:
    passed = gates(report(BY_HAND))
    assert passed == {
        "wape_beats_seasonal_naive": False,
        "bias_within_10_percent": True,
        "coverage_of_80_percent_interval_within_10_points": False,
    }


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
