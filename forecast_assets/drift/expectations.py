"""What is to be expected of a figure on a day: the level of the weeks before, its trend, weekday, events, last year.

What belongs here: how far each day is from what was to be expected of it. What does not: whether that is too far
(``detectors``), or which figures there are.

A classical decomposition by medians, so that a few strange days, and a change that has just begun, move nothing. The
level of a day is that of the weeks that ended a week before it, so that a change is seen for weeks; it goes along with
a trend, which is what the season does within a few weeks, so that no year of history is needed. Where there is a year,
what the same days did then is forgiven.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints

WEEK: Final = 7
# The level of a day is learned from these weeks, the last of which ends a week before it.
LEVEL_WEEKS: Final = 5
_LEVEL_DAYS: Final = LEVEL_WEEKS * WEEK
_LEAST_WEEKS: Final = 3
# Days from the first with rows to the first that can be judged.
LEAST_HISTORY: Final = 2 * _LEVEL_DAYS
_YEAR: Final = 364
# Weekday and spread are those of the last half year.
RECENT_DAYS: Final = 182
# An event that has come so often is learned; one that came less often says nothing about its days.
LEAST_OCCURRENCES: Final = 3
DAYS_BEFORE, DAYS_AFTER = 3, 1
# Normal: the standard deviation over the median absolute deviation, and of a median over that of a mean.
_MAD: Final = 1.4826
_MEDIAN_ERROR: Final = 1.2533
_LEAST_WEEK_DAYS: Final = 4
# Days that have to have been judged before a spread is believed.
LEAST_JUDGED: Final = 28


@dataclass(frozen=True)
class KnownDays:
    """What is known of days before they come.

    Attributes:
        weekday: [T] 0 for Monday.
        events: By name, [S, T] whether the event is on in a store.
    """

    weekday: Ints
    events: dict[str, Bools]

    def until(self, days: int) -> "KnownDays":
        """Return what is known of the first days."""
        return KnownDays(self.weekday[:days], {name: is_on[:, :days] for name, is_on in self.events.items()})

    def repeated(self, times: int) -> "KnownDays":
        """Return it for as many figures of the same stores, one after the other."""
        return KnownDays(self.weekday, {name: np.tile(is_on, (times, 1)) for name, is_on in self.events.items()})


@dataclass(frozen=True)
class Deviations:
    """How far days are from what was to be expected of them.

    Attributes:
        values: [S, T] on the figure's scale; NaN where nothing is to be expected, or the figure is not known.
        expected: [S, T] what was to be expected.
        spread: [S] standard deviation of `values` lately; NaN where too few are known.
        long_spread: [S] the same of what neighbouring days share: what a mean of many days varies by, a day's worth.
        is_special: [S, T] days around an event that has not been seen often enough to know what it does.
    """

    values: Floats
    expected: Floats
    spread: Floats
    long_spread: Floats
    is_special: Bools

    def rows(self, rows: slice) -> "Deviations":
        """Return those of some rows."""
        return Deviations(*(getattr(self, each.name)[rows] for each in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["Deviations"]) -> "Deviations":
        """Return the rows of several, one after the other."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


def deviations(values: Floats, calendar: KnownDays, least_spread: float, *, stores: int, has_trend: bool) -> Deviations:
    """Return how far each day is from what was to be expected of it.

    Args:
        values: [S, T] a figure, NaN where it is not known.
        calendar: Of the same days.
        least_spread: Spread below which none is believed.
        stores: Of each figure; their rows follow one another.
        has_trend: Whether a level goes along with a trend, as seasons of quantities do.
    """
    learned = np.where(_is_learned(values.shape[1]), values, np.nan)
    is_event = np.zeros(values.shape, dtype=bool)
    for is_on in calendar.events.values():
        is_event |= _around(is_on)
    around_mean = learned - _centred_mean(learned)
    pattern = _weekday_pattern(np.where(is_event, np.nan, around_mean), calendar.weekday)
    effects, is_special = _event_effects(around_mean - pattern, calendar.events)
    plain = values - pattern - effects
    levels = _levels(np.where(is_special, np.nan, plain), least_spread, stores)
    tried = [_less_last_year(plain - level) for level in (levels if has_trend else levels[:1])]
    found = [spreads(np.where(is_special, np.nan, apart), least_spread) for apart in tried]
    # A trend is followed where weeks came closer to it in the last half year.
    best = np.argmin([np.nan_to_num(long_spread, nan=np.inf) for _, long_spread in found], axis=0)
    rows = np.arange(len(values))
    apart = np.stack(tried)[best, rows]
    spread, long_spread = (np.stack(each)[best, rows] for each in zip(*found, strict=True))
    return Deviations(apart, values - apart, spread, long_spread, is_special)


