"""External forecasts beside a snapshot: series that are missing or unknown, and upper rows beside their sums."""

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from forecast_assets.contracts import EXTERNAL_FORECASTS
from forecast_assets.core.keys import RunKey
from forecast_assets.sources.external_fit import coherence, external_frame, missing_series, series_problems
from forecast_assets.sources.external_forecasts import ForecastsFile
from tests.support.forecast_cases import two_by_two

KEY = RunKey("daily", date(2025, 6, 30), "planners-1", 7)
UPPER = (
    "row",
    "prediction_date",
    "step",
    "forecast_units",
    "product_level",
    "product_node",
    "store_level",
    "store_node",
)
SERIES = two_by_two().series


def file_of(series: pl.DataFrame = SERIES, upper: list[tuple[object, ...]] | None = None) -> ForecastsFile:
    """Every series sells its place in the list plus a tenth of the step, with one quantile."""
    steps = pl.DataFrame({"step": pl.Series(range(1, 8), dtype=pl.Int32)})
    said = series.with_row_index("place").join(steps, how="cross").with_columns(
        prediction_date=KEY.prediction_date,
        target_date=KEY.prediction_date + pl.duration(days=pl.col("step")),
        forecast_units=pl.col("place") + pl.col("step") / 10,
        q900_units=pl.lit(9.0),
    )  # fmt: skip
    schema = {"row": pl.Int64, "prediction_date": pl.Date, "step": pl.Int32, "forecast_units": pl.Float64}
    rows = [(0, KEY.prediction_date, *row) for row in upper or []]
    nodes = pl.DataFrame(rows, schema={**dict.fromkeys(UPPER, pl.String), **schema}, orient="row")
    return ForecastsFile("f.csv", "0" * 64, {}, ("q900_units",), said, nodes, ())


def test_what_fits_is_laid_out_exactly_and_quantiles_that_are_not_given_stay_empty() -> None:
    frame = EXTERNAL_FORECASTS.validate(external_frame(file_of(SERIES.reverse()), SERIES, KEY))
    assert frame.select("store_id", "sku_id").unique(maintain_order=True).equals(SERIES)
    assert frame["forecast_units"][:2].to_list() == [Decimal("4.100000"), Decimal("4.200000")]
    assert frame["target_date"][0] == KEY.prediction_date + timedelta(days=1)
    assert frame["q900_units"].unique().to_list() == [Decimal("9.000000")]
    assert frame["q500_units"].null_count() == frame.height
    assert not frame["is_missing"].any()


def test_unknown_and_missing_series_are_named() -> None:
    file = file_of(pl.concat([SERIES[:3], SERIES[:1].with_columns(sku_id=pl.lit("Z"))]))
    unknown, lacking = series_problems(file, SERIES, KEY, fill_missing=False)
    assert unknown == "1 series are not in the snapshot of 2025-06-30: S1/Z"
    assert lacking.startswith("2 series of the snapshot of 2025-06-30 are not in the file: S2/A, S2/B; add them, or ")
    assert lacking.endswith("publish zero for them with --missing zero")
    assert series_problems(file, SERIES, KEY, fill_missing=True) == [
        "1 series are not in the snapshot of 2025-06-30: S1/Z"
    ]
    assert missing_series(file, SERIES).rows() == [("S2", "A"), ("S2", "B")]


def test_zero_stands_in_for_missing_series_and_says_so() -> None:
    frame = EXTERNAL_FORECASTS.validate(external_frame(file_of(SERIES[:4]), SERIES, KEY))
    filled = frame.filter(sku_id="B", store_id="S2")
    assert filled["is_missing"].all()
    assert filled["forecast_units"].sum() == 0
    # Zero, not unknown: a column that the file has is given for every series.
    assert filled["q900_units"].to_list() == [Decimal("0.000000")] * 7
    assert frame["is_missing"].sum() == 7


@pytest.mark.parametrize(("value", "coherent"), [(10.5, 1), (10.51, 1), (10.52, 0)])
def test_upper_rows_count_as_sums_within_a_thousandth(value: float, coherent: int) -> None:
    file = file_of(upper=[(1, value, "total", "total", "total", "total")])
    found = coherence(file, external_frame(file, SERIES, KEY), two_by_two(), KEY)
    assert (found.upper_nodes, found.coherent_upper_nodes, found.unknown_upper_nodes) == (1, coherent, 0)
    assert found.largest_gap_at == "total total total total 1"
    assert found.largest_gap_share == pytest.approx(abs(value - 10.5) / 10.5, abs=1e-6)


def test_upper_rows_of_unknown_nodes_and_later_steps_are_told_apart() -> None:
    upper = [
        (1, 1.1, "category", "x", "store", "S1"),
        (1, 5.0, "category", "q", "store", "S1"),
        (8, 5.0, "total", "total", "total", "total"),
    ]
    file = file_of(upper=upper)
    found = coherence(file, external_frame(file, SERIES, KEY), two_by_two(), KEY)
    assert (found.upper_nodes, found.coherent_upper_nodes, found.unknown_upper_nodes) == (2, 0, 1)
    assert found.largest_gap_at == "category x store S1 1"
    nothing = file_of()
    assert coherence(nothing, external_frame(nothing, SERIES, KEY), two_by_two(), KEY).upper_nodes == 0
