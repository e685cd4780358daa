"""Rows that were set aside, as they stood at a moment.

What belongs here: which of them are still open, and which series they leave uncertain. What does not: setting rows
aside or releasing them (ingestion.quarantine), or whether a run waits for them (snapshots.readiness).
"""

from datetime import date
from typing import TYPE_CHECKING, Final

import polars as pl

from forecast_assets.contracts import FEEDS, QUARANTINED_ROWS, SALES
from forecast_assets.history.silence import ASSUMED_CLOSED

if TYPE_CHECKING:
    from forecast_assets.history.as_known import History

_SERIES: Final = ["sku_id", "store_id"]
_PLACE: Final = ["of_feed", "source", *_SERIES, "event_date"]


def quarantined_rows(history: "History", *, since: date | None = None) -> pl.DataFrame:
    """Return the rows that were set aside of the days up to the cutoff.

    Args:
        history: What was known.
        since: First day.

    Returns:
        Contract `quarantined_rows`, `source` and `is_open`: whether its source has not said anything of its SKU, store
        and day so far. A row without them stays open.
    """
    rows = history.unresolved_feed(QUARANTINED_ROWS.name, since=since)
    if rows is None:
        return pl.DataFrame(schema={**QUARANTINED_ROWS.schema, "source": pl.String, "is_open": pl.Boolean})
    return with_state(history, rows.drop("trust").collect())


def with_state(history: "History", aside: pl.DataFrame) -> pl.DataFrame:
    """Add `is_open` to quarantined rows, by what their sources have said by the history's moment."""
    settled = [_settled(history, feed, aside) for feed in aside["of_feed"].unique().sort()]
    if not settled:
        return aside.with_columns(is_open=pl.lit(value=True))
    joined = aside.join(pl.concat(settled), on=_PLACE, how="left", maintain_order="left")
    return joined.with_columns(is_open=pl.col("is_settled").is_null()).drop("is_settled")


def _settled(history: "History", feed: str, aside: pl.DataFrame) -> pl.DataFrame:
    """Return the places of which a source has a word by now."""
    own = aside.filter(pl.col("of_feed") == feed, pl.col("has_day")).select(_PLACE).drop_nulls().unique()
    is_by_series = {*_SERIES, "event_date"} <= set(FEEDS[feed].key)
    rows = history.unresolved_feed(feed, since=own["event_date"].min()) if own.height and is_by_series else None  # type: ignore[arg-type]
    if rows is None:
        return own.clear().with_columns(is_settled=pl.lit(value=True))
    key = [name for name in _PLACE if name != "of_feed"]
    said = rows.select(key).join(own.lazy(), on=key, how="semi").unique().collect()
    return said.with_columns(of_feed=pl.lit(feed), is_settled=pl.lit(value=True)).select(*_PLACE, "is_settled")


def without_uncertain(zeros: pl.LazyFrame, aside: pl.DataFrame) -> pl.LazyFrame:
    """Leave out zeros that follow from silence where something was said that could not be believed.

    A row without a SKU may be of any in its store. A store that sent rows was not closed, whatever is wrong with them.

    Args:
        zeros: Resolved sales of keys without a word.
        aside: As `quarantined_rows` returns them.
    """
    sales = aside.filter(pl.col("is_open"), pl.col("of_feed") == SALES.name, pl.col("has_day"))
    if sales.is_empty():
        return zeros
    named, unnamed = sales.drop_nulls("sku_id"), sales.filter(pl.col("sku_id").is_null())
    is_closed = pl.col("resolution") == ASSUMED_CLOSED
    certain = pl.concat([zeros.filter(~is_closed), _without(zeros.filter(is_closed), sales, _STORE_DAY)])
    return _without(_without(certain, named, [*_SERIES, "event_date"]), unnamed, _STORE_DAY)


_STORE_DAY: Final = ["store_id", "event_date"]


def _without(zeros: pl.LazyFrame, aside: pl.DataFrame, key: list[str]) -> pl.LazyFrame:
    return zeros.join(aside.lazy().select(key), on=key, how="anti")


def is_touched(series: pl.DataFrame, aside: pl.DataFrame) -> pl.Series:
    """[n] Whether an open quarantined row is of a series, or may be: of its store without a SKU, or of no known store.

    Args:
        series: `store_id, sku_id` of n series.
        aside: As `quarantined_rows` returns them.
    """
    rows = aside.filter("is_open").select(_SERIES)
    if rows["store_id"].null_count():
        return pl.Series([True]).new_from_index(0, series.height)
    whole_stores = rows.filter(pl.col("sku_id").is_null())["store_id"].unique()
    own = rows.drop_nulls().unique().with_columns(is_own=pl.lit(value=True))
    found = series.select(_SERIES).join(own, on=_SERIES, how="left", maintain_order="left")
    return found["is_own"].fill_null(value=False) | series["store_id"].is_in(whole_stores.implode())
