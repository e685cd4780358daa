"""Pictures of why: the drivers of one day as a waterfall, and those of all days ahead as bars on the usual day.

What belongs here: drawing drivers that add up. What does not: their sizes, or their words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from forecast_assets.plots.canvas import (
    BLUE,
    FALLING,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RISING,
    SKY,
    SMALL,
    VERMILION,
    YELLOW,
    floats,
    name_dates,
    new_axes,
    png_bytes,
)

LEVEL: Final = "level_units"
# What a planner calls each driver, in the order in which they are drawn.
DRIVER_NAMES: Final[Mapping[str, str]] = {
    LEVEL: "usual day",
    "trend_units": "trend",
    "weekday_units": "weekday",
    "payday_units": "paydays",
    "time_of_month_units": "time of month",
    "season_units": "time of year",
    "price_units": "price",
    "promotion_units": "promotion",
    "event_units": "event",
    "covariates_units": "covariates",
    "relatives_units": "relatives",
    "availability_units": "availability",
    "rounding_units": "rounding",
    "reconciliation_units": "levels above",
    "override_units": "override",
}
_COLOURS: Final[Mapping[str, str]] = {
    "trend_units": YELLOW,
    "weekday_units": SKY,
    "season_units": GREEN,
    "price_units": VERMILION,
    "promotion_units": PURPLE,
    "event_units": ORANGE,
    "relatives_units": BLUE,
}
# Drivers without a colour of their own are told apart by their hatching.
_HATCHES: Final[Mapping[str, str]] = {
    "payday_units": "\\\\\\", "time_of_month_units": "---", "covariates_units": "ooo",
    "availability_units": "///", "reconciliation_units": "...", "override_units": "xxx",
}  # fmt: skip
# More colours than this cannot be told apart in narrow bars.
_MOST_DRIVERS: Final = 6
# What is left free above the highest bar, of the height of all.
_ROOM: Final = 0.08
# So many names side by side need smaller letters.
_MANY_STEPS: Final = 12
# Smaller values are written with all their decimals.
_LEAST_SHOWN: Final = 0.005


def driver_steps(explanation: Mapping[str, Any]) -> pl.DataFrame:
    """Lay the drivers of one day out as a waterfall: from the usual day to expected demand, and on to expected sales.

    Args:
        explanation: One row of contract `forecast_explanations` by column. A column that an earlier release did not
            write counts as zero.

    Returns:
        `name, value, is_total` for `waterfall_png`, values in units; drivers of exactly zero are left out, but for the
        usual day, which the others start from.
    """
    drivers = [(name, explanation.get(name) or 0) for name in DRIVER_NAMES]
    steps = [
        *((DRIVER_NAMES[name], value, name == LEVEL) for name, value in drivers if value or name == LEVEL),
        ("expected demand", explanation["forecast_units"], True),
        ("lost sales", explanation["stock_units"], False),
        ("expected sales", explanation["expected_sales_units"], True),
    ]
    return pl.DataFrame(
        [(name, float(value), is_total) for name, value, is_total in steps],
        schema={"name": pl.String, "value": pl.Float64, "is_total": pl.Boolean},
        orient="row",
    )


def drivers_png(explanations: pl.DataFrame, *, title: str = "") -> bytes:
    """Draw why one series is forecast what it is: one day as a waterfall, several as bars that stand on the usual day.

    What adds stands on the line of the usual day, what takes away hangs from it; their balance is expected demand. The
    largest drivers have colours of their own, which are the same in every picture; the rest are drawn as one.

    Args:
        explanations: Rows of contract `forecast_explanations` of one series, sorted by step.
        title: What the picture is of.
    """
    if explanations.height == 1:
        return waterfall_png(driver_steps(explanations.row(0, named=True)), "units", title=title)
    figure, axes = new_axes("units per day")
    days, level = explanations["target_date"], explanations[LEVEL].cast(pl.Float64)
    lowest, highest = _draw_bars(axes, days, level, _bars(explanations))
    axes.step(days, level, where="mid", color=INK, linewidth=1.0, label=DRIVER_NAMES[LEVEL])
    axes.plot(
        days, floats(explanations, "forecast_units"), color=INK, linestyle="none", marker="D", markersize=4,
        markerfacecolor="white", label="expected demand",
    )  # fmt: skip
    room = _ROOM * (highest - lowest)
    axes.set_ylim(lowest - room if lowest < 0 else 0, highest + (room or 1.0))
    name_dates(axes)
    return png_bytes(figure, axes, title=title)


def _bars(explanations: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the effects by driver, in units; the largest by themselves in their fixed order, the rest as `other`."""
    names = [name for name in DRIVER_NAMES if name != LEVEL and name in explanations.columns]
    effects = {name: explanations[name].cast(pl.Float64) for name in names}
    sizes = {name: values.abs().sum() for name, values in effects.items()}
    seen = sorted((name for name in names if sizes[name] >= _LEAST_SHOWN), key=lambda name: -sizes[name])
    largest, rest = seen[:_MOST_DRIVERS], seen[_MOST_DRIVERS:]
    bars = {name: effects[name] for name in names if name in largest}
    return {**bars, "other": explanations.select(_total(rest)).to_series()} if rest else bars


