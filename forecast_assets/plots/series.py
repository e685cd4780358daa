"""Pictures over days: the past of a series or of a sum, and what is forecast of it.

What belongs here: lines over days. What does not: why a forecast is what it is (drivers), how good it was (quality).
"""

from typing import Any, Final

import polars as pl

from forecast_assets.plots.canvas import (
    BLUE,
    FAINT,
    INK,
    MARKER,
    PURPLE,
    VERMILION,
    floats,
    name_dates,
    new_axes,
    png_bytes,
)

# Pairs of quantiles around the mean, widest first, with how dark they are drawn and what lies between them.
_FANS: Final = (
    ("q025_units", "q975_units", 0.15, "95%"),
    ("q100_units", "q900_units", 0.2, "80%"),
    ("q250_units", "q750_units", 0.3, "50% of futures"),
)


def history_and_fan_png(
    history: pl.DataFrame, forecast: pl.DataFrame, actuals: pl.DataFrame | None = None, *, title: str = ""
) -> bytes:
    """Draw one series, or a sum: past sales, the forecast with its central 50, 80 and 95 percent, and what came.

    Args:
        history: `event_date, sales_units` in units, sorted by date; days of `is_stockout`, where there is one, are
            shaded. May be empty.
        forecast: `target_date`, units of `forecast_units` (or `base_units`: before reconciliation), of
            `expected_sales_units` where there is one, and of the quantiles (of sums null where nobody knows them, so
            that none are drawn), sorted by step.
        actuals: Days after the history, in its columns, as far as they are known; None where nobody asks.
        title: What the picture is of.
    """
    figure, axes = new_axes("units per day")
    after = history.clear() if actuals is None else actuals
    _shade_stockouts(axes, pl.concat([history, after], how="diagonal_relaxed"))
    if history.height:
        axes.plot(*_sales(history), color=INK, linewidth=1.1, label="sales")
    _draw_fans(axes, forecast)
    _draw_forecast(axes, forecast)
    if after.height:
        axes.plot(*_sales(after), color=INK, linewidth=0.8, linestyle=":", label="what came", **MARKER)
    _mark_start(axes, forecast)
    return png_bytes(figure, axes, title=title)


def totals_png(history: pl.DataFrame, forecast: pl.DataFrame) -> bytes:
    """Draw sums over all series: past sales, expected demand and expected sales.

    Args:
        history: `event_date, sales_units`, sorted by date.
        forecast: `target_date, forecast_units, expected_sales_units` and quantiles where they are known, sorted by
            date.
    """
    figure, axes = new_axes("units per day, all series")
    axes.plot(*_sales(history), color=INK, linewidth=1.4, label="sales")
    _draw_fans(axes, forecast)
    _draw_forecast(axes, forecast)
    _mark_start(axes, forecast)
    return png_bytes(figure, axes)


def node_png(forecast: pl.DataFrame) -> bytes:
    """Draw a node's expected demand and expected sales over the horizon.

    Args:
        forecast: `target_date, forecast_units, expected_sales_units`, sorted by date.
    """
    figure, axes = new_axes("units per day")
    _draw_forecast(axes, forecast)
    axes.set_ylim(bottom=0)
    name_dates(axes)
    return png_bytes(figure, axes)


def _sales(days: pl.DataFrame) -> tuple[list[Any], list[float]]:
    return days["event_date"].to_list(), floats(days, "sales_units")


def _shade_stockouts(axes: Any, history: pl.DataFrame) -> None:
    if "is_stockout" not in history.columns:
        return
    days = history.filter(pl.col("is_stockout").cast(pl.Boolean))["event_date"]
    if len(days):
        axes.bar(
            days, 1.0, width=1.0, color=PURPLE, alpha=0.28, linewidth=0, label="out of stock",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _draw_fans(axes: Any, forecast: pl.DataFrame) -> None:
    for low, high, opacity, label in _FANS:
        if {low, high} <= set(forecast.columns) and not forecast[low].null_count():
            axes.fill_between(
                forecast["target_date"], floats(forecast, low), floats(forecast, high),
                color=BLUE, alpha=opacity, linewidth=0, label=label,
            )  # fmt: skip


def _draw_forecast(axes: Any, forecast: pl.DataFrame) -> None:
    days = forecast["target_date"]
    demand = "forecast_units" if "forecast_units" in forecast.columns else "base_units"
    axes.plot(days, floats(forecast, demand), color=BLUE, linewidth=1.8, label="expected demand")
    if "expected_sales_units" in forecast.columns:
        axes.plot(
            days, floats(forecast, "expected_sales_units"), color=VERMILION, linewidth=1.4, linestyle="--",
            label="expected sales",
        )  # fmt: skip


def _mark_start(axes: Any, forecast: pl.DataFrame) -> None:
    if forecast.height:
        axes.axvline(forecast["target_date"][0], color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    name_dates(axes)
