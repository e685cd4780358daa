"""Base forecasts as frames: rounded once, adding up exactly.

What belongs here: turning forecasts of series and nodes, by any family, into the two products' rows. What does not:
forecasting.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from forecast_assets.base_forecasts.quality import quality_flags
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS, COMPONENTS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import Millionths, publish, to_millionths, to_units
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import Forecasts, NodeForecasts


def forecast_frames(
    key: RunKey,
    panel: Panel,
    hierarchy: Hierarchy,
    family: ModelFamily[Any],
    made: Forecasts,
    is_quarantined: Bools | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay forecasts out as the products `base_forecasts` and `base_node_forecasts`.

    Args:
        key: The run; its horizon is the forecasts' H.
        panel: The n series that were forecast.
        hierarchy: Crossed hierarchy of the same series.
        family: The family that forecast them, which takes them apart; its name stands for the model of the m upper
            nodes where those are sums.
        made: Their forecasts.
        is_quarantined: [n] whether a row of the last observed day was set aside; None where none was.

    Returns:
        n x H rows sorted by store, SKU and step, and m x H rows sorted by node and step.
    """
    base = to_millionths(made.mean)
    nodes = _sums(key, base, hierarchy, family.name) if made.nodes is None else _nodes(key, made.nodes)
    return base_frame(key, panel, family, made, is_quarantined), BASE_NODE_FORECASTS.conform(nodes)


def base_frame(
    key: RunKey, panel: Panel, family: ModelFamily[Any], made: Forecasts, is_quarantined: Bools | None = None
) -> pl.DataFrame:
    """Lay forecasts of series out as the product `base_forecasts`; arguments as for `forecast_frames`."""
    base = to_millionths(made.mean)
    described = panel.series.hstack(_described(made))
    columns = [
        *_exact(base, family.explain(made)),
        *(publish(made.quantiles[:, :, i], name) for i, name in enumerate(QUANTILE_COLUMNS)),
        _share(made.lost_share, base.size, "lost_share"),
        _share(made.out_of_distribution, base.size, "out_of_distribution_score"),
        quality_flags(
            panel,
            made.demand_class,
            made.is_fallback,
            made.out_of_distribution,
            is_quarantined,
            made.backtested_days,
        ),
    ]
    rows = rows_per_step(key, described).hstack(columns)
    return BASE_FORECASTS.conform(rows)


def _described(made: Forecasts) -> list[pl.Series]:
    return [
        pl.Series("demand_class", made.demand_class.tolist(), pl.String),
        pl.Series("model_used", made.model_used.tolist(), pl.String),
        pl.Series("is_fallback", made.is_fallback),
    ]


def _exact(base: Millionths, components: Mapping[str, Floats]) -> list[pl.Series]:
    """The mean and its components in whole millionths; what rounding leaves over is a component of its own."""
    nothing = np.zeros_like(base)
    rounded = {name: to_millionths(components[name]) if name in components else nothing for name in COMPONENTS[:-1]}
    rounded[COMPONENTS[-1]] = base - sum(rounded.values(), nothing)
    return [to_units(values, name) for name, values in {"base_units": base, **rounded}.items()]


def _share(values: Floats | None, rows: int, name: str) -> pl.Series:
    """A share by row, or null where nobody says it."""
    known = pa.nulls(rows, pa.float64()) if values is None else pa.array(values.ravel(), from_pandas=True)
    return pl.Series(name, known)


def _nodes(key: RunKey, nodes: NodeForecasts) -> pl.DataFrame:
    described = nodes.nodes.with_columns(
        pl.Series("model_used", nodes.model_used.tolist(), pl.String),
        pl.Series("is_fallback", nodes.is_fallback),
        pl.lit(None, pl.Float64).alias("variance_ratio")
        if nodes.variance_ratio is None
        else pl.Series("variance_ratio", nodes.variance_ratio),
    )
    return rows_per_step(key, described).with_columns(publish(nodes.mean, "base_units"))


def _sums(key: RunKey, base: Millionths, hierarchy: Hierarchy, model: str) -> pl.DataFrame:
    """The upper nodes that reconciliation listens to, as the exact sums of their series."""
    summing = hierarchy.information
    sums = np.asarray(summing.matrix @ base, dtype=np.int64)
    described = summing.nodes.with_columns(
        pl.lit(model).alias("model_used"),
        pl.lit(value=False).alias("is_fallback"),
        pl.lit(None, pl.Float64).alias("variance_ratio"),
    )
    return rows_per_step(key, described).with_columns(to_units(sums.ravel(), "base_units"))
