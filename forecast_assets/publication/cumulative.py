"""What a run would publish of sums over days: demand of each series over its lead time and over the first days.

What belongs here: declared lead times, as known to the run, and assembly in exact decimals. What does not: how periods
are drawn and added up (models.sample_paths.periods), or sums over series.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import (
    COVERING_COLUMNS,
    CUMULATIVE_FORECASTS,
    INVENTORY_POSITIONS,
    PERIODS,
    QUANTILE_COLUMNS,
)
from forecast_assets.core.arrays import Floats, Rows
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, from_units, publish, to_units
from forecast_assets.core.rows import rows_of_run
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history import History
from forecast_assets.models.sample_paths.periods import Periods, Terms, expected

_TERMS: Final = ("lead_time_days", "lead_time_deviation_days", "review_period_days")
READ_OFF: Final = (*QUANTILE_COLUMNS, *COVERING_COLUMNS)


def terms_of(series: pl.DataFrame, history: History) -> Terms | None:
    """Return the lead times and review periods that are declared at the cutoff; None where no series has any.

    Args:
        series: `store_id, sku_id`, n rows, distinct.
        history: The observations behind the run.
    """
    positions = history.feed(INVENTORY_POSITIONS.name, since=history.cutoff)
    if positions is None:
        return None
    at_cutoff = positions.filter(pl.col("event_date") == history.cutoff).select(*SERIES_KEY, *_TERMS).collect()
    aligned = series.select(SERIES_KEY).join(at_cutoff, on=SERIES_KEY, how="left", maintain_order="left")
    terms = Terms(*(aligned[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in _TERMS))
    return None if np.isnan(terms.lead_time_days).all() else terms


def cumulative_frame(
    key: RunKey, forecasts: pl.DataFrame, periods: Periods, read_off: Mapping[str, Floats] | None = None
) -> pl.DataFrame:
    """Sum forecasts over periods.

    Args:
        key: The run.
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
        periods: Of the same n series.
        read_off: By period, [n, 17] units of `PeriodSums.found`; None where nobody knows them.

    Returns:
        `cumulative_forecasts` as its contract says, sorted by store, SKU and period in the order of `PERIODS`.
    """
    means = from_units(forecasts["forecast_units"]).reshape(-1, key.forecast_horizon)
    series, period = np.nonzero(periods.is_given(len(means)))
    units = np.zeros((len(PERIODS), len(means)), dtype=np.int64)
    days = np.zeros((len(PERIODS), len(means)))
    for at, name in enumerate(PERIODS):
        if name in periods.fixed or name in periods.drawn:
            units[at] = expected(periods, name, means)
            days[at] = periods.day_counts(name, len(means)).sum(axis=1) / periods.paths
    rows = forecasts.select(SERIES_KEY)[:: key.forecast_horizon][series].with_columns(
        pl.Series("period", np.array(PERIODS)[period], dtype=pl.String),
        publish(days[period, series], "period_days"),
        to_units(units[period, series], "forecast_units"),
        *_read_off_columns(read_off, series, period),
    )
    return CUMULATIVE_FORECASTS.conform(rows_of_run(key, rows))


def _read_off_columns(read_off: Mapping[str, Floats] | None, series: Rows, period: Rows) -> list[pl.Series | pl.Expr]:
    if read_off is None:
        return [pl.lit(None, UNITS).alias(name) for name in READ_OFF]
    values = np.empty((len(series), len(READ_OFF)))
    for at, name in enumerate(PERIODS):
        if name in read_off:
            values[period == at] = read_off[name][series[period == at]]
    return [publish(values[:, at], name) for at, name in enumerate(READ_OFF)]
