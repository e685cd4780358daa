"""Stores that open again and articles that come back: right after a week, by a law that is known."""

from dataclasses import dataclass

import numpy as np
import pytest

from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.screening import screened
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.resumption import at_present_level
from forecast_assets.models.statistical.series import forecast_series
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import WEEKDAY, lawful_panel, one_group, panel_of, series_of

COUNT, DAYS, HORIZON, SINCE = 40, 210, 14, 7
STORES = 4
SERIES = series_of(COUNT, STORES)
STORE = (SERIES["store_id"] == "S0").to_numpy()
ARTICLE = (SERIES["sku_id"] == "K003").to_numpy()


@dataclass(frozen=True)
class Return:
    """Some series that were away for seventy days and have been back for a week.

    Attributes:
        panel: 40 series of 4 stores.
        rows: [n] which of them came back.
        mean: [n, H] what they are going to sell.
    """

    panel: Panel
    rows: Bools
    mean: Floats


def returned(rows: Bools, change: float, level: float = 8.0, seed: int = 3) -> Return:
    random = np.random.default_rng(seed)
    mean = level * random.uniform(0.4, 1.6, (COUNT, 1)) * WEEKDAY[np.arange(DAYS + HORIZON) % 7]
    back = DAYS - SINCE
    mean[rows, back - 70 : back] = 0.0
    mean[rows, back:] *= change
    sales = random.poisson(mean[:, :DAYS]).astype(np.float64)
    return Return(panel_of(sales, HORIZON, series=SERIES), rows, mean[:, DAYS:])


@pytest.fixture(scope="module")
def artifact() -> StatisticalArtifact:
    return train_statistical(lawful_panel(COUNT, DAYS, HORIZON), one_group(COUNT), horizon=HORIZON, workers=1)


@pytest.mark.parametrize("change", [0.5, 1.0, 2.0])
def test_a_store_that_opens_again_is_right_after_a_week(artifact: StatisticalArtifact, change: float) -> None:
    """Within 10% of the truth for the store, whatever it sold before; other stores are not moved."""
    case = returned(STORE, change)
    made = forecast_series(case.panel, artifact, one_group(COUNT))
    assert made.mean[STORE].sum() == pytest.approx(case.mean[STORE].sum(), rel=0.1)
    assert made.mean[~STORE].sum() == pytest.approx(case.mean[~STORE].sum(), rel=0.05)
    assert set(made.demand_class) == {"smooth"}


@pytest.mark.parametrize("change", [0.3, 1.0, 3.0])
def test_an_article_that_comes_back_is_right_after_a_week(artifact: StatisticalArtifact, change: float) -> None:
    """Within 25% of the truth over its four stores, though its level has changed threefold: a week varies by 5%."""
    case = returned(ARTICLE, change, level=24.0)
    made = forecast_series(case.panel, artifact, one_group(COUNT))
    assert made.mean[ARTICLE].sum() == pytest.approx(case.mean[ARTICLE].sum(), rel=0.25)


def test_one_store_that_is_back_leaves_training_with_a_version_that_is_right_for_all() -> None:
    case = returned(STORE, 0.5)
    artifact = train_statistical(case.panel, one_group(COUNT), horizon=HORIZON, workers=1)
    made = forecast_series(case.panel, artifact, one_group(COUNT))
    assert made.mean[STORE].sum() == pytest.approx(case.mean[STORE].sum(), rel=0.15)
    assert made.mean[~STORE].sum() == pytest.approx(case.mean[~STORE].sum(), rel=0.05)


def test_a_store_that_is_closed_for_weeks_is_forecast_nothing_and_no_other_is(artifact: StatisticalArtifact) -> None:
    sales = returned(STORE, 1.0).panel.sales
    closed = np.where(STORE[:, None] & (np.arange(DAYS) >= DAYS - 20), 0.0, sales)
    made = forecast_series(panel_of(closed, HORIZON, series=SERIES), artifact, one_group(COUNT))
    assert made.mean[STORE].sum() == 0.0
    assert set(made.demand_class[STORE]) == {"dead"}
    assert (made.mean[~STORE] > 0.0).all()


def test_a_new_store_borrows_and_is_right_after_a_week(artifact: StatisticalArtifact) -> None:
    case = returned(STORE, 0.5)
    sales = np.where(STORE[:, None] & (np.arange(DAYS) < DAYS - SINCE), np.nan, case.panel.sales)
    made = forecast_series(panel_of(sales, HORIZON, series=SERIES), artifact, one_group(COUNT))
    assert set(made.demand_class[STORE]) == {"new"}
    assert made.mean[STORE].sum() == pytest.approx(case.mean[STORE].sum(), rel=0.25)


def test_only_what_lies_before_the_silence_takes_another_level() -> None:
    """Ten a day, away for thirty days, then seven days of thirty.

    What the article leads to expect: 210 units came for 70, drawn by 10 of each: 220 / 80 = 2.75 times ten. That counts
    as three days more.
    """
    sales = np.full((1, 100), 10.0)
    sales[0, 63:93], sales[0, 93:] = 0.0, 30.0
    panel = screened(panel_of(sales, 7, series=series_of(1)))
    known = ~np.isnan(panel.sales)
    level = at_present_level(panel, np.nan_to_num(panel.sales), known * 1.0, np.where(known, panel.sales, 10.0))
    assert level[0, :63] == pytest.approx((210.0 + 3.0 * 27.5) / 10.0)
    assert (level[0, 93:] == 30.0).all()
