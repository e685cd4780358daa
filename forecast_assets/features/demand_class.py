"""Demand classes: how a series behaves, from four of its features.

What belongs here: the thresholds, once, so that the feature snapshot and the models agree. What does not: computing the
features, or what a model makes of a class.
"""

from typing import Final

import polars as pl

NEW_DAYS: Final = 28
DEAD_DAYS: Final = 56
INTERVAL_CUT: Final = 1.32
VARIATION_CUT: Final = 0.49


def demand_class(adi: pl.Expr, cv2: pl.Expr, age_days: pl.Expr, days_since_sale: pl.Expr) -> pl.Expr:
    """Return the class of each series, one of `contracts.DEMAND_CLASSES`.

    A series is `new` with fewer than 28 known days, then `dead` without a sale in the last 56, then by the cut points
    of Syntetos, Boylan & Croston (2005, doi:10.1057/palgrave.jors.2601841), which tell where Croston-type estimators
    have the smaller error.

    Args:
        adi: Mean days from one sale to the next, at least 1; null or infinite without sales.
        cv2: Squared coefficient of variation of the sizes of sales; null counts as 0.
        age_days: Known days; null counts as 0.
        days_since_sale: Days since the last sale; null counts as the age.

    Example:
        >>> frame = pl.DataFrame({"adi": [1.0, 4.0], "cv2": [0.2, 0.9], "age": [90, 90], "since": [0, 3]})
        >>> frame.select(demand_class(*map(pl.col, frame.columns))).to_series().to_list()
        ['smooth', 'lumpy']
    """
    age = age_days.fill_null(0)
    sells_often = adi.fill_null(float("inf")) < INTERVAL_CUT
    varies_little = cv2.fill_null(0.0) < VARIATION_CUT
    return (
        pl.when(age < NEW_DAYS)
        .then(pl.lit("new"))
        .when(days_since_sale.fill_null(age) >= DEAD_DAYS)
        .then(pl.lit("dead"))
        .when(sells_often & varies_little)
        .then(pl.lit("smooth"))
        .when(sells_often)
        .then(pl.lit("erratic"))
        .when(varies_little)
        .then(pl.lit("intermittent"))
        .otherwise(pl.lit("lumpy"))
        .alias("demand_class")
    )
