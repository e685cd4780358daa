"""A stock-out risk in words for a planner, as Polars expressions.

What belongs here: what a risk rests on, said. What does not: any number that is not in the row already.
"""

from functools import cache
from typing import Final

import polars as pl

from forecast_assets.contracts import RISK_METHODS
from forecast_assets.explanations.phrases import counted, percent, plain, points, sentence, weekday

# Columns of a risk, and facts of a series, that the words read; all are floats.
RISK_NUMBERS: Final = (
    "stockout_probability", "days_of_cover", "on_order_probability", "replenishment_probability", "usual_probability",
    "series_probability",
)  # fmt: skip
STOCK_FACTS: Final = ("on_hand_units", "lead_time_days", "days_out_of_stock_28d_share")


@cache
def risk_reason(methods: frozenset[str] = frozenset(RISK_METHODS)) -> pl.Expr:
    """Return what a stock-out risk rests on in words.

    Reads `risk_method`, `stock_units`, `target_date`, `RISK_NUMBERS` and `STOCK_FACTS`, as floats.

    Args:
        methods: Methods that there are: for a few rows Polars takes longer to plan words on others than to write these.
    """
    method = pl.col("risk_method")
    known = {"inventory_position": _inventory_reason, "stock_status": _status_reason}
    told = [pl.when(method == name).then(words()) for name, words in known.items() if name in methods]
    return (
        pl.when(method == "none")
        .then(pl.lit("Unknown: there is neither a stock position nor a record of stock status"))
        .when(pl.col("stockout_probability").is_null())
        .then(pl.lit("Unknown beyond lead time and review: no further orders are declared"))
        .otherwise(pl.coalesce(*told, pl.lit(None, pl.String)))
    )


def _inventory_reason() -> pl.Expr:
    phrases = [
        _stock(),
        _takes_away("on_order_probability", "orders on the way take away"),
        _takes_away("replenishment_probability", "further orders under the policy take away"),
        pl.format("an order takes {}", counted(pl.col("lead_time_days").round(1), "day")),
    ]
    return pl.concat_str(_headline("risk of unmet demand"), sentence(phrases), separator=": ")


def _status_reason() -> pl.Expr:
    own = points("series_probability")
    verb = pl.when(own > 0).then(pl.lit("add")).otherwise(pl.lit("take away"))
    usual = percent(pl.col("usual_probability"))
    phrases = [
        pl.format("{} is usual for this product and store on {}", usual, weekday()),
        pl.when(own != 0).then(pl.format("its own last days and price {} {}", verb, counted(own.abs(), "point"))),
        pl.format("out of stock on {} of the last 28 days", percent(pl.col("days_out_of_stock_28d_share"))),
    ]
    headline = _headline("risk of an empty shelf for part of the day")
    return pl.concat_str(headline, sentence(phrases), separator=": ")


def _headline(risk: str) -> pl.Expr:
    lost = -pl.col("stock_units")
    told = lost.round(2)
    return pl.concat_str(
        percent(pl.col("stockout_probability")),
        pl.lit(f" {risk}"),
        pl.when(told > 0).then(pl.format(" (expected to lose {} units)", told)).otherwise(pl.lit("")),
    )


def _stock() -> pl.Expr:
    on_hand, cover = pl.col("on_hand_units").round(1), pl.col("days_of_cover").round(1)
    amount = (
        pl.when(on_hand.is_null())
        .then(pl.lit("stock on hand lasts"))
        .otherwise(pl.format("{} on hand lasts", plain(on_hand)))
    )
    return (
        pl.when(on_hand == 0)
        .then(pl.lit("nothing on hand"))
        .when(cover.is_null())
        .then(pl.format("{} beyond the horizon", amount))
        .otherwise(pl.format("{} {} at this demand", amount, counted(cover, "day")))
    )


def _takes_away(column: str, phrase: str) -> pl.Expr:
    taken = -points(column)
    return pl.when(taken > 0).then(pl.format(f"{phrase} {{}}", counted(taken, "point")))
