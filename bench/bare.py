"""The bare library calls that a run is measured against, on the same data in the same process.

What is counted is what anyone would have to do with the libraries alone to get the same numbers into files: read the
input files (Polars), forecast (statsforecast with the very models that the run used, LightGBM with its very boosters),
reconcile (MinTraceSparse over the nodes that the run reconciled) and write the published products (PyArrow, zstd, into
memory). What is not: features, calibration, stock-out risk, words, checks, hashes, lineage, Dagster. LightGBM's calls
are timed where the run makes them; all others are made once more after it.
"""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from threading import Lock
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from bench.meter import Lap, Meter, lap
from forecast_assets.core.run import RunRequest
from forecast_assets.features.panel import Panel
from forecast_assets.launch import Runner
from forecast_assets.models.statistical.levels import MODELS, SUBSTITUTE, build_model
from forecast_assets.operations.reading import read_product
from forecast_assets.scoring.context import RunContext
from resources.ledger.entries.publish import Publication

BOOSTING = "lightgbm: the run's own calls, while it made them"
# A version that combines families names both models of a row.
COMBINED = "+"


def bare_calls(runner: Runner, publication: Publication, meter: Meter) -> list[tuple[str, Lap]]:
    """Measure reading, statsforecast, hierarchicalforecast and writing by themselves."""
    from hierarchicalforecast.methods import MinTraceSparse
    from statsforecast import StatsForecast

    key = publication.key
    inputs = RunContext(runner.stores, RunRequest(key))
    files = [runner.stores.observations.path(batch) for batch in inputs.history.batches]
    with lap(meter) as reading:
        rows = sum(pl.read_parquet(file).height for file in files)
    panel = inputs.history.panel(inputs.features, history_days=364, horizon_days=key.forecast_horizon)
    chosen = models_used(runner, publication)
    frames = {name: long_frame(panel, places) for name, places in chosen.items()}
    with lap(meter) as forecasting:
        for name, frame in frames.items():
            StatsForecast([build_model(name)], freq="D", n_jobs=1).forecast(df=frame, h=key.forecast_horizon)
    summing, y_hat = reconciliation_inputs(runner, publication, inputs)
    with lap(meter) as reconciling:
        MinTraceSparse(method="wls_struct").fit_predict(S=summing, y_hat=y_hat)
    tables = [read_product(runner.stores, publication, name).to_arrow() for name in publication.products]
    with lap(meter) as writing:
        for each in tables:
            pq.write_table(each, io.BytesIO(), compression="zstd")
    return [
        (f"polars: read the input files, {rows:,} rows", reading),
        (f"statsforecast: the models that the run used, {sum(map(len, chosen.values())):,} series", forecasting),
        (f"hierarchicalforecast: MinTraceSparse, {len(y_hat):,} nodes", reconciling),
        (f"pyarrow: write the {len(tables)} products, {sum(each.num_rows for each in tables):,} rows", writing),
    ]


@contextmanager
def boosting_timed() -> Iterator[Lap]:
    """Measure what LightGBM itself takes inside a block: laying out rows, growing trees, predicting.

    Calls of other processes are not seen; calls within calls, and of several threads at once, count once.
    """
    import lightgbm

    spent, lock = Lap(), Lock()
    inside, since = 0, (0.0, 0.0)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            nonlocal inside, since
            with lock:
                since = since if inside else (time.perf_counter(), time.process_time())
                inside += 1
            try:
                return function(*given, **named)
            finally:
                with lock:
                    inside -= 1
                    if not inside:
                        spent.seconds += time.perf_counter() - since[0]
                        spent.cpu_seconds += time.process_time() - since[1]

        return measured

    parts = ((lightgbm.Dataset, "construct"), (lightgbm.Booster, "update"), (lightgbm.Booster, "predict"))
    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(patch.object(owner, name, counted(getattr(owner, name))))
        yield spent


def reconciliation_inputs(runner: Runner, publication: Publication, inputs: RunContext) -> tuple[Any, np.ndarray]:
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
    """Which rows of the panel each statsforecast model forecast; what no such model made is left out."""
    store = runner.stores.predictions
    base = store.read(store.staged("base_forecasts", publication.key)).filter(pl.col("step") == 1)
    used = base["model_used"].to_list()
    known = {*MODELS, SUBSTITUTE}
    named = np.array([next((part for part in name.split(COMBINED) if part in known), "") for name in used])
    return {str(name): np.flatnonzero(named == name) for name in np.unique(named) if name}


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
) -> list[tuple[str, float, float, float, float, float]]:
    """Score plain library calls, without any tuning, as of the same cutoff on the same days."""
    from bench.library import library_forecasts
    from bench.real_input import errors

    sales = runner.history(cutoff).feed("sales")
    assert sales is not None
    known = sales.select("store_id", "sku_id", day="event_date", units="sales_units").collect()
    series, made = library_forecasts(known, horizon, ("SeasonalNaive", "TSB", "DynamicOptimizedTheta"))
    steps = pl.DataFrame({"step": pl.int_range(1, horizon + 1, eager=True)})
    keyed = series.join(steps, how="cross", maintain_order="left_right").with_columns(
        (pl.lit(cutoff) + pl.duration(days=pl.col("step"))).alias("target_date"),
        *(pl.Series(name, mean.ravel()) for name, mean in made.items()),
    )
    scored = actual.join(keyed, on=["store_id", "sku_id", "target_date"])
    return [(f"library: {name}", *errors(scored, name)) for name in made]
