"""Days that cannot be: in the future, or years away from all others of a file.

What belongs here: which rows speak of such days. What does not: what is done with them (``intake``, ``quarantine``).
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from resources.stores.moments import DAILY_FEEDS

# Feeds that speak of what has happened. Plans may speak of days to come.
OF_THE_PAST: Final = (*DAILY_FEEDS, "purchase_orders")
# The clocks of the easternmost islands are so far ahead of Greenwich: no day begins earlier anywhere.
_EASTERNMOST: Final = timedelta(hours=14)
# Days so far apart belong to different stretches of time; a few rows alone in theirs are slips of a date.
_APART: Final = timedelta(days=366)
_FEW_SHARE: Final = 0.01
_FEW_ROWS: Final = 3
_MANY_MORE: Final = 10


def latest_day(now: datetime | None = None) -> date:
    """Return the last day that has begun anywhere.

    Example:
        >>> latest_day(datetime(2025, 6, 30, 11, tzinfo=UTC))
        datetime.date(2025, 7, 1)
    """
    return ((now or datetime.now(UTC)) + _EASTERNMOST).date()


def is_in_the_future(batch: Batch, last: date) -> pl.Series:
    """[rows] Whether a row speaks of a day after `last` that it cannot know yet."""
    if batch.feed not in OF_THE_PAST:
        return pl.Series([False]).new_from_index(0, batch.frame.height)
    return batch.frame.select((pl.col("event_date") > last).fill_null(value=False)).to_series()


def is_known_too_early(batch: Batch) -> pl.Series:
    """[rows] Whether a row was known before the day began that it speaks of, where nobody can know that."""
    if batch.feed not in DAILY_FEEDS:
        return pl.Series([False]).new_from_index(0, batch.frame.height)
    early = pl.col("known_at") < midnight(pl.col("event_date"))
    return batch.frame.select(early.fill_null(value=False)).to_series()


def is_far_from_all_others(batch: Batch) -> pl.Series:
    """[rows] Whether a row is one of very few that lie more than a year from all others of its file."""
    nothing = pl.Series([False]).new_from_index(0, batch.frame.height)
    days = batch.frame["event_date"].drop_nulls()
    if batch.feed not in OF_THE_PAST or days.is_empty() or (days.max() - days.min()) <= _APART:  # type: ignore[operator]
        return nothing
    counts = days.value_counts().sort("event_date")
    stretches = counts.with_columns(stretch=(pl.col("event_date").diff() > _APART).fill_null(value=False).cum_sum())
    rows = pl.col("count").sum().over("stretch")
    few = (rows <= _FEW_ROWS) | (rows <= _FEW_SHARE * len(days))
    lonely = stretches.filter(few & (rows * _MANY_MORE <= pl.col("count").sum() - rows))
    return batch.frame["event_date"].is_in(lonely["event_date"].implode()).fill_null(value=False)
