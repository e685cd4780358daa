"""The bare library calls that the real-input run is measured against, on the same data in the same process."""

import io
import os
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from bench.meter import Lap, Meter, lap
from forecast_assets.features.panel import Panel
from forecast_assets.models.borrowing import BORROWED
from forecast_assets.models.levels import build_model
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.runner import Runner
from forecast_assets.run_inputs import RunInputs
from resources.records import Publication


def bare_calls(runner: Runner, publication: Publication, meter: Meter) -> list[tuple[str, Lap]]:
    """Measure statsforecast, hierarchicalforecast and one Parquet write by themselves."""
    from hierarchicalforecast.methods import MinTraceSparse
    from statsforecast import StatsForecast

    key = publication.key
    inputs = RunInputs.newest(runner.stores, key)
    panel = inputs.history.panel(inputs.features, history_days=364, horizon_days=key.forecast_horizon)
    chosen = models_used(runner, publication)
    frames = {name: long_frame(panel, rows) for name, rows in chosen.items()}
    with lap(meter) as forecasting:
        for name, frame in frames.items():
            StatsForecast([build_model(name)], freq="D", n_jobs=1).forecast(df=frame, h=key.forecast_horizon)
    summing, y_hat = reconciliation_inputs(runner, publication, inputs)
    with lap(meter) as reconciling:
        MinTraceSparse(method="wls_struct").fit_predict(S=summing, y_hat=y_hat)
    rows = read_product(runner.stores, publication, "forecasts").to_arrow()
    with lap(meter) as writing:
        pq.write_table(rows, io.BytesIO(), compression="zstd")
    return [
        (f"statsforecast: the models that the run used, {panel.series.height:,} series", forecasting),
        (f"hierarchicalforecast: MinTraceSparse, {len(y_hat):,} nodes", reconciling),
        (f"pyarrow: one Parquet write, {rows.num_rows:,} rows", writing),
    ]


def reconciliation_inputs(runner: Runner, publication: Publication, inputs: RunInputs) -> tuple[Any, np.ndarray]:
    """The summing matrix over the nodes that the run reconciled, and its base forecasts at every node."""
    from scipy import sparse

    store, horizon = runner.stores.predictions, publication.key.forecast_horizon
    names = ("base_node_forecasts", "base_forecasts")
    means = [
        store.read(store.staged(name, publication.key))["base_units"].cast(pl.Float64).to_numpy().reshape(-1, horizon)
        for name in names
    ]
    upper = inputs.hierarchy.information.matrix.astype(np.float64)
    return sparse.vstack([upper, sparse.identity(upper.shape[1])], format="csr"), np.vstack(means)


def models_used(runner: Runner, publication: Publication) -> dict[str, np.ndarray]:
    """Which rows of the panel each model forecast."""
    store = runner.stores.predictions
    base = store.read(store.staged("base_forecasts", publication.key)).filter(pl.col("step") == 1)
    used = base["model_used"].to_numpy()
    # What new series borrow is made by no library.
    return {str(name): np.flatnonzero(used == name) for name in np.unique(used) if name not in BORROWED}


def long_frame(panel: Panel, rows: np.ndarray | None = None) -> pd.DataFrame:
    """The panel's sales as statsforecast wants them, unknown days left out."""
    sales = panel.sales if rows is None else panel.sales[rows]
    series, days = sales.shape
    dates = np.datetime64(panel.first_date) + np.arange(days)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(series), days),
            "ds": np.tile(dates.astype("datetime64[ns]"), series),
            "y": sales.ravel(),
        }
    )
    return frame[frame["y"].notna()]


def library_accuracy(
    runner: Runner, cutoff: date, horizon: int, actual: pl.DataFrame
) -> Sequence[tuple[str, float, float, float, float, float]]:
    """Score plain library calls, without any tuning, as of the same cutoff on the same days."""
    from statsforecast import StatsForecast
    from statsforecast.models import TSB, DynamicOptimizedTheta, SeasonalNaive

    from bench.real_input import errors

    history = runner.history(cutoff)
    snapshot = runner.stores.predictions.staged("feature_snapshots", cutoff)
    panel = history.panel(runner.stores.predictions.read(snapshot), history_days=364, horizon_days=horizon)
    models = [SeasonalNaive(7), TSB(0.2, 0.2), DynamicOptimizedTheta(season_length=7)]
    made = StatsForecast(models, freq="D", n_jobs=os.cpu_count() or 1).forecast(df=long_frame(panel), h=horizon)
    keyed = (
        pl.from_pandas(made)
        .with_columns(pl.col("ds").cast(pl.Date).alias("target_date"), pl.col("unique_id").cast(pl.UInt32).alias("row"))
        .join(panel.series.with_row_index("row"), on="row")
    )
    scored = actual.join(keyed, on=["store_id", "sku_id", "target_date"])
    return [(f"library: {model}", *errors(scored, str(model))) for model in models]
