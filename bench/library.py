"""The field's models as anyone would call them: statsforecast on long frames of observed sales, untuned."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats

KEY = ("store_id", "sku_id")


def library_models(names: Sequence[str]) -> list[Any]:
    """The models by the names that their forecasts go by, with a weekly season."""
    from statsforecast.models import TSB, AutoETS, DynamicOptimizedTheta, SeasonalNaive

    made: Mapping[str, Any] = {
        "SeasonalNaive": lambda: SeasonalNaive(7),
        "TSB": lambda: TSB(0.2, 0.2),
        "AutoETS": lambda: AutoETS(season_length=7, model="ZNA"),
        "DynamicOptimizedTheta": lambda: DynamicOptimizedTheta(season_length=7),
    }
    return [made[name]() for name in names]


def library_forecasts(
    sales: pl.DataFrame, horizon: int, names: Sequence[str]
) -> tuple[pl.DataFrame, dict[str, Floats]]:
    """Forecast every series of a frame.

    Args:
        sales: `store_id, sku_id, day, units`; a day without a row is a day without a sale.
        horizon: H.
        names: Of models; see `library_models`.

    Returns:
        `store_id, sku_id` of the n series, sorted; and by model their forecasts, [n, H].
    """
    from statsforecast import StatsForecast

    series = sales.select(KEY).unique().sort(KEY).with_row_index("unique_id")
    long = (
        sales.join(series, on=KEY)
        .select("unique_id", pl.col("day").cast(pl.Datetime("ns")).alias("ds"), pl.col("units").alias("y"))
        .sort("unique_id", "ds")
        .to_pandas()
    )
    engine = StatsForecast(library_models(names), freq="D", n_jobs=os.cpu_count() or 1)
    made = engine.forecast(df=long, h=horizon).sort_values(["unique_id", "ds"])
    return series.select(KEY), {name: np.asarray(made[name], dtype=np.float64).reshape(-1, horizon) for name in names}
