"""Forecasts of a version, in the form that every family gives them and every stage reads them.

What belongs here: what a forecast is made from, and its shape. What does not: making one, or laying it out as a
product.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Groups, Names
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy


@dataclass(frozen=True)
class ForecastInputs:
    """What a version forecasts from.

    Attributes:
        panel: n series, T days of history, H ahead.
        product_groups: [n] group of each series, at the version's `group_level`.
        hierarchy: Crossed hierarchy of the same series; None where only series are asked for, not the nodes above them.
        given_rows: Contract `external_forecasts` of the same series, sorted by store, SKU and step, for a family whose
            forecasts are given from outside; else None.
        key: The run, where it is one; for what errors say.
        workers: Threads, and processes for slow models; all cores if None.
        progress: Called with the stage, steps done and steps in all.
    """

    panel: Panel
    product_groups: Groups
    hierarchy: Hierarchy | None = None
    given_rows: pl.DataFrame | None = None
    key: RunKey | None = None
    workers: int | None = None
    progress: Progress = silent


@dataclass(frozen=True)
class NodeForecasts:
    """Forecasts of m upper nodes for H days.

    Attributes:
        nodes: `product_level, product_node, store_level, store_node, series_count`, sorted; row i of the rest.
        mean: [m, H] expected demand, units.
        model_used: [m].
        is_fallback: [m].
        variance_ratio: [m] variance of the errors of these forecasts over that of the sums of their series', more than
            0; None where nobody measured it, for as much.
    """

    nodes: pl.DataFrame
    mean: Floats
    model_used: npt.NDArray[np.object_]
    is_fallback: Bools
    variance_ratio: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Forecasts of n series for H days; steps run along the second axis.

    Attributes:
        mean: [n, H] expected demand, units, at least 0.
        quantiles: [n, H, 13] units, at the levels of `contracts.QUANTILES`, rising along the last axis.
        demand_class: [n] one of `contracts.DEMAND_CLASSES`.
        model_used: [n] name of the model that made the mean.
        is_fallback: [n] whether it stands in for the chosen one, which failed.
        components: [n, H] units each, by name as in `contracts.COMPONENTS`, in their order and without the last; they
            add up to the mean. Empty where the family does not take its forecasts apart.
        lost_share: [n, H] share of demand expected to meet an empty shelf, NaN where it is not known; None where the
            family does not forecast it.
        out_of_distribution: [n, H] how unlike training the inputs are, 0..1; None where nobody recorded training's.
        nodes: Forecasts of the upper nodes that reconciliation listens to; None for the exact sums of the series, so
            that reconciliation finds nothing to correct.
        alternatives: [n, H] means of other methods that the version holds, by the name that evaluation reports
            compare them under.
        backtested_days: Days ahead that backtests of the version reached; None for all of them.
    """

    mean: Floats
    quantiles: Floats
    demand_class: Names
    model_used: npt.NDArray[np.object_]
    is_fallback: Bools
    components: Mapping[str, Floats] = field(default_factory=dict)
    lost_share: Floats | None = None
    out_of_distribution: Floats | None = None
    nodes: NodeForecasts | None = None
    alternatives: Mapping[str, Floats] = field(default_factory=dict)
    backtested_days: int | None = None

    @property
    def past_factors(self) -> Floats | None:
        """[n, T] What `Artifact.factors` lays out of the same panel, where the forecasts rest on it; else None."""
        return None

    def lost_share_or(self, usual: Floats) -> Floats:
        """Return which share of demand is expected to meet an empty shelf, where the forecasts do not say the usual.

        Args:
            usual: [n] share that each series usually loses.

        Returns:
            [n, H], without NaN.
        """
        share = np.broadcast_to(usual[:, None], self.mean.shape)
        return share if self.lost_share is None else np.where(np.isnan(self.lost_share), share, self.lost_share)
