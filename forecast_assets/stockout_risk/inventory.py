"""Stock-out risk where inventory positions are known: sampled demand against stock, orders on the way and policy.

What belongs here: the simulation of stock over the horizon. What does not: choosing the method per series, bands, and
decimals (assessing), or any ordering decision: the policy is the one that the source declares.

Every series meets the same random numbers, so its risk depends on its own inputs alone: not on which other series are
in the run, on their order, or on how many are simulated at a time; and the steps from "no stock at all" to the
published probability differ only by the supply that is added. Each day's sample is stratified: its normal scores are
the same evenly spaced set, so a few hundred paths reproduce the distribution of a day closely.
(Common random numbers and stratification: Glasserman, Monte Carlo Methods in Financial Engineering, 2003, ch. 4,
doi:10.1007/978-0-387-21617-1.)

The order of a day's events: arrivals at opening, then demand, then, at the end of a review day, an order up to S if on
hand plus on order is at or below s. An order placed at the end of day t with lead time L arrives at the opening of day
t + L. Lead times are normal, rounded to whole days, at least 1; an open order's is conditional on its not having come.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Bools, Floats, Ints, Rows
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.models.lead_times import days_between_reviews, whole_lead_times
from forecast_assets.models.sample_paths.marginals import inverse

DEFAULT_PATHS: Final = 300
SEED: Final = 0x5_70C_0017
SCENARIOS: Final = ("demand", "on_hand", "on_order", "replenishment")

# Unmet demand below this is the rounding of floats, not a customer who leaves without the goods.
_NOTHING: Final = 1e-9
_RHO_STEPS: Final = 20
_CHUNK: Final = 128
_ORDER_SLOTS: Final = 16
_DEMAND, _ROUNDING, _LEAD_TIME, _OPEN_ORDER = range(4)


@dataclass(frozen=True)
class Demand:
    """What is expected to be asked for, for n series over H days.

    Attributes:
        mean: [n, H] units, at least 0.
        quantiles: [n, H, 13] units, at the levels `contracts.QUANTILES`, rising along the last axis.
        rho: [n] correlation between the normal scores of any two days of a series, 0..1; used in steps of 0.05.
        is_whole_units: [n] whether the series sells by the piece; its draws are then whole numbers.
    """

    mean: Floats
    quantiles: Floats
    rho: Floats
    is_whole_units: Bools

    def take(self, rows: Rows) -> "Demand":
        """Return the series at ``rows``."""
        return Demand(self.mean[rows], self.quantiles[rows], self.rho[rows], self.is_whole_units[rows])


@dataclass(frozen=True)
class Supply:
    """Stock, terms and open orders at the cutoff, for n series; NaN where a series has no position.

    Attributes:
        on_hand: [n] units at the end of the cutoff day.
        lead_time_days: [n] mean lead time.
        lead_time_deviation_days: [n] standard deviation of the lead time.
        review_period_days: [n] days between reviews, the last one at the end of the cutoff day; NaN if not declared.
        reorder_point: [n] s of the (s, S) policy in units; NaN without a policy.
        order_up_to: [n] S of the (s, S) policy in units; NaN without a policy.
        order_series: [m] row of the series that an open order belongs to.
        order_elapsed_days: [m] days since the order was placed, 0 at the end of the cutoff day.
        order_units: [m] units on their way.
        order_arrival_days: [m] days after the cutoff at whose opening an order is known to arrive, 0 where that follows
            from its lead time; None where no arrival is known, as in every run.
    """

    on_hand: Floats
    lead_time_days: Floats
    lead_time_deviation_days: Floats
    review_period_days: Floats
    reorder_point: Floats
    order_up_to: Floats
    order_series: Ints
    order_elapsed_days: Ints
    order_units: Floats
    order_arrival_days: Ints | None = None

    @property
    def has_position(self) -> Bools:
        """[n] whether stock on hand is known."""
        return ~np.isnan(self.on_hand)

    @property
    def has_policy(self) -> Bools:
        """[n] whether the source declares how it will order."""
        return ~(np.isnan(self.reorder_point) | np.isnan(self.order_up_to))

    @property
    def review_days(self) -> Floats:
        """[n] days between reviews, 1 where none are declared."""
        return days_between_reviews(self.review_period_days)

    @property
    def known_days(self) -> Floats:
        """[n] days for which supply is known: all with a policy, else lead time plus review period, rounded up."""
        return np.where(self.has_policy, np.inf, np.ceil(self.lead_time_days + self.review_days))

    def take(self, rows: Rows) -> "Supply":
        """Return the series at ``rows``, which may be there more than once, each with its orders."""
        by_series = np.argsort(self.order_series, kind="stable")
        starts, ends = (
            np.searchsorted(self.order_series, rows, side=side, sorter=by_series) for side in ("left", "right")
        )
        counts = ends - starts
        # Places of each series' orders, one run after the other.
        runs = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        orders = by_series[runs]
        return Supply(
            self.on_hand[rows],
            self.lead_time_days[rows],
            self.lead_time_deviation_days[rows],
            self.review_period_days[rows],
            self.reorder_point[rows],
            self.order_up_to[rows],
            np.repeat(np.arange(len(rows)), ends - starts),
            self.order_elapsed_days[orders],
            self.order_units[orders],
            None if self.order_arrival_days is None else self.order_arrival_days[orders],
        )

    def with_stock(self, on_hand: Floats) -> "Supply":
        """Return the same with other stock on hand, [n] units."""
        return replace(self, on_hand=on_hand)

    def with_orders(self, series: Ints, units: Floats, arrival_days: Ints) -> "Supply":
        """Return the same with orders besides, of [k] rows, units, and days after the cutoff at which they arrive."""
        owner = np.concatenate([self.order_series, series])
        known = np.zeros_like(self.order_series) if self.order_arrival_days is None else self.order_arrival_days
        order = np.argsort(owner, kind="stable")
        return replace(
            self,
            order_series=owner[order],
            order_elapsed_days=np.concatenate([self.order_elapsed_days, np.zeros_like(series)])[order],
            order_units=np.concatenate([self.order_units, units])[order],
            order_arrival_days=np.concatenate([known, arrival_days])[order],
        )


def joined_supplies(parts: Sequence[Supply]) -> Supply:
    """Return the series of several supplies, none of which knows an arrival, one after the other, with their orders."""
    starts = np.cumsum([0, *(len(part.on_hand) for part in parts)])
    owners = [part.order_series + start for part, start in zip(parts, starts, strict=False)]
    names = [each.name for each in fields(Supply) if each.name not in {"order_series", "order_arrival_days"}]
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], order_series=np.concatenate(owners), **values)


@dataclass(frozen=True)
class InventoryRisk:
    """What the simulation found, for n series over H days; NaN after the last day of known supply.

    Attributes:
        stages: [4, n, H] share of paths with unmet demand that day, with supply added step by step: none (`demand`),
            stock on hand, open orders, the declared policy. The last is the published probability.
        lost_units: [n, H] expected unmet demand of the day, at most its mean.
        days_of_cover: [n] days that stock on hand lasts at the mean demand; NaN if it outlasts the horizon.
    """

    stages: Floats
    lost_units: Floats
    days_of_cover: Floats

    @property
    def probability(self) -> Floats:
        """[n, H] probability of any unmet demand that day."""
        return np.asarray(self.stages[-1])


def supply_at(series: pl.DataFrame, positions: pl.DataFrame, orders: pl.DataFrame, cutoff: date) -> Supply:
    """Line up positions and open orders with the series of a run.

    Args:
        series: `store_id, sku_id`, n rows, distinct.
        positions: Resolved `inventory_positions`, at most one row per series and day; the cutoff's rows are used.
        orders: Resolved `purchase_orders`, one row per order; open are those placed by the cutoff and not received
            by it. A receipt after the cutoff is not looked at.
        cutoff: The last observed day.

    Returns:
        The supply of the n series; NaN where there is no position at the cutoff.
    """
    at_cutoff = positions.filter(pl.col("event_date") == cutoff)
    aligned = series.select(SERIES_KEY).join(at_cutoff, on=SERIES_KEY, how="left", maintain_order="left")
    is_open = (pl.col("event_date") <= cutoff) & ~(pl.col("received_date") <= cutoff).fill_null(value=False)
    rows = series.select(SERIES_KEY).with_row_index("row")
    open_orders = orders.filter(is_open).join(rows, on=SERIES_KEY).sort("row", "event_date", "order_id")
    return Supply(
        on_hand=_floats(aligned["on_hand_units"]),
        lead_time_days=_floats(aligned["lead_time_days"]),
        lead_time_deviation_days=_floats(aligned["lead_time_deviation_days"]),
        review_period_days=_floats(aligned["review_period_days"]),
        reorder_point=_floats(aligned["reorder_point_units"]),
        order_up_to=_floats(aligned["order_up_to_units"]),
        order_series=open_orders["row"].cast(pl.Int64).to_numpy(),
        order_elapsed_days=open_orders.select((cutoff - pl.col("event_date")).dt.total_days()).to_series().to_numpy(),
        order_units=_floats(open_orders["ordered_units"]),
    )


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def simulate_stock(demand: Demand, supply: Supply, paths: int = DEFAULT_PATHS, chunk: int = _CHUNK) -> InventoryRisk:
    """Simulate the stock of n series over H days.

    Assumes that unmet demand is lost, not back-ordered, and that a declared policy is followed. Memory is bounded by
    ``chunk`` x H x ``paths``; the result does not depend on ``chunk``.

    Args:
        demand: Expected demand and its quantiles.
        supply: Positions of the same n series, all known.
        paths: Sampled futures; a probability's standard error is at most 0.5 / sqrt(paths), less where demand is
            the only uncertainty.
        chunk: Series simulated at a time.

    Returns:
        Stages, lost units and cover.
    """
    series_count, horizon = demand.mean.shape
    stages = np.empty((len(SCENARIOS), series_count, horizon))
    lost_share = np.empty((series_count, horizon))
    for rows, draws in _drawn(demand, paths, chunk):
        stages[:, rows], lost_share[rows] = _run(draws, supply.take(rows), paths)
    unknown = np.arange(1, horizon + 1) > supply.known_days[:, None]
    stages[:, unknown] = np.nan
    lost_units = np.where(unknown, np.nan, demand.mean * lost_share)
    return InventoryRisk(stages, lost_units, days_of_cover(supply.on_hand, demand.mean))


def sampled_demand(demand: Demand, paths: int = DEFAULT_PATHS) -> Floats:
    """[n, H, paths] The demand that `simulate_stock` meets with stock."""
    out = np.empty((*demand.mean.shape, paths))
    for rows, draws in _drawn(demand, paths, _CHUNK):
        out[rows] = np.moveaxis(draws, 0, 1)
    return out


def _drawn(demand: Demand, paths: int, chunk: int) -> Iterator[tuple[Rows, Floats]]:
    """Some of the series at a time, those of like correlation together, with [H, c, paths] demand."""
    rho_code = np.rint(np.clip(demand.rho, 0.0, 1.0) * _RHO_STEPS).astype(np.int64)
    for code in np.unique(rho_code):
        scores = _scores(code / _RHO_STEPS, demand.mean.shape[1], paths)
        for rows in _chunks(np.flatnonzero(rho_code == code), chunk):
            yield rows, _draw(demand.take(rows), scores)


def _chunks(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def days_of_cover(on_hand: Floats, mean: Floats) -> Floats:
    """Return the days that stock lasts at the mean demand, interpolated within a day.

    Args:
        on_hand: [n] units.
        mean: [n, H] units per day.

    Returns:
        [n] days; NaN where stock outlasts the H days.

    Example:
        >>> days_of_cover(np.array([3.0, 9.0]), np.array([[2.0, 2.0], [2.0, 2.0]])).tolist()
        [1.5, nan]
    """
    total = np.cumsum(mean, axis=1)
    outlasts = on_hand >= total[:, -1]
    day = np.argmax(total > on_hand[:, None], axis=1)
    row = np.arange(len(on_hand))
    rate = np.where(outlasts, 1.0, mean[row, day])
    cover = day + (on_hand - (total[row, day] - mean[row, day])) / rate
    return np.where(outlasts, np.nan, cover)


@lru_cache(maxsize=1024)
def _strata(role: int, row: int, paths: int) -> Floats:
    """[paths] The centres of equal slices of 0..1, in an order of this role and row's own."""
    generator = np.random.Generator(np.random.Philox(key=[SEED, role * 2**32 + row]))
    return _shared((generator.permutation(paths) + 0.5) / paths)


