"""Reconciliation: series forecasts that listen to the forecasts of the nodes above them.

What belongs here: the reconciled mean and quantiles, and how incoherent the base was. What does not: upper nodes'
published values, which are sums of these rows.

Trace minimisation (Wickramasuriya, Athanasopoulos & Hyndman 2019, doi:10.1080/01621459.2018.1448825) with the variances
of errors by level, by hierarchicalforecast. Of the sum of a node's series the variance is taken to grow with the units
it is about, so large series take up more of a correction than small ones, and a series that is forecast at zero stays
there, and so does a single day on which it cannot sell. Of a node's own forecast it is that times the ratio of the two
that past cutoffs showed at the node's level.

Quantiles follow the mean. Calibrating after reconciling would break coherence, reconciling after calibrating coverage;
coherence is what is kept here, and the evaluation report says what coverage is.
"""

from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, RECONCILED_FORECASTS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import HierarchyError
from forecast_assets.core.quantities import SCALE, from_units, publish, to_millionths, to_units
from forecast_assets.hierarchy import Hierarchy, Sparse
from forecast_assets.hierarchy.membership import NODE

# All that is read of base forecasts here.
OF_BASE: Final = tuple(name for name in RECONCILED_FORECASTS.names if name != "reconciled_units")
# Below a millionth of a unit a forecast is published as zero, and zero is not scaled.
_SMALLEST: Final = 1.0 / SCALE
# No node is thought to be known without error.
_LEAST_RATIO: Final = 1e-3


def reconcile(
    base_mean: Floats, node_mean: Floats, hierarchy: Hierarchy, variance_ratio: Floats | None = None
) -> Floats:
    """Reconcile the mean.

    What is projected is the discrepancy between nodes and sums of series, not the forecasts: so coherent forecasts come
    back unchanged, whatever the tolerance of the solver.

    Args:
        base_mean: [n, H] units of the series, at least 0.
        node_mean: [m, H] units of `hierarchy.information.nodes`, in their order.
        hierarchy: Crossed hierarchy of the series.
        variance_ratio: [m] variance of the nodes' errors over that of the sums of their series; 1 if left out.

    Returns:
        [n, H] units, at least 0; zero where a series' base is zero, as on days on which its store is closed.
    """
    level = base_mean.mean(axis=1)
    is_moved = level > _SMALLEST
    if not is_moved.any():
        return base_mean
    summing = hierarchy.information.matrix.astype(np.float64)
    discrepancy = node_mean - summing @ base_mean
    moved = base_mean.copy()
    ratio = np.ones(len(node_mean)) if variance_ratio is None else variance_ratio
    moved[is_moved] += _corrections(discrepancy, summing[:, is_moved], level[is_moved], ratio)
    return np.where(base_mean > _SMALLEST, np.maximum(moved, 0.0), base_mean)


def _corrections(discrepancy: Floats, summing: Sparse, level: Floats, ratio: Floats) -> Floats:
    """[k, H] what to add to k series, given what nodes lack of their sums, [m, H].

    Weighted least squares in whitened units: rows over the root of a node's variance, columns times that of a series'.
    The weights are then one, and the normal equations close to the identity, which takes the solver few iterations.
    """
    from hierarchicalforecast.methods import MinTraceSparse
    from scipy import sparse

    node_level = (summing @ level) * np.maximum(ratio, _LEAST_RATIO)
    is_heard = node_level > _SMALLEST
    root, node_root = np.sqrt(level), np.sqrt(node_level[is_heard])
    whitened = sparse.diags(1.0 / node_root) @ summing[is_heard] @ sparse.diags(root)
    stacked = sparse.vstack([whitened, sparse.identity(len(level))], format="csr")
    wanted = np.vstack([discrepancy[is_heard] / node_root[:, None], np.zeros((len(level), discrepancy.shape[1]))])
    found = MinTraceSparse(method="ols", nonnegative=False).fit_predict(S=stacked, y_hat=wanted)["mean"]
    return np.asarray(found[-len(level) :] * root[:, None])


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
    reconciled = to_millionths(reconcile(base_mean, node_mean, hierarchy, ratio)).ravel()
    before = from_units(base["base_units"])
    factor = np.divide(reconciled, before, out=np.ones(len(before)), where=before > 0)
    quantiles = [publish(from_units(base[name]) * factor / SCALE, name) for name in QUANTILE_COLUMNS]
    return RECONCILED_FORECASTS.conform(base.with_columns(to_units(reconciled, "reconciled_units"), *quantiles))


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
