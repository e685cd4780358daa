"""Events ahead: which events each store has on which days, as known to a history.

What belongs here: reading them, and from events of nodes to those of stores. What does not: what an event does to
demand.
"""

from datetime import timedelta

import polars as pl

from forecast_assets.contracts import ALL_STORES
from forecast_assets.history.as_known import History


def events_ahead(history: History, horizon: int) -> pl.DataFrame | None:
    """Return the resolved events of the days ahead; None without such a feed."""
    rows = history.feed("events", since=history.cutoff + timedelta(days=1), ahead_days=horizon)
    return None if rows is None else rows.collect()


def store_events_ahead(history: History, stores: pl.Series, horizon: int) -> pl.DataFrame | None:
    """Return the events of each store on the days ahead; None without such a feed.

    Args:
        history: What is known.
        stores: Stores of a run.
        horizon: Days ahead.

    Returns:
        As `events_of_stores`.
    """
    events = events_ahead(history, horizon)
    return None if events is None else events_of_stores(events, stores, history.membership("store_hierarchy"))


def events_of_stores(events: pl.DataFrame, stores: pl.Series, memberships: pl.DataFrame | None) -> pl.DataFrame:
    """Return the events of each store and day.

    Args:
        events: Resolved `events`.
        stores: Stores of a run.
        memberships: `store_id, node_id`: the nodes that a store belongs to; None without a store hierarchy.

    Returns:
        `store_id, target_date, event_name`, distinct and sorted.
    """
    own = stores.unique().sort().alias("store_id").to_frame()
    scopes = [own.with_columns(store_node=pl.lit(ALL_STORES)), own.with_columns(store_node=pl.col("store_id"))]
    if memberships is not None:
        scopes.append(memberships.join(own, on="store_id", how="semi").select("store_id", store_node="node_id"))
    named = events.select("event_name", "store_node", target_date="event_date").join(pl.concat(scopes), on="store_node")
    return named.select("store_id", "target_date", "event_name").unique().sort(pl.all())
