"""Pictures of published runs as files.

What belongs here: reading what a picture shows, and writing it. What does not: how it looks (plots).
"""

from pathlib import Path

from forecast_assets.operations.new_files import new_file
from forecast_assets.operations.reading import one_series, series_after, series_history
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
