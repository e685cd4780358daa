"""The simulated retailer's supply: an (s, S) policy with random lead times, played day by day.

What belongs here: the declared terms, the path that happened, and what could have happened from its last day.
What does not: the law of demand, or what any source says of the stock.

A day opens with the arrivals of that day, then demand takes what there is, then the position (on hand plus on order)
is reviewed and an order placed if it is at or below s. An order placed on day t with lead time L opens day t + L.
Unmet demand is lost (Hadley and Whitin 1963, ch. 4; Silver, Pyke and Thomas 2016, doi 10.1201/9781315374406).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.simulation.assortment import SimulatorSettings
from forecast_assets.simulation.demand_law import DemandLaw, draw

PATHS: Final = 400
LONGEST_LEAD_DAYS: Final = 40
_BADLY_MANAGED: Final = 0.3
_BLOCK: Final = 1000

ShareProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class ReplenishmentTerms:
    """Declared replenishment terms of each series.

    Attributes:
        lead_time_days: [series] mean of the lead time before rounding to whole days, of at least one.
        lead_time_deviation_days: [series] its standard deviation.
        reorder_point_units: [series] s.
        order_up_to_units: [series] S.
    """

    lead_time_days: Floats
    lead_time_deviation_days: Floats
    reorder_point_units: Ints
    order_up_to_units: Ints

    def at(self, series: slice | Ints) -> "ReplenishmentTerms":
        """Return the terms of some of the series."""
        return ReplenishmentTerms(
            self.lead_time_days[series],
            self.lead_time_deviation_days[series],
            self.reorder_point_units[series],
            self.order_up_to_units[series],
        )

    def order_for(self, position: Ints) -> Ints:
        """Return what the policy orders at a position, [series] or [series, paths] of units on hand plus on order."""
        shape = (-1,) + (1,) * (position.ndim - 1)
        s, up_to = self.reorder_point_units.reshape(shape), self.order_up_to_units.reshape(shape)
        return np.where(position <= s, up_to - position, 0)


@dataclass(frozen=True)
class Orders:
    """Orders in the order they were placed: [orders] series number, day placed, day received, whole units."""

    series: Ints
    placed: Ints
    received: Ints
    units: Ints

    def open_after(self, day: int) -> "Orders":
        """Return the orders placed by the end of `day` that have not arrived by then."""
        is_open = (self.placed <= day) & (self.received > day)
        return Orders(self.series[is_open], self.placed[is_open], self.received[is_open], self.units[is_open])


@dataclass(frozen=True)
class SupplyHistory:
    """What happened: [series, days] demand, sales and units on hand at the end of the day, and every order."""

    demand: Ints
    sales: Ints
    on_hand: Ints
    orders: Orders


@dataclass(frozen=True)
class _State:
    """A day's end on many paths: [rows, paths] units in stock, [days ahead, rows, paths] units to arrive."""

    stock: Ints
    arrivals: Ints


def make_terms(settings: SimulatorSettings, law: DemandLaw) -> ReplenishmentTerms:
    """Draw lead times and set s and S from the usual demand; some series get too little safety stock."""
    random = settings.stream(3)
    lead_mean = random.integers(2, 9, settings.series).astype(np.float64)
    lead_deviation = np.round(lead_mean * random.uniform(0.1, 0.35, settings.series), 2)
    usual, variance = _usual_demand(law)
    cover = lead_mean + 1
    spread = np.sqrt(cover * variance + (usual * lead_deviation) ** 2)
    is_badly_managed = random.random(settings.series) < _BADLY_MANAGED
    safety = np.where(
        is_badly_managed, random.uniform(-1.3, -0.2, settings.series), random.uniform(0.0, 1.2, settings.series)
    )
    reorder_point = np.maximum(np.rint(usual * cover + safety * spread), 0).astype(np.int64)
    lot = np.maximum(np.rint(usual * random.uniform(2, 7, settings.series)), 1).astype(np.int64)
    return ReplenishmentTerms(lead_mean, lead_deviation, reorder_point, reorder_point + lot)


def simulate_supply(
    settings: SimulatorSettings, law: DemandLaw, terms: ReplenishmentTerms, launch: Ints
) -> SupplyHistory:
    """Play history and the horizon after it.

    Args:
        settings: Days and seed.
        law: Law of demand.
        terms: Terms of supply.
        launch: [series] day on whose morning each series starts, filled up to S.
    """
    random = settings.stream(4)
    days = settings.days + settings.horizon
    demand = np.stack([draw(random, law, day, 1)[:, 0] for day in range(days)], axis=1)
    lead = _lead_times(random, terms, days)
    is_open = launch[:, None] <= np.arange(days)
    arrivals = np.zeros((settings.series, days + LONGEST_LEAD_DAYS + 1), dtype=np.int64)
    arrivals[np.arange(settings.series), launch] = terms.order_up_to_units
    opening, on_hand, placed = (np.zeros_like(demand) for _ in range(3))
    position = terms.order_up_to_units.copy()
    stock = np.zeros_like(position)
    for day in range(days):
        opening[:, day] = stock + arrivals[:, day]
        stock = np.maximum(opening[:, day] - demand[:, day], 0)
        on_hand[:, day] = stock
        position -= opening[:, day] - stock
        placed[:, day] = np.where(is_open[:, day], terms.order_for(position), 0)
        position += placed[:, day]
        ordering = np.flatnonzero(placed[:, day])
        arrivals[ordering, day + lead[ordering, day]] += placed[ordering, day]
    return SupplyHistory(demand, opening - on_hand, on_hand, _orders(placed, lead))


