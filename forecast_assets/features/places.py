"""Places that events and covariates are limited to: all stores, one store, or a node of the store hierarchy.

What belongs here: which stores a place holds. What does not: what holds there.
"""

import numpy as np
import polars as pl

from forecast_assets.contracts import ALL_STORES
from forecast_assets.core.arrays import Bools


def stores_in(place: str, stores: pl.Series, store_nodes: pl.DataFrame | None) -> Bools:
    """[S] Which of some stores a place holds: everything, a store, or a node of the store hierarchy.

    Args:
        place: `all`, a store or a node.
        stores: S stores.
        store_nodes: `store_id, node_id` of every level of the store hierarchy; None where there is none.

    Example:
        >>> nodes = pl.DataFrame({"store_id": ["S1", "S2"], "node_id": ["north", "south"]})
        >>> stores_in("north", pl.Series(["S1", "S2"]), nodes).tolist()
        [True, False]
    """
    if place == ALL_STORES:
        return np.ones(len(stores), dtype=np.bool_)
    inside = stores == place
    if store_nodes is not None:
        inside |= stores.is_in(store_nodes.filter(pl.col("node_id") == place)["store_id"].implode())
    return np.asarray(inside.to_numpy(), dtype=np.bool_)