def _is_learned(days: int) -> Bools:
    """[T] Whether a day may be learned from: not of the last week, which is judged."""
    return np.arange(days) < days - WEEK


def _centred_mean(values: Floats) -> Floats:
    """[S, T] Mean of the week around each day; NaN where a day of it is not known."""
    made = np.full(values.shape, np.nan)
    if values.shape[1] >= WEEK:
        half = WEEK // 2
        windows = np.lib.stride_tricks.sliding_window_view(values, WEEK, axis=1)
        made[:, half:-half] = windows.mean(axis=2)
    return made


def _weekday_pattern(values: Floats, weekday: Ints) -> Floats:
    """[S, T] Median of each weekday in the last half year, less their mean; 0 where one is not known."""
    start = max(values.shape[1] - RECENT_DAYS, 0)
    by_day = np.stack([_median(values[:, start:][:, weekday[start:] == day]) for day in range(WEEK)], axis=1)
    pattern = np.nan_to_num(by_day - _mean(by_day))
    return np.asarray(pattern[:, weekday])


def _event_effects(values: Floats, events: dict[str, Bools]) -> tuple[Floats, Bools]:
    """Return [S, T] what events do that came often enough, and [S, T] the days around others."""
    effects, is_special = np.zeros(values.shape), np.zeros(values.shape, dtype=bool)
    for is_on in events.values():
        seen = is_on & ~np.isnan(values)
        is_known = seen.sum(axis=1) >= LEAST_OCCURRENCES
        usual = np.nan_to_num(_median(np.where(is_on, values, np.nan)))
        effects += np.where(is_on & is_known[:, None], usual[:, None], 0.0)
        is_special |= _around(is_on) & ~is_known[:, None]
    return effects, is_special


def _around(is_on: Bools) -> Bools:
    """[S, T] Whether an event is on, or near."""
    made = is_on.copy()
    for ahead in range(1, DAYS_BEFORE + 1):
        made[:, :-ahead] |= is_on[:, ahead:]
    for after in range(1, DAYS_AFTER + 1):
        made[:, after:] |= is_on[:, :-after]
    return made


def _levels(values: Floats, least_spread: float, stores: int) -> list[Floats]:
    """[n, T] Level of each day by medians of the weeks that ended a week before: flat, and with the trend of all.

    The trend is Theil's and Sen's median of the slopes of pairs of weeks (doi 10.1080/01621459.1968.10480934), less
    what chance may make of it, so that a level without a trend is not made restless.
    """
    days = values.shape[1]
    if days <= _LEVEL_DAYS + WEEK:
        return [np.full(values.shape, np.nan)] * 2
    weekly = _week_medians(values)
    # The last week of day t ends at t - 8, so that it begins at t - 14.
    judged = np.arange(_LEVEL_DAYS + WEEK, days)
    starts = judged[None, :] - 2 * WEEK - WEEK * np.arange(LEVEL_WEEKS)[:, None]
    weeks = weekly[:, starts]
    centre = _median(np.moveaxis(weeks, 1, 2))
    enough = (~np.isnan(weeks)).sum(axis=1) >= _LEAST_WEEKS
    slopes = np.stack(
        [
            (weeks[:, late] - weeks[:, early]) / (early - late)
            for late in range(LEVEL_WEEKS)
            for early in range(late + 1, LEVEL_WEEKS)
        ],
        axis=2,
    )
    slope = _median(slopes)
    step = np.diff(values, axis=1)
    noise = np.maximum(_MAD * _median(np.abs(step - _median(step)[:, None])) / np.sqrt(2), least_spread)
    weekly_error = _MEDIAN_ERROR * noise / np.sqrt(WEEK)
    chance = (weekly_error / np.sqrt(_sum_of_squares(LEVEL_WEEKS)))[:, None]
    # From the middle of the weeks to the day itself.
    ahead = (LEVEL_WEEKS - 1) / 2 + (WEEK + (WEEK + 1) / 2) / WEEK
    # A season is what all stores do; of one store alone a slope is mostly chance.
    common = _beyond(_of_all(slope, stores), _MEDIAN_ERROR * _of_all(chance, stores) / np.sqrt(stores))
    levels = []
    for trend in (np.zeros_like(common), common):
        level = np.full(values.shape, np.nan)
        level[:, judged] = np.where(enough, centre + np.nan_to_num(trend) * ahead, np.nan)
        levels.append(level)
    return levels


