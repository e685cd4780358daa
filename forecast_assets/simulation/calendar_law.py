"""What the calendar does to the simulated retailer's demand where it is asked for, known exactly.

What belongs here: paydays, weekday patterns, days around events, jumps of levels and noise that series share, by
category and store. What does not: their sizes (``calendar_settings``), weather (``weather``), and the plain law that
all of it multiplies (``demand_law``).

Pairs of the c categories and s stores are what effects differ by. All of them are of the logarithm of demand and add
up. The noise of a day is part of the mean that the truth tells, though nobody knows it before.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.simulation.assortment import FESTIVALS, Assortment, SimulatorSettings, calendar
from forecast_assets.simulation.calendar_settings import CalendarSettings
from forecast_assets.simulation.weather import Weather, make_weather, region_names, weather_frame

PAYDAY: Final = "payday"
# Days before an event, and the share that each has of what the last of them has; and what the day after loses.
AROUND: Final = {-3: 0.3, -2: 0.6, -1: 1.0, 1: -1 / 3}
_FOOD: Final = "FOOD"
_PAYDAYS, _PAID_UNTIL = 10, 15
_LEAST_SHIFT: Final = 1 / 3
_LEAST_SHARE, _MOST_SHARE = 0.8, 1.2


@dataclass(frozen=True)
class CalendarLaw:
    """What was drawn, and the truth of it.

    Attributes:
        categories: [c] names, sorted.
        store_ids: [s] names.
        days: D days, to the end of the plan.
        payday_factor: [c, s] factor of a payday; exactly 1 where it does nothing.
        weekday_factor: [c, s, 7] factor on top of the products' own patterns, Monday first.
        event_effects: `event_name, event_date, days_from_event, category, store_id, log_effect`, on top of what the
            festival does to each product on its day.
        level_shifts: `category, store_id, event_date, log_size`.
        paydays: `store_node, event_date`, by day and region.
        weather: Temperatures and their effect.
        log_factor: [c, s, D] all of it but the weather.
        category: [series] category of each series.
        store: [series] store of each series.
        region: [s] region of each store.
    """

    categories: tuple[str, ...]
    store_ids: tuple[str, ...]
    days: tuple[date, ...]
    payday_factor: Floats
    weekday_factor: Floats
    event_effects: pl.DataFrame
    level_shifts: pl.DataFrame
    paydays: pl.DataFrame
    weather: Weather
    log_factor: Floats
    category: Ints
    store: Ints
    region: Ints

    def factors(self) -> Floats:
        """[series, D] what multiplies the mean of every series."""
        weather = self.weather.log_factor(self.category, self.region[self.store])
        return np.asarray(np.exp(self.log_factor[self.category, self.store] + weather))

    def truth(self, settings: SimulatorSettings) -> dict[str, pl.DataFrame]:
        """Return the effects as frames, by name, to be held against estimates."""
        effect = pl.DataFrame({"category": self.categories, "log_effect_of_10_degrees": self.weather.effect})
        return {
            "payday_factors": self._pairs().with_columns(factor=self.payday_factor.ravel()),
            "weekday_factors": self._weekdays(),
            "event_effects": self.event_effects,
            "level_shifts": self.level_shifts,
            "weather_effects": effect,
            "weather": weather_frame(settings, self.weather),
        }

    def _pairs(self) -> pl.DataFrame:
        return _pairs(self.categories, self.store_ids)

    def _weekdays(self) -> pl.DataFrame:
        weekday = pl.DataFrame({"weekday": range(1, 8)}, schema={"weekday": pl.Int8})
        every = self._pairs().join(weekday, how="cross", maintain_order="left_right")
        return every.with_columns(factor=self.weekday_factor.ravel())


def make_calendar(settings: SimulatorSettings, assortment: Assortment) -> CalendarLaw | None:
    """Draw what the settings ask for; None if they ask for nothing."""
    if settings.calendar is None:
        return None
    return _Drawing(settings, settings.calendar, assortment).law()


class _Drawing:
    """Draws the parts, each from a random stream of its own."""

    def __init__(self, settings: SimulatorSettings, effects: CalendarSettings, assortment: Assortment) -> None:
        self._settings, self._effects = settings, effects
        names, category = np.unique(assortment.sku_nodes[:, 1], return_inverse=True)
        self._categories = tuple(str(name) for name in names)
        self._store_ids = tuple(str(name) for name in assortment.store_ids)
        self._regions, self._region = region_names(assortment)
        self._category = category.astype(np.int64)[assortment.sku_of_series]
        self._store = assortment.store_of_series
        department = dict(zip(assortment.sku_nodes[:, 1], assortment.sku_nodes[:, 0], strict=True))
        self._is_food = np.array([department[name] == _FOOD for name in names])
        self._days = tuple(calendar(settings))
        self._shape = len(names), len(assortment.store_ids)

    def law(self) -> CalendarLaw:
        payday, on = self._paydays()
        weekday, events, shifts = self._weekdays(), self._events(), self._shifts()
        weekday_of_day = [day.weekday() for day in self._days]
        log = np.log(payday)[:, :, None] * on[self._region] + np.log(weekday)[:, :, weekday_of_day]
        log += self._spread_events(events) + self._spread_shifts(shifts) + self._noise()
        region, day = np.nonzero(on)
        paid = pl.DataFrame(
            {"store_node": [self._regions[at] for at in region], "event_date": [self._days[at] for at in day]},
            schema={"store_node": pl.String, "event_date": pl.Date},
        )
        return CalendarLaw(
            categories=self._categories,
            store_ids=self._store_ids,
            days=self._days,
            payday_factor=payday,
            weekday_factor=weekday,
            event_effects=events,
            level_shifts=shifts,
            paydays=paid.sort("event_date", "store_node"),
            weather=make_weather(self._settings, self._effects, self._regions, len(self._categories)),
            log_factor=log,
            category=self._category,
            store=self._store,
            region=self._region,
        )

    def _paydays(self) -> tuple[Floats, Floats]:
        """[c, s] factors, and [regions, D] ones on the ten paydays of a month, which each region has of its own."""
        random = self._settings.stream(20)
        of_month = [random.permutation(_PAID_UNTIL)[:_PAYDAYS] + 1 for _ in self._regions]
        on = np.array([np.isin([day.day for day in self._days], days) for days in of_month], dtype=np.float64)
        moves = (random.random(self._shape) < self._effects.payday_share) & self._is_food[:, None]
        size = self._effects.payday_size * random.uniform(_LEAST_SHARE, _MOST_SHARE, self._shape)
        return np.where(moves, np.exp(size), 1.0), on * (self._effects.payday_size > 0)

    def _weekdays(self) -> Floats:
        """[c, s, 7] factors, 1 on average over the week."""
        spread = self._settings.stream(21).normal(size=(*self._shape, 7))
        factor = np.exp(self._effects.weekday_spread * spread)
        return np.asarray(factor / factor.mean(axis=2, keepdims=True))

    def _events(self) -> pl.DataFrame:
        """What each occurrence of a festival adds on the days around it and on its own."""
        random, effects = self._settings.stream(22), self._effects
        of_pair = {name: random.uniform(_LEAST_SHARE, _MOST_SHARE, self._shape) for name in FESTIVALS}
        frames = [_no_effects()]
        for year in range(self._days[0].year, self._days[-1].year + 2):
            for name, (month, day) in FESTIVALS.items():
                of_year, own_day = 1.0 + effects.event_spread * random.normal(), effects.event_spread * random.normal()
                around = {away: share * of_year for away, share in AROUND.items()} | {0: own_day}
                frames += [
                    self._effects_of(name, date(year, month, day), away, effects.event_size * share * of_pair[name])
                    for away, share in sorted(around.items())
                ]
        return pl.concat(frames)

    def _effects_of(self, name: str, day: date, away: int, effect: Floats) -> pl.DataFrame:
        return _pairs(self._categories, self._store_ids).select(
            pl.lit(name).alias("event_name"),
            pl.lit(day).alias("event_date"),
            pl.lit(away, pl.Int32).alias("days_from_event"),
            "category",
            "store_id",
            pl.Series("log_effect", effect.ravel()),
        )

    def _spread_events(self, events: pl.DataFrame) -> Floats:
        out = np.zeros((*self._shape, len(self._days)))
        place = (events["event_date"] - self._days[0]).dt.total_days() + events["days_from_event"]
        effect, pairs = events["log_effect"].to_numpy().reshape(-1, *self._shape), self._shape[0] * self._shape[1]
        for day, of_day in zip(place.to_numpy()[::pairs], effect, strict=True):
            if 0 <= day < len(self._days):
                out[:, :, day] += of_day
        return out

    def _shifts(self) -> pl.DataFrame:
        """Jumps of levels, none of them after the last observed day: nobody could know."""
        random, effects = self._settings.stream(23), self._effects
        chance = 1.0 / effects.shift_every_days if effects.shift_every_days else 0.0
        jumps = random.random((*self._shape, self._settings.days)) < chance
        category, store, day = np.nonzero(jumps)
        size = effects.shift_size * random.uniform(_LEAST_SHIFT, 1.0, len(day)) * random.choice((-1.0, 1.0), len(day))
        return pl.DataFrame(
            {
                "category": [self._categories[at] for at in category],
                "store_id": [self._store_ids[at] for at in store],
                "event_date": [self._settings.start + timedelta(days=int(at)) for at in day],
                "log_size": size,
            },
            schema={"category": pl.String, "store_id": pl.String, "event_date": pl.Date, "log_size": pl.Float64},
        )

    def _spread_shifts(self, shifts: pl.DataFrame) -> Floats:
        step = np.zeros((*self._shape, len(self._days)))
        for category, store, day, size in shifts.iter_rows():
            place = self._categories.index(category), self._store_ids.index(store), (day - self._days[0]).days
            step[place] += size
        return np.cumsum(step, axis=2)

    def _noise(self) -> Floats:
        random, effects, days = self._settings.stream(24), self._effects, len(self._days)
        return np.asarray(
            effects.noise_all * random.normal(size=(1, 1, days))
            + effects.noise_by_store * random.normal(size=(1, self._shape[1], days))
            + effects.noise_by_both * random.normal(size=(*self._shape, days))
        )


def _pairs(categories: tuple[str, ...], store_ids: tuple[str, ...]) -> pl.DataFrame:
    """One row per category and store, in the order of [c, s] arrays."""
    return pl.DataFrame({"category": categories}).join(
        pl.DataFrame({"store_id": store_ids}), how="cross", maintain_order="left_right"
    )


def _no_effects() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "event_name": pl.String,
            "event_date": pl.Date,
            "days_from_event": pl.Int32,
            "category": pl.String,
            "store_id": pl.String,
            "log_effect": pl.Float64,
        }
    )
