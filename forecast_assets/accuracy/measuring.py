"""Measuring one published run on one day: errors by segment and level, as exact sums.

What belongs here: what is compared with what, and how it is summed. What does not: reading stores, or which days are
due.

Expected sales are judged against sales on every row whose sales are known. Quantiles are of demand, so they are judged
only where the shelf is not known to have been empty. Seasonal naive is judged on the same rows as the forecast.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import AT_MOST_COLUMNS, FORECAST_ACCURACY, QUANTILE_COLUMNS, SQUARED_UNITS
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, from_units, publish, to_units
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import PRODUCT, STORE
from forecast_assets.metrics.scores import crps, pinball_losses, share_inside, shares_at_most

SEASON_DAYS: Final = 7
# As far back as seasonal naive looks for the last same weekday that is known.
NAIVE_DAYS: Final = 28
SERIES: Final = ["store_id", "sku_id"]

# What is measured of the two products, besides the names of the series.
READ_OF_FORECASTS: Final = ("demand_class", "forecast_units", "expected_sales_units", *QUANTILE_COLUMNS)
READ_OF_RISKS: Final = ("risk_band", "stockout_probability")

_INTERVALS: Final = ((50, 0.25, 0.75), (80, 0.1, 0.9), (95, 0.025, 0.975))
_ALL: Final = "all"
_COUNTS: Final = (
    "rows", "rows_without_actual", "series", "series_without_actual", "quantile_rows", "risk_rows", "stockout_rows",
)  # fmt: skip
_ERRORS: Final = (
    "sales_units", "expected_sales_units", "forecast_units", "error_units", "absolute_error_units",
    "squared_error_units2", "naive_absolute_error_units",
)  # fmt: skip
_PROBABLE: Final = (
    "pinball_loss_units", *(f"inside_{percent}_rows" for percent, _, _ in _INTERVALS), "expected_stockout_rows",
    "brier_loss", *AT_MOST_COLUMNS, "crps_units",
)  # fmt: skip
_SUMS: Final = (*_COUNTS, *_ERRORS, *_PROBABLE)
_LEVELS: Final = ("product_level", "store_level")


@dataclass(frozen=True)
class DayActuals:
    """What came on one day.

    Attributes:
        sales: `store_id, sku_id, sales_units`; a series without a row is late, not without sales.
        stockouts: `store_id, sku_id, is_stockout`; a series without a row is one of which it is not known.
    """

    sales: pl.DataFrame
    stockouts: pl.DataFrame


def naive_days(prediction_date: date, target_date: date) -> list[date]:
    """Return the days that seasonal naive may repeat, newest first: the target's weekday, up to the prediction date.

    Example:
        >>> naive_days(date(2025, 6, 30), date(2025, 7, 9))[0].isoformat()
        '2025-06-25'
    """
    weeks_ahead = -(-(target_date - prediction_date).days // SEASON_DAYS)
    newest = target_date - timedelta(days=SEASON_DAYS * weeks_ahead)
    return [newest - timedelta(days=back) for back in range(0, NAIVE_DAYS, SEASON_DAYS)]


def measure_run(
    key: RunKey,
    target_date: date,
    forecasts: pl.DataFrame,
    risks: pl.DataFrame,
    naive: pl.DataFrame,
    actuals: DayActuals,
    hierarchy: Hierarchy,
) -> pl.DataFrame:
    """Measure one published run on one day.

    Args:
        key: The run.
        target_date: The day; within the run's horizon.
        forecasts: Rows of contract `forecasts` on that day, sorted by store and SKU.
        risks: Rows of contract `stockout_risks` on that day.
        naive: `store_id, sku_id, naive_units`: seasonal naive forecast; a series without a row counts as none sold.
        actuals: What came on that day.
        hierarchy: The crossed hierarchy of the same series.

    Returns:
        The rows of contract `forecast_accuracy` of the run and day, unsorted.

    Raises:
        InputError: If the hierarchy is not of the series of the forecasts.
    """
    _require_same_series(forecasts, hierarchy)
    rows = _joined(forecasts, risks, naive, actuals, hierarchy)
    scored = rows.select(*_segment_columns(), *SERIES).hstack([*_counts(rows), *_errors(rows), *_probable(rows)])
    finest = [
        _summed(scored, segment).with_columns(
            pl.lit(kind).alias("segment_kind"), pl.lit(PRODUCT).alias("product_level"),
            pl.lit(STORE).alias("store_level"),
        )
        for kind, segment in _segments()
    ]  # fmt: skip
    upper = _upper(rows, hierarchy)
    parts = [frame.select(*_LEVELS, "segment_kind", "segment", *_SUMS) for frame in (*finest, upper)]
    return _identified(key, target_date, pl.concat(parts))


def _require_same_series(forecasts: pl.DataFrame, hierarchy: Hierarchy) -> None:
    found = forecasts.select(SERIES)
    if not found.equals(hierarchy.series.select(SERIES)):
        differing = found.join(hierarchy.series, on=SERIES, how="anti")
        raise InputError(
            f"The forecasts of the day ({found.height} rows) do not line up with the hierarchy "
            f"({hierarchy.series.height} series); only in the forecasts: {first_ten(differing.rows()) or 'none'}.",
            remedy="Measure a run with the hierarchy that it was made with, one row per series, sorted.",
        )


def _joined(
    forecasts: pl.DataFrame, risks: pl.DataFrame, naive: pl.DataFrame, actuals: DayActuals, hierarchy: Hierarchy
) -> pl.DataFrame:
    """One row per series: what was said, what came (null where unknown), and the segments it belongs to."""
    sales = actuals.sales.select(*SERIES, publish(actuals.sales["sales_units"].to_numpy(), "sales_units"))
    repeated = naive.select(*SERIES, publish(naive["naive_units"].to_numpy(), "naive_units"))
    said = forecasts.select(*SERIES, *READ_OF_FORECASTS)
    told = risks.select(*SERIES, *READ_OF_RISKS)
    rows = said
    for other in (told, sales, repeated, actuals.stockouts.select(*SERIES, "is_stockout")):
        rows = rows.join(other, on=SERIES, how="left", validate="1:1", maintain_order="left")
    widest = hierarchy.product_levels[1].members
    return rows.with_columns(
        pl.col("naive_units").fill_null(0).cast(UNITS), pl.Series("product_node", widest, dtype=pl.String)
    )


def _segments() -> Iterator[tuple[str, str]]:
    """Kinds of segments, and the column that names the segment."""
    yield _ALL, _ALL
    yield "demand_class", "demand_class"
    yield "store", "store_id"
    yield "product_node", "product_node"
    yield "risk_band", "risk_band"


def _segment_columns() -> list[pl.Expr]:
    return [pl.lit(_ALL).alias(_ALL), pl.col("demand_class"), pl.col("product_node"), pl.col("risk_band")]


def _known(rows: pl.DataFrame) -> pl.Series:
    return rows["sales_units"].is_not_null()


def _counts(rows: pl.DataFrame) -> list[pl.Series]:
    known = _known(rows)
    is_rated = rows["stockout_probability"].is_not_null() & rows["is_stockout"].is_not_null()
    flags = {
        "rows": known,
        "rows_without_actual": ~known,
        "series": known,
        "series_without_actual": ~known,
        "quantile_rows": _is_quantile_row(rows),
        "risk_rows": is_rated,
        "stockout_rows": is_rated & rows["is_stockout"].fill_null(value=False),
    }
    return [flag.cast(pl.Int64).alias(name) for name, flag in flags.items()]


def _is_quantile_row(rows: pl.DataFrame) -> pl.Series:
    return _known(rows) & ~rows["is_stockout"].fill_null(value=False)


def _errors(rows: pl.DataFrame) -> list[pl.Series]:
    """Differences of expected sales and sales; nothing where sales are not known."""
    known = pl.col("sales_units").is_not_null()
    # 18 digits would overflow in the squares and in sums.
    wide = [pl.col(name).cast(SQUARED_UNITS) for name in (*_ERRORS[:3], "naive_units")]
    error, missed = (
        pl.col("expected_sales_units") - pl.col("sales_units"),
        pl.col("naive_units") - pl.col("sales_units"),
    )
    differences = rows.select(*wide).with_columns(
        error.alias("error_units"),
        error.abs().alias("absolute_error_units"),
        (error * error).alias("squared_error_units2"),
        missed.abs().alias("naive_absolute_error_units"),
    )
    zero = pl.lit(0).cast(SQUARED_UNITS)
    return differences.select(
        pl.when(known).then(pl.col(name)).otherwise(zero).alias(name) for name in _ERRORS
    ).get_columns()


def _probable(rows: pl.DataFrame) -> list[pl.Series]:
    """Scores of quantiles and probabilities, each row rounded once; nothing where the outcome is not known."""
    judged = _is_quantile_row(rows).to_numpy()
    demand = _floats(rows["sales_units"])[judged]
    quantiles = np.stack([_floats(rows[name])[judged] for name in QUANTILE_COLUMNS], axis=1)
    scores = {
        "pinball_loss_units": pinball_losses(demand, quantiles).sum(axis=1),
        **{f"inside_{percent}_rows": share_inside(demand, quantiles, *levels) for percent, *levels in _INTERVALS},
        **dict(zip(AT_MOST_COLUMNS, shares_at_most(demand, quantiles).T, strict=True)),
        "crps_units": crps(demand, quantiles),
    }
    rated = (rows["stockout_probability"].is_not_null() & rows["is_stockout"].is_not_null()).to_numpy()
    probability, happened = _floats(rows["stockout_probability"])[rated], _floats(rows["is_stockout"])[rated]
    risks = {"expected_stockout_rows": probability, "brier_loss": (probability - happened) ** 2}
    return [
        *(_placed(name, values, judged) for name, values in scores.items()),
        *(_placed(name, values, rated) for name, values in risks.items()),
    ]


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).to_numpy()


def _placed(name: str, values: Floats, where: Bools) -> pl.Series:
    placed = np.zeros(len(where))
    placed[where] = values
    return publish(placed, name).cast(SQUARED_UNITS)


def _summed(scored: pl.DataFrame, segment: str) -> pl.DataFrame:
    """Sum rows by a column; whole numbers and decimals, so that the order of addition does not matter."""
    return scored.group_by(pl.col(segment).alias("segment")).agg(pl.col(*_SUMS).sum())


def _upper(rows: pl.DataFrame, hierarchy: Hierarchy) -> pl.DataFrame:
    """Judge every node above SKU and store: sums of its series whose sales are known, on both sides."""
    known = _known(rows).to_numpy()
    names = (*_ERRORS[:3], "naive_units")
    below = [np.where(known, from_units(rows[name].fill_null(0).cast(UNITS)), 0) for name in names]
    sums = hierarchy.aggregate(np.stack([*below, known.astype(np.int64)], axis=1))
    counted = sums[:, -1]
    nodes = hierarchy.nodes.select(*_LEVELS, "series_count").with_columns(
        *(to_units(np.ascontiguousarray(sums[:, at]), name) for at, name in enumerate(names)),
        pl.Series("series", counted),
    )
    judged = nodes.with_columns(pl.when(pl.col("series") > 0).then(pl.col("sales_units")).alias("sales_units"))
    return _level_sums(judged)


def _level_sums(nodes: pl.DataFrame) -> pl.DataFrame:
    known = _known(nodes).cast(pl.Int64)
    zeros = [pl.lit(0, pl.Int64).alias(name) for name in ("quantile_rows", "risk_rows", "stockout_rows")]
    scored = nodes.select(
        *_LEVELS, "series", (pl.col("series_count") - pl.col("series")).alias("series_without_actual")
    )
    scored = scored.hstack([known.alias("rows"), (1 - known).alias("rows_without_actual"), *_errors(nodes)])
    scored = scored.with_columns(*zeros, *(pl.lit(0).cast(SQUARED_UNITS).alias(name) for name in _PROBABLE))
    sums = scored.group_by(*_LEVELS).agg(pl.col(*_SUMS).sum())
    return sums.with_columns(pl.lit(_ALL).alias("segment_kind"), pl.lit(_ALL).alias("segment"))


def _identified(key: RunKey, target_date: date, sums: pl.DataFrame) -> pl.DataFrame:
    narrow = [pl.col(name).cast(UNITS) for name in (*_ERRORS, *_PROBABLE) if name != "squared_error_units2"]
    return FORECAST_ACCURACY.conform(sums.with_columns(*narrow, *run_and_day(key, target_date)))


def run_and_day(key: RunKey, target_date: date) -> list[pl.Expr]:
    """Return the columns that name the run and the day of a row."""
    return [
        pl.lit(key.cadence).alias("cadence"),
        pl.lit(key.prediction_date, pl.Date).alias("prediction_date"),
        pl.lit(key.model_version).alias("model_version"),
        pl.lit(key.forecast_horizon, pl.Int32).alias("forecast_horizon"),
        pl.lit(key.revision, pl.Int32).alias("revision"),
        pl.lit((target_date - key.prediction_date).days, pl.Int32).alias("step"),
        pl.lit(target_date, pl.Date).alias("target_date"),
    ]
