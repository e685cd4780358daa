"""Days without a sale, for sources that list only the days on which something was sold.

What belongs here: which zeros follow from such a list. What does not: reading it.

A store that has any row on a later day was open for business before: between its first and its last day in a delivery
every series that it sells has a row, if need be of zero. Nothing is made up beyond a store's own last day, so that a
store whose delivery is late stays missing. A series that only earlier deliveries have is carried on for some weeks
after the last day on which it sold anything; zeros that were made up do not prolong it.
"""

from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.ingestion.moments import midnight
from forecast_assets.ingestion.stored_rows import StoredRows

SERIES: Final = ["sku_id", "store_id"]
# A series that only earlier deliveries have gets zeros for so long after its last sale.
CARRIED_DAYS: Final = 35

_SPANS: Final = {"sku_id": pl.String, "store_id": pl.String, "first": pl.Date, "last": pl.Date}


def no_spans() -> pl.DataFrame:
    """Return an empty frame of first days and days of the last sale per series."""
    return pl.DataFrame(schema=_SPANS)


def spans_of(rows: pl.LazyFrame) -> pl.DataFrame:
    """Return `sku_id, store_id, first, last`: the first day of each series that sold, and the last on which it did."""
    day = pl.col("event_date")
    sold = day.filter(pl.col("sales_units") > 0)
    spans = rows.group_by(SERIES).agg(first=day.min(), last=sold.max())
    return spans.collect(engine="streaming").drop_nulls("last").select(list(_SPANS))


def stored_spans(stored: StoredRows, source: str, since: date, until: date) -> pl.DataFrame:
    """Return the spans of a source's held series in the weeks before and during a delivery."""
    rows = stored.rows("sales", source=source, since=since - timedelta(days=CARRIED_DAYS), until=until)
    return no_spans() if rows is None else spans_of(rows)


def with_zero_days(sales: pl.DataFrame, spans: pl.DataFrame, lag: timedelta) -> pl.DataFrame:
    """Add rows of zero for days without a sale.

    Args:
        sales: Rows of the sales contract: one delivery.
        spans: `sku_id, store_id, first, last` of the source's series before this delivery, as of `spans_of`.
        lag: Declared lag: a day without a sale is known when its day is complete, but not before the first row of its
            store and day.

    Returns:
        The rows and then the zeros, in no order.

    Example:
        >>> from datetime import UTC, datetime
        >>> from forecast_assets.contracts import TIMESTAMP
        >>> row = {"sku_id": "A", "store_id": "S", "known_at": datetime(2025, 1, 4, tzinfo=UTC), "sales_units": 2.0}
        >>> sales = pl.DataFrame([{**row, "event_date": date(2025, 1, day)} for day in (1, 3)]).with_columns(
        ...     pl.col("known_at").cast(TIMESTAMP)
        ... )
        >>> with_zero_days(sales, no_spans(), timedelta(0)).sort("event_date")["sales_units"].to_list()
        [2.0, 0.0, 2.0]
    """
    day = pl.col("event_date")
    stores = sales.group_by("store_id").agg(begin=day.min(), end=day.max())
    own = sales.group_by(SERIES).agg(first=day.min())
    until = pl.col("last") + timedelta(days=CARRIED_DAYS)
    carried = spans.join(stores, on="store_id").with_columns(until=until).filter(pl.col("until") >= pl.col("begin"))
    begun = carried.select(*SERIES, "until", first=pl.max_horizontal("first", "begin"))
    # A series of its own rows goes on to the end of the delivery, which speaks for all of its days.
    starts = pl.concat([own.with_columns(until=pl.lit(date.max)), begun], how="diagonal")
    spans = starts.group_by(SERIES).agg(pl.col("first").min(), pl.col("until").max()).join(stores, on="store_id")
    every = (
        spans.with_columns(end=pl.min_horizontal("end", "until"))
        .filter(pl.col("first") <= pl.col("end"))
        .select(*SERIES, event_date=pl.date_ranges("first", "end"))
        .explode("event_date")
    )
    complete = midnight(day + timedelta(days=1)) + lag
    spoke = sales.group_by("store_id", "event_date").agg(spoke=pl.col("known_at").min())
    zeros = (
        every.join(sales, on=[*SERIES, "event_date"], how="anti")
        .join(spoke, on=["store_id", "event_date"], how="left")
        .with_columns(known_at=pl.max_horizontal(complete, "spoke"), sales_units=pl.lit(0.0))
    )
    return pl.concat([sales, zeros.select(sales.columns)])
