"""What is not known after all, and forecasts of days on which nothing can sell, by all families."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.screening import LEAST_GAP_DAYS, screened
from tests.support.fitted import fit
from tests.support.forecast_cases import WEEKDAY, lawful_panel, one_group, panel_of, series_of

DAYS, HORIZON = 140, 14


def poisson(count: int, level: float = 6.0, seed: int = 2) -> np.typing.NDArray[np.float64]:
    return np.random.default_rng(seed).poisson(level, (count, DAYS)).astype(np.float64)


def test_a_panel_in_which_nothing_is_found_is_the_same_panel() -> None:
    panel = lawful_panel()
    assert screened(panel) is panel


def test_closed_days_slips_and_gaps_are_not_known_and_all_else_is_as_it_was() -> None:
    """Two stores: S0 is closed on two days; its first article was away for 40 days; one of S1 has a slip."""
    sales = poisson(12)
    sales[:6, 30:32] = 0.0
    sales[0, 60:100] = 0.0
    sales[8, 110] = 700.0
    panel = panel_of(sales, HORIZON, series=series_of(12))
    unknown = np.zeros(sales.shape, dtype=np.bool_)
    unknown[:6, 30:32] = unknown[0, 60:100] = unknown[8, 110] = True
    found = screened(panel)
    np.testing.assert_array_equal(found.sales, np.where(unknown, np.nan, sales))
    np.testing.assert_array_equal(found.is_closed[:, 30:32], np.repeat([[True, True], [False, False]], 6, axis=0))
    assert found.is_closed.sum() == 12
    np.testing.assert_array_equal(found.price_ratio, panel.price_ratio)


def test_silence_that_goes_on_or_is_short_or_usual_stays_known() -> None:
    sales = poisson(12)
    sales[0, 100:] = 0.0
    sales[1, 60 : 60 + LEAST_GAP_DAYS - 1] = 0.0
    sales[2] = np.arange(DAYS) % 35 == 0
    panel = panel_of(sales, HORIZON, series=series_of(12))
    assert screened(panel) is panel


def test_a_shelf_that_was_empty_for_weeks_is_no_gap() -> None:
    sales, empty = poisson(12), np.zeros((12, DAYS), dtype=np.bool_)
    sales[0, 60:100], empty[0, 60:100] = 0.0, True
    panel = panel_of(sales, HORIZON, series=series_of(12), is_censored=empty)
    assert screened(panel) is panel


def test_a_slip_of_the_only_article_does_not_close_its_store() -> None:
    sales = poisson(1)
    sales[0, 50] = 900.0
    found = screened(panel_of(sales, HORIZON, series=series_of(1)))
    assert np.flatnonzero(np.isnan(found.sales[0])).tolist() == [50]
    assert not found.is_closed[:, DAYS:].any()


def test_prices_are_those_that_can_be() -> None:
    panel = lawful_panel()
    wrong = panel.price_ratio.copy()
    wrong[3, 40] = 100.0
    found = screened(replace(panel, price_ratio=wrong))
    assert found.price_ratio[3, 40] == 1.0
    assert found.sales is panel.sales


# --- what families make of it ---


@dataclass(frozen=True)
class Shops:
    """Two stores with a known law, both closed on Sundays, on a feast and on one day that is said.

    Attributes:
        panel: 24 series.
        mean: [n, H] what they are going to sell.
        is_closed: [n, H] days ahead on which nothing can sell.
    """

    panel: Panel
    mean: Floats
    is_closed: Bools


def shops() -> Shops:
    """The first article is not sold on Mondays either; the fourth day ahead is said to be closed for S1."""
    count, width = 24, DAYS + HORIZON
    weekday = np.arange(width) % 7
    feast, said = np.zeros((1, width), dtype=np.bool_), np.zeros((count, width), dtype=np.bool_)
    feast[0, [37, 72, DAYS + 2]] = True
    said[12:, DAYS + 4] = True
    closed = np.broadcast_to((weekday == 6) | feast[0], (count, width)) | said
    closed[0] |= weekday == 0
    levels = 10.0 * np.random.default_rng(3).uniform(0.5, 1.5, (count, 1))
    mean = np.where(closed, 0.0, levels * WEEKDAY[weekday])
    sales = np.random.default_rng(4).poisson(mean[:, :DAYS]).astype(np.float64)
    fields = {"event_names": ("feast",), "event_days": feast, "is_closed": said}
    panel = panel_of(sales, HORIZON, series=series_of(count), **fields)
    return Shops(panel, mean[:, DAYS:], closed[:, DAYS:])


@pytest.fixture(scope="module", params=["statistical", "global", "combined"])
def forecasts(request: pytest.FixtureRequest) -> Forecasts:
    case, groups = shops(), one_group(24)
    found = fit(case.panel, groups, horizon=HORIZON, family=request.param, workers=1, evaluates=False)
    inputs = ForecastInputs(case.panel, groups, Hierarchy.build(case.panel.series, None, None), workers=1)
    made: Forecasts = family(request.param).forecast(found.artifact, inputs)
    return made


def test_zero_is_zero_with_its_quantiles_and_its_reasons_and_other_days_are_right(forecasts: Forecasts) -> None:
    case = shops()
    assert (forecasts.mean[case.is_closed] == 0.0).all()
    assert (forecasts.quantiles[case.is_closed] == 0.0).all()
    assert (forecasts.mean[~case.is_closed] > 0.0).all()
    sold, truth = forecasts.mean[~case.is_closed], case.mean[~case.is_closed]
    assert np.abs(sold - truth).sum() / truth.sum() < 0.1
    assert sold.sum() == pytest.approx(truth.sum(), rel=0.03)


def test_drivers_of_a_closed_day_add_up_to_nothing_and_name_what_closes_it(forecasts: Forecasts) -> None:
    case, parts = shops(), forecasts.components
    assert sum(parts.values()) == pytest.approx(forecasts.mean, abs=1e-9)
    sundays = np.flatnonzero((DAYS + np.arange(HORIZON)) % 7 == 6)
    usual = parts["level_units"] + parts["trend_units"]
    assert parts["weekday_units"][:, sundays] == pytest.approx(-usual[:, sundays])
    assert (parts["event_units"][:, sundays] == 0.0).all()
    assert (parts["event_units"][case.is_closed & (np.arange(HORIZON) == 2)] < 0.0).all()
    assert (parts["event_units"][12:, 4] < 0.0).all()


def test_nodes_above_are_closed_with_their_series(forecasts: Forecasts) -> None:
    assert forecasts.nodes is not None
    sundays = np.flatnonzero((DAYS + np.arange(HORIZON)) % 7 == 6)
    assert (forecasts.nodes.mean[:, sundays] == 0.0).all()
    assert (np.delete(forecasts.nodes.mean, [2, 4, *sundays], axis=1) > 0.0).all()
