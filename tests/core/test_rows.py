"""Rows of a run: one per step, compared and taken without a query."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.core.rows import are_same_rows, rows_at, rows_per_step

KEY = RunKey("daily", date(2025, 6, 29), "stat-1", 3)


@pytest.mark.parametrize("series", [0, 1, 2])
def test_each_row_is_there_once_per_step_in_order(series: int) -> None:
    described = pl.DataFrame({"sku_id": ["A", "B"][:series], "is_fallback": [True, False][:series]})
    found = rows_per_step(KEY, described)
    steps = pl.DataFrame({"step": [1, 2, 3]}, schema={"step": pl.Int32})
    crossed = described.join(steps, how="cross", maintain_order="left_right")
    assert found.select(crossed.columns).equals(crossed)
    assert found["target_date"].to_list() == [KEY.prediction_date + timedelta(days=step) for step in (1, 2, 3)] * series
    constants = found.select("cadence", "prediction_date", "model_version", "forecast_horizon", "revision")
    assert constants.rows() == [("daily", KEY.prediction_date, "stat-1", 3, 0)] * (3 * series)
    assert (found["step"].dtype, found["target_date"].dtype, found["revision"].dtype) == (pl.Int32, pl.Date, pl.Int32)


def test_rows_are_the_same_in_the_same_order_only() -> None:
    rows = pl.DataFrame({"sku_id": ["A", "B", None], "step": [1, 2, 3], "units": [0.0, 1.0, 2.0]})
    assert are_same_rows(rows, rows.with_columns(units=pl.lit(9.0)), ["sku_id", "step"])
    for other in (rows.reverse(), rows.head(2), rows.with_columns(step=pl.lit(1))):
        assert not are_same_rows(rows, other, ["sku_id", "step"])


@pytest.mark.parametrize("places", [[], [0], [2], [1, 2], [0, 1, 2], [2, 1], [0, 2], [1, 1]])
def test_rows_are_taken_wherever_they_lie(places: list[int]) -> None:
    rows = pl.DataFrame({"sku_id": ["A", "B", "C"]})
    found = rows_at(rows, np.array(places, dtype=np.intp))
    assert found["sku_id"].to_list() == ["ABC"[at] for at in places]
