"""Effects: what multiplies a series' level on a day: the calendar, time of year, price and promotion.

What belongs here: estimating pooled effects, refitting weekday patterns of single series, laying both out as factors.
What does not: levels and their models, or how the calendar is read from sums (`models/calendar`).

Pooled effects belong to the trained artifact. The factor of list price, no promotion and no event is 1, and weekday
factors average 1, so that the level is a plain day at list price and every forecast decomposes exactly.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.calendar import (
    CALENDARS,
    LARGEST_FACTOR,
    SMALLEST_FACTOR,
    Calendar,
    CalendarFactors,
    clipped,
)
from forecast_assets.models.calendar.estimation import fit_calendar
from forecast_assets.models.demand import HALF_LIFE_DAYS, ObservedSales, observe, ratio, trailing_level
from forecast_assets.models.statistical.season import LEAST_HISTORY_DAYS, WAVES, Season, deviation, fit_season
from forecast_assets.models.statistical.slopes import (
    LEAST_DISPERSION,
    Slopes,
    apply_slopes,
    dispersion,
    fit_slopes,
    sum_by,
)

# Whose season there is, and whose event factors: the first of each is taken unless another is clearly better.
SEASONS: Final = ("none", "by group", "by product")
# What stands in for a season where there is one year of history.
LAST_YEARS: Final = "last year's by group"
EVENTS: Final = ("pooled", "by group")
WEEK: Final = 7
# Price and promotion, and the calendar, are each estimated given the other until what prices and promotions do to a
# unit that is sold moves by no more than this, on the log.
_MOST_ALTERNATIONS: Final = 3
_SETTLED: Final = 0.003
# What versions of before, or without a calendar, do not have.
_OPTIONAL: Final = ("calendar", "node_weekday_prior_units", "reads_shifts", "last_year")
_EVENT_SPREAD: Final = 0.3
_GROUP_EVENT_SPREAD: Final = 0.15
_LEAST_WEEKDAY_VARIANCE: Final = 0.01**2
_LARGEST_PRIOR_UNITS: Final = 1e6
_PLAN_DAYS: Final = 28


@dataclass(frozen=True)
class GroupEffects:
    """Effects of a group of products.

    Attributes:
        price_elasticity: Percent change of demand per percent of price.
        promotion_uplift: Logarithm of the factor of a promotion at an unchanged price.
        weekday: Seven factors, Monday first, averaging 1.
        events: Factor of each event; that over all products for others.
    """

    price_elasticity: float
    promotion_uplift: float
    weekday: tuple[float, ...]
    events: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "GroupEffects":
        """Read the JSON form back."""
        weekday, events = tuple(data["weekday"]), dict(data["events"])
        return cls(data["price_elasticity"], data["promotion_uplift"], weekday, events)


@dataclass(frozen=True)
class Effects:
    """Pooled effects, estimated once per model version.

    Attributes:
        pooled: Of all products; stands in for groups that training did not see.
        groups: By product group.
        events: Factor of each event over all products; 1 for others.
        weekday_prior_units: Units of demand on a weekday after which a series' own pattern counts half against its
            group's.
        season: The yearly season; None where there is none to use.
        calendar: Weekdays, paydays, time of month and events by product group and store, estimated together; None
            where weekdays and events are those of groups and of all.
        node_weekday_prior_units: The same units against the calendar's pattern of the series' group in its store.
        reads_shifts: Whether shifts of level of groups in stores are looked for; versions of before do not.
        last_year: Waves of last year, by product group, where two years to tell a season by are not known: what they
            changed by from the last weeks to the days ahead is expected again, and history is left as it is.
    """

    pooled: GroupEffects
    groups: Mapping[str, GroupEffects]
    events: Mapping[str, float]
    weekday_prior_units: float
    season: Season | None = None
    calendar: Calendar | None = None
    node_weekday_prior_units: float | None = None
    reads_shifts: bool = False
    last_year: Season | None = None

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Effects":
        """Read the JSON form back."""
        return cls(
            GroupEffects.from_data(data["pooled"]),
            {name: GroupEffects.from_data(group) for name, group in data["groups"].items()},
            dict(data["events"]),
            data["weekday_prior_units"],
            Season.from_data(data["season"]) if data["season"] else None,
            Calendar.from_data(data["calendar"]) if data.get("calendar") else None,
            data.get("node_weekday_prior_units"),
            data.get("reads_shifts", False),
            Season.from_data(data["last_year"]) if data.get("last_year") else None,
        )

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form, without what versions of before, or without a calendar, do not have."""
        data = asdict(self)
        return {name: value for name, value in data.items() if value or name not in _OPTIONAL}

    def of(self, groups: Groups) -> tuple[Floats, Floats]:
        """[n, 2] elasticity and log uplift, and [n, 7] weekday factors of the group of each series."""
        names, code = np.unique(groups, return_inverse=True)
        found = [self.groups.get(str(name), self.pooled) for name in names]
        slopes = np.array([[group.price_elasticity, group.promotion_uplift] for group in found])
        return slopes[code], np.array([group.weekday for group in found])[code]

    def event(self, name: str, groups: Groups) -> Floats:
        """[n] factor of an event for the group of each series."""
        everyone = self.events.get(name, 1.0)
        names, code = np.unique(groups, return_inverse=True)
        found = [self.groups.get(str(group), self.pooled).events.get(name, everyone) for group in names]
        return np.array(found, dtype=np.float64)[code]

    def season_waves(self, panel: Panel, groups: Groups) -> Floats:
        """[n, 6] coefficients of the yearly season of each series; zeros without one."""
        if self.season is None:
            return np.zeros((panel.series.height, 2 * WAVES))
        return self.season.of(panel.series["sku_id"].to_numpy().astype(str), groups)

    @property
    def season_kind(self) -> str:
        """One of `SEASONS`, or `LAST_YEARS`."""
        if self.last_year is not None:
            return LAST_YEARS
        if self.season is None:
            return SEASONS[0]
        return SEASONS[2] if self.season.products else SEASONS[1]

    @property
    def calendar_kind(self) -> str:
        """One of `CALENDARS`."""
        return "none" if self.calendar is None else self.calendar.kind

    @property
    def own_weekday_prior_units(self) -> float:
        """Units after which a series' own weekdays count half against those that it starts from."""
        if self.node_weekday_prior_units is None or self.calendar_kind != CALENDARS[0]:
            return self.weekday_prior_units
        return self.node_weekday_prior_units

    @property
    def event_kind(self) -> str:
        """One of `EVENTS`."""
        return EVENTS[1] if any(group.events for group in self.groups.values()) else EVENTS[0]

    def without_event_groups(self) -> "Effects":
        """Return the effects with every event the same for all products."""
        return replace(self, groups={name: replace(group, events={}) for name, group in self.groups.items()})

    def with_calendar_kind(self, kind: str) -> "Effects":
        """Return the effects with one of `CALENDARS` out of a calendar by group and store."""
        if self.calendar is None or kind == CALENDARS[0]:
            return self
        calendar = self.calendar.by_group() if kind == CALENDARS[1] else None
        return replace(self, calendar=calendar, node_weekday_prior_units=None)


