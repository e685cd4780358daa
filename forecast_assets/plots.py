"""Pictures from frames: small PNGs for Dagster metadata, and a plot for the terminal.

What belongs here: drawing what a frame already says. What does not: reading frames, or computing anything published.
Sums and means here are for the eye, in floats.
"""

import base64
from io import BytesIO
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import DEMAND_CLASSES, RISK_BANDS

_INK: Final = "#24323f"
_FAINT: Final = "#8a97a3"
_BLUE: Final = "#1f6fb2"
_ORANGE: Final = "#d9731a"
_BAND_COLOURS: Final = {
    "low": "#7fb98a", "moderate": "#f2d06b", "high": "#ec9a4d", "critical": "#c8473f", "unknown": "#d4d9de",
}  # fmt: skip
# Pairs of quantiles around the mean, widest first.
_FANS: Final = (
    ("q025_units", "q975_units", 0.15),
    ("q100_units", "q900_units", 0.2),
    ("q250_units", "q750_units", 0.3),
)
_DOTS_PER_INCH: Final = 80


def as_markdown_image(png: bytes, alt: str) -> str:
    """Return a picture as Markdown that carries its own bytes, as Dagster's metadata shows it.

    Example:
        >>> as_markdown_image(b"PNG", "units per day")
        '![units per day](data:image/png;base64,UE5H)'
    """
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def history_and_fan_png(history: pl.DataFrame, forecast: pl.DataFrame) -> bytes:
    """Draw one series: its past sales, the forecast and its central 50, 80 and 95 percent.

    Args:
        history: `event_date, sales_units`, sorted by date.
        forecast: Rows of contract `forecasts` of one series, sorted by step.
    """
    figure, axes = _axes("units per day")
    axes.plot(history["event_date"], history["sales_units"], color=_INK, linewidth=1.1, label="sales")
    for low, high, opacity in _FANS:
        label = f"{float(high[1:4]) / 10 - float(low[1:4]) / 10:g}% of futures"
        axes.fill_between(
            forecast["target_date"], _floats(forecast, low), _floats(forecast, high),
            color=_BLUE, alpha=opacity, linewidth=0, label=label,
        )  # fmt: skip
    _draw_forecast(axes, forecast)
    _mark_start(axes, forecast)
    _name_dates(axes)
    return _png(figure, axes)


def totals_png(history: pl.DataFrame, forecast: pl.DataFrame) -> bytes:
    """Draw sums over all series: past sales, expected demand and expected sales.

    Args:
        history: `event_date, sales_units`, sorted by date.
        forecast: `target_date, forecast_units, expected_sales_units`, sorted by date.
    """
    figure, axes = _axes("units per day, all series")
    axes.plot(history["event_date"], history["sales_units"], color=_INK, linewidth=1.4, label="sales")
    _draw_forecast(axes, forecast)
    _mark_start(axes, forecast)
    _name_dates(axes)
    return _png(figure, axes)


def risk_calendar_png(risks: pl.DataFrame) -> bytes:
    """Draw, for each day of the horizon, the share of series in each risk band and the mean probability.

    Args:
        risks: Contract `stockout_risks`.
    """
    shares = _band_shares(risks)
    days = shares["target_date"]
    figure, axes = _axes("share of series (%)")
    bottom = pl.Series([0.0] * shares.height)
    for band in (name for name in RISK_BANDS if shares[name].sum() > 0):
        axes.bar(days, shares[band], bottom=bottom, width=0.85, color=_BAND_COLOURS[band], label=band)
        bottom += shares[band]
    axes.plot(days, shares["mean"], color=_INK, linewidth=1.6, marker="o", markersize=3, label="mean probability")
    _name_dates(axes)
    axes.set_ylim(0, 100)
    return _png(figure, axes)


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
    figure, axes = _axes("series")
    bars = axes.bar(DEMAND_CLASSES, counts, color=_BLUE, width=0.7)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], color=_INK, fontsize=9, padding=2)
    axes.margins(y=0.15)
    return _png(figure, axes, legend=False)


def evaluation_png(report: pl.DataFrame, metric: str = "wape") -> bytes:
    """Draw one metric by segment, beside seasonal naive.

    Args:
        report: Contract `evaluation_reports`.
        metric: Name of the metric; lower is better.
    """
    rows = report.filter(pl.col("metric") == metric, pl.col("segment_kind") != "step")
    places = list(range(rows.height))
    figure, axes = _axes(metric.upper())
    axes.bar([p - 0.2 for p in places], rows["value"].fill_null(0), width=0.38, color=_BLUE, label="this version")
    axes.bar(
        [p + 0.2 for p in places], rows["baseline_value"].fill_null(0), width=0.38, color=_FAINT, label="seasonal naive"
    )
    axes.set_xticks(places, [f"{name}\n{count:,} rows" for name, count in rows.select("segment", "rows").iter_rows()])
    return _png(figure, axes)


def terminal_forecast_plot(history: pl.DataFrame, forecast: pl.DataFrame, width: int = 100, height: int = 22) -> str:
    """Draw one series in plain text: past sales, the forecast and its central 80 percent.

    Args:
        history: `event_date, sales_units`, sorted by date; may be empty, even without columns.
        forecast: Rows of contract `forecasts` of one series, sorted by step.
        width: Columns of the terminal.
        height: Lines.

    Returns:
        Lines of text without escape codes.
    """
    import plotext

    past = history["sales_units"].to_list() if history.width else []
    dates = [*(history["event_date"].to_list() if history.width else []), *forecast["target_date"].to_list()]
    future = list(range(len(past), len(dates)))
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.ruler("y").lim(0, None)
    if past:
        _draw_line(figure, list(range(len(past))), past, "braille")
    for column, marker in _TERMINAL_LINES:
        _draw_line(figure, future, _floats(forecast, column), marker)
    marked = [place for place in range(len(dates)) if dates[place].weekday() == 0][:: 1 + len(dates) // 70]
    figure.ruler("x").ticks(marked, [f"{dates[place]:%d %b}" for place in marked])
    # The library's own legend would cover the history.
    figure.title("units per day:  ⣤⠃ sales   ● expected demand   . 8 in 10 days lie between")
    return str(plotext.uncolorize(str(figure.build())))


_TERMINAL_LINES: Final = (
    ("q900_units", "."),
    ("q100_units", "."),
    ("forecast_units", "●"),
)


def _draw_line(figure: Any, places: list[int], values: list[float], marker: str) -> None:
    figure.draw(figure.signal(places, values, marker=marker).lines())


def _floats(frame: pl.DataFrame, column: str) -> list[float]:
    return frame[column].cast(pl.Float64).to_list()


def _axes(value_label: str) -> tuple[Any, Any]:
    """A figure outside pyplot's global state, so that runs in threads do not draw into each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.2), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel(value_label, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(axis="y", color=_FAINT, alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _draw_forecast(axes: Any, forecast: pl.DataFrame) -> None:
    days = forecast["target_date"]
    axes.plot(days, _floats(forecast, "forecast_units"), color=_BLUE, linewidth=1.8, label="expected demand")
    axes.plot(
        days, _floats(forecast, "expected_sales_units"), color=_ORANGE, linewidth=1.4, linestyle="--",
        label="expected sales",
    )  # fmt: skip


def _mark_start(axes: Any, forecast: pl.DataFrame) -> None:
    if forecast.height:
        axes.axvline(forecast["target_date"][0], color=_FAINT, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)


def _name_dates(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0.01)


def _png(figure: Any, axes: Any, *, legend: bool = True) -> bytes:
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    buffer = BytesIO()
    # Without the library's version in it, so that the same frame gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()
