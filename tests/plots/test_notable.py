"""Which series are drawn beside a run."""

import polars as pl

from forecast_assets.plots import notable_series


def _rows(names: list[tuple[str, str]], **columns: list[object]) -> pl.DataFrame:
    stores, skus = zip(*names, strict=True)
    return pl.DataFrame({"store_id": stores, "sku_id": skus, **columns})


NAMES = [("S1", "A"), ("S1", "B"), ("S2", "A"), ("S2", "B")]


def test_the_largest_the_most_at_risk_and_the_largest_that_sells_rarely_are_drawn() -> None:
    forecasts = _rows(
        NAMES, demand_class=["smooth", "lumpy", "intermittent", "smooth"], forecast_units=[9.0, 2.0, 3.0, 9.0]
    )
    risks = _rows(NAMES, expected_lost_units=[None, 1.0, 0.0, 0.5])
    assert notable_series(forecasts, risks) == {
        "largest_series": ("S1", "A"),
        "most_at_risk": ("S1", "B"),
        "largest_intermittent": ("S2", "A"),
    }


def test_what_there_is_none_of_is_left_out() -> None:
    forecasts = _rows(NAMES, demand_class=["smooth"] * 4, forecast_units=[1.0, 0.0, 0.0, 0.0])
    risks = _rows(NAMES, expected_lost_units=[None] * 4).with_columns(pl.col("expected_lost_units").cast(pl.Float64))
    assert notable_series(forecasts, risks) == {"largest_series": ("S1", "A")}


def test_base_forecasts_are_chosen_from_by_their_own_units() -> None:
    base = _rows(NAMES, demand_class=["smooth", "lumpy", "smooth", "smooth"], base_units=[1.0, 2.0, 3.0, 0.0])
    assert notable_series(base) == {"largest_series": ("S2", "A"), "largest_intermittent": ("S1", "B")}
