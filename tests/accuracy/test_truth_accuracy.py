"""How good forecasts of demand are against a simulated retailer's law, which no model ever sees."""

from dataclasses import replace

import numpy as np
import pytest

from bench.panels import Retailer, simulated_retailer
from forecast_assets.core.arrays import Floats
from forecast_assets.features.demand_class import ENDED_DAYS, NEW_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.effects import LAST_YEARS
from forecast_assets.models.statistical.levels import AVERAGE
from forecast_assets.models.statistical.series import SeriesForecasts, forecast_series
from forecast_assets.models.statistical.training import train_statistical
from forecast_assets.simulation.simulator import SimulatorSettings

HORIZON = 90
SETTINGS = SimulatorSettings(skus=36, stores=3, days=900 + HORIZON, seed=5)


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    return simulated_retailer(SETTINGS, HORIZON)


@pytest.fixture(scope="module")
def artifact(retailer: Retailer) -> StatisticalArtifact:
    return train_statistical(retailer.panel, retailer.hierarchy.product_groups(), horizon=HORIZON, workers=1)


@pytest.fixture(scope="module")
def forecasts(retailer: Retailer, artifact: StatisticalArtifact) -> SeriesForecasts:
    return _forecast(retailer, artifact, retailer.panel)


def _forecast(retailer: Retailer, artifact: StatisticalArtifact, panel: Panel) -> SeriesForecasts:
    return forecast_series(panel.recent(364), artifact, retailer.hierarchy.product_groups(), workers=1)


def _wape(forecast: Floats, truth: Floats) -> float:
    return float(np.abs(forecast - truth).sum() / truth.sum())


def _truth(retailer: Retailer) -> Floats:
    assert retailer.demand is not None
    return retailer.demand


@pytest.mark.parametrize(("days", "most"), [(28, 0.10), (HORIZON, 0.11)])
def test_expected_demand_comes_close_to_its_law(
    retailer: Retailer, forecasts: SeriesForecasts, days: int, most: float
) -> None:
    mean, truth = forecasts.mean[:, :days], _truth(retailer)[:, :days]
    naive = np.nan_to_num(retailer.panel.sales[:, -7:])[:, np.arange(days) % 7]
    assert _wape(mean, truth) < most
    assert _wape(mean, truth) < 0.4 * _wape(naive, truth)
    assert abs(mean.sum() / truth.sum() - 1.0) < 0.03


def test_a_season_is_found_worth_it_and_without_it_ninety_days_are_clearly_worse(
    retailer: Retailer, artifact: StatisticalArtifact, forecasts: SeriesForecasts
) -> None:
    """The same training on less than two years finds no season that comes back, last year's neither.

    Its errors are larger by an eighth at least.
    """
    assert artifact.choices["season"] == "by product"
    losses = artifact.comparisons["season"]
    assert losses["by product"] < losses["none"]
    groups = retailer.hierarchy.product_groups()
    blind = train_statistical(retailer.panel.recent(600), groups, horizon=HORIZON, workers=1)
    assert blind.choices["season"] == "none"
    assert set(blind.comparisons["season"]) == {"none", LAST_YEARS}
    without = _forecast(retailer, blind, retailer.panel)
    assert _wape(without.mean, _truth(retailer)) > 1.12 * _wape(forecasts.mean, _truth(retailer))
    assert (without.components["season_units"] == 0.0).all()
    assert np.abs(forecasts.components["season_units"]).sum() > 0.02 * _truth(retailer).sum()


def test_seasonal_products_are_told_from_others(retailer: Retailer, forecasts: SeriesForecasts) -> None:
    """The simulator's waves are up to a fifth high; those told seasonal have the larger ones."""
    truth = _truth(retailer)
    spread = truth.mean(axis=1)
    is_seasonal = forecasts.demand_class == "seasonal"
    assert 0 < is_seasonal.sum() < 0.6 * len(spread)
    season = np.abs(forecasts.components["season_units"]).sum(axis=1) / np.maximum(forecasts.mean.sum(axis=1), 1e-9)
    assert season[is_seasonal].mean() > 2 * season[np.isin(forecasts.demand_class, ["smooth", "erratic"])].mean()


def test_new_series_do_better_with_their_parents_than_with_their_own_average(
    retailer: Retailer, artifact: StatisticalArtifact
) -> None:
    """One series in four came to its store in the last week: its past is hidden."""
    panel = retailer.panel
    row = np.arange(len(panel.sales))
    launched = (row % 4 == 1) & (np.nan_to_num(panel.sales[:, -NEW_DAYS:]) > 0).any(axis=1)
    age = 1 + row // 4 % 7
    hidden = launched[:, None] & (np.arange(panel.history_days) < panel.history_days - age[:, None])
    young = replace(panel, sales=np.where(hidden, np.nan, panel.sales))
    borrowed = _forecast(retailer, artifact, young)
    alone = _forecast(retailer, replace(artifact, models={**artifact.models, "new": AVERAGE}), young)
    rows = np.flatnonzero(launched)
    assert (borrowed.demand_class[rows] == "new").all()
    truth = _truth(retailer)[rows]
    assert _wape(borrowed.mean[rows], truth) < 0.9 * _wape(alone.mean[rows], truth)
    assert artifact.models["new"].startswith("Borrowed")


def test_what_has_ended_is_expected_to_sell_nothing_and_changes_nothing_else(
    retailer: Retailer, artifact: StatisticalArtifact, forecasts: SeriesForecasts
) -> None:
    panel = retailer.panel
    sales = panel.sales.copy()
    sales[::10, -ENDED_DAYS:] = np.nan
    made = _forecast(retailer, artifact, replace(panel, sales=sales))
    assert set(made.demand_class[::10]) == {"ended"}
    assert made.mean[::10].sum() == 0.0
    others = np.arange(len(sales)) % 10 != 0
    assert made.demand_class[others].tolist() == forecasts.demand_class[others].tolist()
    assert made.mean[others] == pytest.approx(forecasts.mean[others], rel=0.01)


def test_ninety_days_ahead_intervals_hold_about_as_often_as_they_say(
    retailer: Retailer, forecasts: SeriesForecasts
) -> None:
    """Sales on days with stock left are demand."""
    came = np.where(retailer.empty_share > 0, np.nan, retailer.sales)[:, 28:]
    low, high = forecasts.quantiles[:, 28:, 2], forecasts.quantiles[:, 28:, -3]
    known = ~np.isnan(came) & (forecasts.mean[:, 28:] > 0)
    inside = (came >= low) & (came <= high)
    assert 0.75 < inside[known].mean() < 0.99
