"""Upper nodes: forecasts of sums, by the same family.

What belongs here: forecasting the nodes that reconciliation listens to. What does not: reconciling, or frames.

A node's day is read against what its series' levels and factors lead to expect; that ratio, near 1, is forecast by
a level model chosen for nodes, and multiplied with the sum of the series' forecasts. So prices and promotions planned
for single series reach every node above them, and a shift that is too faint to see in one series shows in the sum.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy, Sparse
from forecast_assets.models.demand import ratio
from forecast_assets.models.forecasts import NodeForecasts
from forecast_assets.models.node_levels import decided, variance_ratios
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.levels import forecast_levels
from forecast_assets.models.statistical.series import SeriesForecasts

# Key of the nodes' model among the models by demand class.
NODES: Final = "nodes"
NODES_STAGE: Final = "upper nodes forecast"


def forecast_nodes(
    panel: Panel,
    series: SeriesForecasts,
    hierarchy: Hierarchy,
    artifact: StatisticalArtifact,
    *,
    agreed_with: Floats | None = None,
    progress: Progress = silent,
    workers: int | None = None,
) -> NodeForecasts:
    """Forecast the nodes that reconciliation listens to.

    Args:
        panel: n series, T days of history, H ahead.
        series: Their forecasts.
        hierarchy: Crossed hierarchy of the same series.
        artifact: What training decided.
        agreed_with: [n, H] forecasts of the same series by another family, half of whose sums a node's forecast is
            where the artifact says nothing of how far to trust either.
        progress: Called with the stage, nodes done and nodes in all.
        workers: Processes for slow models; all cores if left out.
    """
    summing, history = hierarchy.information.matrix, series.history
    level = series.components["level_units"][:, :1]
    expected = level * history.factors.product[:, : panel.history_days] * history.shift
    index = node_index(summing, expected, history.demand)
    nodes = hierarchy.information.nodes
    names = np.full(len(index), artifact.models[NODES])
    levels = forecast_levels(index, names, panel.horizon_days, progress=progress, stage=NODES_STAGE, workers=workers)
    mean = levels.path * (summing @ series.mean)
    is_decided = decided(nodes, artifact.node_levels)
    if agreed_with is not None and not is_decided.all():
        mean = np.where(is_decided[:, None], mean, 0.5 * (mean + summing @ agreed_with))
    return NodeForecasts(
        nodes=nodes,
        mean=mean,
        model_used=levels.model_used,
        is_fallback=levels.is_fallback,
        variance_ratio=variance_ratios(nodes, artifact.node_levels) if artifact.node_levels else None,
    )


def node_index(summing: Sparse, expected: Floats, demand: Floats) -> Floats:
    """Read each node's days against what its series' present levels lead to expect.

    Args:
        summing: [m, n] sparse ones.
        expected: [n, T] present level times each day's factors and shift, units; series at 0 say nothing.
        demand: [n, T] units; NaN where unknown.

    Returns:
        [m, T] demand over expectation; unknown days carry the last value on, NaN before the first.
    """
    is_counted = ~np.isnan(demand) & (expected > 0)
    expected_sum = summing @ np.where(is_counted, expected, 0.0)
    demand_sum = summing @ np.where(is_counted, demand, 0.0)
    return _carried(np.where(expected_sum > 0, ratio(demand_sum, expected_sum), np.nan))


def _carried(values: Floats) -> Floats:
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(values, last, axis=1)