def _shared(values: Floats) -> Floats:
    """Return numbers that callers share, so that none can change them."""
    values.flags.writeable = False
    return values


def _uniforms(role: int, rows: int, paths: int) -> Floats:
    return np.stack([_strata(role, row, paths) for row in range(rows)])


@lru_cache(maxsize=64)
def _scores(rho: float, horizon: int, paths: int) -> Floats:
    """[H, paths] Normal scores of the days, correlated by ``rho`` between days, evenly spaced within each day."""
    from scipy.special import ndtri

    normal = ndtri(_uniforms(_DEMAND, horizon + 1, paths))
    mixed = np.sqrt(rho) * normal[0] + np.sqrt(1.0 - rho) * normal[1:]
    ranks = np.argsort(np.argsort(mixed, axis=1, kind="stable"), axis=1, kind="stable")
    return _shared(np.asarray(ndtri((ranks + 0.5) / paths)))


def _draw(demand: Demand, scores: Floats) -> Floats:
    """[H, c, paths] Demand of c series: inverse distribution through the quantiles, with the forecast's mean."""
    horizon, paths = scores.shape
    whole = np.flatnonzero(demand.is_whole_units)
    rounding = _uniforms(_ROUNDING, horizon, paths)
    draws = np.empty((horizon, len(demand.mean), paths))
    for day in range(horizon):
        # By columns, as sums of past runs went through them: the last digit of a mean depends on it.
        raw = np.asfortranarray(inverse(demand.quantiles[:, day], scores[day]))
        draws[day] = _with_mean(raw, demand.mean[:, day], scores[day])
        draws[day, whole] = np.floor(draws[day, whole] + rounding[day])
    return draws


