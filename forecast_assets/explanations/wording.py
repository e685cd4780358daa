"""Numbers in words for a planner, as Polars expressions.

What belongs here: sentences and what is worth saying. What does not: any number that is not in the row already.

Phrases are null where there is nothing to say and are joined with semicolons. What rounds to nothing, or is under two
percent of the usual day, is left out of the words; the exact driver is in its column.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

WORD_INPUTS: Final = (
    "stockout_probability", "days_of_cover", "on_order_probability", "replenishment_probability", "usual_probability",
    "series_probability",
)  # fmt: skip

_WEEKDAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_WORTH_SAYING: Final = 0.02
# Sales of this many units a day are told with one decimal, fewer with two.
_MANY_UNITS: Final = 5.0


def forecast_reason() -> pl.Expr:
    """Return the drivers of a forecast in words.

    Reads the drivers (`level_units` .. `override_units`, `forecast_units`) as floats and `target_date`.
    """
    return (
        pl.when(pl.col("forecast_units") == 0)
        .then(pl.lit("No demand is expected"))
        .otherwise(
            _sentence(
                [
                    pl.format("The usual day sells {}", _units("level_units")),
                    _by_weekday(),
                    _driver("trend_units", "trend"),
                    _driver("season_units", "time of year"),
                    _driver("promotion_units", "promotion"),
                    _driver("price_units", "price"),
                    _driver("event_units", "calendar event"),
                    _driver("reconciliation_units", "adding up with other levels"),
                    _driver("override_units", "override"),
                ]
            )
        )
    )


def risk_reason() -> pl.Expr:
    """Return what a stock-out risk rests on in words.

    Reads `risk_method`, `stock_units`, the `WORD_INPUTS` of the risk and the facts of the series, as floats.
    """
    method = pl.col("risk_method")
    return (
        pl.when(method == "none")
        .then(pl.lit("Unknown: there is neither a stock position nor a record of stock status"))
        .when(pl.col("stockout_probability").is_null())
        .then(pl.lit("Unknown beyond lead time and review: no further orders are declared"))
        .when(method == "inventory_position")
        .then(_inventory_reason())
        .otherwise(_status_reason())
    )


def _inventory_reason() -> pl.Expr:
    return pl.concat_str(
        _headline("risk of unmet demand"),
        _sentence(
            [
                _stock(),
                _takes_away("on_order_probability", "orders on the way take away"),
                _takes_away("replenishment_probability", "further orders under the policy take away"),
                _lead_time(),
            ]
        ),
        separator=": ",
    )


def _status_reason() -> pl.Expr:
    own = _points("series_probability")
    return pl.concat_str(
        _headline("risk of an empty shelf for part of the day"),
        _sentence(
            [
                pl.format(
                    "{} is usual for this product and store on {}", _percent(pl.col("usual_probability")), _weekday()
                ),
                pl.when(own > 0)
                .then(pl.format("its own last days and price add {}", _counted(own, "point")))
                .when(own < 0)
                .then(pl.format("its own last days and price take away {}", _counted(-own, "point"))),
                pl.format("out of stock on {} of the last 28 days", _percent(pl.col("days_out_of_stock_28d_share"))),
            ]
        ),
        separator=": ",
    )


def _sentence(phrases: Sequence[pl.Expr]) -> pl.Expr:
    return pl.concat_str(phrases, separator="; ", ignore_nulls=True)


def _headline(risk: str) -> pl.Expr:
    lost = -pl.col("stock_units")
    told = lost.round(2)
    return pl.concat_str(
        _percent(pl.col("stockout_probability")),
        pl.lit(f" {risk}"),
        pl.when(told > 0).then(pl.format(" (expected to lose {} units)", told)).otherwise(pl.lit("")),
    )


def _stock() -> pl.Expr:
    on_hand, cover = pl.col("on_hand_units").round(1), pl.col("days_of_cover").round(1)
    amount = (
        pl.when(on_hand.is_null())
        .then(pl.lit("stock on hand lasts"))
        .otherwise(pl.format("{} on hand lasts", _plain(on_hand)))
    )
    return (
        pl.when(on_hand == 0)
        .then(pl.lit("nothing on hand"))
        .when(cover.is_null())
        .then(pl.format("{} beyond the horizon", amount))
        .otherwise(pl.format("{} {} at this demand", amount, _counted(cover, "day")))
    )


def _lead_time() -> pl.Expr:
    return pl.format("an order takes {}", _counted(pl.col("lead_time_days").round(1), "day"))


def _takes_away(column: str, phrase: str) -> pl.Expr:
    points = -_points(column)
    return pl.when(points > 0).then(pl.format(f"{phrase} {{}}", _counted(points, "point")))


def _points(column: str) -> pl.Expr:
    """Whole percentage points."""
    return (pl.col(column) * 100).round().cast(pl.Int32)


def _percent(share: pl.Expr) -> pl.Expr:
    """A share as a whole percentage; small and large ones are not told as never and always."""
    percent = (share * 100).round().cast(pl.Int32)
    return (
        pl.when((percent == 0) & (share > 0))
        .then(pl.lit("under 1%"))
        .when((percent == 100) & (share < 1))  # noqa: PLR2004
        .then(pl.lit("over 99%"))
        .otherwise(pl.format("{}%", percent))
    )


def _by_weekday() -> pl.Expr:
    level, weekday = pl.col("level_units"), pl.col("weekday_units")
    change = (weekday / level * 100).round().abs()
    direction = pl.when(weekday > 0).then(pl.lit("more")).otherwise(pl.lit("less"))
    by = pl.when(level > 0).then(pl.format("{}% ", change.cast(pl.Int64, strict=False))).otherwise(pl.lit(""))
    phrase = pl.format("{} sell {}{} ({})", _weekday(), by, direction, _signed("weekday_units"))
    return pl.when(_is_worth_saying("weekday_units")).then(phrase)


def _driver(column: str, phrase: str) -> pl.Expr:
    return pl.when(_is_worth_saying(column)).then(pl.format(f"{phrase} {{}}", _signed(column)))


def _is_worth_saying(column: str) -> pl.Expr:
    size = pl.col(column).abs()
    resolution = pl.when(_sells_many()).then(0.05).otherwise(0.005)
    return (size >= resolution) & (size >= _WORTH_SAYING * pl.col("level_units").abs())


def _sells_many() -> pl.Expr:
    return pl.col("level_units").abs() >= _MANY_UNITS


def _units(column: str) -> pl.Expr:
    value = pl.col(column)
    return pl.when(_sells_many()).then(value.round(1)).otherwise(value.round(2)).cast(pl.String)


def _signed(column: str) -> pl.Expr:
    sign = pl.when(pl.col(column) > 0).then(pl.lit("+")).otherwise(pl.lit(""))
    return sign + _units(column)


def _plain(value: pl.Expr) -> pl.Expr:
    """A number without a trailing `.0`."""
    return value.cast(pl.String).str.strip_suffix(".0")


def _weekday() -> pl.Expr:
    return pl.lit(pl.Series(_WEEKDAYS)).gather(pl.col("target_date").dt.weekday() - 1)


def _counted(number: pl.Expr, noun: str) -> pl.Expr:
    return pl.format(f"{{}} {noun}{{}}", _plain(number), pl.when(number == 1).then(pl.lit("")).otherwise(pl.lit("s")))
