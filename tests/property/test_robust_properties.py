"""One wrong row moves a forecast by a bounded share: a quantity, a price or a stock of any kind of series."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs
from tests.support.fitted import fit
from tests.support.forecast_cases import WEEKDAY, one_group, panel_of, series_of

DAYS, HORIZON = 200, 28
KINDS = ("even", "erratic", "rare", "lumpy", "seasonal", "weighed", "promoted")
COUNT = 4 * len(KINDS)
GROUPS = one_group(COUNT)
FAMILIES = ("statistical", "combined")
# Of four weeks of a series that sells on most days, and of one that does not, whose every sale counts.
OFTEN, RARELY = 0.15, 0.34
# Of any other series: whether the level of a group in a store has shifted is read from its sums, and trees look at what
# relatives sold and had in stock; there are few here.
OTHERS = {"statistical": 0.05, "combined": 0.05}


@cache
def clean_panel() -> Panel:
    """Four series of each kind, one after the other; every tenth day those of the last kind are a quarter cheaper."""
    random = np.random.default_rng(0)
    weekday, day = WEEKDAY[np.arange(DAYS) % 7], np.arange(DAYS)
    cheap = np.arange(DAYS + HORIZON) % 10 == 3
    sales, price = np.zeros((COUNT, DAYS)), np.ones((COUNT, DAYS + HORIZON))
    for row in range(0, COUNT, len(KINDS)):
        sales[row : row + len(KINDS)] = (
            random.poisson(20.0 * weekday),
            random.negative_binomial(1.5, 1.5 / (1.5 + 10.0 * weekday)),
            random.poisson(0.15, DAYS),
            (random.random(DAYS) < 0.1) * random.geometric(0.25, DAYS),
            random.poisson(15.0 * (1.0 + 0.8 * np.sin(day / 58.0))),
            random.gamma(3.0, 4.0 * weekday).round(1),
            random.poisson(12.0 * np.where(cheap[:DAYS], 0.75**-2.0, 1.0)),
        )
        price[row + len(KINDS) - 1, cheap] = 0.75
    return panel_of(sales, HORIZON, series=series_of(COUNT), price_ratio=price)


def four_weeks(name: str, panel: Panel, trained_on: Panel) -> Floats:
    """[n] Sum of the forecasts of four weeks, by a version of a family."""
    artifact = fitted(name) if trained_on is clean_panel() else _fit(name, trained_on)
    made = family(name).forecast(artifact, ForecastInputs(panel, GROUPS, workers=1))
    return np.asarray(made.mean.sum(axis=1))


def _fit(name: str, panel: Panel) -> object:
    return fit(panel, GROUPS, horizon=HORIZON, family=name, workers=1, evaluates=False).artifact


@cache
def fitted(name: str) -> object:
    return _fit(name, clean_panel())


@cache
def expected(name: str) -> Floats:
    return four_weeks(name, clean_panel(), clean_panel())


def moves(name: str, panel: Panel, row: int) -> tuple[float, float]:
    """By which share a row's forecast moves, and that of the series that moves most of all others."""
    moved = np.abs(four_weeks(name, panel, clean_panel()) / expected(name) - 1.0)
    return float(moved[row]), float(np.delete(moved, row).max())


def bound(row: int) -> float:
    """By which share one wrong row may move a forecast of four weeks."""
    return RARELY if KINDS[row % len(KINDS)] in {"rare", "lumpy"} else OFTEN


rows = st.integers(0, COUNT - 1)
# Days back from the cutoff; the last ones, which weigh most, often.
ages = st.one_of(st.integers(0, 6), st.integers(0, DAYS - 1))


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(row=rows, age=ages)
def test_a_hundredfold_quantity_moves_its_series_by_a_bounded_share_and_others_little(
    name: str, row: int, age: int
) -> None:
    sales = clean_panel().sales.copy()
    sold = np.flatnonzero(sales[row] > 0)
    sales[row, sold[np.abs(sold - (DAYS - 1 - age)).argmin()]] *= 100.0
    own, others = moves(name, replace(clean_panel(), sales=sales), row)
    assert own <= bound(row)
    assert others <= OTHERS[name]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(row=rows, age=ages, factor=st.sampled_from([0.01, 100.0]))
def test_a_price_a_hundred_times_too_high_or_too_low_moves_little(name: str, row: int, age: int, factor: float) -> None:
    price = clean_panel().price_ratio.copy()
    price[row, DAYS - 1 - age] *= factor
    own, others = moves(name, replace(clean_panel(), price_ratio=price), row)
    assert own <= bound(row)
    assert others <= OTHERS[name]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(row=rows, age=ages)
def test_a_shelf_said_to_be_empty_for_one_day_moves_little(name: str, row: int, age: int) -> None:
    empty = np.zeros((COUNT, DAYS), dtype=np.bool_)
    empty[row, DAYS - 1 - age] = True
    own, others = moves(name, replace(clean_panel(), is_censored=empty), row)
    assert own <= bound(row)
    assert others <= OTHERS[name]


@pytest.mark.parametrize(("row", "age"), [(0, 0), (4, 2), (5, 40)])
def test_a_version_trained_on_a_slip_forecasts_as_one_that_was_not(row: int, age: int) -> None:
    panel = clean_panel()
    sales = panel.sales.copy()
    sales[row, DAYS - 1 - age] *= 100.0
    wrong = replace(panel, sales=sales)
    moved = np.abs(four_weeks("statistical", wrong, wrong) / expected("statistical") - 1.0)
    assert moved[row] <= bound(row)
    assert np.median(moved) <= 0.01
