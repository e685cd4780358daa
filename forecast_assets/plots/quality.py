"""Pictures of how good a version is: errors by segment and by day ahead, over time, intervals and risk.

What belongs here: drawing measured errors. What does not: measuring.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from forecast_assets.plots.canvas import (
    BAND_COLOURS,
    BLUE,
    FAINT,
    INK,
    LINE_COLOURS,
    MARKER,
    SMALL,
    VERMILION,
    literal,
    name_dates,
    new_axes,
    png_bytes,
    two_axes,
)

# More lines than this cannot be told apart.
_MOST_LINES: Final = len(LINE_COLOURS)
# More segments than this do not fit a picture.
_MOST_SEGMENTS: Final = 40
_SEGMENT_HEIGHT: Final = 0.24
_RUNS: Final = ["model_version", "forecast_horizon", "revision"]
_OWN: Final = "version"
_NAIVE: Final = "seasonal_naive"
_LOOKS: Final = (
    {"color": BLUE, "marker": "o", "markersize": 8},
    {"color": FAINT, "marker": "s", "markersize": 6},
    {"color": VERMILION, "marker": "D", "markersize": 6},
    {"color": LINE_COLOURS[2], "marker": "^", "markersize": 7},
)


def evaluation_png(report: pl.DataFrame, metric: str = "wape") -> bytes:
    """Draw one metric over all rows and by demand class, beside seasonal naive.

    Args:
        report: Contract `evaluation_reports`.
        metric: Name of the metric; lower is better.
    """
    rows = report.filter(pl.col("metric") == metric, pl.col("segment_kind").is_in(["all", "demand_class"]))
    places = list(range(rows.height))
    figure, axes = new_axes(_metric_name(metric))
    ours, naive = (rows[name].fill_null(0) * _scale(metric) for name in ("value", "baseline_value"))
    axes.bar([p - 0.2 for p in places], ours, width=0.38, color=BLUE, label="this version")
    axes.bar([p + 0.2 for p in places], naive, width=0.38, color=FAINT, label="seasonal naive")
    axes.set_xticks(places, [f"{name}\n{count:,} rows" for name, count in rows.select("segment", "rows").iter_rows()])
    return png_bytes(figure, axes)


def error_by_segment_png(report: pl.DataFrame, metric: str = "wape", *, title: str = "") -> bytes:
    """Draw one metric of every segment, one mark per method: the further apart the marks, the more a method gains.

    Args:
        report: `segment_kind, segment, metric, rows` and `value`, with either `method` (one row per method) or
            `baseline_value` (of seasonal naive, as in contract `evaluation_reports`). Days ahead are left out:
            `error_by_step_png` draws them. Of more segments than fit the ones with the most rows are drawn.
        metric: Name of the metric.
        title: What the picture is of.
    """
    said = _metric_rows(report, metric).filter(~pl.col("segment_kind").is_in(["step", "day_ahead"]))
    places = _places(said)
    figure, axes = new_axes("", height=1.2 + _SEGMENT_HEIGHT * places.height)
    for look, (name, rows) in zip(_LOOKS, _methods(said), strict=False):
        marks = rows.join(places, on=["segment_kind", "segment"])
        axes.plot(marks["value"], marks["place"], linestyle="none", label=name, **look)
    names = places.select("segment_kind", "segment", "rows").iter_rows()
    axes.set_yticks(places["place"], [literal(_segment_name(*name)) for name in names], fontsize=SMALL)
    axes.set_ylim(max(places.height, 1) - 0.5, -0.5)
    axes.set_xlabel(_metric_name(metric), color=INK, fontsize=9)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.7)
    if said["value"].min() is not None and said["value"].min() >= 0:  # type: ignore[operator]
        axes.set_xlim(left=0)
    else:
        axes.axvline(0, color=INK, linewidth=0.8)
    return png_bytes(figure, axes, title=title)


def error_by_step_png(report: pl.DataFrame, metric: str = "wape", *, title: str = "") -> bytes:
    """Draw one metric by days ahead, one line per method.

    Args:
        report: As for `error_by_segment_png`; only rows of `segment_kind` `day_ahead` are read.
        metric: Name of the metric.
        title: What the picture is of.
    """
    said = _metric_rows(report, metric).filter(pl.col("segment_kind") == "day_ahead")
    figure, axes = new_axes(_metric_name(metric))
    for look, (name, rows) in zip(_LOOKS, _methods(said), strict=False):
        steps = rows.with_columns(pl.col("segment").cast(pl.Int32)).sort("segment")
        axes.plot(steps["segment"], steps["value"], label=name, **{**look, "markersize": 4})
    axes.set_xlabel("days ahead", color=INK, fontsize=9)
    axes.axhline(0, color=INK, linewidth=0.8)
    return png_bytes(figure, axes, title=title)


def _metric_rows(report: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Known values of a metric in the unit of the picture, one row per segment and method."""
    rows = report.filter(pl.col("metric") == metric)
    if "method" not in rows.columns:
        naive = rows.with_columns(method=pl.lit(_NAIVE), value="baseline_value")
        rows = pl.concat([rows.with_columns(method=pl.lit(_OWN)), naive])
    known = rows.select("segment_kind", "segment", "method", "value", "rows").drop_nulls("value")
    return known.with_columns(pl.col("value") * _scale(metric))


