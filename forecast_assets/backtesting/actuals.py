"""Forecasts of past cutoffs beside what came: the matrices that metrics are taken of.

What belongs here: reading both sides and laying them out alike. What does not: making forecasts (runs), or any
metric (forecast_assets.metrics).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.backtesting.cache import CachedStep
from forecast_assets.backtesting.runs import SNAPSHOTS, BacktestRun
from forecast_assets.contracts import (
    BASE_NODE_FORECASTS,
    FORECASTS,
    NODE_KEY,
    QUANTILE_COLUMNS,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import IncompleteInputsError, InputError
from forecast_assets.features.panel import SERIES_KEY, Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from forecast_assets.metrics.backtests import RECENT_DAYS, SEASONAL_NAIVE, Backtest
from forecast_assets.models.demand import level_and_demand, ratio, uncensor
from forecast_assets.models.family import family
from forecast_assets.scoring.context import build_hierarchy
from forecast_assets.training.evaluation import seasonal_naive
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.home import Stores

# Days without a forecast are none of a run, so that the narrowest horizon does.
_NO_HORIZON: Final = 1


@dataclass(frozen=True)
class Actuals:
    """What came after a cutoff, as known at a later moment.

    Attributes:
        history: The observations, up to the last day ahead.
        days: Days ahead.
    """

    history: History
    days: int

    @classmethod
    def after(cls, stores: Stores, cutoff: date, days: int) -> "Actuals":
        """Return what is known now of the days after a cutoff.

        Raises:
            IncompleteInputsError: If nothing is known of any of them.
        """
        last = cutoff + timedelta(days=days)
        moment = stores.observations.newest_knowledge(last)
        batches = tuple(stores.observations.as_known(last, moment))
        actuals = cls(History(stores.observations, batches, last, moment), days)
        sales = actuals.history.feed("sales", since=cutoff + timedelta(days=1))
        if sales is None or sales.select(pl.len()).collect().item() == 0:
            raise IncompleteInputsError(last, [f"`sales` has no rows of the days after {cutoff}"])
        return actuals

    @property
    def batches(self) -> tuple[BatchRecord, ...]:
        """The batches that say so."""
        return self.history.batches

    @property
    def known_until(self) -> datetime:
        """The moment of knowledge."""
        return self.history.known_until

    def stockouts(self, rows: pl.DataFrame) -> Floats:
        """[n, H] 1 where a shelf was empty for some of the day, 0 where not, NaN where nobody says.

        By hours where they are known, else by what was left at the end of the day.

        Args:
            rows: `store_id, sku_id, target_date` of n series times H days, sorted by store, SKU and day.
        """
        first = self.history.cutoff - timedelta(days=self.days - 1)
        signs = {"stock_status": pl.col("out_of_stock_hours") > 0, "inventory_positions": pl.col("on_hand_units") <= 0}
        key = [*SERIES_KEY, "target_date"]
        found = rows.select(key)
        for feed, sign in signs.items():
            said = self.history.feed(feed, since=first)
            if said is None:
                found = found.with_columns(pl.lit(None, pl.Boolean).alias(feed))
                continue
            days = said.select(*SERIES_KEY, pl.col("event_date").alias("target_date"), sign.alias(feed)).collect()
            found = found.join(days, on=key, how="left", maintain_order="left")
        is_out = found.select(pl.coalesce(list(signs)).cast(pl.Float64).fill_null(np.nan)).to_series()
        return is_out.to_numpy().reshape(-1, self.days)


@dataclass(frozen=True)
class ForecastFrames:
    """What a run said, sorted by store, SKU and step.

    Attributes:
        forecasts: Contract `forecasts`.
        risks: Contract `stockout_risks`.
    """

    forecasts: pl.DataFrame
    risks: pl.DataFrame

    @classmethod
    def of(cls, run: BacktestRun) -> "ForecastFrames":
        """Read what a run made; files are verified."""
        forecasts, risks = (
            run.step.stores.predictions.read(run.step.made[product.name]).sort(*SERIES_KEY, "step")
            for product in (FORECASTS, STOCKOUT_RISKS)
        )
        return cls(forecasts, risks)

    def matrix(self, column: str) -> Floats:
        """[n, H] A column of forecasts or risks in units; NaN where it is null."""
        frame = self.forecasts if column in self.forecasts.columns else self.risks
        horizon = int(frame["step"].max())  # type: ignore[arg-type]
        return frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(-1, horizon)

    @property
    def demand_class(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.str_]]":
        """[n] How each series behaves."""
        return self.forecasts.filter(pl.col("step") == 1)["demand_class"].to_numpy().astype(np.str_)


def backtest_of(snapshot: CachedStep, runs: Sequence[BacktestRun], actuals: Actuals, history_days: int) -> Backtest:
    """Lay the runs of one cutoff beside what came.

    Args:
        snapshot: The snapshot that all of them started from.
        runs: The version that is judged, then what it is compared with.
        actuals: What came.
        history_days: Days of history that scales of errors are taken from.

    Raises:
        InputError: If the runs are not of the same series.
    """
    own, *others = runs
    forecasts = ForecastFrames.of(own)
    features = snapshot.stores.predictions.read(snapshot.made[SNAPSHOTS])
    past_history = History.of(snapshot.made[SNAPSHOTS], snapshot.stores.observations)
    hierarchy = build_hierarchy(features, past_history)
    series = hierarchy.series
    past = past_history.panel(series, history_days=history_days, horizon_days=_NO_HORIZON)
    later = actuals.history.panel(series, history_days=history_days + actuals.days, horizon_days=_NO_HORIZON)
    estimate = _demand_estimate(own, hierarchy)
    expected, mean = forecasts.matrix("expected_sales_units"), forecasts.matrix("forecast_units")
    return Backtest(
        cutoff=past.cutoff,
        hierarchy=hierarchy,
        past_sales=past.sales,
        sales=later.sales[:, -actuals.days :],
        expected_sales=expected,
        demand=estimate(later)[:, -actuals.days :],
        mean=mean,
        quantiles=np.stack([forecasts.matrix(name) for name in QUANTILE_COLUMNS], axis=2),
        demand_class=forecasts.demand_class,
        others={
            SEASONAL_NAIVE: seasonal_naive(past.sales, actuals.days),
            **{run.method.name: _expected_sales(run, forecasts) for run in others},
        },
        naive_demand=seasonal_naive(estimate(past), actuals.days),
        unreconciled_sales=forecasts.matrix("base_units") * _kept(expected, mean),
        node_demand=_node_demand(own, hierarchy),
        stockout_probability=forecasts.matrix("stockout_probability"),
        is_stockout=actuals.stockouts(forecasts.forecasts),
        weight=weights(past_history, past),
    )


def _kept(expected: Floats, mean: Floats) -> Floats:
    """[n, H] Share of demand that is expected to find stock; all of it where no demand is."""
    return np.where(mean > 0, ratio(expected, mean), 1.0)


def _demand_estimate(run: BacktestRun, hierarchy: Hierarchy) -> Callable[[Panel], Floats]:
    """Return what estimates the demand behind sales, [n, T] units; NaN where sales are unknown.

    What the version learned makes it better, where it learned any; it saw nothing of the days that came.
    """
    artifact = family(run.family).load(run.step.stores.predictions.read_bytes(run.artifact))
    groups = hierarchy.product_groups(artifact.group_level)

    def estimate(panel: Panel) -> Floats:
        factors = artifact.factors(panel, groups)
        return uncensor(panel) if factors is None else level_and_demand(panel, factors).demand

    return estimate


def weights(history: History, panel: Panel) -> Floats | None:
    """[n] Revenue of the last 28 days, or None where prices are not known of all that was sold.

    Revenue of some series and units of others would not be one scale.

    Args:
        history: What was known at the cutoff.
        panel: n series as known at the cutoff.
    """
    since = history.cutoff - timedelta(days=RECENT_DAYS - 1)
    prices, sales = (history.feed(name, since=since) for name in ("prices", "sales"))
    if prices is None or sales is None:
        return None
    key = [*SERIES_KEY, "event_date"]
    sold = sales.filter(pl.col("sales_units") > 0).select(*key, "sales_units")
    priced = sold.join(prices.select(*key, "unit_price"), on=key, how="left").sort(key).collect()
    if priced.is_empty() or priced["unit_price"].null_count():
        return None
    placed = priced.join(panel.series.with_row_index("row"), on=SERIES_KEY, how="inner", maintain_order="left")
    revenue = (placed["sales_units"] * placed["unit_price"]).to_numpy()
    return np.asarray(np.bincount(placed["row"].to_numpy(), revenue, panel.series.height), dtype=np.float64)


def _expected_sales(run: BacktestRun, own: ForecastFrames) -> Floats:
    """[n, H] Units that a run expected to sell: reconciled demand less what is lost for want of stock, as published.

    Raises:
        InputError: If the run is not of the series of the version that is judged.
    """
    key = [*SERIES_KEY, "step"]
    said, made = run.step.stores.predictions, run.step.made
    demand = said.read(made[RECONCILED_FORECASTS.name], [*key, "reconciled_units"])
    lost = said.read(made[STOCKOUT_RISKS.name], [*key, "expected_lost_units"])
    rows = demand.join(lost, on=key, how="left", validate="1:1").sort(key)
    if not rows.select(key).equals(own.forecasts.select(key)):
        raise InputError(
            f"`{run.method.name}` did not forecast the same series as the version that is judged.",
            remedy="Leave it out, or report this: runs of one cutoff start from one snapshot.",
        )
    expected = pl.col("reconciled_units") - pl.col("expected_lost_units").fill_null(0)
    return rows.select(expected.cast(pl.Float64)).to_series().to_numpy().reshape(-1, run.key.forecast_horizon)


def _node_demand(run: BacktestRun, hierarchy: Hierarchy) -> Floats:
    """[m, H] Demand that the nodes above the series were forecast by themselves; NaN where a node was not."""
    made = run.step.made[BASE_NODE_FORECASTS.name]
    found = run.step.stores.predictions.read(made, [*NODE_KEY, "step", "base_units"])
    said = found.sort(*NODE_KEY, "step")
    nodes = pl.concat([level.frame.select(NODE_KEY) for level in hierarchy.crossed_levels]).with_row_index("place")
    rows = said.filter(pl.col("step") == 1).join(nodes, on=NODE_KEY, how="left", maintain_order="left")
    demand = np.full((nodes.height, run.key.forecast_horizon), np.nan)
    demand[rows["place"].to_numpy()] = said["base_units"].cast(pl.Float64).to_numpy().reshape(rows.height, -1)
    return demand