@dataclass(frozen=True)
class Factors:
    """What multiplies the level, each [n, T + H] and within 0.2..5; in the order in which they are told."""

    weekday: Floats
    payday: Floats
    month: Floats
    season: Floats
    price: Floats
    promotion: Floats
    event: Floats

    @property
    def product(self) -> Floats:
        """[n, T + H] all of them together."""
        return self.weekday * self.payday * self.month * self.season * self.price * self.promotion * self.event

    def by_component(self, cells: Any) -> dict[str, Floats]:
        """Return the factor of each component that has one, in the order of the components.

        Args:
            cells: Index into [n, T + H]: which series and days.
        """
        return {
            "weekday_units": self.weekday[cells],
            "payday_units": self.payday[cells],
            "time_of_month_units": self.month[cells],
            "season_units": self.season[cells],
            "price_units": self.price[cells],
            "promotion_units": self.promotion[cells],
            "event_units": self.event[cells],
        }


def fit_effects(panel: Panel, product_groups: Groups) -> Effects:
    """Estimate pooled effects.

    Price and promotion: Poisson pseudo-likelihood with a fixed effect per series and three weeks, which needs no
    assumption on the distribution beyond the mean (Hausman, Hall & Griliches 1984, doi:10.2307/1911191). The calendar:
    on sums of groups in stores, given price and promotion, and these given the calendar, until both settle. Besides,
    for retailers whose backtests bear no calendar out, weekdays and events by group: units over what the level leads to
    expect. All are drawn from groups towards all, and from all towards none.

    Args:
        panel: n series, T days of history.
        product_groups: [n] group of each series.
    """
    names, code = np.unique(product_groups, return_inverse=True)
    observed = observe(panel)
    covariates = _covariates(panel)[:, :, : panel.history_days]
    calendar, slopes = _fit_jointly(panel, product_groups, observed, covariates, code)
    daily = calendar.factors(panel, product_groups).on_days(panel.weekday[: panel.history_days])
    moved = observed.exposure * clipped(np.exp(apply_slopes(slopes.groups[code], covariates)))
    everyone, weekday = _weekday_factors(panel, observed, moved, code)
    expected = _expected(observed, moved * weekday[code][:, panel.weekday[: panel.history_days]])
    events = _event_factors(panel, observed.units, expected)
    by_group = _group_events(panel, observed.units, expected, events, code)
    return Effects(
        pooled=_group(slopes.pooled, everyone),
        groups={str(name): _group(slopes.groups[i], weekday[i], by_group[i]) for i, name in enumerate(names)},
        events=events,
        weekday_prior_units=_weekday_prior(panel, observed.units, expected),
        calendar=calendar,
        node_weekday_prior_units=_weekday_prior(panel, observed.units, _expected(observed, moved * daily)),
        reads_shifts=True,
    )


