"""Which level above a series differs most from its parts: the reason, in one node, for what reconciliation moved.

What belongs here: comparing base forecasts of nodes with the sums of their series. What does not: reconciling.

Reconciliation weighs every level above against the series; a correction has no single cause. What is named is a fact
beside it: of the nodes above the series that pull in the direction in which it moved, the one whose own forecast lies
furthest, in percent, from the sum of its parts.
"""

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.core.quantities import Millionths, from_units
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import TOTAL


def largest_gaps(
    base: pl.DataFrame, reconciled: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy
) -> pl.DataFrame:
    """Name, for each row, the node above it that pulls hardest the way the row was moved.

    Args:
        base: Contract `base_forecasts`, n x H rows sorted by store, SKU and step.
        reconciled: Contract `reconciled_forecasts`, the same rows.
        nodes: Contract `base_node_forecasts`, m x H rows sorted by node and step, of `hierarchy.information`.
        hierarchy: Crossed hierarchy of the same series.

    Returns:
        `store_id, sku_id, step, node_name, node_gap_share` in the order of ``base``: how far the node's own forecast
        lies above (below: negative) the sum of its parts; null where the row was not moved, or no node pulls that way.
    """
    shape = (hierarchy.series.height, base.height // hierarchy.series.height)
    series = from_units(base["base_units"]).reshape(shape)
    moved = np.sign(from_units(reconciled["reconciled_units"]).reshape(shape) - series)
    above = _nodes_above(hierarchy)
    gaps = _gap_shares(from_units(nodes["base_units"]).reshape(-1, shape[1]), hierarchy, series)
    node, pull = _strongest(gaps, above, moved)
    names = node_names(hierarchy.information.nodes).gather(node.ravel())
    is_pulled = pl.Series(pull.ravel() > 0)
    return base.select("store_id", "sku_id", "step").with_columns(
        node_name=pl.when(is_pulled).then(names),
        node_gap_share=pl.when(is_pulled).then(pl.Series((pull * moved).ravel())),
    )


def node_names(nodes: pl.DataFrame) -> pl.Series:
    """Return what a planner calls each node, for example `category FOOD in region NORTH`.

    Example:
        >>> node = {"product_level": "category", "product_node": "FOOD", "store_level": "total", "store_node": "total"}
        >>> node_names(pl.DataFrame([node])).to_list()
        ['category FOOD']
    """
    product, store = (pl.format("{} {}", f"{side}_level", f"{side}_node") for side in ("product", "store"))
    is_whole = {side: pl.col(f"{side}_level") == TOTAL for side in ("product", "store")}
    name = (
        pl.when(is_whole["product"] & is_whole["store"])
        .then(pl.lit("the total"))
        .when(is_whole["store"])
        .then(product)
        .when(is_whole["product"])
        .then(store)
        .otherwise(pl.format("{} in {}", product, store))
    )
    return nodes.select(node_name=name).to_series()


def _nodes_above(hierarchy: Hierarchy) -> Ints:
    """[n, L] informative nodes above each series, one per level."""
    matrix = hierarchy.information.matrix.tocsc()
    matrix.sort_indices()
    return np.asarray(matrix.indices, dtype=np.int64).reshape(hierarchy.series.height, -1)


def _gap_shares(nodes: Millionths, hierarchy: Hierarchy, series: Millionths) -> Floats:
    """[m, H] how far each node's own forecast lies above the sum of its parts, over that sum."""
    sums = np.asarray(hierarchy.information.matrix @ series, dtype=np.int64)
    return np.asarray(np.divide(nodes - sums, sums, out=np.zeros(sums.shape), where=sums > 0))


def _strongest(gaps: Floats, above: Ints, moved: Ints) -> tuple[Ints, Floats]:
    """[n, H] the node that pulls hardest, and how hard; the first of equals, 0 where none pulls."""
    node, pull = np.broadcast_to(above[:, :1], moved.shape).copy(), np.zeros(moved.shape)
    for level in range(above.shape[1]):
        candidate = above[:, level, None]
        pulls = gaps[above[:, level]] * moved
        is_stronger = pulls > pull
        node = np.where(is_stronger, candidate, node)
        pull = np.where(is_stronger, pulls, pull)
    return node, pull
