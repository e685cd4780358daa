"""Pictures of published runs as files.

What belongs here: reading what a picture shows, and writing it. What does not: how it looks (plots).
"""

from datetime import timedelta
from pathlib import Path

import polars as pl

from forecast_assets.core.errors import InputError
from forecast_assets.hierarchy.membership import TOTAL
from forecast_assets.operations.new_files import new_file
from forecast_assets.operations.reading import (
    daily_sales,
    history_after,
    one_series,
    run_history,
    scan_product,
    series_after,
    series_history,
)
from forecast_assets.plots import drivers_png, history_and_fan_png
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores


def draw_forecast(stores: Stores, publication: Publication, store_id: str, sku_id: str, out: Path, days: int) -> None:
    """Draw the past of one series, its forecast, and what came since.

    Args:
        stores: Where everything is.
        publication: The run.
        store_id: Store.
        sku_id: SKU.
        out: FILE.png; must be new.
        days: Days of the past.

    Raises:
        InputError: If the run has no such series, or the file cannot be written so.
    """
    with new_file(out, [".png"]) as scratch:
        forecast = one_series(stores, publication, "forecasts", store_id, sku_id)
        past = series_history(stores, publication, store_id, sku_id, days=days)
        actuals = series_after(stores, publication, store_id, sku_id)
        scratch.write_bytes(history_and_fan_png(past, forecast, actuals, title=_title(publication, store_id, sku_id)))


def draw_store(stores: Stores, publication: Publication, store_id: str, out: Path, days: int) -> None:
    """Draw all that a store sold, its forecast with quantiles by sample paths, and what came since.

    Args:
        stores: Where everything is.
        publication: The run.
        store_id: Store.
        out: FILE.png; must be new.
        days: Days of the past.

    Raises:
        InputError: If the run has no such store, or the file cannot be written so.
    """
    with new_file(out, [".png"]) as scratch:
        nodes = scan_product(stores, publication, "aggregate_forecasts")
        of_store = pl.col("store_level") == "store", pl.col("store_node") == store_id, pl.col("product_level") == TOTAL
        forecast = nodes.filter(*of_store).sort("step").collect()
        if forecast.is_empty():
            raise InputError(
                f"{publication.key} has no store {store_id}.", remedy="Choose a store of that run's `forecasts`."
            )
        history, after = run_history(stores, publication), history_after(stores, publication)
        own = pl.DataFrame({"store_id": [store_id]})
        past = daily_sales(history, own, history.cutoff - timedelta(days=days - 1))
        actuals = daily_sales(after, own, history.cutoff + timedelta(days=1))
        title = f"All of {store_id}, {publication.key}"
        scratch.write_bytes(history_and_fan_png(past, forecast, actuals, title=title))


def draw_drivers(stores: Stores, publication: Publication, store_id: str, sku_id: str, out: Path) -> None:
    """Draw what every day's forecast of one series is made of.

    Args:
        stores: Where everything is.
        publication: The run.
        store_id: Store.
        sku_id: SKU.
        out: FILE.png; must be new.

    Raises:
        InputError: If the run has no such series, or the file cannot be written so.
    """
    with new_file(out, [".png"]) as scratch:
        explanations = one_series(stores, publication, "forecast_explanations", store_id, sku_id)
        scratch.write_bytes(drivers_png(explanations, title=_title(publication, store_id, sku_id)))


def _title(publication: Publication, store_id: str, sku_id: str) -> str:
    return f"{sku_id} in {store_id}, {publication.key}"
