"""Rows as JSON: the same text as by expressions over whole frames, for every type of column."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import polars as pl
import pytest

from forecast_assets.contracts import PRODUCTS
from forecast_assets.serving.messages.documents import json_rows

EVERY_TYPE = pl.DataFrame(
    {
        "units": pl.Series([Decimal("1.250000"), Decimal("-9007199254.740993"), None], dtype=pl.Decimal(18, 6)),
        "day": [date(2025, 7, 1), None, date(1, 1, 1)],
        "moment": [datetime(2025, 7, 1, 9, tzinfo=UTC), datetime(2025, 7, 1, 9, 0, 0, 7, tzinfo=UTC), None],
        "hour": [time(9), None, time(9, 0, 0, 1)],
        "share": [0.1, float("nan"), float("inf")],
        "step": [1, None, -(2**62)],
        "is_fallback": [True, False, None],
        "name": ['"', None, "ä\n"],
        "several": [[1, 2], [], None],
    }
)


@pytest.mark.parametrize(
    "rows",
    [
        EVERY_TYPE,
        EVERY_TYPE.clear(),
        pl.DataFrame(),
        *(pl.DataFrame(schema=contract.schema) for contract in PRODUCTS.values()),
    ],
)
def test_rows_are_the_same_text_as_by_expressions(rows: pl.DataFrame) -> None:
    decimals, times = pl.selectors.decimal(), pl.selectors.temporal()
    assert json_rows(rows) == rows.with_columns(decimals.cast(pl.Float64), times.cast(pl.String)).write_json()
