"""Reconciled means: forecasts of series that listen to the forecasts of the nodes above them.

What belongs here: the method, on matrices. What does not: products of a run, or how far nodes are to be trusted
(`models.node_levels`).

Trace minimisation (Wickramasuriya, Athanasopoulos & Hyndman 2019, doi:10.1080/01621459.2018.1448825) with the variances
of errors by level, by hierarchicalforecast. Of the sum of a node's series the variance is taken to grow with the units
it is about, so large series take up more of a correction than small ones, and a series that is forecast at zero stays
there, and so does a single day on which it cannot sell. Of a node's own forecast it is that times the ratio of the two
that past cutoffs showed at the node's level.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats
from forecast_assets.core.quantities import SCALE, Millionths, to_millionths
from forecast_assets.hierarchy import Hierarchy, Sparse

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


def moved_quantiles(quantiles: Millionths, base: Millionths, reconciled: Millionths) -> Millionths:
    """Return quantiles of forecasts as they follow when their mean moves.

    Args:
        quantiles: Any shape.
        base: Mean before, of a shape that goes with it.
        reconciled: Mean after, likewise; where that before is zero, quantiles stay as they are.
    """
    return scaled(quantiles, growth(base, reconciled))


def growth(base: Millionths, reconciled: Millionths) -> Floats:
    """Return means after over means before; 1 where that before is zero."""
    return np.divide(reconciled, base, out=np.ones(np.shape(base)), where=base > 0)


def scaled(quantiles: Millionths, factor: Floats) -> Millionths:
    """Return quantiles times a factor, rounded once; shapes go with each other."""
    return to_millionths(quantiles * factor / SCALE)


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
