"""Backtests that training chooses by: what was known at past cutoffs, some series of it, and what came.

What belongs here: the shapes, and making them. What does not: choosing between effects (`effect_choice`) or models.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Groups, Names, Rows
from forecast_assets.features.demand_class import DEAD_DAYS, NEW_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.sample_paths.marginals import sells_by_the_piece
from forecast_assets.models.selection import (
    LEAST_HISTORY_DAYS,
    spread_rows,
)
from forecast_assets.models.statistical.effects import EVENTS, LAST_YEARS, SEASONS, Effects
from forecast_assets.models.statistical.series import CleanedSeries, clean, horizon_factors, level_paths

_SMALLEST_LEVEL: Final = 0.05
# One product in so many is launched for comparing models of new series; a prime, so that it hits all stores alike.
_LAUNCHED: Final = 7


@dataclass(frozen=True)
class EffectKinds:
    """Which effects a version takes.

    Attributes:
        season: One of `SEASONS`, or `LAST_YEARS`.
        events: One of `EVENTS`.
        calendar: One of `CALENDARS`.
        last_years_share: How much of last year's change comes back.
    """

    season: str = SEASONS[0]
    events: str = EVENTS[0]
    calendar: str = CALENDARS[0]
    last_years_share: float = 1.0


def variant(effects: Effects, kinds: EffectKinds) -> Effects:
    """Return effects of the given kinds out of those that hold all."""
    kept = {"none": None, "by group": effects.season and replace(effects.season, products={})}
    last_year = effects.last_year.drawn(kinds.last_years_share) if effects.last_year else None
    chosen = replace(
        effects,
        season=kept.get(kinds.season, effects.season),
        last_year=last_year if kinds.season == LAST_YEARS else None,
    ).with_calendar_kind(kinds.calendar)
    return chosen.without_event_groups() if kinds.events == EVENTS[0] else chosen


@dataclass(frozen=True)
class Origin:
    """A past cutoff: what was known at it, all effects that could be learned from it, and what came.

    Attributes:
        past: n series, as long a history as there is; screened as of then.
        effects: With a season, the first calendar to choose from, and event factors by group, whether they help or not.
            The season is by product where two years agree on it; where there is one, all of last year's waves by group.
        product_groups: [n].
        demand: [n, H] demand that came, units; NaN where unknown, and for series that had not begun.
    """

    past: Panel
    effects: Effects
    product_groups: Groups
    demand: Floats


@dataclass(frozen=True)
class SelectionBacktest:
    """Some series at an origin, cleaned with a choice of effects.

    Attributes:
        history: k series as known at the cutoff, cleaned with effects that saw nothing later.
        factors: [k, T] product of the factors of the history.
        ahead: [k, H] and of the horizon; 0 on closed days.
        product_groups: [k].
        demand: [k, H] demand that came, units; NaN where unknown.
        on_event: [k, H] whether an event falls on the day.
        is_whole: [k] whether a series sells by the piece.
    """

    history: CleanedSeries
    factors: Floats
    ahead: Floats
    product_groups: Groups
    demand: Floats
    on_event: Bools
    is_whole: Bools

    def forecast(self, names: Names, rows: Rows, workers: int | None) -> Floats:
        """[r, H] units forecast by the named model of each of the r chosen series."""
        levels = level_paths(self.history, names, self.ahead.shape[1], rows=rows, workers=workers)
        return levels.path * self.ahead[rows]

    def squares(self, name: str, rows: Rows, workers: int | None = None) -> Floats:
        """[r, H] squared errors of a model over each series' level.

        Squares are least at the mean; over the level, no large series outweighs all others.
        """
        history = self.history
        level = np.nan_to_num(history.level[rows]).mean(axis=1)
        level = np.where(history.demand_class[rows] == "new", history.borrowed.parent[rows], level)
        missed = self.demand[rows] - self.forecast(np.full(len(rows), name), rows, workers)
        return np.asarray(missed**2 / np.maximum(level, _SMALLEST_LEVEL)[:, None])


def actual_demand(
    panel: Panel, effects: Effects, product_groups: Groups, starts: list[int], history_days: int
) -> list[Floats]:
    """[n, H] demand of the days after each origin, with the best effects there are; NaN for what had not begun."""
    recent = panel.recent(max(history_days, starts[-1] + LEAST_HISTORY_DAYS))
    demand = clean(recent, effects, product_groups).demand
    actual = []
    for start in starts:
        known = ~np.isnan(panel.sales[:, : panel.history_days - start])
        days = slice(recent.history_days - start, recent.history_days - start + panel.horizon_days)
        actual.append(np.where(known.any(axis=1, keepdims=True), demand[:, days], np.nan))
    return actual


def backtest_at(origin: Origin, kinds: EffectKinds, history_days: int, most: int) -> SelectionBacktest:
    """Clean some series of an origin with effects of the given kinds.

    Args:
        origin: The past cutoff.
        kinds: Which of its effects.
        history_days: Days of history that scoring will read.
        most: Series at most, evenly spread.
    """
    rows = spread_rows(origin.past.series.height, most)
    few, groups = origin.past.recent(history_days).take(rows), origin.product_groups[rows]
    history = clean(few, variant(origin.effects, kinds), groups)
    ahead = np.prod(list(horizon_factors(history.factors, few).values()), axis=0)
    factors = history.factors.product[:, : few.history_days] * history.shift
    return SelectionBacktest(
        history, factors, ahead, groups, origin.demand[rows], _on_event(few), sells_by_the_piece(few.sales)
    )


def _on_event(panel: Panel) -> Bools:
    """[n, H] whether any event falls on a series' day ahead."""
    out = np.zeros((panel.series.height, panel.horizon_days), dtype=np.bool_)
    for name in sorted(set(panel.event_names)):
        columns, applies = panel.occurrences(name)
        is_ahead = columns >= panel.history_days
        out[:, columns[is_ahead] - panel.history_days] |= applies[:, is_ahead]
    return out


def sold_lately(origin: Origin, count: int) -> Bools:
    """Whether each compared series sold anything in the last eight weeks."""
    rows = spread_rows(origin.past.series.height, count)
    return np.asarray((np.nan_to_num(origin.past.sales[rows, -DEAD_DAYS:]) > 0).any(axis=1))


def mean_known(parts: Iterable[Floats]) -> float:
    """Mean over all matrices of what is not NaN; 0 where nothing is."""
    total, count = 0.0, 0
    for part in parts:
        total, count = total + float(np.nansum(part)), count + int((~np.isnan(part)).sum())
    return total / max(count, 1)


def with_launches(origin: Origin) -> Origin:
    """Return an origin at which one product in seven, and one series in seven of the others, is new.

    Launches are rare, so that backtests would choose between models of new series by a handful of them; hiding the past
    of others makes more. Real launches may start slower: those that there are count besides.
    """
    past = origin.past
    sku = np.unique(past.series["sku_id"].to_numpy().astype(str), return_inverse=True)[1]
    row = np.arange(len(sku))
    is_launched = ((sku % _LAUNCHED == 0) | (row % _LAUNCHED == 0)) & sold_lately(origin, len(row))
    # One to 27 days ago, the same for all stores of a launched product.
    age = 1 + (np.where(sku % _LAUNCHED == 0, sku // _LAUNCHED, row // _LAUNCHED) * 5) % (NEW_DAYS - 1)
    is_hidden = is_launched[:, None] & (np.arange(past.history_days)[None] < past.history_days - age[:, None])
    return replace(origin, past=replace(past, sales=np.where(is_hidden, np.nan, past.sales)))