def true_probabilities(
    settings: SimulatorSettings,
    law: DemandLaw,
    terms: ReplenishmentTerms,
    supply: SupplyHistory,
    progress: ShareProgress,
) -> Floats:
    """Return [series, horizon] the probability of unmet demand on each day after the end, from the true state then.

    Monte Carlo over ``PATHS`` independent futures: the standard error is at most 0.025. Open orders arrive by the true
    distribution of their lead time, given that they have not arrived yet.
    """
    random = settings.stream(5)
    blocks = []
    for first in range(0, settings.series, _BLOCK):
        rows = slice(first, min(first + _BLOCK, settings.series))
        state = _state_at_end(random, settings, terms, supply, rows)
        blocks.append(_unmet_share(random, settings, law.rows(rows), terms.at(rows), state))
        progress("true stock-out probabilities", rows.stop / settings.series)
    return np.concatenate(blocks)


def draw_remaining_lead_times(
    random: np.random.Generator, terms: ReplenishmentTerms, elapsed: Ints, draws: int
) -> Ints:
    """Draw [rows, draws] whole lead times of orders that have already waited, by inverting their distribution.

    Args:
        random: Stream.
        terms: Terms of the rows.
        elapsed: [rows] days that have passed without arrival, so that every drawn lead time is longer.
        draws: Draws per row.
    """
    from scipy.special import ndtr

    days = np.arange(1, LONGEST_LEAD_DAYS + 1)
    # A deviation of zero is a certain lead time; a very small one says the same without dividing by zero.
    deviation = np.maximum(terms.lead_time_deviation_days, 1e-9)[:, None]
    distribution: Floats = ndtr((days + 0.5 - terms.lead_time_days[:, None]) / deviation)
    before = np.take_along_axis(distribution, np.maximum(elapsed - 1, 0)[:, None], axis=1)[:, 0]
    passed = np.where(elapsed > 0, before, 0.0)[:, None]
    level = passed + (1 - passed) * random.random((len(elapsed), draws))
    lead = np.ones(level.shape, dtype=np.int64)
    for day in range(LONGEST_LEAD_DAYS - 1):
        lead += level >= distribution[:, day, None]
    return np.maximum(lead, elapsed[:, None] + 1)


def _lead_times(random: np.random.Generator, terms: ReplenishmentTerms, draws: int) -> Ints:
    """Draw [series, draws] lead times of new orders: a normal rounded to whole days, at least one."""
    normal = random.standard_normal((len(terms.lead_time_days), draws))
    days = np.rint(terms.lead_time_days[:, None] + terms.lead_time_deviation_days[:, None] * normal)
    return np.clip(days, 1, LONGEST_LEAD_DAYS).astype(np.int64)


def _usual_demand(law: DemandLaw) -> tuple[Floats, Floats]:
    """Return [series] mean and variance of a usual day's demand, over the days on which the product is on sale."""
    on_sale = (law.mean_units > 0).sum(axis=1)
    usual = law.mean_units.sum(axis=1) / np.maximum(on_sale, 1)
    second_moment = usual + usual**2 / law.activity * (1 + 1 / law.dispersion)
    return usual, second_moment - usual**2


def _orders(placed: Ints, lead: Ints) -> Orders:
    day, series = np.nonzero(placed.T)
    return Orders(series, day, day + lead[series, day], placed[series, day])


def _state_at_end(
    random: np.random.Generator,
    settings: SimulatorSettings,
    terms: ReplenishmentTerms,
    supply: SupplyHistory,
    rows: slice,
) -> _State:
    """Copy the stock of the last day to every path and draw when the orders still open then arrive."""
    last, count = settings.days - 1, rows.stop - rows.start
    waiting = supply.orders.open_after(last)
    mine = (waiting.series >= rows.start) & (waiting.series < rows.stop)
    series, elapsed = waiting.series[mine], last - waiting.placed[mine]
    day_ahead = draw_remaining_lead_times(random, terms.at(series), elapsed, PATHS) - elapsed[:, None] - 1
    arrivals = np.zeros((settings.horizon + LONGEST_LEAD_DAYS, count, PATHS), dtype=np.int64)
    where = (day_ahead, (series - rows.start)[:, None], np.arange(PATHS)[None, :])
    np.add.at(arrivals, where, waiting.units[mine][:, None])
    return _State(np.repeat(supply.on_hand[rows, last, None], PATHS, axis=1), arrivals)


def _unmet_share(
    random: np.random.Generator, settings: SimulatorSettings, law: DemandLaw, terms: ReplenishmentTerms, state: _State
) -> Floats:
    """Play the days ahead on every path; return [rows, horizon] the share of paths with unmet demand."""
    stock, arrivals = state.stock, state.arrivals
    position = stock + arrivals.sum(axis=0)
    share = np.empty((len(stock), settings.horizon))
    for step in range(settings.horizon):
        opening = stock + arrivals[step]
        demand = draw(random, law, settings.days + step, PATHS)
        share[:, step] = (demand > opening).mean(axis=1)
        stock = np.maximum(opening - demand, 0)
        position -= opening - stock
        placed = terms.order_for(position)
        position += placed
        row, path = np.nonzero(placed)
        lead = _lead_times(random, terms, PATHS)[row, path]
        arrivals[step + lead, row, path] += placed[row, path]
    return share