def _with_mean(values: Floats, mean: Floats, scores: Floats) -> Floats:
    """[c, paths] Values scaled so that each row has its mean; where all quantiles are 0 the last slice carries it."""
    from scipy.special import ndtri

    beyond = scores >= min(float(ndtri(QUANTILES[-1])), float(scores.max()))
    has_any = values.max(axis=1, keepdims=True) > 0
    values = np.where(has_any, values, beyond.astype(np.float64))
    return np.asarray(values * (mean / values.mean(axis=1))[:, None])


def _run(draws: Floats, supply: Supply, paths: int) -> tuple[Floats, Floats]:
    """[4, c, H] shares of paths with unmet demand by stage, and [c, H] the last stage's share of demand unmet."""
    arrivals = _open_order_arrivals(supply, len(draws), paths)
    none = np.zeros_like(arrivals)
    no_stock = np.zeros_like(supply.on_hand)
    walks = [
        _walk(draws, none, no_stock),
        _walk(draws, none, supply.on_hand),
        _walk(draws, arrivals, supply.on_hand),
        # Last, since the policy adds its own arrivals.
        _walk(draws, arrivals, supply.on_hand, _Policy.of(supply, paths)),
    ]
    total = draws.sum(axis=2).T
    lost = np.divide(walks[-1][1], total, out=np.zeros_like(total), where=total > 0)
    return np.stack([short for short, _ in walks]), np.minimum(lost, 1.0)