def _fit_jointly(
    panel: Panel, product_groups: Groups, observed: ObservedSales, covariates: Floats, code: GroupCodes
) -> tuple[Calendar, Slopes]:
    """Return the calendar, and the slopes of price and promotion, each given the other."""
    days, slopes = panel.weekday[: panel.history_days], Slopes.none(int(code.max(initial=-1)) + 1)
    fitted = fit_calendar(panel, product_groups, observed.units, observed.exposure)
    for _ in range(_MOST_ALTERNATIONS):
        sees = observed.exposure * fitted.calendar.factors(panel, product_groups).on_days(days)
        before = slopes.groups
        slopes = fit_slopes(observed.units, sees, covariates, code, slopes)
        change = np.abs(apply_slopes((slopes.groups - before)[code], covariates))
        if float((observed.units * change).sum()) <= _SETTLED * float(observed.units.sum()):
            break
        moved = observed.exposure * clipped(np.exp(apply_slopes(slopes.groups[code], covariates)))
        fitted = fit_calendar(panel, product_groups, observed.units, moved, fitted)
    return fitted.calendar, slopes


def lay_out_factors(panel: Panel, effects: Effects, product_groups: Groups) -> Factors:
    """Return the factors of every series on every day, with weekday patterns refitted to each series.

    Days whose plan is not known take the series' mean factor of the last four weeks.

    Args:
        panel: n series, T days of history and H ahead.
        effects: Pooled effects.
        product_groups: [n] group of each series.
    """
    slopes, weekday = effects.of(product_groups)
    calendar = _calendar(panel, effects, product_groups, weekday)
    price, promotion = (clipped(np.exp(slopes[:, i, None] * x)) for i, x in enumerate(_covariates(panel)))
    price, promotion = (_without_plan(panel, factor) for factor in (price, promotion))
    season = _season(panel, effects, product_groups)
    daily = calendar.payday * calendar.month * calendar.event
    other = (season * price * promotion * daily)[:, : panel.history_days]
    own = _own_weekdays(panel, other, calendar.weekday, effects.own_weekday_prior_units)
    weekday = clipped(own)[:, panel.weekday]
    return Factors(weekday, calendar.payday, calendar.month, season, price, promotion, calendar.event)


def _calendar(panel: Panel, effects: Effects, product_groups: Groups, weekday: Floats) -> CalendarFactors:
    """What the calendar does to each series; without one, [n, 7] weekdays of groups and events of groups and all."""
    if effects.calendar is not None:
        return effects.calendar.factors(panel, product_groups)
    nothing = np.broadcast_to(1.0, (panel.series.height, panel.history_days + panel.horizon_days))
    return CalendarFactors(weekday, nothing, nothing, _events(panel, effects, product_groups))


