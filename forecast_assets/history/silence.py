"""What silence means: the days on which a source said nothing of an article, or of a whole store.

What belongs here: which zeros follow from what was said by a moment. What does not: which source declares that its
silence means something (its mapping does), or what was said.

A source may list only what was sold. Its silence then means, for each store and day:

- **open, none sold** (`assumed_zero`), where the store said anything that day, of every article that is listed: from
  its first sale to `listed_days` days after its last one.
- **closed** (`assumed_closed`), where the store is silent as a whole and it was said to be closed; or on a weekday on
  which it has not sold for four weeks, while it goes on selling on others; or once it has reported a day at least
  ``SILENT_DAYS`` later, so that what is merely late has time to come.
- **not yet delivered**, on every other day: no row, so that the day is not known.

Nothing of this is stored. It follows anew from the words that were known at the moment that is asked for, so that it
does not depend on how rows were cut into files, and gives way to the source's own word whenever that comes. A closure
that was said counts for every source.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import SALES, STORE_CLOSURES
from forecast_assets.history.moments import midnight
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.moments import SILENT_DAYS

ASSUMED_ZERO: Final = "assumed_zero"
ASSUMED_CLOSED: Final = "assumed_closed"
# Weeks in a row without a sale on a weekday, after which the store counts as closed on it.
CLOSED_WEEKS: Final = 4
# Columns of resolved sales, as `history.fusion.resolve` returns them.
RESOLVED_SALES: Final = {
    **SALES.schema, "source": pl.String, "resolution": pl.String, "candidates": pl.UInt32, "is_restated": pl.Boolean,
    "enriched": pl.String,
}  # fmt: skip

_SERIES: Final = ["sku_id", "store_id"]
_KEY: Final = [*_SERIES, "event_date"]
_DAY: Final = timedelta(days=1)
_WEEK: Final = 7
# A closing weekday shows in so many days before.
_PATTERN_DAYS: Final = (CLOSED_WEEKS + 1) * _WEEK
# Of a source whose silence means nothing, how long after its last row a series is taken to be listed on closed days.
_LISTED_DAYS: Final = 364


@dataclass(frozen=True)
class Silence:
    """How the silence of one source reads.

    Attributes:
        source: Whose.
        listed_days: Days after its last sale on which an article is still listed; None where only a closure that was
            said makes a zero.
        lag: How long after a day's end the source is complete for it.
    """

    source: str
    listed_days: int | None
    lag: timedelta

    @property
    def reach(self) -> timedelta:
        """How far before a day its meaning may rest on what was said."""
        return timedelta(days=max(self.listed_days or _LISTED_DAYS, _PATTERN_DAYS))


def silences(batches: Iterable[BatchRecord]) -> list[Silence]:
    """Return how the silence of each source of sales reads, by its newest batch; sorted by source.

    Of a source whose silence means nothing only where closures were said.
    """
    known = list(batches)
    has_closures = any(batch.feed == STORE_CLOSURES.name for batch in known)
    newest: dict[str, BatchRecord] = {}
    # Of batches of one entry, one that declares it: the others are what a person released or kept of the source.
    for batch in sorted(known, key=lambda batch: (batch.sequence, batch.listed_days or 0, batch.batch_id)):
        if batch.feed == SALES.name:
            newest[batch.source] = batch
    return [
        Silence(source, batch.listed_days, timedelta(hours=batch.declared_lag_hours))
        for source, batch in sorted(newest.items())
        if has_closures or batch.listed_days is not None
    ]


def assumed_sales(
    words: pl.LazyFrame, closures: pl.DataFrame, silence: Silence, *, since: date, until: date
) -> pl.LazyFrame:
    """Return the zeros that follow from the silence of one source.

    Args:
        words: Its sales as known at a moment, `sku_id, store_id, event_date, known_at, sales_units`, from ``reach``
            before `since`; of days after `until` too, which tell whether a silent store was closed.
        closures: `store_id, event_date, is_closed` that were said, each store and day once.
        silence: How it reads.
        since: First day of interest.
        until: Last day of interest.

    Returns:
        Rows as `history.fusion.resolve` returns them, of keys on which this source said nothing; `resolution` is
        ``ASSUMED_ZERO`` or ``ASSUMED_CLOSED``. Days are read as they are asked for.
    """
    days = store_days(words, closures, silence, since=since, until=until)
    spans = _listed_spans(words, silence)
    every = spans.lazy().join(days.lazy(), on="store_id").filter(pl.col("event_date").is_between("first", "last"))
    silent = every.join(words.select(_KEY), on=_KEY, how="anti")
    follows = {
        "sales_units": 0.0,
        "source": silence.source,
        "candidates": 0,
        "is_restated": False,
        "enriched": None,
    }
    columns = [pl.lit(value, RESOLVED_SALES[name]).alias(name) for name, value in follows.items()]
    return silent.with_columns(columns).select(list(RESOLVED_SALES))


def store_days(
    words: pl.LazyFrame, closures: pl.DataFrame, silence: Silence, *, since: date, until: date
) -> pl.DataFrame:
    """Return the days of each store on which silence means zero.

    Args:
        words: As for ``assumed_sales``.
        closures: Likewise.
        silence: Likewise.
        since: Likewise.
        until: Likewise.

    Returns:
        `store_id, event_date, known_at, resolution`, sorted; `is_usual` tells whether nobody need look at it: the store
        was open, was said to be closed, or is always closed on that weekday.

    Example:
        >>> from datetime import UTC, datetime
        >>> days = [date(2025, 6, day) for day in (2, 6)]
        >>> said = {"sku_id": "A", "store_id": "S", "event_date": days, "sales_units": [1.0, 2.0]}
        >>> words = pl.LazyFrame(said).with_columns(known_at=pl.lit(datetime(2025, 6, 7, tzinfo=UTC)))
        >>> closures = pl.DataFrame(schema={"store_id": pl.String, "event_date": pl.Date, "is_closed": pl.Boolean})
        >>> found = store_days(words, closures, Silence("till", 364, timedelta(0)), since=days[0], until=days[1])
        >>> [(day.day, why) for day, why in found.select("event_date", "resolution").iter_rows()]
        [(2, 'assumed_zero'), (3, 'assumed_closed'), (6, 'assumed_zero')]
    """
    day = pl.col("event_date")
    heard = words.group_by("store_id", "event_date").agg(
        known_at=pl.col("known_at").min(), is_open=(pl.col("sales_units") > 0).any()
    )
    calendar = _calendar(heard.collect(engine="streaming"), closures, until)
    complete = midnight(day + _DAY) + silence.lag
    is_heard, said_closed = pl.col("known_at").is_not_null(), pl.col("is_closed").fill_null(value=False)
    reads = pl.lit(silence.listed_days is not None)
    may_be_closed = ~is_heard & reads & pl.col("is_closed").is_null()
    is_pattern = may_be_closed & _is_closing_weekday()
    is_past = may_be_closed & (day <= pl.col("newest") - timedelta(days=SILENT_DAYS))
    is_closed = (~is_heard & said_closed) | is_pattern | is_past
    meaning = pl.when(is_heard & reads).then(pl.lit(ASSUMED_ZERO)).when(is_closed).then(pl.lit(ASSUMED_CLOSED))
    return (
        calendar.select(
            "store_id",
            "event_date",
            known_at=pl.max_horizontal(complete, "known_at"),
            resolution=meaning,
            is_usual=is_heard | said_closed | is_pattern,
        )
        .drop_nulls("resolution")
        .filter(day.is_between(since, until))
        .sort("store_id", "event_date")
    )


def _calendar(heard: pl.DataFrame, closures: pl.DataFrame, until: date) -> pl.DataFrame:
    """Return every day of each store from the first on which it was heard; `newest` is the last on which it was."""
    day = pl.col("event_date")
    stores = heard.group_by("store_id").agg(first=day.min(), newest=day.max())
    end = pl.max_horizontal("newest", pl.lit(until))
    days = stores.select("store_id", "newest", event_date=pl.date_ranges("first", end)).explode("event_date")
    key = ["store_id", "event_date"]
    return days.join(heard, on=key, how="left").join(closures, on=key, how="left").sort(key)


def _is_closing_weekday() -> pl.Expr:
    """Whether a store has not sold on this weekday for four weeks in a row, while it sold on others in the last one.

    Rows are the days of each store without a hole.
    """
    was_open = pl.col("is_open").fill_null(value=False)
    weeks_ago = [was_open.shift(_WEEK * week).over("store_id") for week in range(1, CLOSED_WEEKS + 1)]
    # A null, before the first day on which the store was heard, shows nothing.
    never = pl.all_horizontal(~open_then for open_then in weeks_ago).fill_null(value=False)
    lately = was_open.cast(pl.Int8).shift(1).rolling_sum(_WEEK, min_samples=1).over("store_id") > 0
    return never & lately.fill_null(value=False)


def _listed_spans(words: pl.LazyFrame, silence: Silence) -> pl.DataFrame:
    """Return `sku_id, store_id, first, last`: from a sale on, until so many days after the last before a longer gap."""
    listed = silence.listed_days or _LISTED_DAYS
    is_sale = pl.col("sales_units") > 0 if silence.listed_days is not None else pl.lit(value=True)
    sold = words.filter(is_sale).select(_KEY)
    day = pl.col("event_date")
    spans = sold.group_by(_SERIES).agg(first=day.min(), last=day.max(), days=day.n_unique())
    found = spans.collect(engine="streaming").with_columns(length=(pl.col("last") - pl.col("first")).dt.total_days())
    # Only a series with that many silent days can have them in one piece.
    is_broken = pl.col("length") + 1 - pl.col("days") >= listed
    whole = found.filter(~is_broken).select(*_SERIES, "first", "last")
    broken = _split(sold, found.filter(is_broken).select(_SERIES), listed)
    return pl.concat([whole, broken]).with_columns(last=pl.col("last") + timedelta(days=listed))


def _split(sold: pl.LazyFrame, series: pl.DataFrame, listed: int) -> pl.DataFrame:
    """Return the spans of series whose sales lie further apart than they are listed."""
    if series.is_empty():
        return pl.DataFrame(schema={**dict.fromkeys(_SERIES, pl.String), "first": pl.Date, "last": pl.Date})
    day = pl.col("event_date")
    days = sold.join(series.lazy(), on=_SERIES, how="semi").unique().collect().sort(_KEY)
    begins = (day.diff().over(_SERIES) > timedelta(days=listed)).fill_null(value=False)
    runs = days.with_columns(run=begins.cum_sum().over(_SERIES)).group_by(*_SERIES, "run")
    return runs.agg(first=day.min(), last=day.max()).select(*_SERIES, "first", "last")
