"""The past of single series as it was known, feed by feed, one row per day: what pictures and people look at.

What belongs here: reading a few series out of a history. What does not: panels of all series (history), or drawing.
"""

from datetime import date
from typing import Final

import polars as pl

from forecast_assets.contracts import FEEDS, SALES
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history.as_known import History

_DAY: Final = [*SERIES_KEY, "event_date"]
# What is told of a series' past, by feed.
_TOLD: Final = {
    "sales": ("sales_units",),
    "stock_status": ("out_of_stock_hours", "trading_hours"),
    "inventory_positions": ("on_hand_units",),
    "prices": ("price_ratio", "is_promotion"),
}


def past_observations(history: History, series: pl.DataFrame, since: date) -> pl.DataFrame:
    """Return the past of some series.

    Args:
        history: What was known.
        series: `store_id, sku_id`, distinct.
        since: First day.

    Returns:
        One row per series and day with sales, sorted: `store_id, sku_id, event_date, sales_units, out_of_stock_share`
        (of trading hours, 0..1), `on_hand_units` (at the end of the day), `price_ratio` (over list price),
        `is_promotion`, `is_stockout` (whether the shelf was empty for some of the day); null where no feed says so.
    """
    known = {name: _resolved_rows(history, name, series, since) for name in _TOLD}
    told = known["sales"]
    for name in ("stock_status", "inventory_positions", "prices"):
        told = told.join(known[name], on=_DAY, how="left")
    share, on_hand = pl.col("out_of_stock_hours") / pl.col("trading_hours"), pl.col("on_hand_units")
    return told.sort(_DAY).select(
        *_DAY,
        "sales_units",
        out_of_stock_share=share,
        on_hand_units=on_hand,
        price_ratio="price_ratio",
        is_promotion="is_promotion",
        is_stockout=pl.coalesce(share > 0, on_hand <= 0),
    )


def _resolved_rows(history: History, feed: str, series: pl.DataFrame, since: date) -> pl.DataFrame:
    """Return what a feed says of some series, filtered before sources are weighed against each other."""
    columns = [*_DAY, *_TOLD[feed]]
    rows = history.unresolved_feed(feed, since=since)
    if rows is None:
        return pl.DataFrame(schema={name: FEEDS[feed].schema[name] for name in columns})
    # Plain comparisons of each column are answered by the statistics of row groups; a join alone reads everything.
    near = pl.all_horizontal(pl.col(name).is_in(series[name].unique().sort().to_list()) for name in SERIES_KEY)
    own = rows.filter(near).join(series.lazy().select(SERIES_KEY), on=SERIES_KEY, how="semi")
    said = history.resolved(feed, own)
    stores = series["store_id"].unique().sort().to_list()
    assumed = history.assumed_sales(said, since, stores=stores) if feed == SALES.name else None
    if assumed is None:
        return said.select(columns).collect()
    zeros = assumed.join(series.lazy().select(SERIES_KEY), on=SERIES_KEY, how="semi")
    return pl.concat([said.select(columns), zeros.select(columns)]).collect()
