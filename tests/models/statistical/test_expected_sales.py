"""Sales are forecast beside demand, by what days without stock sold, and demand is what it was without them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.demand import uncensor
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.statistical.artifact import SalesEffects, StatisticalArtifact
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import one_group, panel_of

COUNT, DAYS, HORIZON = 80, 84, 14


@dataclass(frozen=True)
class Shop:
    """What was known, and what nobody sees: [n, T] demand of the past, and the [n, H] sales to come."""

    panel: Panel
    demand: Floats
    came: Floats


def shop(*, sells_out: bool, seed: int = 3) -> Shop:
    """Shelves that are filled every morning with about what is asked for, or empty for hours whatever is asked for."""
    random = np.random.default_rng(seed)
    shape = COUNT, DAYS + HORIZON
    mean = 6.0 * random.uniform(0.5, 2.0, (COUNT, 1)) * random.gamma(6.0, 1.0 / 6.0, shape)
    asked = random.poisson(mean)
    if sells_out:
        stock = np.broadcast_to(np.ceil(1.2 * mean.mean(axis=1, keepdims=True)), shape)
        # Customers come at any time of the day: the moment at which the last unit goes.
        gone = random.beta(stock, np.maximum(asked - stock + 1, 1))
        sold, share = np.minimum(asked, stock), np.where(asked > stock, 1.0 - gone, 0.0)
    else:
        share = np.where(random.random(shape) < 0.4, random.uniform(0.2, 0.9, shape), 0.0)
        sold = random.binomial(asked, 1.0 - share)
    past = share[:, :DAYS]
    known = panel_of(sold[:, :DAYS], horizon=HORIZON, out_of_stock_share=past, missed_share=past, is_censored=past > 0)
    return Shop(known, mean[:, :DAYS], sold[:, DAYS:].astype(np.float64))


@pytest.fixture(scope="module")
def sold_out() -> Shop:
    return shop(sells_out=True)


@pytest.fixture(scope="module")
def version(sold_out: Shop) -> StatisticalArtifact:
    return trained(sold_out.panel)


def trained(panel: Panel, *, forecasts_sales: bool = True) -> StatisticalArtifact:
    return train_statistical(
        panel, one_group(COUNT), horizon=HORIZON, only_quick=True, workers=1, forecasts_sales=forecasts_sales
    )


def forecast(panel: Panel, artifact: StatisticalArtifact) -> Forecasts:
    return family("statistical").forecast(artifact, ForecastInputs(panel, one_group(COUNT), workers=1))


def test_demand_is_what_it_is_without_forecasts_of_sales(sold_out: Shop, version: StatisticalArtifact) -> None:
    plain = trained(sold_out.panel, forecasts_sales=False)
    assert version.sales is not None
    assert plain.sales is None
    made, without = (forecast(sold_out.panel, each) for each in (version, plain))
    np.testing.assert_array_equal(made.mean, without.mean)
    np.testing.assert_array_equal(made.quantiles, without.quantiles)
    assert without.lost_share is None


def test_sales_are_between_nothing_and_demand(sold_out: Shop, version: StatisticalArtifact) -> None:
    made = forecast(sold_out.panel, version)
    assert made.lost_share is not None
    assert made.lost_share.min() >= 0.0
    assert made.lost_share.max() < 1.0


def test_sales_of_shelves_that_sell_out_are_forecast_without_bias(sold_out: Shop, version: StatisticalArtifact) -> None:
    made = forecast(sold_out.panel, version)
    expected = made.mean * (1.0 - made.lost_share_or(np.zeros(COUNT)))
    assert expected.sum() == pytest.approx(sold_out.came.sum(), rel=0.02)


def test_demand_would_be_further_from_the_truth_with_the_power_of_sales(
    sold_out: Shop, version: StatisticalArtifact
) -> None:
    assert version.availability_power < 1.0
    in_full, by_power = (
        float(uncensor(replace(sold_out.panel, availability_power=power)).sum())
        for power in (1.0, version.availability_power)
    )
    truth = float(sold_out.demand.sum())
    assert by_power < in_full < truth


def test_where_every_hour_is_lost_nothing_is_learned() -> None:
    plain = trained(shop(sells_out=False).panel)
    assert (plain.sales, plain.availability_power) == (None, 1.0)
    assert plain.choices["availability"] == "1"
    assert b'"sales"' not in plain.to_bytes()
    assert "availability_power" not in plain.facts()


def test_artifact_is_read_back_whole_and_says_its_power(version: StatisticalArtifact) -> None:
    assert StatisticalArtifact.from_bytes(version.to_bytes()) == version
    assert version.facts()["availability_power"] == version.availability_power
    taken = version.compared().filter(choice="availability", is_chosen=True)["candidate"].item()
    assert abs(float(taken) - version.availability_power) <= 0.125


def test_with_the_power_and_effects_of_demand_usual_losses_are_left(
    sold_out: Shop, version: StatisticalArtifact
) -> None:
    same = replace(version, sales=SalesEffects(1.0, version.effects))
    made = forecast(sold_out.panel, same)
    assert made.lost_share is not None
    # The same on all days, since levels and factors are the same.
    np.testing.assert_allclose(made.lost_share, made.lost_share[:, :1] * np.ones(HORIZON), rtol=1e-12)


def test_factors_that_forecasts_rest_on_are_those_of_the_version(sold_out: Shop, version: StatisticalArtifact) -> None:
    found = forecast(sold_out.panel, version).past_factors
    assert found is not None
    np.testing.assert_array_equal(found, version.factors(sold_out.panel, one_group(COUNT)))
