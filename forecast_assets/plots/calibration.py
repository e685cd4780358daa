"""Pictures of a calibration report: how often intervals held by level, where what came fell, and stock-out risk.

What belongs here: drawing what the report says. What does not: counting (`metrics.calibration`).
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import FIRST_DAYS
from forecast_assets.plots.canvas import FAINT, INK, LINE_COLOURS, SMALL, literal, new_axes, png_bytes
from forecast_assets.plots.reports import quantile_calibration_png, risk_reliability_png

_LINE_HEIGHT: Final = 0.3
# Three are told apart at a glance; the others are in the table.
_DRAWN: Final = (50, 80, 95)


def calibration_pictures(report: pl.DataFrame) -> dict[str, bytes]:
    """Draw the pictures of a report.

    Args:
        report: Contract `calibration`.

    Returns:
        PNGs by name; what there is nothing to draw of is left out.
    """
    whole = report.filter(pl.col("segment_kind") == "all")
    found = {}
    for name, days in (("coverage_by_level", [1]), ("coverage_of_sums_of_days", [*FIRST_DAYS])):
        rows = whole.filter(pl.col("days").is_in(days))
        if rows["metric"].str.starts_with("coverage").any():
            found[name] = coverage_by_level_png(rows)
    series = whole.filter(pl.col("metric") == "pit", pl.col("days") == 1, pl.col("level") == "sku x store")
    if series.height:
        found["quantiles_of_series"] = quantile_calibration_png(series.select("low", "high", share="value"))
    bins = whole.filter(pl.col("metric") == "reliability").select("rows", said="expected", came="value")
    if bins.height:
        found["reliability_of_risk"] = risk_reliability_png(bins)
    return found


def coverage_by_level_png(rows: pl.DataFrame) -> bytes:
    """Draw how much of what came lay in the central 50%, 80% and 95% intervals, level by level.

    Args:
        rows: Of contract `calibration`, of all rows of each level; one line for each level and number of days.
    """
    lines = rows.select("level", "days").unique(maintain_order=True).with_row_index("place")
    figure, axes = new_axes("", height=1.3 + _LINE_HEIGHT * lines.height)
    for colour, percent in zip(LINE_COLOURS, _DRAWN, strict=False):
        marks = rows.filter(pl.col("metric") == f"coverage_{percent}").join(lines, on=["level", "days"])
        axes.axvline(percent, color=colour, linewidth=1.0, linestyle=":")
        axes.plot(marks["value"] * 100, marks["place"], "o", color=colour, markersize=6, label=f"central {percent}%")
    names = [f"{level}{_days(days)}" for level, days in lines.select("level", "days").iter_rows()]
    axes.set_yticks(lines["place"], [literal(name) for name in names], fontsize=SMALL)
    axes.set_ylim(lines.height - 0.5, -0.5)
    axes.set_xlim(0, 102)
    axes.set_xlabel("inside the interval (%); dotted: as it says", color=INK, fontsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.7)
    return png_bytes(figure, axes)


def _days(days: int) -> str:
    return "" if days == 1 else f", first {days} days"
