"""Closures that a person says: the days on which stores are closed, or open after all.

What belongs here: the batch that follows from it. What does not: what a closed day means (history.silence), or tables
of closures, which sources deliver like any other.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import STORE_CLOSURES, TIMESTAMP
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.stored_rows import StoredRows

SOURCE: Final = "closures"
LONGEST: Final = timedelta(days=1096)

_STORE_DAY: Final = ["store_id", "event_date"]


def closures_batch(
    stores: Sequence[str], first: date, last: date, stored: StoredRows, *, is_closed: bool = True, now: datetime
) -> Batch:
    """Return what is said of some stores and days.

    A closure that is over counts as known at the end of its day, however late somebody says so; one that is still to
    come as known now, and so does a second word on a day.

    Args:
        stores: Which stores; they have sales.
        first: First day.
        last: Last day.
        stored: What is held: stores with sales, and what was said before.
        is_closed: Whether they are closed; False to take it back.
        now: The present moment, in UTC.

    Raises:
        InputError: If a store is not known, or the days are none or too many.
    """
    if not timedelta(0) <= last - first <= LONGEST:
        raise InputError(
            f"{first} to {last} are no days, or more than {LONGEST.days}.", remedy="Name the first day and the last."
        )
    _require_known(stores, stored)
    days = pl.date_range(first, last, eager=True).alias("event_date")
    rows = pl.DataFrame({"store_id": sorted(set(stores))}).join(days.to_frame(), how="cross")
    present = pl.lit(now.astimezone(UTC).replace(microsecond=0), TIMESTAMP)
    over = midnight(pl.col("event_date") + timedelta(days=1))
    said = _said_before(stored)
    frame = rows.join(said, on=_STORE_DAY, how="left").with_columns(
        known_at=pl.when(pl.col("is_said").is_null()).then(pl.min_horizontal(over, present)).otherwise(present),
        is_closed=pl.lit(is_closed),
    )
    chosen = frame.select(STORE_CLOSURES.names).sort("event_date", "store_id")
    return Batch(STORE_CLOSURES.name, SOURCE, 1.0, timedelta(0), chosen, delivery=f"{first} to {last}")


def _said_before(stored: StoredRows) -> pl.DataFrame:
    rows = stored.rows(STORE_CLOSURES.name, source=SOURCE)
    if rows is None:
        return pl.DataFrame(schema={"store_id": pl.String, "event_date": pl.Date, "is_said": pl.Boolean})
    return rows.select(_STORE_DAY).unique().with_columns(is_said=pl.lit(value=True)).collect()


def _require_known(stores: Sequence[str], stored: StoredRows) -> None:
    rows = stored.rows("sales")
    known = set() if rows is None else set(rows.select("store_id").unique().collect()["store_id"])
    unknown = sorted({*stores} - known)
    if unknown or not stores:
        raise InputError(
            f"Sales know no store {first_ten(unknown) or 'at all'}.",
            remedy=f"Name stores as they are in the sales: {first_ten(sorted(known)) or 'none yet'}.",
        )
