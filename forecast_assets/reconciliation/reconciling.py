"""Reconciliation: series forecasts that listen to the forecasts of the nodes above them.

What belongs here: the reconciled products of a run, and how incoherent the base was. What does not: the method
(`models.reconciled_means`), or upper nodes' published values, which are sums of these rows.

Quantiles follow the mean. Calibrating after reconciling would break coherence, reconciling after calibrating coverage;
coherence is what is kept here, and the version's calibration report says what coverage is.
"""

from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, RECONCILED_FORECASTS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import HierarchyError
from forecast_assets.core.quantities import SCALE, Millionths, from_units, to_millionths, to_units
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import NODE
from forecast_assets.models.reconciled_means import growth, reconcile, scaled

# All that is read of base forecasts here.
OF_BASE: Final = tuple(name for name in RECONCILED_FORECASTS.names if name != "reconciled_units")


def reconciled_frame(base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> pl.DataFrame:
    """Reconcile a run.

    Args:
        base: Contract `base_forecasts`, sorted by store, SKU and step.
        nodes: Contract `base_node_forecasts`, sorted by node and step.
        hierarchy: Crossed hierarchy of the same series.

    Returns:
        Contract `reconciled_forecasts`, the rows and order of ``base``.

    Raises:
        HierarchyError: If the frames are not of the hierarchy's series and nodes.
    """
    base_mean, node_mean = _means(base, nodes, hierarchy)
    ratio = nodes.filter(pl.col("step") == 1)["variance_ratio"].fill_null(1.0).to_numpy()
    return with_means(base, to_millionths(reconcile(base_mean, node_mean, hierarchy, ratio)).ravel())


def with_means(base: pl.DataFrame, reconciled: Millionths) -> pl.DataFrame:
    """Move base forecasts to reconciled means; quantiles follow.

    Args:
        base: Contract `base_forecasts`.
        reconciled: Reconciled mean of each row.

    Returns:
        Contract `reconciled_forecasts`, the rows and order of ``base``.
    """
    factor = growth(from_units(base["base_units"]), reconciled)
    quantiles = [to_units(scaled(from_units(base[name]), factor), name) for name in QUANTILE_COLUMNS]
    moved = {column.name: column for column in (to_units(reconciled, "reconciled_units"), *quantiles)}
    return pl.DataFrame([moved[name] if name in moved else base[name] for name in RECONCILED_FORECASTS.names])


def carried_over(base: Millionths, published_base: Millionths, published: Millionths) -> Millionths:
    """Reconcile changed forecasts of single series as a published run did theirs, its nodes and their errors held.

    A correction grows with the series' level, the mean of its base over all days, by as much as the series takes up of
    what its nodes lack (see `models.reconciled_means`); so it is carried over times what the level has grown by.

    Args:
        base: [k, H] base forecasts.
        published_base: [k, H] those that the run published of the same series.
        published: [k, H] what it reconciled them to.

    Returns:
        [k, H] at least 0, zero where the base is zero; what was published where the base is.

    Example:
        >>> one = np.array([[2_000_000, 1_000_000]])
        >>> carried_over(2 * one, one, one + 100_000).tolist()
        [[4200000, 2200000]]
    """
    levels = (base.mean(axis=1, keepdims=True), published_base.mean(axis=1, keepdims=True))
    growth = np.divide(*levels, out=np.zeros_like(levels[0]), where=levels[1] > 0)
    moved = base + np.rint(growth * (published - published_base)).astype(np.int64)
    return np.asarray(np.where(base > 0, np.maximum(moved, 0), 0))


def coherence_report(base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> pl.DataFrame:
    """Say how far the base forecasts were from adding up, by level.

    Args:
        base: Contract `base_forecasts`, sorted.
        nodes: Contract `base_node_forecasts`, sorted.
        hierarchy: Crossed hierarchy of the same series.

    Returns:
        `product_level, store_level, node_units, sum_units, mean_absolute_gap_units`, sorted by level.
    """
    base_mean, node_mean = _means(base, nodes, hierarchy)
    sums = to_millionths(hierarchy.information.matrix @ base_mean)
    gaps = hierarchy.information.nodes.select("product_level", "store_level").with_columns(
        node=to_millionths(node_mean).sum(axis=1),
        sum=sums.sum(axis=1),
        gap=np.abs(to_millionths(node_mean) - sums).mean(axis=1),
    )
    # Whole millionths: their sums do not depend on the order of addition.
    return (
        gaps.group_by("product_level", "store_level")
        .agg(
            node_units=pl.col("node").sum() / SCALE,
            sum_units=pl.col("sum").sum() / SCALE,
            mean_absolute_gap_units=pl.col("gap").round().cast(pl.Int64).sum() / pl.len() / SCALE,
        )
        .sort("product_level", "store_level")
    )


def _means(base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> tuple[Floats, Floats]:
    """[n, H] and [m, H] means, after checking that both frames line up with the hierarchy."""
    horizon = int(base["step"].max() or 0)  # type: ignore[arg-type]
    first = pl.col("step") == 1
    is_aligned = (
        base.filter(first).select("store_id", "sku_id").equals(hierarchy.series)
        and nodes.filter(first).select(NODE).equals(hierarchy.information.nodes.select(NODE))
        and base.height == hierarchy.series.height * horizon
        and nodes.height == hierarchy.information.nodes.height * horizon
    )
    if not is_aligned:
        raise HierarchyError(
            "Base forecasts are not of the series and nodes of this hierarchy, each with every step, in order.",
            remedy="Forecast and reconcile with the same snapshot.",
        )
    matrices = (from_units(frame["base_units"]).reshape(-1, horizon) / SCALE for frame in (base, nodes))
    return next(matrices), next(matrices)