def _beyond(slope: Floats, chance: Floats) -> Floats:
    """What of a slope is more than chance makes of it."""
    return np.asarray(np.sign(slope) * np.maximum(np.abs(slope) - chance, 0.0))


def _of_all(values: Floats, stores: int) -> Floats:
    """[n, ...] The median over the stores of each figure, for each of them."""
    by_figure = values.reshape(-1, stores, values.shape[1])
    return np.repeat(_median(np.moveaxis(by_figure, 1, 2)), stores, axis=0)


def _sum_of_squares(count: int) -> float:
    """Sum of the squared distances of 0, 1, ..., count - 1 from their mean."""
    return count * (count * count - 1) / 12


def _less_last_year(values: Floats) -> Floats:
    """[S, T] Deviations without what the same week of last year did too; never more than the deviation itself."""
    made = values.copy()
    half = WEEK // 2
    if values.shape[1] <= _YEAR + half:
        return made
    # usual[:, i] is of the week around day i + 3.
    usual = np.nan_to_num(_week_medians(values))
    now = np.arange(_YEAR + half, values.shape[1])
    last_year = usual[:, now - _YEAR - half]
    today = values[:, now]
    forgiven = np.clip(last_year, np.minimum(today, 0.0), np.maximum(today, 0.0))
    made[:, now] = today - forgiven
    return made


def spreads(values: Floats, least: float) -> tuple[Floats, Floats]:
    """Return [S] the robust standard deviation of days lately, and [S] that of weeks, times the root of a week's days.

    The second is larger where neighbouring days share an error, that of their level among others.
    """
    learned = values[:, _is_learned(values.shape[1])][:, -RECENT_DAYS:]
    spread = np.maximum(_deviation(learned), least)
    spread = np.where((~np.isnan(learned)).sum(axis=1) >= LEAST_JUDGED, spread, np.nan)
    weeks = _week_means(learned)
    return spread, np.asarray(np.fmax(spread, _deviation(weeks) * np.sqrt(WEEK)))


def _deviation(values: Floats) -> Floats:
    """[S] Standard deviation about zero, where everything is as expected, by the median of absolute values."""
    return np.asarray(_MAD * _median(np.abs(values)))


def _week_medians(values: Floats) -> Floats:
    """[S, T - 6] Median of what is known of each seven days, the days i to i + 6; NaN where that is little."""
    windows = np.lib.stride_tricks.sliding_window_view(values, WEEK, axis=1)
    known = (~np.isnan(windows)).sum(axis=2) >= _LEAST_WEEK_DAYS
    return np.where(known, _median(windows), np.nan)


def _week_means(values: Floats) -> Floats:
    """[S, T - 6] Mean of what is known of each seven days; NaN where that is little."""
    if values.shape[1] < WEEK:
        return np.full((len(values), 0), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, WEEK, axis=1)
    known = ~np.isnan(windows)
    count = known.sum(axis=2)
    total = np.where(known, windows, 0.0).sum(axis=2)
    return np.where(count >= _LEAST_WEEK_DAYS, total / np.maximum(count, 1), np.nan)


def _median(values: Floats) -> Floats:
    """Median along the last axis of what is known; NaN where nothing is."""
    ordered = np.sort(values, axis=-1)
    count = (~np.isnan(values)).sum(axis=-1)
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    high = np.minimum(high, values.shape[-1] - 1)
    pick = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return np.where(count > 0, pick.mean(axis=-1), np.nan)


def _mean(values: Floats) -> Floats:
    """[..., 1] Mean along the last axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1, keepdims=True)
    total = np.where(known, values, 0.0).sum(axis=-1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
