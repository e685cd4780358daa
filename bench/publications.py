"""Made-up runs of any size, published by the real code: what the ledger's measurements are taken of."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from statistics import NormalDist

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECASTS, PRODUCTS, PUBLISHED, QUANTILE_COLUMNS, QUANTILES, Contract
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, publish
from resources.ledger.entries.publish import Publication
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.store.parquet import to_parquet
from resources.stores.home import Stores
from resources.stores.products import run_folder
from tests.support import products
from tests.support.store_cases import CUTOFF, ingest, register, required

Write = Callable[[Stores, RunKey, Contract, pl.DataFrame], ProductVersion]

VERSION = "stat-1"
STEPS = 28
SERIES_PER_STORE = 1000
_CLASSES = (("smooth", "SES"), ("erratic", "AutoETS"), ("intermittent", "CrostonSBA"), ("lumpy", "TSB"))


def run_key(day: int = 0) -> RunKey:
    """Return the key of a daily run, so many days after the first."""
    return RunKey("daily", CUTOFF + timedelta(days=day), VERSION, STEPS)


def forecast_rows(key: RunKey, series: int, seed: int = 0) -> pl.DataFrame:
    """Return a run's `forecasts`: series of all levels with a week's pattern and a trend, sorted as runs publish them.

    Means and quantiles have six varied decimals, and low quantiles of slow series are zero: like those of real runs.
    """
    rng = np.random.default_rng(seed)
    at = np.repeat(np.arange(series), STEPS)
    step = np.tile(np.arange(1, STEPS + 1), series)
    level, weekdays = rng.lognormal(0.5, 1.3, series), rng.uniform(0.6, 1.5, (series, 7))
    base = level[at] * weekdays[at, (step - 1) % 7] * (1 + rng.normal(0, 0.002, series)[at] * step)
    spread = np.sqrt(base) * (1 + 0.01 * step)
    kinds = rng.integers(0, len(_CLASSES), series)
    of_series = pl.DataFrame(
        {
            "store_id": [f"S-{number // SERIES_PER_STORE:04d}" for number in range(series)],
            "sku_id": [f"FOODS-{number % SERIES_PER_STORE:06d}" for number in range(series)],
            "demand_class": [_CLASSES[kind][0] for kind in kinds],
            "model_used": [_CLASSES[kind][1] for kind in kinds],
            "is_fallback": rng.random(series) < 0.01,
        }
    )
    units = {
        "base_units": base,
        "reconciled_units": base * 1.01,
        "forecast_units": base * 1.01,
        "expected_sales_units": base * 0.93,
        **{
            name: np.maximum(base + NormalDist().inv_cdf(quantile) * spread, 0)
            for name, quantile in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
        },
    }
    rows = of_series[at].with_columns(
        pl.Series("step", step, dtype=pl.Int32),
        *(publish(values, name) for name, values in units.items()),
        pl.Series("out_of_distribution_score", rng.random(at.size)),
        pl.lit("").alias("quality_flags"),
    )
    return _of_run(FORECASTS, rows, key)


def _of_run(contract: Contract, rows: pl.DataFrame, key: RunKey) -> pl.DataFrame:
    """Return rows under a key."""
    named = rows.with_columns(
        *(pl.lit(value).cast(contract.schema[name]).alias(name) for name, value in vars(key).items())
    )
    if "target_date" in contract.names:
        ahead = pl.duration(days=pl.col("step"))
        named = named.with_columns((pl.lit(key.prediction_date) + ahead).alias("target_date"))
    return named.select(contract.names)


def products_of(key: RunKey, forecasts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return all products of a run: these forecasts, and a few rows of the others."""
    others = {name: _of_run(PRODUCTS[name], products.make(name), key) for name in PUBLISHED if name != FORECASTS.name}
    return {FORECASTS.name: forecasts, **others}


def publish_run(stores: Stores, key: RunKey, frames: Mapping[str, pl.DataFrame], write: Write) -> Publication:
    """Write, accept and commit a run."""
    made = {name: write(stores, key, PRODUCTS[name], frame).version for name, frame in frames.items()}
    for name, version in made.items():
        for check in required(name):
            stores.predictions.accept(version, check)
    return stores.predictions.publish(key, made, required)


def write_validated(stores: Stores, key: RunKey, contract: Contract, frame: pl.DataFrame) -> ProductVersion:
    """Write a product as runs do."""
    folder = run_folder(contract.name, key)
    return stores.predictions.write(contract, frame, key=key, folder=folder, inputs={}, facts={})


def write_encoded(stores: Stores, key: RunKey, contract: Contract, frame: pl.DataFrame) -> ProductVersion:
    """Write the same product version without validating the rows: for a store of many runs, made quickly."""
    data = to_parquet(frame)
    path = f"{run_folder(contract.name, key)}/{sha256(data)}.parquet"
    return stores.predictions.write_bytes(
        contract.name, data, key=key, path=path, rows=frame.height, schema=contract.fingerprint, inputs={}, facts={}
    )


def prepare(stores: Stores) -> None:
    """Record sales and a model version, so that runs may be published."""
    ingest(stores)
    register(stores, VERSION)


def publish_days(stores: Stores, days: Iterable[int], series: int) -> Iterator[int]:
    """Publish a run of each day, and yield the day; each day has its own numbers, so that no two files are equal."""
    rows = forecast_rows(run_key(), series)
    FORECASTS.validate(rows)
    units = pl.col("forecast_units")
    for day in days:
        key = run_key(day)
        todays = _of_run(FORECASTS, rows.with_columns((units + day).cast(UNITS)), key)
        publish_run(stores, key, products_of(key, todays), write_encoded)
        yield day