def _total(names: Sequence[str]) -> pl.Expr:
    return pl.sum_horizontal(pl.col(name).cast(pl.Float64) for name in names)


def _draw_bars(axes: Any, days: pl.Series, level: pl.Series, bars: Mapping[str, pl.Series]) -> tuple[float, float]:
    """Draw effects onto the level; return the lowest and the highest value of the picture, the ground included."""
    upper, lower = level, level
    for name, values in bars.items():
        rising, falling = values.clip(lower_bound=0), values.clip(upper_bound=0)
        look = {"color": _COLOURS.get(name, PALE), "hatch": _HATCHES.get(name), "edgecolor": "white", "linewidth": 0.3}
        if name in _HATCHES:
            look["edgecolor"] = INK
        bottom = upper.zip_with(values >= 0, lower)
        axes.bar(days, values, bottom=bottom, width=0.8, label=DRIVER_NAMES.get(name, name), **look)
        upper, lower = upper + rising, lower + falling
    heights = [*upper, *lower, 0.0]
    return min(heights), max(heights)


def waterfall_png(steps: pl.DataFrame, value_label: str, *, title: str = "") -> bytes:
    """Draw how drivers add up: rising and falling bars between totals that stand on the ground.

    Args:
        steps: `name, value, is_total`, in the order of the picture; a total is drawn as it is told, from zero.
        value_label: What the values are, with their unit.
        title: What the picture is of.
    """
    figure, axes = new_axes(value_label)
    laid = _laid_out(steps)
    places = list(range(laid.height))
    colours = [
        BLUE if row["is_total"] else RISING if row["value"] >= 0 else FALLING for row in laid.iter_rows(named=True)
    ]
    # Heights without a sign keep the labels above their bars.
    bars = axes.bar(places, laid["value"].abs(), bottom=laid["bottom"], width=0.72, color=colours)
    axes.bar_label(bars, labels=laid["label"].to_list(), color=INK, fontsize=SMALL, padding=2)
    axes.axhline(0, color=INK, linewidth=0.8)
    size = SMALL if laid.height < _MANY_STEPS else SMALL - 1
    axes.set_xticks(places, [name.replace(" ", "\n") for name in laid["name"]], fontsize=size)
    axes.margins(y=0.15)
    return png_bytes(figure, title=title)


def _laid_out(steps: pl.DataFrame) -> pl.DataFrame:
    """Add where each bar stands and what is written above it; what rounds to nothing keeps its decimals."""
    value, is_total = pl.col("value").cast(pl.Float64), pl.col("is_total")
    start = pl.when(is_total).then(0.0).otherwise(pl.col("top") - value)
    labels = [_label(height, is_total=whole) for height, whole in steps.select(value, is_total).iter_rows()]
    return steps.with_columns(_running_top(steps), pl.Series("label", labels, pl.String)).with_columns(
        value=value, bottom=pl.min_horizontal(start, "top")
    )


def _label(height: float, *, is_total: bool) -> str:
    if is_total:
        return f"{height:.2f}"
    if height == 0:
        return "0"
    return f"{height:+.2f}" if abs(height) >= _LEAST_SHOWN else f"{height:+.6f}"


def _running_top(steps: pl.DataFrame) -> pl.Series:
    """The height reached after each step; a total says where the next one starts."""
    tops: list[float] = []
    for value, is_total in steps.select(pl.col("value").cast(pl.Float64), "is_total").iter_rows():
        tops.append(value if is_total or not tops else tops[-1] + value)
    return pl.Series("top", tops, dtype=pl.Float64)
