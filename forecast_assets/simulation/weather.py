"""The simulated retailer's weather: what it was, what was forecast of it when, and what it does to demand.

What belongs here: temperatures by region, their forecasts, and the effect by category. What does not: any other law, or
how a feed is written.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.history.moments import midnight
from forecast_assets.simulation.assortment import Assortment, SimulatorSettings, calendar
from forecast_assets.simulation.calendar_settings import CalendarSettings

TEMPERATURE: Final = "temperature"
PLANNED_DAYS: Final = 28
_MEAN, _SEASON, _SPREAD, _KEPT = 11.0, 8.0, 3.5, 0.75
_DEGREES: Final = 10.0
_LEAST_SHARE: Final = 0.5
_MOVED_SHARE: Final = 0.5


@dataclass(frozen=True)
class Weather:
    """Temperatures and what they do.

    Attributes:
        regions: [regions] names.
        temperature: [regions, days] degrees, to the end of the plan.
        planned: [regions, days, 28] what was said of a day 1, 2, ... 28 days before it.
        effect: [categories] on the logarithm of demand, of 10 degrees more; 0 where there is none.
    """

    regions: tuple[str, ...]
    temperature: Floats
    planned: Floats
    effect: Floats

    def log_factor(self, category: Ints, region: Ints) -> Floats:
        """[series, days] what the weather does to demand, on the log; nothing at the yearly mean.

        Args:
            category: [series] category of each series.
            region: [series] region of each series.
        """
        return np.asarray(self.effect[category][:, None] * (self.temperature[region] - _MEAN) / _DEGREES)


def make_weather(
    settings: SimulatorSettings, effects: CalendarSettings, regions: tuple[str, ...], categories: int
) -> Weather:
    """Draw temperatures about a yearly wave, forecasts that get better as the day comes nearer, and effects."""
    random = settings.stream(30)
    days = calendar(settings)
    turn = 2 * np.pi * (np.array([day.timetuple().tm_yday for day in days]) - 200) / 365.25
    temperature = _MEAN + _SEASON * np.cos(turn) + _anomalies(random, (len(regions), len(days)))
    error = effects.weather_error * np.cumsum(random.normal(size=(*temperature.shape, PLANNED_DAYS)), axis=2)
    size = effects.weather_size * random.uniform(_LEAST_SHARE, 1.0, categories) * random.choice((-1.0, 1.0), categories)
    # A random half, so that some have an effect and some have none.
    moved = random.permutation(categories) < np.ceil(_MOVED_SHARE * categories)
    return Weather(regions, temperature, temperature[:, :, None] + error, np.where(moved, size, 0.0))


def region_names(assortment: Assortment) -> tuple[tuple[str, ...], Ints]:
    """Return the regions, sorted, and which of them each store is in, [stores]."""
    names, place = np.unique(assortment.store_nodes[:, 1], return_inverse=True)
    return tuple(str(name) for name in names), place.astype(np.int64)


def weather_frame(settings: SimulatorSettings, weather: Weather) -> pl.DataFrame:
    """Lay out all that was ever said of the weather: 28 forecasts of every day, and what it was.

    Returns:
        `covariate, store_node, event_date, known_at, value`, sorted by day, region and moment. A forecast is known at
        the end of the day on which it is made, what came at the end of its own day; of days after the last observed one
        there are only the forecasts made by then.
    """
    region, day, ahead = (each.ravel() for each in np.indices((*weather.temperature.shape, PLANNED_DAYS + 1)))
    said = np.concatenate([weather.temperature[:, :, None], weather.planned], axis=2).ravel()
    known_on = day - ahead
    is_known = known_on < settings.days
    start = pl.lit(settings.start)
    frame = pl.DataFrame({"region": region, "day": day, "known_on": known_on, "value": said.round(2)}).filter(is_known)
    known_at = midnight(start + pl.duration(days=pl.col("known_on") + 1))
    return frame.select(
        pl.lit(TEMPERATURE).alias("covariate"),
        pl.lit(pl.Series(weather.regions)).gather(pl.col("region")).alias("store_node"),
        (start + pl.duration(days=pl.col("day"))).alias("event_date"),
        known_at.alias("known_at"),
        "value",
    ).sort("event_date", "store_node", "known_at")


def _anomalies(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """[regions, days] how much warmer than usual; a warm day is followed by another."""
    own = np.sqrt(1.0 - _KEPT**2)
    anomalies: Floats = random.normal(size=shape) * _SPREAD
    anomalies[:, 1:] *= own
    for day in range(1, shape[1]):
        anomalies[:, day] += _KEPT * anomalies[:, day - 1]
    return anomalies