def _methods(said: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name and rows of each method: the version itself, seasonal naive, and the others as they come."""
    first = [name for name in (_OWN, _NAIVE) if name in said["method"]]
    others = [name for name in said["method"].unique(maintain_order=True) if name not in first]
    for name in [*first, *others]:
        yield ("this version" if name == _OWN else name.replace("_", " ")), said.filter(pl.col("method") == name)


def _places(said: pl.DataFrame) -> pl.DataFrame:
    """Segments in the order of the report with their place, from the top."""
    segments = said.group_by("segment_kind", "segment", maintain_order=True).agg(pl.col("rows").max())
    largest = pl.col("rows").rank("ordinal", descending=True) <= _MOST_SEGMENTS
    return segments.filter(largest).with_row_index("place")


def _segment_name(kind: str, segment: str, rows: int) -> str:
    name = segment if kind == segment else f"{kind.replace('_', ' ')}: {segment}"
    return f"{name} ({rows:,} rows)"


def _metric_name(metric: str) -> str:
    """Abbreviations in capitals, words as words, and the unit of what is drawn as a percentage."""
    name = metric.replace("_", " ") if "_" in metric or metric in _WORDS else metric.upper()
    return f"{name} (% of sales)" if metric in _OF_SALES else name


def _scale(metric: str) -> float:
    """What stored ratios are multiplied by to be drawn."""
    return 100.0 if metric in _OF_SALES else 1.0


_WORDS: Final = ("bias", "brier", "coverage", "stability")
_OF_SALES: Final = ("wape", "bias")


def accuracy_by_step_png(accuracy: pl.DataFrame) -> bytes:
    """Draw WAPE beside seasonal naive's, and bias, by days ahead; one line per kind of run.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, (left, right) = two_axes("WAPE (% of sales)", "bias (% of sales)")
    sums = _accuracy_sums(accuracy, "step")
    for colour, name, rows in _lines(sums):
        left.plot(rows["step"], rows["wape"] * 100, color=colour, label=name, **MARKER)
        right.plot(rows["step"], rows["bias"] * 100, color=colour, label=name, **MARKER)
    naive = _ratios(_summed_units(_all_rows(accuracy), ["step"]))
    left.plot(naive["step"], naive["naive_wape"] * 100, color=FAINT, linestyle="--", label="seasonal naive")
    right.axhline(0, color=INK, linewidth=0.8)
    left.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("days ahead", color=INK, fontsize=9)
    _caption(left, right)
    return png_bytes(figure)


def accuracy_over_days_png(accuracy: pl.DataFrame) -> bytes:
    """Draw WAPE by target date beside seasonal naive's; one line per kind of run.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, axes = new_axes("WAPE (% of sales)")
    for colour, name, rows in _lines(_accuracy_sums(accuracy, "target_date")):
        axes.plot(rows["target_date"], rows["wape"] * 100, color=colour, label=name, **MARKER)
    naive = _ratios(_summed_units(_all_rows(accuracy), ["target_date"]))
    axes.plot(naive["target_date"], naive["naive_wape"] * 100, color=FAINT, linestyle="--", label="seasonal naive")
    name_dates(axes)
    axes.set_ylim(bottom=0)
    return png_bytes(figure, axes)


def coverage_and_reliability_png(accuracy: pl.DataFrame) -> bytes:
    """Draw how often intervals held, and how often stock-outs came of each risk band, beside what was said.

    Args:
        accuracy: Contract `forecast_accuracy`.
    """
    figure, (left, right) = two_axes("rows inside the interval (%)", "days with a stock-out (%)")
    _draw_coverage(left, _all_rows(accuracy))
    bands = accuracy.filter(pl.col("segment_kind") == "risk_band", pl.col("risk_rows") > 0)
    rows = _summed_floats(bands, ["segment"], ["expected_stockout_rows", "stockout_rows", "risk_rows"])
    right.plot([0, 100], [0, 100], color=FAINT, linewidth=0.8, linestyle=":")
    for band, said, came, count in rows.iter_rows():
        share = 100 * came / count
        right.plot(100 * said / count, share, "o", color=BAND_COLOURS[band], markersize=9, markeredgecolor=INK)
        right.annotate(f"{band}\n{count:,.0f} rows", (100 * said / count, share), (9, -4), fontsize=SMALL, color=INK,
                       textcoords="offset points")  # fmt: skip
    right.set_xlabel("mean stock-out probability (%)", color=INK, fontsize=9)
    right.set_xlim(0, 105)
    right.set_ylim(0, 105)
    return png_bytes(figure)


def _draw_coverage(axes: Any, rows: pl.DataFrame) -> None:
    percents = (50, 80, 95)
    judged = max(int(rows["quantile_rows"].sum()), 1)
    shares = [100 * float(rows[f"inside_{percent}_rows"].sum()) / judged for percent in percents]
    places = list(range(len(percents)))
    bars = axes.bar(places, shares, width=0.55, color=BLUE)
    axes.bar_label(bars, labels=[f"{share:.0f}" for share in shares], color=INK, fontsize=9, padding=2)
    for place, percent in zip(places, percents, strict=True):
        axes.plot([place - 0.4, place + 0.4], [percent, percent], color=VERMILION, linewidth=1.8)
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
    for colour, rows in zip(LINE_COLOURS, kinds, strict=False):
        version, horizon, revision = rows.select(_RUNS).row(0)
        yield colour, f"{version}, {horizon} days" + (f", r{revision}" if revision else ""), rows


def _caption(left: Any, right: Any) -> None:
    """One legend for both, below what it explains."""
    left.legend(loc="lower left", frameon=False, fontsize=SMALL)
    right.margins(y=0.2)
