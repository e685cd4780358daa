"""Measuring one run on one day, against numbers worked out by hand."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from forecast_assets.accuracy.measuring import measure_run, naive_days
from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.errors import InputError
from tests.support.accuracy_cases import KEY, TARGET, actuals, forecasts, hierarchy, naive, risks

LEVELS = ("product_level", "store_level")


def measured(late: int = 0) -> pl.DataFrame:
    return measure_run(KEY, TARGET, forecasts(), risks(), naive(), actuals(late=late), hierarchy())


def row(
    frame: pl.DataFrame, kind: str = "all", segment: str = "all", levels: tuple[str, str] = ("sku", "store")
) -> Any:
    chosen = frame.filter(segment_kind=kind, segment=segment, product_level=levels[0], store_level=levels[1])
    assert chosen.height == 1
    return {
        name: float(value) if isinstance(value, Decimal) else value for name, value in chosen.row(0, named=True).items()
    }


def test_the_rows_keep_their_contract_and_name_run_and_day() -> None:
    frame = FORECAST_ACCURACY.validate(measured())
    assert frame.select(
        "cadence", "prediction_date", "model_version", "forecast_horizon", "revision"
    ).unique().rows() == [("daily", date(2025, 6, 1), "stat-1", 7, 0)]
    assert frame.select("step", "target_date").unique().rows() == [(2, TARGET)]


def test_errors_are_of_expected_sales_on_every_row() -> None:
    found = row(measured())
    # Expected 4, 2, 6.5, 1.5; sold 3, 4, 6, 0; the naive forecast of the last is none.
    assert (found["rows"], found["rows_without_actual"]) == (4, 0)
    assert (found["sales_units"], found["expected_sales_units"], found["forecast_units"]) == (13.0, 14.0, 16.5)
    assert found["error_units"] == pytest.approx(1 - 2 + 0.5 + 1.5)
    assert found["absolute_error_units"] == pytest.approx(1 + 2 + 0.5 + 1.5)
    assert found["squared_error_units2"] == pytest.approx(1 + 4 + 0.25 + 2.25)
    assert found["naive_absolute_error_units"] == pytest.approx(0 + 3 + 3 + 0)


def test_quantiles_are_judged_only_where_the_shelf_is_not_known_to_have_been_empty() -> None:
    found = row(measured())
    # Sales of 3, 4 and 0 are judged; the third series had a stock-out, of the fourth nothing is known.
    assert found["quantile_rows"] == 3
    levels = (0.005, 0.025, 0.05, 0.1, 0.165, 0.25, 0.5, 0.75, 0.835, 0.9, 0.95, 0.975, 0.995)
    losses = [max(q * (y - f), (q - 1) * (y - f)) for y in (3, 4, 0) for f, q in enumerate(levels)]
    assert found["pinball_loss_units"] == pytest.approx(sum(losses), abs=2e-6)
    # 3 ties with the 10% quantile: it covers 5% to 16.5%, of which 10% to 16.5% lies inside the central 80%.
    # 4 ties with the 16.5% quantile: 10% to 25%, all inside 80%. 0 covers 0 to 2.5%: in none.
    assert found["inside_50_rows"] == 0
    assert found["inside_80_rows"] == pytest.approx(0.065 / 0.115 + 1, abs=1e-6)
    assert found["inside_95_rows"] == pytest.approx(2)


def test_shares_at_or_below_each_quantile_say_what_intervals_hold() -> None:
    found = row(measured())
    # As above: 3 lies at most at 10% with 5% of its 11.5%, 4 at most at 16.5% with 6.5% of its 15%, 0 at all.
    assert found["at_most_q100_rows"] == pytest.approx(0.05 / 0.115 + 1, abs=1e-6)
    assert found["at_most_q995_rows"] == 3
    for percent, low, high in ((50, "q250", "q750"), (80, "q100", "q900"), (95, "q025", "q975")):
        inside = found[f"at_most_{high}_rows"] - found[f"at_most_{low}_rows"]
        assert inside == pytest.approx(found[f"inside_{percent}_rows"], abs=5e-6)
    assert 0 < found["crps_units"] < found["pinball_loss_units"]


def test_risk_is_judged_where_probability_and_outcome_are_known() -> None:
    found = row(measured())
    assert (found["risk_rows"], found["stockout_rows"]) == (3, 1)
    assert found["expected_stockout_rows"] == pytest.approx(0.1 + 0.2 + 0.9)
    assert found["brier_loss"] == pytest.approx(0.01 + 0.04 + 0.01)


@pytest.mark.parametrize(
    ("kind", "segment", "rows", "sales"),
    [
        ("demand_class", "smooth", 3, 9.0),
        ("demand_class", "lumpy", 1, 4.0),
        ("store", "N", 2, 7.0),
        ("store", "S", 2, 6.0),
        ("product_node", "food", 2, 9.0),
        ("product_node", "toys", 2, 4.0),
        ("risk_band", "critical", 1, 6.0),
        ("risk_band", "unknown", 1, 0.0),
    ],
)
def test_segments_hold_their_own_rows(kind: str, segment: str, rows: int, sales: float) -> None:
    found = row(measured(), kind, segment)
    assert (found["rows"], found["sales_units"]) == (rows, sales)


def test_nodes_above_are_judged_by_summed_sales() -> None:
    # Per store: expected 6 and 8, sold 7 and 6. In total 14 against 13, where errors of the series offset each other.
    store = row(measured(), levels=("total", "store"))
    assert (store["rows"], store["series"], store["absolute_error_units"]) == (2, 4, 3.0)
    total = row(measured(), levels=("total", "total"))
    assert (total["rows"], total["absolute_error_units"], total["squared_error_units2"]) == (1, 1.0, 1.0)
    assert total["naive_absolute_error_units"] == 0.0
    assert (total["quantile_rows"], total["risk_rows"]) == (0, 0)


def test_a_late_row_is_counted_and_left_out_of_both_sides() -> None:
    frame = measured(late=2)
    found = row(frame)
    assert (found["rows"], found["rows_without_actual"]) == (2, 2)
    assert (found["sales_units"], found["expected_sales_units"]) == (7.0, 6.0)
    total = row(frame, levels=("total", "total"))
    assert (total["rows"], total["series"], total["series_without_actual"]) == (1, 2, 2)
    assert (total["sales_units"], total["expected_sales_units"]) == (7.0, 6.0)
    stores = row(frame, levels=("total", "store"))
    assert (stores["rows"], stores["rows_without_actual"], stores["sales_units"]) == (1, 1, 7.0)


def test_a_day_without_any_sales_known_has_no_error_rather_than_a_perfect_one() -> None:
    found = row(measured(late=4))
    assert (found["rows"], found["rows_without_actual"], found["risk_rows"]) == (0, 4, 3)
    assert (found["sales_units"], found["absolute_error_units"], found["quantile_rows"]) == (0.0, 0.0, 0)


def test_every_level_and_every_kind_of_segment_has_the_same_sums() -> None:
    for late in range(4):
        frame = measured(late=late)
        units = ["sales_units", "expected_sales_units", "forecast_units", "series", "series_without_actual"]
        levels = frame.filter(segment_kind="all").select(units).unique()
        assert levels.height == 1
        finest = frame.filter(product_level="sku", store_level="store")
        sums = [name for name in FORECAST_ACCURACY.names[12:] if name != "segment"]
        kinds = finest.group_by("segment_kind").agg(pl.col(sums).sum())
        assert kinds.height == 5
        assert kinds.select(sums).unique().height == 1


def test_the_order_of_rows_does_not_change_a_digit() -> None:
    came = actuals()
    shuffled = type(came)(came.sales.reverse(), came.stockouts.reverse())
    again = measure_run(KEY, TARGET, forecasts(), risks().reverse(), naive().reverse(), shuffled, hierarchy())
    key = FORECAST_ACCURACY.key
    assert again.sort(key).equals(measured().sort(key))


def test_large_errors_are_squared_without_loss() -> None:
    big = forecasts().with_columns(
        pl.lit(Decimal(50000000000)).cast(forecasts()["forecast_units"].dtype).alias("expected_sales_units")
    )
    frame = measure_run(KEY, TARGET, big, risks(), naive(), actuals(), hierarchy())
    total = frame.filter(product_level="total", store_level="total")["squared_error_units2"].item()
    assert total == (Decimal(200_000_000_000) - 13) ** 2


def test_forecasts_of_other_series_than_the_hierarchy_are_refused() -> None:
    with pytest.raises(InputError, match=r"do not line up with the hierarchy \(4 series\)"):
        measure_run(KEY, TARGET, forecasts().head(3), risks(), naive(), actuals(), hierarchy())


def test_seasonal_naive_repeats_the_last_same_weekday_up_to_the_prediction_date() -> None:
    day = date(2025, 6, 30)
    for step in range(1, 91):
        target = date.fromordinal(day.toordinal() + step)
        days = naive_days(day, target)
        assert len(days) == 4
        assert days[0] <= day < date.fromordinal(days[0].toordinal() + 7)
        assert {each.weekday() for each in days} == {target.weekday()}
        assert (day - days[-1]).days < 28
