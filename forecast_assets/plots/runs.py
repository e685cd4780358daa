"""Pictures of a whole run: how many series of each kind, and the risk of each day ahead.

What belongs here: counts and shares over all series. What does not: single series, or errors.
"""

import polars as pl

from forecast_assets.contracts import DEMAND_CLASSES, RISK_BANDS
from forecast_assets.plots.canvas import BAND_COLOURS, BLUE, INK, MARKER, name_dates, new_axes, png_bytes


def risk_calendar_png(risks: pl.DataFrame) -> bytes:
    """Draw, for each day of the horizon, the share of series in each risk band and the mean probability.

    Args:
        risks: Contract `stockout_risks`.
    """
    shares = _band_shares(risks)
    days = shares["target_date"]
    figure, axes = new_axes("share of series (%)")
    bottom = pl.Series([0.0] * shares.height)
    for band in (name for name in RISK_BANDS if shares[name].sum() > 0):
        axes.bar(days, shares[band], bottom=bottom, width=0.85, color=BAND_COLOURS[band], label=band)
        bottom += shares[band]
    axes.plot(days, shares["mean"], color=INK, linewidth=1.6, label="mean probability", **MARKER)
    name_dates(axes)
    axes.set_ylim(0, 100)
    return png_bytes(figure, axes)


def _band_shares(risks: pl.DataFrame) -> pl.DataFrame:
    """One row per day: percentage of series in each band, and the mean probability of those where it is known."""
    shares = [((pl.col("risk_band") == band).mean() * 100).alias(band) for band in RISK_BANDS]
    mean = (pl.col("stockout_probability").cast(pl.Float64).mean() * 100).alias("mean")
    return risks.group_by("target_date").agg(*shares, mean).sort("target_date")


def demand_class_png(base: pl.DataFrame) -> bytes:
    """Draw how many series there are of each demand class.

    Args:
        base: Contract `base_forecasts`.
    """
    first = base.filter(pl.col("step") == 1)
    counts = [int((first["demand_class"] == name).sum()) for name in DEMAND_CLASSES]
    figure, axes = new_axes("series")
    bars = axes.bar(DEMAND_CLASSES, counts, color=BLUE, width=0.7)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], color=INK, fontsize=9, padding=2)
    axes.margins(y=0.15)
    return png_bytes(figure)
