"""Sums over days as they are published: which rows there are, exact means, and what is null."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import COVERING_COLUMNS, CUMULATIVE_FORECASTS, QUANTILE_COLUMNS
from forecast_assets.models.sample_paths.periods import Terms, periods_of
from forecast_assets.publication.cumulative import cumulative_frame, terms_of
from tests.support.products import KEY, make

SERIES = pl.DataFrame({"store_id": ["S", "S"], "sku_id": ["A", "B"]})
TERMS = Terms(np.array([np.nan, 2.0]), np.array([np.nan, 0.0]), np.array([np.nan, 3.0]))


def test_each_series_has_its_periods_in_order_with_exact_sums() -> None:
    made = CUMULATIVE_FORECASTS.validate(cumulative_frame(KEY, make("forecasts"), periods_of(SERIES, TERMS, 7)))
    assert made.select("sku_id", "period", "period_days", "forecast_units").rows() == [
        ("A", "first_7_days", 7, 28),
        ("A", "horizon", 7, 28),
        ("B", "lead_time", 2, 8),
        ("B", "lead_time_and_review", 5, 20),
        ("B", "first_7_days", 7, 28),
        ("B", "horizon", 7, 28),
    ]
    assert made.select(QUANTILE_COLUMNS + COVERING_COLUMNS).unique().rows() == [(None,) * 17]


def test_what_was_read_off_paths_stands_in_its_row() -> None:
    periods = periods_of(SERIES, TERMS, 7)
    read_off = {
        name: np.arange(17) + 100.0 * at + np.array([[0.0], [1000.0]])
        for at, name in enumerate(("lead_time", "lead_time_and_review", "first_7_days", "horizon"))
    }
    made = cumulative_frame(KEY, make("forecasts"), periods, read_off)
    first = made.filter(sku_id="B", period="lead_time_and_review").row(0, named=True)
    assert (first["q005_units"], first["q995_units"]) == (Decimal(1100), Decimal(1112))
    assert [first[name] for name in COVERING_COLUMNS] == [1113, 1114, 1115, 1116]
    assert made.filter(sku_id="A")["covering_99_units"].to_list() == [216, 316]


class Past:
    """Observations of one feed."""

    def __init__(self, positions: pl.DataFrame | None) -> None:
        self.cutoff = KEY.prediction_date
        self._positions = positions

    def feed(self, name: str, since: date) -> pl.LazyFrame | None:
        assert (name, since) == ("inventory_positions", self.cutoff)
        return None if self._positions is None else self._positions.lazy()


def position(sku: str, day: date, lead: float, review: int | None) -> dict[str, object]:
    return {
        "store_id": "S", "sku_id": sku, "event_date": day, "lead_time_days": lead, "lead_time_deviation_days": 0.5,
        "review_period_days": review,
    }  # fmt: skip


def test_lead_times_are_those_of_positions_at_the_cutoff() -> None:
    rows = [position("B", KEY.prediction_date, 2.0, None), position("A", KEY.prediction_date - timedelta(1), 9.0, 1)]
    terms = terms_of(SERIES, Past(pl.DataFrame(rows)))  # type: ignore[arg-type]
    assert terms is not None
    assert terms.lead_time_days.tolist() == [pytest.approx(np.nan, nan_ok=True), 2.0]
    assert np.isnan(terms.review_period_days).all()


@pytest.mark.parametrize("positions", [None, pl.DataFrame([position("A", KEY.prediction_date - timedelta(1), 9.0, 1)])])
def test_without_positions_there_are_no_lead_times(positions: pl.DataFrame | None) -> None:
    assert terms_of(SERIES, Past(positions)) is None  # type: ignore[arg-type]
