"""Days as moments.

What belongs here: when a day begins. What does not: when a source knows of it (each reader says so itself).
"""

import polars as pl

from forecast_assets.contracts import TIMESTAMP


def midnight(day: pl.Expr) -> pl.Expr:
    """Return the moment at which a day begins, in UTC.

    Example:
        >>> pl.select(midnight(pl.date(2025, 1, 2))).item().isoformat()
        '2025-01-02T00:00:00+00:00'
    """
    return day.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIMESTAMP)
