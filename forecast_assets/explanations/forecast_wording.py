"""A forecast in words for a planner, as Polars expressions.

What belongs here: sentences and what is worth saying. What does not: any number that is not in the row already.

Phrases are null where there is nothing to say. What rounds to nothing, or is under two percent of the usual day, is
left out of the words; the exact driver is in its column. Percentages are of what the effect is applied to: that of the
weekday is of level and trend, that of the season of those, the weekday, paydays and the time of month, as the
statistical family's drivers were taken apart. Learned models do not apply one effect on top of another, so theirs are
told in units alone.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from forecast_assets.core.arrays import Floats
from forecast_assets.explanations.phrases import (
    MANY_UNITS,
    adds,
    counted,
    month,
    sentence,
    signed,
    units,
    weekday,
    whole_percent,
)
from forecast_assets.models.external.artifact import EXTERNAL_MODEL

# Columns of strings, dates and flags that the words read, with their types; the rest are floats.
FACT_TYPES: Final = {
    "demand_class": pl.String,
    "model_version": pl.String,
    "model_used": pl.String,
    "last_day": pl.Date,
    "borrowed_from": pl.String,
    "is_promotion_planned": pl.Boolean,
    "follows_last_year": pl.Boolean,
    "event_names": pl.String,
    "payday_names": pl.String,
    "covariate_names": pl.String,
    "node_name": pl.String,
    "override_words": pl.String,
    "age_days": pl.Float64,
    "days_since_sale_days": pl.Float64,
    "planned_price_ratio": pl.Float64,
    "node_gap_share": pl.Float64,
}
# Names of learned models, and of their combinations with others, begin so.
LEARNED: Final = "LightGBM"
# Models of new series that stand on their parents have names that begin so.
BORROWED: Final = "BorrowedLevel"

OVERRIDE: Final = "override_units"

_WORTH_SAYING: Final = 0.02
_LEAST_MANY: Final = 0.05
_LEAST_FEW: Final = 0.005


def worth_saying(drivers: Mapping[str, Floats]) -> dict[str, pl.Series]:
    """Return the drivers of which something is worth saying in any row, as the columns that `forecast_reason` reads.

    A number that is not worth saying is not there, so that it is not written out either.

    Args:
        drivers: Units of the same rows, by driver, and `level_units`.
    """
    level = np.abs(drivers["level_units"])
    least = np.maximum(np.where(level >= MANY_UNITS, _LEAST_MANY, _LEAST_FEW), _WORTH_SAYING * level)
    # Somebody answers for an override, however small it is.
    is_said = {name: drivers[name] != 0.0 if name == OVERRIDE else np.abs(drivers[name]) >= least for name in _EFFECTS}
    return {
        name: pl.Series(_said(name), pa.array(drivers[name], mask=~rows))
        for name, rows in is_said.items()
        if rows.any()
    }


@cache
def forecast_reason(told: frozenset[str] | None = None, classes: frozenset[str] | None = None) -> pl.Expr:
    """Return the drivers of a forecast in words, still without a capital letter.

    Reads the drivers (`level_units` .. `override_units`, `forecast_units`) as floats, `target_date`, `FACT_TYPES`,
    `days_out_of_stock_28d_share`, the columns of `worth_saying` and that of `sells_many`.

    Args:
        told: Drivers of which something is worth saying; all if left out. For a few rows Polars takes longer to plan
            the sentence on others than to write these.
        classes: Demand classes that there are, likewise.
    """
    nothing = pl.when(pl.col("forecast_units") == 0).then(pl.lit("no demand is expected"))
    effects = [phrase() for driver, phrase in _EFFECTS.items() if told is None or driver in told]
    return sentence([nothing, *_states(classes), _level(), *effects])


def _states(classes: frozenset[str] | None) -> list[pl.Expr]:
    """What kind of series it is, where that explains the number: a phrase for each such class that there is."""
    kinds = {"ended": _ended, "dead": _quiet, "new": _new}
    return [
        pl.when(pl.col("demand_class") == kind).then(phrase())
        for kind, phrase in kinds.items()
        if classes is None or kind in classes
    ]


def _ended() -> pl.Expr:
    return pl.coalesce(pl.format("ended: no rows since {}", pl.col("last_day").cast(pl.String)), pl.lit("ended"))


def _quiet() -> pl.Expr:
    return pl.coalesce(
        pl.format("no sale in {}", counted(pl.col("days_since_sale_days"), "day")),
        pl.format("no sale in the {} known", counted(pl.col("age_days"), "day")),
        pl.lit("no sale for long"),
    )


def _new() -> pl.Expr:
    known = pl.coalesce(pl.format("new, {} known", counted(pl.col("age_days"), "day")), pl.lit("new"))
    lender = pl.when(pl.col("model_used").str.starts_with(BORROWED)).then(pl.col("borrowed_from"))
    return pl.coalesce(pl.format("{}: borrowed from {} and from its other stores", known, lender), known)


def _level() -> pl.Expr:
    level = units(pl.col("level_units"))
    is_rare = pl.col("demand_class").is_in(["intermittent", "lumpy"])
    return (
        pl.when(pl.col("level_units") <= 0)
        .then(None)
        .when(pl.col("model_used") == EXTERNAL_MODEL)
        .then(pl.format("made elsewhere ({}): {} units", pl.col("model_version"), level))
        .when(is_rare)
        .then(pl.format("sells on few days, {} a day on average", level))
        .otherwise(pl.format("the usual day sells {}", level))
    )


def _weekday() -> pl.Expr:
    return _compared(
        "weekday_units", weekday() + pl.lit(" sell"), pl.lit("the week's mean"), ("level_units", "trend_units")
    )


def _season() -> pl.Expr:
    below = ("level_units", "trend_units", "weekday_units", "payday_units", "time_of_month_units")
    year = pl.lit("the year's mean")
    usual = pl.when("follows_last_year").then(pl.lit("the last weeks, as last year")).otherwise(year)
    return _compared("season_units", month() + pl.lit(" sells"), usual, below)


def _compared(column: str, subject: pl.Expr, usual: pl.Expr, below: tuple[str, ...]) -> pl.Expr:
    base = pl.sum_horizontal(below)
    share = pl.when(base > 0).then(whole_percent(pl.col(column) / base))
    size = pl.coalesce(pl.format("{}% ", share), pl.lit(""))
    direction = pl.when(pl.col(column) > 0).then(pl.lit("more")).otherwise(pl.lit("less"))
    in_units = pl.format(" ({})", signed(pl.col(_said(column))))
    compared = (
        pl.when(pl.col("model_used").str.starts_with(LEARNED))
        .then(direction)
        .otherwise(pl.concat_str(size, direction, pl.lit(" than "), usual))
    )
    return pl.concat_str(subject, pl.lit(" "), compared, in_units)


def _paydays() -> pl.Expr:
    names = pl.col("payday_names")
    plural = names.str.contains(" and ", literal=True).fill_null(value=True)
    return _driver("payday_units", pl.coalesce(names, pl.lit("paydays")), plural=plural)


def _price() -> pl.Expr:
    ratio = pl.col("planned_price_ratio")
    change = whole_percent(ratio - 1)
    direction = pl.when(ratio < 1).then(pl.lit("below")).otherwise(pl.lit("above"))
    subject = (
        pl.when(ratio.is_null())
        .then(pl.lit("a price as in recent weeks"))
        .when(change == 0)
        .then(pl.lit("the price"))
        .otherwise(pl.format("a price {}% {} list", change, direction))
    )
    return _driver("price_units", subject)


def _promotion() -> pl.Expr:
    is_known = pl.col("is_promotion_planned").is_not_null()
    subject = pl.when(is_known).then(pl.lit("the promotion")).otherwise(pl.lit("promoting as in recent weeks"))
    return _driver("promotion_units", subject)


def _event() -> pl.Expr:
    names = pl.col("event_names")
    without = (
        pl.when(pl.col("forecast_units") == 0).then(pl.lit("a closed store")).otherwise(pl.lit("a calendar event"))
    )
    return _driver("event_units", pl.coalesce(names, without), plural=names.str.contains(" and ", literal=True))


def _covariates() -> pl.Expr:
    """All covariates together: which of them are far from usual is told beside, not how much each adds."""
    subject = pl.coalesce(pl.format("covariates ({})", pl.col("covariate_names")), pl.lit("covariates"))
    return _driver("covariates_units", subject, plural=True)


def _relatives() -> pl.Expr:
    subject = pl.lit("recent sales of its relatives (the product elsewhere, its store and category)")
    return _driver("relatives_units", subject, plural=True)


def _availability() -> pl.Expr:
    """What the model makes of recent stock-outs; whether there were any is told only where it is known."""
    share = pl.col("days_out_of_stock_28d_share")
    subject = (
        pl.when(share > 0)
        .then(pl.lit("recent days without stock"))
        .when(share == 0)
        .then(pl.lit("having been in stock lately"))
        .otherwise(pl.lit("recent availability"))
    )
    return _driver("availability_units", subject, plural=share > 0)


def _reconciliation() -> pl.Expr:
    gap = pl.col("node_gap_share")
    direction = pl.when(gap > 0).then(pl.lit("above")).otherwise(pl.lit("below"))
    why = pl.format(
        " ({} by itself is forecast {}% {} the sum of its parts)", pl.col("node_name"), whole_percent(gap), direction
    )
    moved = _driver("reconciliation_units", pl.lit("adding up with the levels above"))
    return moved + pl.coalesce(why, pl.lit(""))


def _override() -> pl.Expr:
    """Who says so, what and why, then the units."""
    return pl.format("{} ({})", pl.coalesce("override_words", pl.lit("an override")), signed(pl.col(_said(OVERRIDE))))


def _driver(column: str, subject: pl.Expr, *, plural: pl.Expr | bool = False) -> pl.Expr:
    return pl.concat_str(subject, pl.lit(" "), adds(pl.col(_said(column)), plural=plural))


def _said(driver: str) -> str:
    """Name of the column with units of a driver as `worth_saying` has them."""
    return f"said {driver}"


# What there is to say of each driver, in the order in which it is said.
_EFFECTS: Final[Mapping[str, Callable[[], pl.Expr]]] = {
    "trend_units": lambda: _driver("trend_units", pl.lit("the trend")),
    "weekday_units": _weekday,
    "payday_units": _paydays,
    "time_of_month_units": lambda: _driver("time_of_month_units", pl.lit("the time of month")),
    "season_units": _season,
    "price_units": _price,
    "promotion_units": _promotion,
    "event_units": _event,
    "covariates_units": _covariates,
    "relatives_units": _relatives,
    "availability_units": _availability,
    "reconciliation_units": _reconciliation,
    OVERRIDE: _override,
}
