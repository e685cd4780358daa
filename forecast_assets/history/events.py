"""Events of stores: which events each store has on which days.

What belongs here: from events of nodes to those of stores. What does not: what an event does to demand.
"""

import polars as pl

from forecast_assets.contracts import ALL_STORES


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
