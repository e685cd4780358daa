"""Pictures of backtests: bias by level, calibration of quantiles and of risk, errors from cutoff to cutoff.

What belongs here: drawing what a backtest report says, and its curves. What does not: measuring, or pictures of single
series (plots).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import BACKTESTED_METHOD
from forecast_assets.plots.canvas import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    LINE_COLOURS,
    MARKER,
    ORANGE,
    SMALL,
    VERMILION,
    literal,
    name_dates,
    new_axes,
    png_bytes,
    two_axes,
)

_LINE_HEIGHT: Final = 0.3
_TOLERATED_BIAS: Final = 3.0
# More cutoffs than this are not named one by one.
_MOST_NAMED: Final = 5
# Neighbouring quantiles closer than this make bins that single days decide.
_NARROWEST_BIN: Final = 0.02


def bias_by_level_png(report: pl.DataFrame) -> bytes:
    """Draw bias node by node at each pair of levels: base forecasts, reconciled ones, and those of seasonal naive.

    Args:
        report: Contract `backtest_reports`, of all cutoffs together.
    """
    rows = report.filter(pl.col("segment_kind") == "level")
    levels = rows["segment"].unique(maintain_order=True).to_list()
    places = pl.DataFrame(
        {"segment": levels, "place": range(len(levels))}, schema={"segment": pl.String, "place": pl.Int64}
    )
    figure, axes = new_axes("", height=1.3 + _LINE_HEIGHT * len(levels))
    axes.axvspan(0, _TOLERATED_BIAS, color=GREEN, alpha=0.12, linewidth=0, label="within 3%")
    for method, metric, label, colour, shape in (
        ("seasonal_naive", "node_bias", "seasonal naive", FAINT, "s"),
        (BACKTESTED_METHOD, "node_bias_before_reconciliation", "base, summed", VERMILION, "D"),
        (BACKTESTED_METHOD, "node_bias_of_node_forecasts", "base, node's own", ORANGE, "^"),
        (BACKTESTED_METHOD, "node_bias", "reconciled, as published", BLUE, "o"),
    ):
        found = rows.filter(pl.col("method") == method, pl.col("metric") == metric).drop_nulls("value")
        marks = found.join(places, on="segment", maintain_order="left")
        if marks.height:
            axes.plot(marks["value"] * 100, marks["place"], shape, color=colour, markersize=7, label=label)
    axes.set_yticks(range(len(levels)), [literal(level) for level in levels], fontsize=SMALL)
    axes.set_ylim(max(len(levels), 1) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("bias of each node over all days ahead, without its sign (% of sales)", color=INK, fontsize=9)
    return png_bytes(figure, axes)


def quantile_calibration_png(shares: pl.DataFrame) -> bytes:
    """Draw how often demand stayed at or below each quantile, and how what came spreads over the quantiles.

    Args:
        shares: `low, high, share` of neighbouring quantiles, as `metrics.calibration_curves` counts them.
    """
    figure, (left, right) = two_axes("days at or below the quantile (%)", "density; 1 is right")
    known = shares.drop_nulls("share")
    said, came = known["high"].to_list()[:-1], known["share"].cum_sum().to_list()[:-1]
    left.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, linestyle=":")
    left.plot([100 * each for each in said], [100 * each for each in came], color=BLUE, linewidth=1.4, **MARKER)
    left.set_xlabel("level of the quantile (%)", color=INK, fontsize=9)
    wide = _wide(known)
    widths = wide["high"] - wide["low"]
    right.bar(
        wide["low"], wide["share"] / widths, width=widths, align="edge", color=BLUE, edgecolor="white", linewidth=0.8
    )
    right.axhline(1, color=VERMILION, linewidth=1.2)
    right.set_xlabel("where what came falls in its forecast (PIT)", color=INK, fontsize=9)
    return png_bytes(figure)


def _wide(shares: pl.DataFrame) -> pl.DataFrame:
    """Put neighbouring bins together until none is too narrow to mean anything."""
    rows: list[list[float]] = []
    for low, high, share in shares.select("low", "high", "share").iter_rows():
        if rows and (rows[-1][1] - rows[-1][0] < _NARROWEST_BIN or high - low < _NARROWEST_BIN):
            rows[-1] = [rows[-1][0], high, rows[-1][2] + share]
        else:
            rows.append([low, high, share])
    return pl.DataFrame(rows, schema={"low": pl.Float64, "high": pl.Float64, "share": pl.Float64}, orient="row")


def risk_reliability_png(bins: pl.DataFrame) -> bytes:
    """Draw how often stock-outs came by the probability that was said, and how many days had which.

    Args:
        bins: `said, came, rows`, as `metrics.calibration_curves` counts them.
    """
    figure, (left, right) = two_axes("days with a stock-out (%)", "rows")
    left.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, linestyle=":")
    left.plot(bins["said"] * 100, bins["came"] * 100, color=BLUE, linewidth=1.2, marker="o", markersize=6)
    right.bar(bins["said"] * 100, bins["rows"], width=6, color=BLUE)
    for axes in (left, right):
        axes.set_xlim(0, 102)
        axes.set_xlabel("mean stock-out probability (%)", color=INK, fontsize=9)
    left.set_ylim(0, 102)
    if bins.height:
        right.set_yscale("log")
        # Counts in full: powers of ten would be set as mathematics, whose fonts few machines have.
        right.yaxis.set_major_formatter("{x:,.0f}")
        right.yaxis.set_minor_formatter("")
    return png_bytes(figure)


def error_by_cutoff_png(report: pl.DataFrame) -> bytes:
    """Draw WAPE and bias of expected sales from cutoff to cutoff, one line per method.

    Args:
        report: Contract `backtest_reports`.
    """
    figure, (left, right) = two_axes("WAPE (% of sales)", "bias (% of sales)")
    rows = report.filter(pl.col("segment_kind") == "all").drop_nulls(["cutoff", "value"]).sort("cutoff")
    methods = [name for name in rows["method"].unique(maintain_order=True) if name != "climatology"]
    colours = dict(zip([name for name in methods if name != "seasonal_naive"], LINE_COLOURS, strict=False))
    for axes, metric in ((left, "wape"), (right, "bias")):
        for name in methods:
            line = rows.filter(pl.col("method") == name, pl.col("metric") == metric)
            axes.plot(line["cutoff"], line["value"] * 100, color=colours.get(name, FAINT), label=_words(name), **MARKER)
        _name_cutoffs(axes, rows["cutoff"].unique().sort().to_list())
    left.set_ylim(bottom=0)
    right.axhline(0, color=INK, linewidth=0.8)
    return png_bytes(figure, left)


def _name_cutoffs(axes: Any, cutoffs: Sequence[date]) -> None:
    """Name each cutoff; of many, as many dates as fit."""
    if len(cutoffs) > _MOST_NAMED:
        name_dates(axes)
        return
    axes.set_xticks(cutoffs, [f"{cutoff:%d %b %Y}" for cutoff in cutoffs], fontsize=SMALL)
    axes.margins(x=0.12)


def _words(method: str) -> str:
    return "this version" if method == BACKTESTED_METHOD else method.replace("_", " ")
