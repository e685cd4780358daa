"""Reader of FreshRetailNet-50K, daily (Dingdong-Inc 2025, arXiv 2505.16319, CC-BY-4.0).

What belongs here: what the publisher's columns mean in the words of the contracts. What does not: any modelling.

Choices, each where the data leaves one:

- `sale_amount` is not whole units but a scaled amount in thousandths, stored as 32-bit floats: rounding to thousandths
  restores the decimals and loses nothing (six decimals would keep the error of the storage).
- A `discount` of 0 (0.4% of rows) is a giveaway, not an error: the same shelves sell 35 times as much on those days.
  It stays a price ratio of 0 and counts as a promotion.
- `holiday_flag` marks every day off, weekends too. A weekend is a matter of the day of the week, so only a run of days
  off with a day from Monday to Friday in it is the event `holiday`; a Saturday or Sunday that is not off (worked, in
  exchange for a holiday) is the event `working_weekend`.
- Which hours of a day were without stock says more than how many: where the table of hours is there, each day gets the
  share of a usual day's sales that fell into them (``freshretailnet_hours``).
- The weather is what was observed, known at the end of its day: past only, and no forecast of it is at hand. It is
  read where somebody asks for it, since what it adds has not been measured.
- Nothing says when a day's row was known: sales and stock status count as known at the end of their day, prices,
  promotions and events `PLAN_DAYS` days ahead, as the publisher's task has it.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.contracts import (
    ALL_STORES,
    COVARIATES,
    EVENTS,
    PRICES,
    PRODUCT_HIERARCHY,
    SALES,
    STOCK_STATUS,
    STORE_HIERARCHY,
)
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.sources.files import require_folder, scan_parquet
from forecast_assets.sources.freshretailnet_hours import DEMAND_SHARE, HOURLY_FILE, TRADING, with_demand_share

SOURCE: Final = "freshretailnet"
DAILY_FILE: Final = "daily.parquet"
PLAN_FILE: Final = "plan.parquet"
SAMPLE_FILE: Final = "sample_890_series_daily.parquet"
PLAN_DAYS: Final = 14

_TRUST: Final = 0.9
_WEEKEND: Final = 6
_PLACE: Final = {"store_id": pl.Int16, "product_id": pl.Int16, "dt": pl.Date}
_OFFER: Final = {"discount": pl.Float32, "activity_flag": pl.Int8, "holiday_flag": pl.Int8}
_LEVELS: Final = ("management_group", "first_category", "second_category", "third_category")
_DAILY: Final = {
    **_PLACE,
    **_OFFER,
    "city_id": pl.Int16,
    **{f"{level}_id": pl.Int16 for level in _LEVELS},
    "sale_amount": pl.Float32,
    "stock_hour6_22_cnt": pl.Int8,
}
# The weather's columns, by what they are called as covariates.
_WEATHER: Final = {
    "precpt": "precipitation", "avg_temperature": "temperature", "avg_humidity": "humidity", "avg_wind_level": "wind",
}  # fmt: skip
_KEY: Final = ["event_date", "sku_id", "store_id"]


def read_freshretailnet(folder: Path, *, sample: bool = False, weather: bool = False) -> list[Batch]:
    """Read the daily table and, where they exist, the hours of its days and the plan of the days after it.

    Args:
        folder: Holds `daily.parquet` and, if they are known, `hourly.parquet` and `plan.parquet`.
        sample: Read `sample_890_series_daily.parquet` instead; hours and plan, if there, are cut to its series.
        weather: Read the observed weather too.

    Returns:
        Batches of sales, stock status, prices, events and both hierarchies, and of covariates if weather is asked for.

    Raises:
        SourceError: If the folder, the daily file, a column or a type is missing or wrong, or the hours are no hours.
    """
    name = SAMPLE_FILE if sample else DAILY_FILE
    require_folder(folder, [name], "FreshRetailNet-50K, cut to days")
    columns = {**_DAILY, **dict.fromkeys(_WEATHER, pl.Float32)} if weather else _DAILY
    days, hours = scan_parquet(folder / name, columns), folder / HOURLY_FILE
    has_hours = hours.is_file()
    daily = _named(with_demand_share(days.collect(), hours).lazy() if has_hours else days).collect()
    offers = daily.select(*_KEY, *_OFFER)
    if (folder / PLAN_FILE).is_file():
        offers = pl.concat([offers, _plan(folder / PLAN_FILE, daily)])
    frames = {
        "sales": _sales(daily),
        "stock_status": _stock_status(daily),
        "prices": _prices(offers),
        "events": _events(offers),
        "product_hierarchy": _products(daily),
        "store_hierarchy": _stores(daily),
        **({"covariates": _weather(daily)} if weather else {}),
    }
    findings = {"stock_status": _unfit_hours(frames["stock_status"])} if has_hours else {}
    return [
        Batch(feed, SOURCE, _TRUST, timedelta(0), frame, findings=findings.get(feed, ()))
        for feed, frame in frames.items()
    ]


def _named(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Rename the key and sort by it: as numbers, which is quicker than as text and as good for pruning."""
    return (
        frame.sort("dt", "product_id", "store_id")
        .with_columns(pl.col("store_id", "product_id").cast(pl.String))
        .rename({"dt": "event_date", "product_id": "sku_id"})
    )


