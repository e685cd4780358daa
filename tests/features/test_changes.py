"""Changed inputs laid into a panel, and the features that follow from them."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.features.changes import SeriesChange, changed, changed_features
from forecast_assets.features.compiler import compute_features
from forecast_assets.features.panel import Panel
from forecast_assets.features.specs import DEFAULT_SPECS
from tests.support.forecast_cases import lawful_panel

PANEL = lawful_panel(6, days=100, horizon=7)
FIRST = PANEL.cutoff + timedelta(days=1)
STORE, SKU = PANEL.series.row(2)
ROWS = np.array([2])


def with_change(**change: object) -> Panel:
    return changed(PANEL, ROWS, [SeriesChange(STORE, SKU, **change)])  # type: ignore[arg-type]


def differing(name: str, other: Panel) -> list[tuple[int, int]]:
    before, after = getattr(PANEL, name), getattr(other, name)
    return [(int(row), int(column)) for row, column in zip(*np.nonzero(before != after), strict=True)]


def test_a_change_is_laid_into_its_own_cells_alone() -> None:
    unplanned = replace(PANEL, has_plan=np.zeros_like(PANEL.has_plan))
    moved = changed(unplanned, ROWS, [SeriesChange(STORE, SKU, price_ratios={FIRST: 0.31})])
    assert differing("price_ratio", moved) == [(2, 100)]
    assert moved.price_ratio[2, 100] == 0.31
    assert np.argwhere(moved.has_plan).tolist() == [[2, 0]]
    sold = with_change(sales={PANEL.cutoff - timedelta(days=3): 77.0})
    assert differing("sales", sold) == [(2, 96)]
    assert PANEL.sales[2, 96] != 77.0
    assert differing("is_promotion", sold) == []


def test_an_empty_shelf_tonight_bounds_the_sales_of_the_day() -> None:
    assert differing("is_censored", with_change(on_hand_units=0.0)) == [(2, 99)]
    assert differing("is_censored", with_change(on_hand_units=5.0)) == []


def test_an_event_falls_on_the_changed_series_alone_and_names_stay_sorted() -> None:
    moved = with_change(events={FIRST: ("fair",), FIRST + timedelta(days=1): ("fair",)})
    assert moved.event_names == ("fair", "fair")
    columns, applies = moved.occurrences("fair")
    new = np.isin(columns, [100, 101])
    assert new.sum() == 2
    assert applies[2, new].all()
    known = np.flatnonzero(PANEL.event_days[0])
    others = np.arange(6) != 2
    assert applies[others][:, new].sum() == 5 * np.isin([100, 101], known).sum()
    assert applies[:, ~new].all()


def test_features_of_changed_sales_are_those_that_the_compiler_makes_of_them() -> None:
    before = _snapshot(PANEL)[2:3]
    change = SeriesChange(STORE, SKU, sales={PANEL.cutoff: 123.0}, on_hand_units=4.0)
    moved = changed(PANEL, ROWS, [change])
    found = changed_features(before, DEFAULT_SPECS, moved.take(ROWS), [change])
    assert_frame_equal(found.drop("on_hand_units"), _snapshot(moved)[2:3].drop("on_hand_units"), check_exact=True)
    assert found["on_hand_units"].to_list() == [4.0]
    assert found["sales_max_91d_units"].to_list() == [123.0]


def test_what_lies_before_the_panel_is_not_forgotten() -> None:
    before = _snapshot(PANEL)[2:3].with_columns(age_days=pl.lit(500.0), demand_interval_364d_days=pl.lit(1.7))
    change = SeriesChange(STORE, SKU, sales={PANEL.cutoff: 0.0})
    found = changed_features(before, DEFAULT_SPECS, changed(PANEL, ROWS, [change]).take(ROWS), [change])
    assert found["age_days"].to_list() == [500.0]
    assert found["demand_interval_364d_days"].to_list() == [1.7]


@pytest.mark.parametrize("kind", ["price_ratios", "promotions"])
def test_plans_are_in_no_feature(kind: str) -> None:
    before = _snapshot(PANEL)[2:3]
    change = SeriesChange(STORE, SKU, **{kind: {FIRST: 0.5 if kind == "price_ratios" else True}})  # type: ignore[arg-type]
    assert_frame_equal(changed_features(before, DEFAULT_SPECS, with_change().take(ROWS), [change]), before)


def _snapshot(panel: Panel) -> pl.DataFrame:
    row, day = np.nonzero(~np.isnan(panel.sales))
    days = pl.Series("event_date", [panel.first_date + timedelta(days=int(at)) for at in day], pl.Date)
    sales = panel.series[row].with_columns(days, pl.Series("sales_units", panel.sales[row, day]))
    return compute_features(DEFAULT_SPECS, {"sales": sales.lazy()}, cutoff=panel.cutoff)
