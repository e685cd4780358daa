"""What can be said of series when neither the model nor a published row answers: by rule, and by a safety figure.

What belongs here: plain rules on what was last observed. What does not: deciding when they answer (`predicting`).

By rule a day sells what the same weekday sold on average in the last four weeks, without days on which the shelf was
empty; stock covers it as long as its sum lasts. Where nothing was observed, only the stock that the caller names is
held against a safety figure. No probability is told: nothing has calibrated these numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.quantities import UNITS
from forecast_assets.features.changes import SeriesChange
from forecast_assets.history import History
from forecast_assets.history.series import past_observations
from resources.stores.home import Stores

RULES: Final = "rules"
SAFETY: Final = "safety"
# Days ahead, counted from the last day that is over.
DAYS_AHEAD: Final = 7
WEEKS_BACK: Final = 4
# With fewer units on the shelf a series is said to be at risk, whatever it sells.
SAFETY_UNITS: Final = 2.0
AT_RISK, COVERED, UNKNOWN = "high", "low", "unknown"
_SERIES: Final = ["store_id", "sku_id"]
_ROW: Final = [*_SERIES, "step", "target_date"]
_FORECASTS: Final = [*_ROW, "forecast_units"]
_RISKS: Final = [*_ROW, "days_of_cover", "risk_band"]


@dataclass(frozen=True)
class RuleAnswer:
    """What is said by rule of k series, sorted by store, SKU and step.

    Attributes:
        served_from: `rules`, or `safety` where nothing is known of any series.
        forecasts: `store_id, sku_id, step, target_date, forecast_units`, null where nothing is known.
        risks: `store_id, sku_id, step, target_date, days_of_cover, risk_band`: `high` where stock does not last until
            the end of the day, or is below the safety figure; else `low`, or `unknown` where nobody knows the stock or
            what sells.
        warnings: What whoever reads it has to know, in sentences.
    """

    served_from: str
    forecasts: pl.DataFrame
    risks: pl.DataFrame
    warnings: tuple[str, ...]


def by_rules(stores: Stores, changes: Sequence[SeriesChange], last_day: date) -> RuleAnswer:
    """Answer by rule, from what is known now; by the safety figure where nothing is.

    Args:
        stores: Where observations are.
        changes: The series, with the stock that the caller knows, if any; nothing else of them is heeded.
        last_day: The last day that is over.
    """
    asked = pl.DataFrame(
        [(*change.series, change.on_hand_units) for change in changes],
        schema={"store_id": pl.String, "sku_id": pl.String, "asked_units": pl.Float64},
        orient="row",
    )
    warnings = [
        "by rule, from the sales of the last weeks: no model, no calibration; of changes only the stock is heeded"
    ]
    try:
        known = _known(stores, asked, last_day)
    except (ForecastAssetsError, OSError) as error:
        warnings = [f"nothing could be read of the series ({type(error).__name__}): only stock that was named counts"]
        known = _KNOWN.clear()
    daily = _daily(known, last_day)
    forecasts = (
        asked.select(_SERIES)
        .join(_days(last_day), how="cross")
        .join(daily, on=[*_SERIES, "weekday"], how="left")
        .with_columns(pl.col("forecast_units").cast(UNITS))
        .select(_FORECASTS)
        .sort(*_SERIES, "step")
    )
    silent = asked.join(daily, on=_SERIES, how="anti")
    if silent.height and daily.height:
        warnings.append(f"nothing is known of the sales of {silent.height} of {asked.height} series")
    return RuleAnswer(
        RULES if daily.height else SAFETY, forecasts, _risks(asked, known, forecasts, last_day), tuple(warnings)
    )


_KNOWN: Final = pl.DataFrame(
    schema={
        "store_id": pl.String, "sku_id": pl.String, "event_date": pl.Date, "sales_units": pl.Float64,
        "on_hand_units": pl.Float64, "is_stockout": pl.Boolean,
    }
)  # fmt: skip


def _known(stores: Stores, asked: pl.DataFrame, last_day: date) -> pl.DataFrame:
    """Return what is known now of the last weeks of series, in the columns of `_KNOWN`."""
    moment = stores.observations.newest_knowledge(last_day)
    history = History(stores.observations, tuple(stores.observations.batches()), last_day, moment)
    since = last_day - timedelta(days=7 * WEEKS_BACK - 1)
    return past_observations(history, asked.select(_SERIES), since).select(
        pl.col(name).cast(kind) for name, kind in _KNOWN.schema.items()
    )


def _daily(known: pl.DataFrame, last_day: date) -> pl.DataFrame:
    """Return what each weekday sells: `store_id, sku_id, weekday, forecast_units`, of series that sold on some day."""
    stocked = known.filter(pl.col("sales_units").is_not_null(), ~pl.col("is_stockout").fill_null(value=False))
    every = stocked.group_by(_SERIES).agg(any_day=pl.col("sales_units").mean())
    of_weekday = stocked.group_by(*_SERIES, weekday=pl.col("event_date").dt.weekday()).agg(
        forecast_units=pl.col("sales_units").mean()
    )
    weekdays = _days(last_day).select("weekday")
    return (
        every.join(weekdays, how="cross")
        .join(of_weekday, on=[*_SERIES, "weekday"], how="left")
        .select(*_SERIES, "weekday", pl.coalesce("forecast_units", "any_day").round(6).alias("forecast_units"))
    )


def _days(last_day: date) -> pl.DataFrame:
    days = [last_day + timedelta(days=step) for step in range(1, DAYS_AHEAD + 1)]
    frame = pl.DataFrame({"step": range(1, DAYS_AHEAD + 1), "target_date": days}, schema_overrides={"step": pl.Int32})
    return frame.with_columns(weekday=pl.col("target_date").dt.weekday())


def _risks(asked: pl.DataFrame, known: pl.DataFrame, forecasts: pl.DataFrame, last_day: date) -> pl.DataFrame:
    stock = known.filter(pl.col("on_hand_units").is_not_null()).sort("event_date").group_by(_SERIES).last()
    sold = forecasts.with_columns(
        pl.col("forecast_units").cast(pl.Float64),
        sold_units=pl.col("forecast_units").cast(pl.Float64).cum_sum().over(_SERIES, order_by="step"),
        usual_units=pl.col("forecast_units").cast(pl.Float64).mean().over(_SERIES),
    )
    units = pl.coalesce("asked_units", "on_hand_units")
    band = (
        pl.when(units < SAFETY_UNITS)
        .then(pl.lit(AT_RISK))
        .when(units.is_null() | pl.col("sold_units").is_null())
        .then(pl.lit(UNKNOWN))
        .when(pl.col("sold_units") > units)
        .then(pl.lit(AT_RISK))
        .otherwise(pl.lit(COVERED))
    )
    cover = pl.when(pl.col("usual_units") > 0).then(units / pl.col("usual_units"))
    return (
        asked.join(_days(last_day), how="cross")
        .join(stock.select(*_SERIES, "on_hand_units"), on=_SERIES, how="left")
        .join(sold.select(*_SERIES, "step", "sold_units", "usual_units"), on=[*_SERIES, "step"], how="left")
        .with_columns(days_of_cover=cover, risk_band=band)
        .select(_RISKS)
        .sort(*_SERIES, "step")
    )
