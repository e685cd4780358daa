"""Numbers as text, as Polars expressions: the grammar that all sentences share.

What belongs here: rounding for the eye, signs, percentages, plurals, days and months. What does not: sentences.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats

_WEEKDAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# Sales of this many units a day are told with one decimal, fewer with two.
MANY_UNITS: Final = 5.0
_SMALLEST_TOLD: Final = 0.005
_HUNDRED: Final = 100


def sentence(phrases: Sequence[pl.Expr]) -> pl.Expr:
    """Join the phrases that there are with semicolons."""
    return pl.concat_str(phrases, separator="; ", ignore_nulls=True)


def capitalised(text: pl.Expr) -> pl.Expr:
    """The same text with a capital letter first."""
    return text.str.slice(0, 1).str.to_uppercase() + text.str.slice(1)


def weekday() -> pl.Expr:
    """The day of the week of `target_date`, in the plural."""
    return pl.lit(pl.Series(_WEEKDAYS)).gather(pl.col("target_date").dt.weekday() - 1)


def month() -> pl.Expr:
    """The month of `target_date`."""
    return pl.lit(pl.Series(_MONTHS)).gather(pl.col("target_date").dt.month() - 1)


def sells_many(level: Floats) -> pl.Series:
    """Whether a series with such a level sells enough for one decimal to be fine: the column that `units` reads."""
    return pl.Series("sells_many", np.abs(level) >= MANY_UNITS)


def units(value: pl.Expr) -> pl.Expr:
    """Units with one decimal, or two where little sells, as the column of `sells_many` has it."""
    rounded = pl.when("sells_many").then(value.round(1)).otherwise(value.round(2))
    return pl.when((value > 0) & (value < _SMALLEST_TOLD)).then(pl.lit("under 0.01")).otherwise(rounded.cast(pl.String))


def adds(value: pl.Expr, *, plural: pl.Expr | bool = False) -> pl.Expr:
    """`adds 0.4` or `takes away 0.4`; without the s where ``plural`` is true; null where the value is."""
    if isinstance(plural, bool):
        verb = _verb(value, is_plural=plural)
    else:
        verb = pl.when(plural).then(_verb(value, is_plural=True)).otherwise(_verb(value, is_plural=False))
    return verb + units(value.abs())


def _verb(value: pl.Expr, *, is_plural: bool) -> pl.Expr:
    more, less = ("add ", "take away ") if is_plural else ("adds ", "takes away ")
    return pl.when(value > 0).then(pl.lit(more)).otherwise(pl.lit(less))


def signed(value: pl.Expr) -> pl.Expr:
    """Units with their sign; null where the value is."""
    return pl.when(value > 0).then(pl.lit("+")).otherwise(pl.lit("-")) + units(value.abs())


def plain(value: pl.Expr) -> pl.Expr:
    """A number without a trailing `.0`."""
    return value.cast(pl.String).str.strip_suffix(".0")


def counted(number: pl.Expr, noun: str) -> pl.Expr:
    """`1 day`, `3 days`."""
    return pl.format(f"{{}} {noun}{{}}", plain(number), pl.when(number == 1).then(pl.lit("")).otherwise(pl.lit("s")))


def points(column: str) -> pl.Expr:
    """Whole percentage points."""
    return (pl.col(column) * _HUNDRED).round().cast(pl.Int32)


def percent(share: pl.Expr) -> pl.Expr:
    """A share as a whole percentage; small and large ones are not told as never and always."""
    whole = (share * _HUNDRED).round().cast(pl.Int32)
    return (
        pl.when((whole == 0) & (share > 0))
        .then(pl.lit("under 1%"))
        .when((whole == _HUNDRED) & (share < 1))
        .then(pl.lit("over 99%"))
        .otherwise(pl.format("{}%", whole))
    )


def whole_percent(share: pl.Expr) -> pl.Expr:
    """The size of a change as a whole number of percent; null where it is not finite."""
    size = (share.abs() * _HUNDRED).round()
    return pl.when(size.is_finite()).then(size).cast(pl.Int64, strict=False)
