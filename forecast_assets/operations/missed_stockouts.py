"""Why an empty shelf was not prevented: what a run counted on until that day, what came, and whose the difference is.

What belongs here: finding empty shelves of days that runs look at, laying out what was published, ordered and said of
one, and putting the units that were missed down to causes by stated rules. What does not: showing it, or the risk
itself (stockout_risk).

The run that is judged is the last one after which an order would have come in time: the newest daily run of the
version whose prediction date is the mean lead time, rounded up, before the day. Over the days after it, the stock that
it counted on and the stock that came are two sides of one balance:

    missed = (demand - published)               the forecast was too low
           + (expected - received)              orders that were counted on came late
           + (published - known - expected)     too little was ordered for what was forecast
           + (known + received - sold - left)   stock that the books had and the shelf did not
           + left                               what is on hand at the end all the same

where demand = sold + missed. It holds exactly, whatever the numbers are, so that no unit is told twice.

- `override`: what an override, or a rule of the policy, took from the model's forecast, as far as that brought it below
  demand: from 0 to demand - published.
- `forecast`: the rest of the first term.
- `order`: the second term, and the third where it is above zero; below zero that is spare stock, which took up some of
  the others.
- `position`: the fourth.

Missed units are put down to these four in proportion to those of them that are above zero.

Demand that met an empty shelf leaves no record. What is taken for it is what a usual day sells beyond the sales of the
day, or in the hours without stock where these are known. A usual day is the mean of the same weekday on the days with
stock of the eight weeks before: it does not rest on the forecast that is judged, and knows nothing of promotions and
events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import (
    FORECAST_OVERRIDES,
    FORECASTS,
    INVENTORY_POSITIONS,
    PURCHASE_ORDERS,
    STOCKOUT_RISKS,
)
from forecast_assets.contracts.columns import QUANTILE_COLUMNS
from forecast_assets.contracts.feeds import OPEN_ORDER_DAYS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotReadyError, first_ten
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.corrections.restatements import newest_revisions
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.history import History
from forecast_assets.history.observed import observed_until
from forecast_assets.history.series import past_observations
from forecast_assets.operations.overrides import newest_run
from forecast_assets.operations.reading import history_after, one_series, run_history, scan_product
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores

CAUSES: Final = ("forecast", "order", "position", "override")
# Empty shelves are looked for on so many of the newest days with sales.
LOOKED_DAYS: Final = 28
_USUAL_WEEKS: Final = 8
_DAY: Final = [*SERIES_KEY, "event_date"]


@dataclass(frozen=True)
class StockBalance:
    """What a run counted on over the days up to an empty shelf, and what came; all in units over these days.

    Attributes:
        missed: Demand taken to have met an empty shelf.
        sold: Sales.
        model: The model's untouched forecast.
        published: The published forecast, after rules and overrides.
        known: On hand at the end of the prediction date, as the run knew it; None without a position.
        expected: Of open orders that the run knew, those due by the last day.
        received: Orders that came on these days.
        left: On hand at the end of the last day, as it is known now; None without a position.
    """

    missed: float
    sold: float
    model: float
    published: float
    known: float | None = None
    expected: float = 0.0
    received: float = 0.0
    left: float | None = None


@dataclass(frozen=True)
class MissedPart:
    """One cause, and what is put down to it.

    Attributes:
        cause: One of `CAUSES`.
        units: Its term of the balance; below zero where it worked against the empty shelf. None where it is unknown.
        put_down_units: What of the missed units is put down to it.
    """

    cause: str
    units: float | None
    put_down_units: float


@dataclass(frozen=True)
class MissedStockout:
    """An empty shelf, and why it was not prevented.

    Attributes:
        store_id: Store.
        sku_id: SKU.
        day: Day on which the shelf was empty.
        run: The run that is judged.
        is_in_time: Whether an order at the end of its day would have come in time; else it is the oldest run that looks
            at the day.
        lead_time_days: Mean days from order to arrival; None where no position says.
        days: A row per day after the run up to `day`: `target_date, model_units, forecast_units, sales_units,
            on_hand_units` (at its end), `out_of_stock_share, is_stockout, usual_units, missed_units`.
        vintages: What each run said of `day` before, oldest first: `run, published_at, step, model_units,
            forecast_units`, the quantiles of demand, `stockout_probability, expected_lost_units, risk_band, is_judged`.
        orders: Orders that were open at the end of the run's day, or placed since: `order_id, placed_date,
            ordered_units, expected_date, received_date` (null while open), `is_counted_on` (whether the run knew it and
            it was due by `day`), `days_late` (null while it is not due).
        overrides: Rows of `forecast_overrides` of the run on these days.
        balance: What was counted on, and what came.
        parts: One per cause, as in `CAUSES`.
        spare_units: Stock beyond the published forecast that the run counted on; None where positions are unknown.
        verdict: Cause that most is put down to; empty where no cause is known.
    """

    store_id: str
    sku_id: str
    day: date
    run: RunKey
    is_in_time: bool
    lead_time_days: float | None
    days: pl.DataFrame
    vintages: pl.DataFrame
    orders: pl.DataFrame
    overrides: pl.DataFrame
    balance: StockBalance
    parts: tuple[MissedPart, ...]
    spare_units: float | None
    verdict: str


def put_down(balance: StockBalance) -> tuple[MissedPart, ...]:
    """Put missed units down to causes; the rules are those at the top of this module.

    Example:
        Of 30 units asked for 20 were sold; the model said 24, a planner 18, and 20 on hand were known:

        >>> balance = StockBalance(missed=10, sold=20, model=24, published=18, known=20, left=0)
        >>> [(part.cause, part.units, part.put_down_units) for part in put_down(balance)]
        [('forecast', 6, 5.0), ('order', 0.0, 0.0), ('position', 0.0, 0.0), ('override', 6, 5.0)]
    """
    gap = balance.sold + balance.missed - balance.published
    override = min(max(balance.model - balance.published, 0.0), max(gap, 0.0))
    terms: dict[str, float | None] = {
        "forecast": gap - override,
        "order": None,
        "position": None,
        "override": override,
    }
    short = _short(balance)
    if balance.known is not None and balance.left is not None and short is not None:
        terms["order"] = balance.expected - balance.received + max(short, 0.0)
        terms["position"] = balance.known + balance.received - balance.sold - balance.left
    above = {cause: max(units or 0.0, 0.0) for cause, units in terms.items()}
    whole = sum(above.values())
    return tuple(
        MissedPart(cause, terms[cause], balance.missed * above[cause] / whole if whole else 0.0) for cause in CAUSES
    )


def _short(balance: StockBalance) -> float | None:
    """Return by how much what was counted on is less than what was forecast; below zero it is spare."""
    return None if balance.known is None else balance.published - balance.known - balance.expected


def empty_shelves(stores: Stores, model_version: str = "") -> pl.DataFrame:
    """Return the empty shelves of the newest days with sales that a daily run had looked at before.

    Args:
        stores: Where everything is.
        model_version: Version whose runs are meant; that of the run which overrides are held against if left out.

    Returns:
        `store_id, sku_id, event_date, sales_units, usual_units, missed_units`, the newest day first, and of a day the
        most missed units first; of the newest 28 days with sales. Units are null where no such weekday had stock.

    Raises:
        NotReadyError: If no daily run is published, or none of the version.
    """
    runs = _runs(stores, model_version)
    newest = observed_until(stores)
    looked_at = {
        run.key.prediction_date + timedelta(days=step)
        for run in runs
        for step in range(1, run.key.forecast_horizon + 1)
    }
    days = sorted(day for day in looked_at if newest - timedelta(days=LOOKED_DAYS) < day <= newest)
    series = scan_product(stores, runs[-1], FORECASTS.name).filter(pl.col("step") == 1).select(SERIES_KEY).collect()
    since = (days[0] if days else newest) - timedelta(weeks=_USUAL_WEEKS)
    told = _with_missed(past_observations(history_after(stores, runs[-1]), series, since))
    found = told.filter("is_stockout", pl.col("event_date").is_in(days))
    return found.select(*_DAY, "sales_units", "usual_units", "missed_units").sort(
        ["event_date", "missed_units", *SERIES_KEY], descending=[True, True, False, False], nulls_last=True
    )


def _runs(stores: Stores, model_version: str) -> list[Publication]:
    """Return the newest revisions of a version's daily runs, oldest first."""
    version = model_version or newest_run(stores).key.model_version
    runs = [
        run for run in newest_revisions(stores.ledger.state(), cadence=DAILY.name) if run.key.model_version == version
    ]
    if not runs:
        raise NotReadyError(
            f"No daily run of {version} is published.",
            remedy=Sentence("See what is there: ", Action("runs")),
            model_version=version,
        )
    return sorted(runs, key=lambda run: run.key)


def _with_missed(told: pl.DataFrame) -> pl.DataFrame:
    """Add what such a day usually sells, and what was missed of it where the shelf was empty.

    Args:
        told: Rows as `past_observations` returns them, from eight weeks before the first day that is asked for.

    Returns:
        The same rows with `usual_units, missed_units`; null on other days, and where no such weekday had stock.
    """
    weeks = pl.DataFrame({"weeks_back": range(1, _USUAL_WEEKS + 1)})
    empty = told.filter("is_stockout").select(_DAY).join(weeks, how="cross")
    then = empty.with_columns(then=pl.col("event_date") - pl.duration(weeks="weeks_back"))
    in_stock = told.filter(~pl.col("is_stockout").fill_null(value=False))
    usual = (
        then.join(in_stock.select(*SERIES_KEY, then="event_date", usual_units="sales_units"), on=[*SERIES_KEY, "then"])
        .group_by(_DAY)
        .agg(pl.col("usual_units").mean())
    )
    short = (pl.col("usual_units") - pl.col("sales_units")).clip(lower_bound=0)
    of_hours = pl.col("usual_units") * pl.col("out_of_stock_share")
    return told.join(usual, on=_DAY, how="left", maintain_order="left").with_columns(
        missed_units=pl.coalesce(of_hours, short)
    )


def missed_stockout(stores: Stores, store_id: str, sku_id: str, day: date, model_version: str = "") -> MissedStockout:
    """Return why an empty shelf was not prevented.

    Of each prediction date the newest revision counts, since overrides act in revisions.

    Args:
        stores: Where everything is.
        store_id: Store.
        sku_id: SKU.
        day: Day on which the shelf was empty.
        model_version: Version whose runs are meant; that of the run which overrides are held against if left out.

    Raises:
        NotReadyError: If no daily run of the version looked at that day, or sales of one of the days are not known.
        InputError: If the run has no such series, or the shelf was not empty on that day as far as is known.
    """
    runs = [
        run
        for run in _runs(stores, model_version)
        if 0 < (day - run.key.prediction_date).days <= run.key.forecast_horizon
    ]
    if not runs:
        raise NotReadyError(
            f"No daily run looked at {day} before.", remedy=Sentence("See what is there: ", Action("runs")), day=day
        )
    now = history_after(stores, runs[-1])
    lead = _lead_time(now, store_id, sku_id, day)
    needed = 1 if lead is None else max(ceil(lead), 1)
    in_time = [run for run in runs if (day - run.key.prediction_date).days >= needed]
    judged = (in_time or runs[:1])[-1]
    days = _days(stores, judged, now, store_id, sku_id, day)
    known = _position(run_history(stores, judged), store_id, sku_id, judged.key.prediction_date)
    orders = _orders(stores, judged, now, store_id, sku_id, day, needed)
    balance = _balance(days, orders, known, judged.key.prediction_date, day)
    parts = put_down(balance)
    worst = max(parts, key=lambda part: part.units or 0.0)
    short = _short(balance)
    return MissedStockout(
        store_id,
        sku_id,
        day,
        judged.key,
        bool(in_time),
        lead,
        days,
        _vintages(stores, runs, judged, store_id, sku_id, day),
        orders,
        _overrides(stores, judged, store_id, sku_id, day),
        balance,
        parts,
        None if short is None else max(-short, 0.0),
        worst.cause if (worst.units or 0.0) > 0 else "",
    )


def _of_series(rows: pl.LazyFrame | None, store_id: str, sku_id: str, columns: Mapping[str, Any]) -> pl.DataFrame:
    if rows is None:
        return pl.DataFrame(schema=columns)
    return rows.filter(store_id=store_id, sku_id=sku_id).select(*columns).collect()


def _lead_time(history: History, store_id: str, sku_id: str, day: date) -> float | None:
    """Return the mean lead time that was last declared before a day."""
    rows = history.feed(INVENTORY_POSITIONS.name, since=day - timedelta(days=LOOKED_DAYS))
    columns = {name: INVENTORY_POSITIONS.schema[name] for name in ("event_date", "lead_time_days")}
    said = _of_series(rows, store_id, sku_id, columns).filter(pl.col("event_date") < day).sort("event_date")
    return None if said.is_empty() else float(said["lead_time_days"][-1])


def _position(history: History, store_id: str, sku_id: str, day: date) -> float | None:
    """Return what was on hand at the end of a day, as a history knows it."""
    rows = history.feed(INVENTORY_POSITIONS.name, since=day, days=[day])
    columns = {name: INVENTORY_POSITIONS.schema[name] for name in ("event_date", "on_hand_units")}
    said = _of_series(rows, store_id, sku_id, columns)
    return None if said.is_empty() else float(said["on_hand_units"][0])


def _days(stores: Stores, judged: Publication, now: History, store_id: str, sku_id: str, day: date) -> pl.DataFrame:
    first = judged.key.prediction_date + timedelta(days=1)
    series = pl.DataFrame({"store_id": [store_id], "sku_id": [sku_id]})
    told = _with_missed(past_observations(now, series, first - timedelta(weeks=_USUAL_WEEKS)))
    forecast = one_series(stores, judged, FORECASTS.name, store_id, sku_id).filter(pl.col("target_date") <= day)
    days = forecast.select(
        "target_date",
        model_units=pl.col("reconciled_units").cast(pl.Float64),
        forecast_units=pl.col("forecast_units").cast(pl.Float64),
    ).join(
        told.drop(*SERIES_KEY, "price_ratio", "is_promotion").rename({"event_date": "target_date"}),
        on="target_date",
        how="left",
        maintain_order="left",
    )
    late = days.filter(pl.col("sales_units").is_null())["target_date"].to_list()
    if late:
        raise NotReadyError(
            f"Sales of {sku_id} in {store_id} are not known of {first_ten(late)}.",
            remedy="Ask again when they have come.",
            days=late,
        )
    if not days["is_stockout"][-1]:
        raise InputError(
            f"The shelf of {sku_id} in {store_id} was not empty on {day}, as far as is known.",
            remedy="Name a day on which it was: `operations.missed_stockouts.empty_shelves`.",
            day=day,
        )
    unknown = days.filter(pl.col("is_stockout") & pl.col("missed_units").is_null())["target_date"].to_list()
    if unknown:
        raise NotReadyError(
            f"What {sku_id} in {store_id} usually sells on {first_ten(unknown)} is not known: no such weekday of the "
            f"{_USUAL_WEEKS} weeks before had stock.",
            remedy="Choose another day.",
            days=unknown,
        )
    return days


def _orders(
    stores: Stores, judged: Publication, now: History, store_id: str, sku_id: str, day: date, lead_days: int
) -> pl.DataFrame:
    past = judged.key.prediction_date
    since = past - timedelta(days=OPEN_ORDER_DAYS - 1)
    names = ("order_id", "event_date", "ordered_units", "received_date")
    columns = {name: PURCHASE_ORDERS.schema[name] for name in names}
    then, known_now = (
        _of_series(history.feed(PURCHASE_ORDERS.name, since=since), store_id, sku_id, columns)
        for history in (run_history(stores, judged), now)
    )
    was_open = pl.col("received_date").is_null() | (pl.col("received_date") > past)
    counted = then.filter(pl.col("event_date") <= past, was_open)["order_id"]
    expected = pl.col("event_date") + timedelta(days=lead_days)
    end = pl.coalesce(pl.col("received_date"), pl.lit(day))
    return (
        known_now.filter(pl.col("event_date") < day, was_open)
        .select(
            "order_id",
            "ordered_units",
            "received_date",
            placed_date="event_date",
            expected_date=expected,
            is_counted_on=pl.col("order_id").is_in(counted.implode()) & (expected <= day),
            days_late=pl.when(expected <= day).then((end - expected).dt.total_days()),
        )
        .select(
            "order_id", "placed_date", "ordered_units", "expected_date", "received_date", "is_counted_on", "days_late"
        )
        .sort("placed_date", "order_id")
    )


def _balance(days: pl.DataFrame, orders: pl.DataFrame, known: float | None, past: date, day: date) -> StockBalance:
    missed, sold, model, published = days.select(
        pl.col("missed_units", "sales_units", "model_units", "forecast_units").sum()
    ).row(0)
    came = orders.filter(pl.col("received_date").is_between(past, day, closed="right"))
    return StockBalance(
        missed,
        sold,
        model,
        published,
        known=known,
        expected=float(orders.filter("is_counted_on")["ordered_units"].sum()),
        received=float(came["ordered_units"].sum()),
        left=days["on_hand_units"][-1],
    )


def _vintages(
    stores: Stores, runs: Sequence[Publication], judged: Publication, store_id: str, sku_id: str, day: date
) -> pl.DataFrame:
    """Return what every revision of the runs said of a day."""
    rows = []
    for run in (revision for newest in runs for revision in stores.predictions.revisions(newest.key)):
        said = {
            product: scan_product(stores, run, product)
            .filter(store_id=store_id, sku_id=sku_id, target_date=day)
            .with_columns(pl.selectors.decimal().cast(pl.Float64))
            .collect()
            for product in (FORECASTS.name, STOCKOUT_RISKS.name)
        }
        forecast, risk = said.values()
        rows.append(
            forecast.select(
                pl.lit(str(run.key)).alias("run"),
                pl.lit(run.recorded_at).alias("published_at"),
                "step",
                pl.col("reconciled_units").alias("model_units"),
                "forecast_units",
                *QUANTILE_COLUMNS,
            ).with_columns(
                *(risk[name] for name in ("stockout_probability", "expected_lost_units", "risk_band")),
                is_judged=pl.lit(value=run.key == judged.key),
            )
        )
    return pl.concat(rows)


def _overrides(stores: Stores, judged: Publication, store_id: str, sku_id: str, day: date) -> pl.DataFrame:
    if FORECAST_OVERRIDES.name not in judged.products:
        return pl.DataFrame(schema=FORECAST_OVERRIDES.schema)
    rows = scan_product(stores, judged, FORECAST_OVERRIDES.name).filter(store_id=store_id, sku_id=sku_id)
    return rows.filter(pl.col("target_date") <= day).collect().sort("step", "application")


_SAID: Final = {
    "forecast": "the model forecast too little",
    "order": "orders came late, or too little was ordered",
    "position": "stock that the books had was not there",
    "override": "an override or a rule lowered the forecast",
}


def missed_words(found: MissedStockout) -> str:
    """Return in a few sentences why an empty shelf was not prevented."""
    first = found.run.prediction_date + timedelta(days=1)
    head = (
        f"From {first} to {found.day}, {found.balance.missed:,.1f} units of {found.sku_id} in {found.store_id} met an "
        f"empty shelf, by what such days usually sell."
    )
    if not found.verdict:
        return f"{head} Nothing that is known of forecast, orders, stock and overrides explains it."
    told = [
        f"{part.cause} {part.put_down_units:,.1f} units"
        for part in sorted(found.parts, key=lambda part: -(part.units or 0.0))
        if (part.units or 0.0) > 0
    ]
    unknown = [part.cause for part in found.parts if part.units is None]
    blind = f" Of {' and '.join(unknown)} nothing is known: no position says." if unknown else ""
    spare = found.spare_units or 0.0
    cushion = f" {spare:,.1f} units of spare stock took up some of it." if spare else ""
    late = "" if found.is_in_time else " No run was early enough for an order to come in time; the oldest is judged."
    return f"{head} Most of all, {_SAID[found.verdict]}. Put down to: {', '.join(told)}.{cushion}{blind}{late}"
