"""Pictures from frames: small PNGs for Dagster metadata, and a plot for the terminal.

What belongs here: drawing what a frame already says. What does not: reading frames, or computing anything published.
Sums and means here are for the eye, in floats.
"""

import base64
from collections.abc import Iterator
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
        history: `event_date, sales_units`, sorted by date; days of `is_stockout`, where there is one, are shaded.
        forecast: Rows of contract `forecasts` of one series, sorted by step.
    """
    figure, axes = _axes("units per day")
    _shade_stockouts(axes, history)
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
    _style(axes, value_label)
    return figure, axes


def _style(axes: Any, value_label: str) -> None:
    axes.set_ylabel(value_label, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(axis="y", color=_FAINT, alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)


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


# More lines than this cannot be told apart.
_MOST_LINES: Final = 4
_LINE_COLOURS: Final = (_BLUE, _ORANGE, "#5b8c5a", "#8a5fa8")
_RUNS: Final = ["model_version", "forecast_horizon", "revision"]


def accuracy_by_step_png(accuracy: pl.DataFrame) -> bytes:
    """Draw WAPE beside seasonal naive's, and bias, by days ahead; one line per kind of run.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, (left, right) = _two_axes("WAPE", "bias (% of sales)")
    sums = _accuracy_sums(accuracy, "step")
    for colour, name, rows in _lines(sums):
        left.plot(rows["step"], rows["wape"], color=colour, marker="o", markersize=3, label=name)
        right.plot(rows["step"], rows["bias"] * 100, color=colour, marker="o", markersize=3, label=name)
    naive = _ratios(_summed_units(_all_rows(accuracy), ["step"]))
    left.plot(naive["step"], naive["naive_wape"], color=_FAINT, linestyle="--", label="seasonal naive")
    right.axhline(0, color=_INK, linewidth=0.8)
    left.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("days ahead", color=_INK, fontsize=9)
    _caption(left, right)
    return _png(figure, right, legend=False)


def accuracy_over_days_png(accuracy: pl.DataFrame) -> bytes:
    """Draw WAPE by target date beside seasonal naive's; one line per kind of run.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, axes = _axes("WAPE")
    for colour, name, rows in _lines(_accuracy_sums(accuracy, "target_date")):
        axes.plot(rows["target_date"], rows["wape"], color=colour, marker="o", markersize=3, label=name)
    naive = _ratios(_summed_units(_all_rows(accuracy), ["target_date"]))
    axes.plot(naive["target_date"], naive["naive_wape"], color=_FAINT, linestyle="--", label="seasonal naive")
    _name_dates(axes)
    axes.set_ylim(bottom=0)
    return _png(figure, axes)


def coverage_and_reliability_png(accuracy: pl.DataFrame) -> bytes:
    """Draw how often intervals held, and how often stock-outs came of each risk band, beside what was said.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, (left, right) = _two_axes("rows inside the interval (%)", "days with a stock-out (%)")
    _draw_coverage(left, _all_rows(accuracy))
    bands = accuracy.filter(pl.col("segment_kind") == "risk_band", pl.col("risk_rows") > 0)
    rows = _summed_floats(bands, ["segment"], ["expected_stockout_rows", "stockout_rows", "risk_rows"])
    right.plot([0, 100], [0, 100], color=_FAINT, linewidth=0.8, linestyle=":")
    for band, said, came, count in rows.iter_rows():
        share = 100 * came / count
        right.plot(100 * said / count, share, "o", color=_BAND_COLOURS[band], markersize=9, markeredgecolor=_INK)
        right.annotate(f"{band}\n{count:,.0f} rows", (100 * said / count, share), (9, -4), fontsize=8, color=_INK,
                       textcoords="offset points")  # fmt: skip
    right.set_xlabel("mean stock-out probability (%)", color=_INK, fontsize=9)
    right.set_xlim(0, 105)
    right.set_ylim(0, 105)
    return _png(figure, right, legend=False)


def _draw_coverage(axes: Any, rows: pl.DataFrame) -> None:
    percents = (50, 80, 95)
    judged = max(int(rows["quantile_rows"].sum()), 1)
    shares = [100 * float(rows[f"inside_{percent}_rows"].sum()) / judged for percent in percents]
    places = list(range(len(percents)))
    bars = axes.bar(places, shares, width=0.55, color=_BLUE)
    axes.bar_label(bars, labels=[f"{share:.0f}" for share in shares], color=_INK, fontsize=9, padding=2)
    for place, percent in zip(places, percents, strict=True):
        axes.plot([place - 0.4, place + 0.4], [percent, percent], color=_ORANGE, linewidth=1.8)
    axes.set_xticks(places, [f"central {percent}%" for percent in percents])
    axes.set_ylim(0, 108)


def _all_rows(accuracy: pl.DataFrame) -> pl.DataFrame:
    """The sums over all SKUs and stores."""
    is_finest = (pl.col("product_level") == "sku") & (pl.col("store_level") == "store")
    return accuracy.filter(is_finest, pl.col("segment_kind") == "all")


