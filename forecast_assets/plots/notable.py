"""Which few series of a run are drawn.

What belongs here: choosing what people look at. What does not: drawing it.
"""

from typing import Final

import polars as pl

_KEY: Final = ["store_id", "sku_id"]


def notable_series(forecasts: pl.DataFrame, risks: pl.DataFrame | None = None) -> dict[str, tuple[str, str]]:
    """Choose a few series to look at: the largest, the most at risk, and the largest that sells on few days.

    Args:
        forecasts: `forecasts`, or `base_forecasts`.
        risks: `stockout_risks` of the same rows; nothing is the most at risk where they are left out.

    Returns:
        Store and SKU by why they were chosen; a kind of which there is no series is left out. Of equals the first by
        store and SKU is taken.
    """
    demand = "forecast_units" if "forecast_units" in forecasts.columns else "base_units"
    sizes = forecasts.group_by(*_KEY, "demand_class").agg(units=pl.col(demand).sum())
    ranked = {"largest_series": sizes}
    if risks is not None:
        ranked["most_at_risk"] = risks.group_by(_KEY).agg(units=pl.col("expected_lost_units").sum())
    ranked["largest_intermittent"] = sizes.filter(pl.col("demand_class").is_in(["intermittent", "lumpy"]))
    chosen = {name: rows.filter(pl.col("units") > 0) for name, rows in ranked.items()}
    ordered = {name: rows.sort("units", *_KEY, descending=[True, False, False]) for name, rows in chosen.items()}
    return {name: rows.select(_KEY).row(0) for name, rows in ordered.items() if rows.height}
