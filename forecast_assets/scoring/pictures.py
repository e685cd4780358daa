"""Pictures that runs leave in Dagster's metadata: the past of a few series and what is forecast of them, and why.

What belongs here: reading what such a picture needs, and drawing it. What does not: how a picture looks (plots).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from forecast_assets.history.as_known import History
from forecast_assets.history.series import past_observations
from forecast_assets.plots import Markdown, as_markdown_image, drivers_png, history_and_fan_png

# Days of past sales in a picture.
SHOWN_DAYS: Final = 56

PicturedSeries = Mapping[str, tuple[str, str]]


def fan_pictures(history: History, forecasts: pl.DataFrame, chosen: PicturedSeries) -> dict[str, Markdown]:
    """Draw the past of some series, days out of stock shaded, and their forecasts.

    Args:
        history: What the run knew.
        forecasts: `forecasts` or `base_forecasts`, sorted by store, SKU and step.
        chosen: Store and SKU by name of the picture.

    Returns:
        Markdown by name.
    """
    if not chosen:
        return {}
    series = pl.DataFrame([*chosen.values()], schema=["store_id", "sku_id"], orient="row").unique(maintain_order=True)
    past = past_observations(history, series, history.cutoff - timedelta(days=SHOWN_DAYS - 1))
    return _drawn(chosen, lambda *one: history_and_fan_png(_own(past, *one), _own(forecasts, *one), title=_title(*one)))


def driver_pictures(explanations: pl.DataFrame, chosen: PicturedSeries) -> dict[str, Markdown]:
    """Draw the drivers of some series over the days ahead.

    Args:
        explanations: `forecast_explanations`, sorted by store, SKU and step.
        chosen: Store and SKU by name of the picture.

    Returns:
        Markdown by name.
    """
    return _drawn(chosen, lambda *one: drivers_png(_own(explanations, *one), title=_title(*one)))


def _drawn(chosen: PicturedSeries, draw: Callable[[str, str], bytes]) -> dict[str, Markdown]:
    """Return the picture of each choice; a series that was chosen for two reasons is drawn once."""
    pictures = {one: as_markdown_image(draw(*one), _title(*one)) for one in dict.fromkeys(chosen.values())}
    return {name: pictures[one] for name, one in chosen.items()}


def _own(rows: pl.DataFrame, store_id: str, sku_id: str) -> pl.DataFrame:
    return rows.filter(store_id=store_id, sku_id=sku_id)


def _title(store_id: str, sku_id: str) -> str:
    return f"{sku_id} in {store_id}"