def _summed_floats(rows: pl.DataFrame, by: list[str], names: list[str]) -> pl.DataFrame:
    return rows.group_by(by).agg(pl.col(names).sum()).sort(by).with_columns(pl.col(names).cast(pl.Float64))


def _summed_units(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    names = ["sales_units", "error_units", "absolute_error_units", "naive_absolute_error_units"]
    return _summed_floats(rows, by, names)


def _ratios(sums: pl.DataFrame) -> pl.DataFrame:
    """Sums with WAPE, bias and seasonal naive's WAPE, where anything was sold."""
    return sums.filter(pl.col("sales_units") > 0).with_columns(
        wape=pl.col("absolute_error_units") / pl.col("sales_units"),
        bias=pl.col("error_units") / pl.col("sales_units"),
        naive_wape=pl.col("naive_absolute_error_units") / pl.col("sales_units"),
    )


def _accuracy_sums(accuracy: pl.DataFrame, by: str) -> pl.DataFrame:
    return _ratios(_summed_units(_all_rows(accuracy), [*_RUNS, by]))


def _lines(sums: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Colour, name and rows of the first kinds of runs."""
    kinds = sums.partition_by(_RUNS, maintain_order=True)[:_MOST_LINES]
    for colour, rows in zip(_LINE_COLOURS, kinds, strict=False):
        version, horizon, revision = rows.select(_RUNS).row(0)
        yield colour, f"{version}, {horizon} days" + (f", r{revision}" if revision else ""), rows


def _two_axes(left_label: str, right_label: str) -> tuple[Any, tuple[Any, Any]]:
    """Two axes side by side, styled as one picture."""
    figure, left = _axes(left_label)
    left.remove()
    pair = figure.subplots(1, 2)
    for axes, label in zip(pair, (left_label, right_label), strict=True):
        _style(axes, label)
    return figure, (pair[0], pair[1])


def _caption(left: Any, right: Any) -> None:
    """One legend for both, below what it explains."""
    left.legend(loc="lower left", frameon=False, fontsize=8)
    right.margins(y=0.2)


# Smaller values are written with all their decimals.
_LEAST_SHOWN: Final = 0.005


def _shade_stockouts(axes: Any, history: pl.DataFrame) -> None:
    days = history.filter("is_stockout")["event_date"] if "is_stockout" in history.columns else pl.Series([])
    if len(days):
        axes.bar(
            days, 1.0, width=1.0, color=_BAND_COLOURS["critical"], alpha=0.18, linewidth=0, label="out of stock",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def waterfall_png(steps: pl.DataFrame, value_label: str) -> bytes:
    """Draw how drivers add up: rising and falling bars between totals that stand on the ground.

    Args:
        steps: `name, value, is_total`, in the order of the picture; a total is drawn as it is told, from zero.
        value_label: What the values are, with their unit.
    """
    figure, axes = _axes(value_label)
    laid = _laid_out(steps)
    places = list(range(laid.height))
    colours = [
        _BLUE if row["is_total"] else _BAND_COLOURS["low" if row["value"] >= 0 else "critical"]
        for row in laid.iter_rows(named=True)
    ]
    # Heights without a sign keep the labels above their bars.
    bars = axes.bar(places, laid["value"].abs(), bottom=laid["bottom"], width=0.72, color=colours)
    axes.bar_label(bars, labels=laid["label"].to_list(), color=_INK, fontsize=8, padding=2)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xticks(places, laid["name"].to_list(), fontsize=8)
    axes.margins(y=0.15)
    return _png(figure, axes, legend=False)


def _laid_out(steps: pl.DataFrame) -> pl.DataFrame:
    """Add where each bar stands and what is written above it; what rounds to nothing keeps its decimals."""
    value, is_total = pl.col("value").cast(pl.Float64), pl.col("is_total")
    start = pl.when(is_total).then(0.0).otherwise(pl.col("top") - value)
    labels = [
        f"{height:.2f}" if whole else f"{height:+.2f}" if abs(height) >= _LEAST_SHOWN else f"{height:+.6f}"
        for height, whole in steps.select(value, is_total).iter_rows()
    ]
    return steps.with_columns(_running_top(steps), pl.Series("label", labels, pl.String)).with_columns(
        value=value, bottom=pl.min_horizontal(start, "top")
    )


def _running_top(steps: pl.DataFrame) -> pl.Series:
    """The height reached after each step; a total says where the next one starts."""
    tops: list[float] = []
    for value, is_total in steps.select(pl.col("value").cast(pl.Float64), "is_total").iter_rows():
        tops.append(value if is_total or not tops else tops[-1] + value)
    return pl.Series("top", tops, dtype=pl.Float64)


def node_png(forecast: pl.DataFrame) -> bytes:
    """Draw a node's expected demand and expected sales over the horizon.

    Args:
        forecast: `target_date, forecast_units, expected_sales_units`, sorted by date.
    """
    figure, axes = _axes("units per day")
    _draw_forecast(axes, forecast)
    axes.set_ylim(bottom=0)
    _name_dates(axes)
    return _png(figure, axes)