def _plan(path: Path, daily: pl.DataFrame) -> pl.DataFrame:
    series = daily.lazy().select("sku_id", "store_id").unique()
    plan = _named(scan_parquet(path, {**_PLACE, **_OFFER}))
    is_ahead = pl.col("event_date") > daily["event_date"].max()
    kept = plan.filter(is_ahead).join(series, on=["sku_id", "store_id"], how="semi", maintain_order="left")
    return kept.select(*_KEY, *_OFFER).collect()


def _at_midnight(day: pl.Expr) -> pl.Expr:
    return midnight(day).alias("known_at")


def _at_day_end() -> pl.Expr:
    return _at_midnight(pl.col("event_date") + timedelta(days=1))


def _sales(daily: pl.DataFrame) -> pl.DataFrame:
    units = pl.col("sale_amount").cast(pl.Float64).round(3).alias("sales_units")
    return daily.with_columns(_at_day_end(), units).select(SALES.names)


def _stock_status(daily: pl.DataFrame) -> pl.DataFrame:
    out = pl.col("stock_hour6_22_cnt").cast(pl.Float64).alias("out_of_stock_hours")
    trading = pl.lit(float(len(TRADING))).alias("trading_hours")
    share = pl.col(DEMAND_SHARE) if DEMAND_SHARE in daily.columns else pl.lit(None, pl.Float64).alias(DEMAND_SHARE)
    return daily.with_columns(_at_day_end(), out, trading, share).select(STOCK_STATUS.names)


def _unfit_hours(status: pl.DataFrame) -> tuple[FeedFinding, ...]:
    """Say of how many days the hours are missing or contradict the number of hours without stock."""
    rows = status[DEMAND_SHARE].null_count()
    if rows == 0:
        return ()
    message = f"{HOURLY_FILE} lacks {rows:,} days, or has another number of trading hours without stock on them"
    remedy = "On these days missed demand is taken as spread evenly over the day; give the hours of the same export."
    return (FeedFinding("stock_status", "hours", is_error=False, rows=rows, message=message, remedy=remedy),)


def _prices(offers: pl.DataFrame) -> pl.DataFrame:
    ratio = pl.col("discount").cast(pl.Float64).round(6)
    return offers.with_columns(
        _at_midnight(pl.col("event_date") - timedelta(days=PLAN_DAYS)),
        unit_price=pl.lit(None, dtype=pl.Float64),
        price_ratio=ratio,
        is_promotion=(pl.col("activity_flag") == 1) | (ratio == 0),
    ).select(PRICES.names)


def _events(offers: pl.DataFrame) -> pl.DataFrame:
    """Return holidays and worked weekends; a day joins a holiday when the last day of the run is known."""
    date, is_off = pl.col("event_date"), pl.col("is_off")
    is_weekend = date.dt.weekday() >= _WEEKEND
    starts_run = is_off.ne_missing(is_off.shift()) | date.diff().ne_missing(timedelta(days=1))
    is_holiday = is_off & (~is_weekend).any().over("run")
    is_worked = ~is_off & is_weekend
    settled = pl.when(is_off).then(date.max().over("run")).otherwise(date)
    return (
        offers.group_by("event_date")
        .agg(is_off=pl.col("holiday_flag").max() == 1)
        .sort("event_date")
        .with_columns(run=starts_run.cum_sum())
        .with_columns(
            _at_midnight(settled - timedelta(days=PLAN_DAYS)),
            event_name=pl.when(is_holiday).then(pl.lit("holiday")).when(is_worked).then(pl.lit("working_weekend")),
        )
        .drop_nulls("event_name")
        .with_columns(store_node=pl.lit(ALL_STORES), event_kind=pl.lit(None, pl.String))
        .select(EVENTS.names)
    )


def _weather(daily: pl.DataFrame) -> pl.DataFrame:
    """Return the weather of each store and day as it was observed."""
    by_store = daily.group_by("event_date", "store_id").agg(pl.col([*_WEATHER]).first())
    return (
        by_store.unpivot([*_WEATHER], index=["event_date", "store_id"], variable_name="name", value_name="value")
        .with_columns(
            _at_day_end(),
            pl.col("value").cast(pl.Float64).round(4),
            covariate=pl.col("name").replace_strict(_WEATHER, return_dtype=pl.String),
            store_node="store_id",
        )
        .drop_nulls("value")
        .select(COVARIATES.names)
        .sort("event_date", "covariate", "store_node")
    )


def _products(daily: pl.DataFrame) -> pl.DataFrame:
    memberships = _memberships(daily, "sku_id", _LEVELS)
    return memberships.select(PRODUCT_HIERARCHY.names).sort("event_date", "sku_id", "depth")


def _stores(daily: pl.DataFrame) -> pl.DataFrame:
    memberships = _memberships(daily, "store_id", ("city",))
    return memberships.select(STORE_HIERARCHY.names).sort("event_date", "store_id", "depth")


def _memberships(daily: pl.DataFrame, member: str, levels: tuple[str, ...]) -> pl.DataFrame:
    """Return one row per member and level, from the member's first day on."""
    nodes = [f"{level}_id" for level in levels]
    since = daily.group_by(member, *nodes).agg(pl.col("event_date").min())
    depth = {node: depth for depth, node in enumerate(nodes, start=1)}
    return since.unpivot(on=nodes, index=[member, "event_date"], variable_name="node", value_name="node_id").select(
        member,
        "event_date",
        _at_midnight(pl.col("event_date")),
        pl.col("node").replace_strict(depth, return_dtype=pl.Int32).alias("depth"),
        pl.col("node").str.strip_suffix("_id").alias("level_name"),
        pl.col("node_id").cast(pl.String),
    )
