"""Demand classes: how a series behaves, from six facts about it.

What belongs here: the thresholds, once, so that the feature snapshot and the models agree. What does not: computing the
facts, or what a model makes of a class.
"""

from typing import Final

import polars as pl

NEW_DAYS: Final = 28
DEAD_DAYS: Final = 56
# What sells every day is dead sooner: silent for ten times its usual interval, and for three weeks at least. By chance
# that befalls a series that goes on selling once in twenty thousand times.
SILENT_DAYS: Final = 21
SILENT_INTERVALS: Final = 10.0
# A store that delivers late is late by days, not by a fortnight.
ENDED_DAYS: Final = 14
# Standard deviation of the yearly season's factor: a wave that rises and falls by a seventh of the mean.
SEASON_CUT: Final = 0.1
INTERVAL_CUT: Final = 1.32
VARIATION_CUT: Final = 0.49

_NEVER: Final = pl.lit(0)
_NONE: Final = pl.lit(0.0)


def demand_class(
    adi: pl.Expr,
    cv2: pl.Expr,
    age_days: pl.Expr,
    days_since_sale: pl.Expr,
    days_since_row: pl.Expr = _NEVER,
    season_deviation: pl.Expr = _NONE,
) -> pl.Expr:
    """Return the class of each series, one of `contracts.DEMAND_CLASSES`.

    The first that holds: `ended` if its rows stopped 14 days before the cutoff or earlier; `new` with fewer than 28
    known days; `dead` without a sale in the last 56, or in three weeks that are ten of its usual intervals, while rows
    go on; `seasonal` if its product has shown a strong
    yearly season; otherwise by the cut points of Syntetos, Boylan & Croston (2005, doi:10.1057/palgrave.jors.2601841),
    which tell where Croston-type estimators have the smaller error.

    Args:
        adi: Mean days from one sale to the next, at least 1; null or infinite without sales.
        cv2: Squared coefficient of variation of the sizes of sales; null counts as 0.
        age_days: Known days; null counts as 0.
        days_since_sale: Days since the last sale; null counts as the age. Days out of season may count less.
        days_since_row: Days since the last row of sales, with or without a sale.
        season_deviation: Standard deviation over the year of the factor of the yearly season, 0 where none is known.

    Example:
        >>> frame = pl.DataFrame({"adi": [1.0, 4.0], "cv2": [0.2, 0.9], "age": [90, 90], "since": [0, 3]})
        >>> frame.select(demand_class(*map(pl.col, frame.columns))).to_series().to_list()
        ['smooth', 'lumpy']
    """
    age = age_days.fill_null(0)
    silence = days_since_sale.fill_null(age)
    is_silent = (silence >= SILENT_DAYS) & (silence >= SILENT_INTERVALS * adi.fill_null(float("inf")))
    sells_often = adi.fill_null(float("inf")) < INTERVAL_CUT
    varies_little = cv2.fill_null(0.0) < VARIATION_CUT
    return (
        pl.when(days_since_row >= ENDED_DAYS)
        .then(pl.lit("ended"))
        .when(age < NEW_DAYS)
        .then(pl.lit("new"))
        .when((silence >= DEAD_DAYS) | is_silent)
        .then(pl.lit("dead"))
        .when(season_deviation >= SEASON_CUT)
        .then(pl.lit("seasonal"))
        .when(sells_often & varies_little)
        .then(pl.lit("smooth"))
        .when(sells_often)
        .then(pl.lit("erratic"))
        .when(varies_little)
        .then(pl.lit("intermittent"))
        .otherwise(pl.lit("lumpy"))
        .alias("demand_class")
    )
