"""Which rows two runs have in common: the same series and target day, whatever the step.

What belongs here: lining two runs up. What does not: what their numbers are.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.arrays import Rows
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.features.panel import SERIES_KEY


@dataclass(frozen=True)
class CommonRows:
    """N series over C days that two runs forecast.

    Attributes:
        series: `store_id, sku_id`, N rows in order.
        days: C target days, rising.
        rows: [N] place of each series in either run.
        columns: [C] place of each day among the days ahead of either run.
        only: Rows that only the first and only the second run has.
    """

    series: pl.DataFrame
    days: tuple[date, ...]
    rows: tuple[Rows, Rows]
    columns: tuple[Rows, Rows]
    only: tuple[int, int]

    @classmethod
    def of(cls, keys: tuple[RunKey, RunKey], series: tuple[pl.DataFrame, pl.DataFrame]) -> "CommonRows":
        """Line two runs up.

        Args:
            keys: The runs.
            series: `store_id, sku_id` of each, sorted.

        Raises:
            InputError: If they have no row of the same series and day.
        """
        first = max(key.prediction_date for key in keys) + timedelta(days=1)
        last = min(key.prediction_date + timedelta(days=key.forecast_horizon) for key in keys)
        count = max((last - first).days + 1, 0)
        left, right = (each.with_row_index("row") for each in series)
        joined = left.join(right, on=SERIES_KEY, suffix="_second", maintain_order="left")
        if not count or joined.is_empty():
            what = "day" if not count else "series"
            raise InputError(
                f"{keys[0]} and {keys[1]} forecast no {what} in common.",
                remedy=Sentence("Compare runs that look at the same days of the same series; ", Action("runs"),
                                " lists them."),
                before=keys[0],
                after=keys[1],
            )  # fmt: skip
        rows = tuple(joined[name].to_numpy().astype(np.intp) for name in ("row", "row_second"))
        columns = tuple((first - key.prediction_date).days - 1 + np.arange(count) for key in keys)
        only = tuple(
            each.height * key.forecast_horizon - joined.height * count for key, each in zip(keys, series, strict=True)
        )
        return cls(
            joined.select(SERIES_KEY),
            tuple(first + timedelta(days=at) for at in range(count)),
            (rows[0], rows[1]),
            (columns[0], columns[1]),
            (only[0], only[1]),
        )


def require_same_row(first: PredictionId, second: PredictionId) -> date:
    """Return the target day of two predictions of one series and day.

    Raises:
        InputError: If they are of two.
    """
    days = [row.run.prediction_date + timedelta(days=row.step) for row in (first, second)]
    series = [(row.store_id, row.sku_id) for row in (first, second)]
    if series[0] != series[1] or days[0] != days[1]:
        told = " and ".join(f"{sku} in {store} on {day}" for (store, sku), day in zip(series, days, strict=True))
        raise InputError(
            f"These predictions are of {told}: their difference has no causes.",
            remedy="Name two predictions of one SKU, store and target day; a later run has a smaller step for it.",
            first=str(first),
            second=str(second),
        )
    return days[0]
