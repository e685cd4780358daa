"""What a batch must be before it is stored.

What belongs here: checks on one batch by itself. What does not: reading sources, storing, or comparing batches.
"""

from typing import Any, Final

import polars as pl

from forecast_assets.errors import FIRST, ContractError, first_ten
from forecast_assets.sources.batch import Batch

_SERIES: Final = ["sku_id", "store_id"]
_OBSERVED: Final = ("sales", "stock_status", "inventory_positions")


def check_batch(batch: Batch, held: pl.LazyFrame | None = None) -> Batch:
    """Return `batch` if it may be stored.

    It must keep the feed's contract; sales must have no missing days within a series, together with the days that are
    held already; and nothing may have been known before its day began, of feeds that observe the past.

    Args:
        batch: What a source says.
        held: Rows of the feed that the store holds already, if any: at least `sku_id, store_id, event_date`.

    Raises:
        ContractError: Naming the first failing rows, or the first ten series with the days they miss.
    """
    batch.contract.validate(batch.frame)
    if batch.feed in _OBSERVED:
        _require_hindsight(batch)
    if batch.feed == "sales":
        _require_no_gaps(batch, held)
    return batch


def _require_hindsight(batch: Batch) -> None:
    day_start = pl.col("event_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    early = batch.frame.lazy().filter(pl.col("known_at") < day_start).collect()
    if early.height:
        rows = "; ".join(str(row) for row in early.head(FIRST).rows(named=True))
        raise ContractError(
            batch.feed,
            [f"{early.height} rows were known before their day began: {rows}"],
            remedy=f"Correct known_at (in UTC) or event_date in source `{batch.source}`; nothing was stored.",
        )


def _require_no_gaps(batch: Batch, held: pl.LazyFrame | None) -> None:
    day = pl.col("event_date")
    days = _days(batch.frame.lazy())
    if held is not None:
        days = pl.concat([days, _days(held).join(days.select(_SERIES).unique(), on=_SERIES, how="semi")])
    spans = days.group_by(_SERIES).agg(first=day.min(), last=day.max(), found=day.n_unique())
    expected = (pl.col("last") - pl.col("first")).dt.total_days() + 1
    gappy = spans.filter(pl.col("found") < expected).sort(_SERIES).collect()
    if gappy.height:
        lines = [_missing_days(days, row) for row in gappy.head(FIRST).rows(named=True)]
        left = f" and {gappy.height - FIRST} more series" if gappy.height > FIRST else ""
        raise ContractError(
            batch.feed,
            [f"{gappy.height} series miss days between their first and their last: {'; '.join(lines)}{left}"],
            remedy=f"Add the missing days to source `{batch.source}` and ingest again: a day without a sale is a row "
            "with sales_units 0. Nothing was stored.",
        )


def _days(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select(*_SERIES, "event_date")


def _missing_days(rows: pl.LazyFrame, series: dict[str, Any]) -> str:
    is_series = (pl.col("sku_id") == series["sku_id"]) & (pl.col("store_id") == series["store_id"])
    found = rows.filter(is_series).collect()["event_date"].unique().implode()
    days = pl.date_range(series["first"], series["last"], eager=True)
    return f"SKU {series['sku_id']} at store {series['store_id']}: {first_ten(days.filter(~days.is_in(found)))}"