def with_season(panel: Panel, effects: Effects, product_groups: Groups) -> Effects:
    """Return the effects with a yearly season, estimated from all of a panel's history beside the other effects.

    Args:
        panel: n series, T days of history; fewer than 672 show no season.
        effects: Pooled effects.
        product_groups: [n] group of each series.
    """
    if panel.history_days < LEAST_HISTORY_DAYS:
        return replace(effects, season=None)
    factors = lay_out_factors(panel, replace(effects, season=None), product_groups).product[:, : panel.history_days]
    observed = observe(panel, factors)
    skus = panel.series["sku_id"].to_numpy().astype(str)
    season = fit_season(observed.units, observed.exposure * factors, panel.cutoff, skus, product_groups)
    return replace(effects, season=season)


def season_deviation(panel: Panel, effects: Effects, product_groups: Groups) -> Floats:
    """[n] Standard deviation over the year of each series' season; 0 without one."""
    return deviation(effects.season_waves(panel, product_groups))


def _season(panel: Panel, effects: Effects, product_groups: Groups) -> Floats:
    days = panel.history_days + panel.horizon_days
    if effects.last_year is not None:
        return _last_years_change(panel, effects.last_year, product_groups)
    if effects.season is None:
        return np.broadcast_to(1.0, (panel.series.height, days))
    waves = effects.season_waves(panel, product_groups)
    return clipped(effects.season.factors(waves, panel.first_date, days))


def _last_years_change(panel: Panel, last_year: Season, product_groups: Groups) -> Floats:
    """[n, T + H] what last year's waves lead to expect of the days ahead against the last weeks; 1 on past days.

    Levels of one year follow its season. To divide it out of them would be to believe that it came back already.
    """
    names, code = np.unique(product_groups, return_inverse=True)
    days, past = panel.history_days + panel.horizon_days, panel.history_days
    waves = clipped(last_year.factors(last_year.of(names, names), panel.first_date, days))
    weight = 0.5 ** (np.arange(past)[::-1] / HALF_LIFE_DAYS)
    lately = (waves[:, :past] * weight).sum(axis=1, keepdims=True) / weight.sum()
    change = np.ones_like(waves)
    change[:, past:] = clipped(waves[:, past:] / lately)
    return np.asarray(change[code])


def _events(panel: Panel, effects: Effects, product_groups: Groups) -> Floats:
    """[n, T + H] product of the factors of the day's events, each only where it applies."""
    out = np.ones((panel.series.height, panel.history_days + panel.horizon_days))
    for name in sorted(set(panel.event_names)):
        columns, applies = panel.occurrences(name)
        out[:, columns] *= np.where(applies, effects.event(name, product_groups)[:, None], 1.0)
    return clipped(out)


def _covariates(panel: Panel) -> Floats:
    """[2, n, T + H] logarithm of the price ratio, and promotion as 0 or 1."""
    log_price = np.log(np.clip(panel.price_ratio, SMALLEST_FACTOR, LARGEST_FACTOR))
    return np.stack([log_price, panel.is_promotion.astype(np.float64)])


def _without_plan(panel: Panel, factor: Floats) -> Floats:
    usual = factor[:, max(panel.history_days - _PLAN_DAYS, 0) : panel.history_days].mean(axis=1, keepdims=True)
    ahead = np.where(panel.has_plan, factor[:, panel.history_days :], usual)
    return np.concatenate([factor[:, : panel.history_days], ahead], axis=1)


def _group(slopes: Floats, weekday: Floats, events: Mapping[str, float] | None = None) -> GroupEffects:
    elasticity, uplift = slopes.tolist()
    return GroupEffects(elasticity, uplift, tuple(float(value) for value in weekday), dict(events or {}))


def _expected(observed: ObservedSales, exposure: Floats) -> Floats:
    """[n, T] units that the trailing level leads to expect."""
    return trailing_level(observed.units, exposure, 3 * WEEK) * exposure


def _by_weekday(panel: Panel, values: Floats) -> Floats:
    """[n, 7] sums of [n, T] values over the days of each weekday."""
    days = panel.weekday[: panel.history_days]
    return np.stack([values[:, days == day].sum(axis=1) for day in range(WEEK)], axis=1)