def _lead_times(supply: Supply, scores: Floats) -> Floats:
    """[c, paths] Whole days from order to arrival of orders yet to be placed."""
    return whole_lead_times(supply.lead_time_days, supply.lead_time_deviation_days, scores)


def remaining_days(mean: Floats, deviation: Floats, elapsed: Ints, uniform: Floats) -> Ints:
    """Draw the days until open orders arrive, given that they have not yet.

    Args:
        mean: [m] mean lead time in days.
        deviation: [m] its standard deviation.
        elapsed: [m] days since each order was placed.
        uniform: [m, paths] numbers in (0, 1).

    Returns:
        [m, paths] whole days from the cutoff, at least 1. An order later than its lead time can explain is taken to
        arrive at the next opening.
    """
    from scipy.special import ndtr, ndtri

    spread = np.where(deviation > 0, deviation, 1.0)
    # Lead times are whole and at least 1, so "later than e" is "above e + 1/2", and is certain at e = 0.
    still_open = np.where(elapsed > 0, ndtr((mean - elapsed - 0.5) / spread), 1.0)
    score = -ndtri(uniform * still_open[:, None])
    drawn = np.where(deviation[:, None] > 0, mean[:, None] + spread[:, None] * score, mean[:, None])
    latest = np.where(np.isfinite(drawn), np.rint(drawn), 0.0)
    return np.asarray(np.maximum(latest - elapsed[:, None], 1.0).astype(np.int64))


