"""Base forecasts as frames: rounded once, adding up exactly.

What belongs here: turning forecasts of series and nodes into the two products' rows. What does not: forecasting.
"""

import numpy as np
import polars as pl

from forecast_assets.base_forecasts.quality import quality_flags
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS, COMPONENTS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import Millionths, publish, to_millionths, to_units
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import Panel
from forecast_assets.models.statistical.nodes import NodeForecasts
from forecast_assets.models.statistical.series import FACTORED, SeriesForecasts


def base_frames(
    key: RunKey, panel: Panel, series: SeriesForecasts, nodes: NodeForecasts
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay forecasts out as the products `base_forecasts` and `base_node_forecasts`.

    Args:
        key: The run; its horizon is the forecasts' H.
        panel: The n series that were forecast.
        series: Their forecasts.
        nodes: Forecasts of the m upper nodes.

    Returns:
        n x H rows sorted by store, SKU and step, and m x H rows sorted by node and step.
    """
    base = rows_per_step(key, panel.series.with_columns(_described(series))).with_columns(
        *_exact(series),
        *(publish(series.quantiles[:, :, i], name) for i, name in enumerate(QUANTILE_COLUMNS)),
        _share(series.lost_share, "lost_share"),
        _share(series.out_of_distribution, "out_of_distribution_score"),
        quality_flags(panel, series.demand_class, series.is_fallback, series.out_of_distribution),
    )
    upper = nodes.nodes.with_columns(
        pl.Series("model_used", nodes.model_used.tolist(), pl.String), pl.Series("is_fallback", nodes.is_fallback)
    )
    node_rows = rows_per_step(key, upper).with_columns(publish(nodes.mean, "base_units"))
    return BASE_FORECASTS.conform(base), BASE_NODE_FORECASTS.conform(node_rows)


def _described(series: SeriesForecasts) -> list[pl.Series]:
    return [
        pl.Series("demand_class", series.demand_class.tolist(), pl.String),
        pl.Series("model_used", series.model_used.tolist(), pl.String),
        pl.Series("is_fallback", series.is_fallback),
    ]


def _share(values: Floats | None, name: str) -> pl.Expr:
    """A share by row, or null where nobody says it."""
    column = pl.lit(None, pl.Float64) if values is None else pl.lit(pl.Series(values.ravel()).fill_nan(None))
    return column.alias(name)


def _exact(series: SeriesForecasts) -> list[pl.Series]:
    """The mean and its components in whole millionths; what rounding leaves over is a component of its own."""
    rounded: dict[str, Millionths] = {name: to_millionths(series.components[name]) for name in FACTORED}
    base = to_millionths(series.mean)
    rounded[COMPONENTS[-1]] = base - sum(rounded.values(), np.zeros_like(base))
    return [to_units(values, name) for name, values in {"base_units": base, **rounded}.items()]