def _weekday_factors(
    panel: Panel, observed: ObservedSales, exposure: Floats, code: GroupCodes
) -> tuple[Floats, Floats]:
    """[7] factors of all and [G, 7] of groups, averaging 1; a group with little demand is drawn towards all."""
    expected = _by_weekday(panel, _expected(observed, exposure))
    units = _by_weekday(panel, observed.units)
    everyone = _drawn(units.sum(axis=0), expected.sum(axis=0), np.ones(WEEK), WEEK)
    groups = int(code.max(initial=-1)) + 1
    factors = _drawn(sum_by(code, units, groups), sum_by(code, expected, groups), everyone, 100.0)
    return _averaging_one(clipped(everyone)), _averaging_one(clipped(factors))


def _drawn(units: Floats, expected: Floats, towards: Floats, prior_units: float) -> Floats:
    """Units over expected units, drawn towards a factor as if that many units had shown it."""
    return (units + prior_units * towards) / (expected + prior_units)


def _averaging_one(weekday: Floats) -> Floats:
    return np.asarray(weekday / weekday.mean(axis=-1, keepdims=True))


def _own_weekdays(panel: Panel, other: Floats, weekday: Floats, prior_units: float) -> Floats:
    """[n, 7] the group's weekday factors, corrected by the series' own record."""
    factors = other * weekday[:, panel.weekday[: panel.history_days]]
    observed = observe(panel.within("weekdays"), factors)
    expected = _expected(observed, observed.exposure * factors)
    correction = _drawn(
        _by_weekday(panel, observed.units), _by_weekday(panel, expected), np.ones((1, WEEK)), prior_units
    )
    return _averaging_one(weekday * correction)


def _weekday_prior(panel: Panel, units: Floats, expected: Floats) -> float:
    """Empirical-Bayes strength: dispersion over the variance of true weekday factors between series, by moments."""
    noise = dispersion(units, expected)
    means = _by_weekday(panel, expected)
    surplus = float(((_by_weekday(panel, units) - means) ** 2 - noise * means).sum())
    variance = max(surplus / max(float((means**2).sum()), 1.0), _LEAST_WEEKDAY_VARIANCE)
    return min(noise / variance, _LARGEST_PRIOR_UNITS)


def _event_factors(panel: Panel, units: Floats, expected: Floats) -> dict[str, float]:
    """Pooled factor of each event: units over expected units, drawn towards 1 by how few of its days were seen."""
    prior = _daily_dispersion(units, expected) / _EVENT_SPREAD**2
    factors = {}
    for name in sorted(set(panel.event_names)):
        seen, awaited = (by_series.sum(keepdims=True) for by_series in _on_event(panel, name, units, expected))
        factors[name] = float(clipped(_drawn(seen, awaited, np.ones(1), prior))[0])
    return factors


def _group_events(
    panel: Panel, units: Floats, expected: Floats, pooled: Mapping[str, float], code: GroupCodes
) -> list[dict[str, float]]:
    """Factors of each event in each of G groups, drawn towards the pooled ones."""
    groups = int(code.max(initial=-1)) + 1
    out: list[dict[str, float]] = [{} for _ in range(groups)]
    daily, awaited_daily = sum_by(code, units, groups), sum_by(code, expected, groups)
    noise = ratio(((daily - awaited_daily) ** 2).sum(axis=1), np.maximum(awaited_daily.sum(axis=1), 1.0))
    prior = np.maximum(noise, LEAST_DISPERSION) / _GROUP_EVENT_SPREAD**2
    for name, everyone in pooled.items():
        seen, awaited = (sum_by(code, by_series, groups) for by_series in _on_event(panel, name, units, expected))
        factors = clipped((seen + prior * everyone) / (awaited + prior))
        for group, factor in zip(out, factors.tolist(), strict=True):
            group[name] = factor
    return out


def _on_event(panel: Panel, name: str, *values: Floats) -> list[Floats]:
    """[n] sums of each of [n, T] values over the days on which an event fell on a series."""
    columns, applies = panel.occurrences(name)
    past = columns < panel.history_days
    return [(each[:, columns[past]] * applies[:, past]).sum(axis=1) for each in values]


def _daily_dispersion(units: Floats, expected: Floats) -> float:
    """Variance over mean of a day's total: what all series share on a day does not average out over them."""
    return dispersion(units.sum(axis=0), expected.sum(axis=0))
