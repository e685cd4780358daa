"""Which covariates are far from usual on a day, in words: what is told beside the units of the covariates' driver.

What belongs here: names and directions by store and day. What does not: how much each of them adds: the driver is of
all together.
"""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.features.covariates import Covariates
from forecast_assets.features.deviations import from_usual, lately

# Less is nothing to speak of: standard deviations.
_WORTH_TELLING: Final = 0.5
_MOST_NAMES: Final = 2
_WEEK: Final = 7
_DAY: Final = ["store_id", "target_date"]


def covariates_by_store(
    covariates: Covariates, stores: pl.Series, cutoff: date, history_days: int, horizon_days: int
) -> pl.DataFrame:
    """Name the covariates that are far from usual on the days ahead.

    Args:
        covariates: Of some series.
        stores: `store_id` of the same series.
        cutoff: The last observed day.
        history_days: Columns up to and including the cutoff.
        horizon_days: H, days ahead.

    Returns:
        `store_id, target_date, covariate_names`, one row per store and day with something to name, sorted: such as
        `rain above usual`, at most two joined with `and`, the furthest first. Of a covariate without a plan of the day
        its last week is told: `rain above usual lately`.
    """
    if not covariates.names:
        return pl.DataFrame(schema={"store_id": pl.String, "target_date": pl.Date, "covariate_names": pl.String})
    place = pl.DataFrame({"place": covariates.store, "store_id": stores}).unique().cast({"place": pl.Int64})
    told = [_told(covariates, name, history_days, horizon_days) for name in covariates.names]
    rows = pl.concat(told).join(place, on="place")
    far = rows.filter(pl.col("size") >= _WORTH_TELLING).with_columns(
        target_date=pl.lit(cutoff) + pl.duration(days=pl.col("step"))
    )
    return (
        far.sort(*_DAY, pl.col("size").neg(), "words")
        .group_by(_DAY, maintain_order=True)
        .agg(covariate_names=pl.col("words").head(_MOST_NAMES).str.join(" and "))
    )


_SCHEMA: Final = {"place": pl.Int64, "step": pl.Int64, "size": pl.Float64, "words": pl.String}


def _told(covariates: Covariates, name: str, history_days: int, horizon_days: int) -> pl.DataFrame:
    """Return how far a covariate is from usual in each store, by its number, and step, and in words where to."""
    cutoff, ahead = history_days - 1, np.arange(history_days, history_days + horizon_days)
    said = covariates.as_known(name, cutoff, history_days + horizon_days)
    planned, before = from_usual(said, cutoff, ahead), lately(said, cutoff, _WEEK)
    has_plan = ~np.isnan(planned)
    distance: Floats = np.where(has_plan, planned, before)
    place, step = np.nonzero(~np.isnan(distance))
    found = pl.DataFrame(
        {"place": place, "step": step + 1, "distance": distance[place, step], "has_plan": has_plan[place, step]}
    )
    direction = pl.when(pl.col("distance") > 0).then(pl.lit("above")).otherwise(pl.lit("below"))
    when = pl.when("has_plan").then(pl.lit("")).otherwise(pl.lit(" lately"))
    words = pl.format("{} {} usual{}", pl.lit(name), direction, when)
    return found.select("place", "step", size=pl.col("distance").abs(), words=words).cast(pl.Schema(_SCHEMA))