def _open_order_arrivals(supply: Supply, horizon: int, paths: int) -> Floats:
    """[H, c, paths] Units of open orders that arrive at each opening."""
    arrivals = np.zeros((horizon, len(supply.on_hand), paths))
    owner = supply.order_series
    if not len(owner):
        return arrivals
    uniform = _uniforms(_OPEN_ORDER, _ORDER_SLOTS, paths)[_slot(owner) % _ORDER_SLOTS]
    days = remaining_days(
        supply.lead_time_days[owner], supply.lead_time_deviation_days[owner], supply.order_elapsed_days, uniform
    )
    if supply.order_arrival_days is not None:
        known = supply.order_arrival_days[:, None]
        days = np.where(known > 0, known, days)
    order, path = np.nonzero(days <= horizon)
    np.add.at(arrivals, (days[order, path] - 1, owner[order], path), supply.order_units[order])
    return arrivals


def _slot(owner: Ints) -> Ints:
    """[m] Place of each order among its series' orders, so that its draws do not depend on other series."""
    by_owner = np.argsort(owner, kind="stable")
    ordered = owner[by_owner]
    place = np.empty(len(owner), dtype=np.int64)
    place[by_owner] = np.arange(len(owner)) - np.searchsorted(ordered, ordered)
    return place


@dataclass
class _Policy:
    """The declared (s, S) policy of c series, and what it has on order on each path."""

    supply: Supply
    on_order: Floats

    @classmethod
    def of(cls, supply: Supply, paths: int) -> "_Policy":
        open_units = np.zeros(len(supply.on_hand))
        np.add.at(open_units, supply.order_series, supply.order_units)
        return cls(supply, np.repeat(open_units[:, None], paths, axis=1))

    def review(self, day: int, stock: Floats, arrivals: Floats) -> None:
        """At the end of day ``day`` (from 0), place the orders that are due and enter their arrivals."""
        from scipy.special import ndtri

        self.on_order -= arrivals[day]
        position = stock + self.on_order
        reviewing = (day + 1) % self.supply.review_days == 0
        ordering = (position <= self.supply.reorder_point[:, None]) & reviewing[:, None]
        row, path = np.nonzero(ordering)
        units = np.maximum(self.supply.order_up_to[row] - position[row, path], 0.0)
        self.on_order[row, path] += units
        lead = _lead_times(self.supply, ndtri(_strata(_LEAD_TIME, day, stock.shape[1])))[row, path]
        arrival = day + lead.astype(np.int64)
        inside = arrival < len(arrivals)
        arrivals[arrival[inside], row[inside], path[inside]] += units[inside]


def _walk(draws: Floats, arrivals: Floats, on_hand: Floats, policy: _Policy | None = None) -> tuple[Floats, Floats]:
    """Follow stock from day to day.

    Args:
        draws: [H, c, paths] demand.
        arrivals: [H, c, paths] units arriving at opening; a policy adds its own.
        on_hand: [c] units at the end of the cutoff day.
        policy: Who orders more, or nobody.

    Returns:
        [c, H] share of paths with unmet demand, and [c, H] unmet units summed over paths.
    """
    horizon, count, paths = draws.shape
    short, unmet_units = np.empty((count, horizon)), np.empty((count, horizon))
    stock = np.repeat(on_hand[:, None], paths, axis=1)
    for day in range(horizon):
        stock += arrivals[day]
        stock -= draws[day]
        unmet = np.maximum(-stock, 0.0)
        short[:, day] = np.count_nonzero(unmet > _NOTHING, axis=1) / paths
        unmet_units[:, day] = unmet.sum(axis=1)
        np.maximum(stock, 0.0, out=stock)
        if policy is not None:
            policy.review(day, stock, arrivals)
    return short, unmet_units
