"""The simulated weather: seasons, forecasts that get better, honest moments, and an effect that is told."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.simulation.assortment import SimulatorSettings, make_assortment
from forecast_assets.simulation.calendar_law import make_calendar
from forecast_assets.simulation.calendar_settings import CalendarSettings
from forecast_assets.simulation.weather import PLANNED_DAYS, Weather, make_weather, region_names, weather_frame

SETTINGS = SimulatorSettings(skus=14, stores=7, days=400, calendar=CalendarSettings())
REGIONS, _ = region_names(make_assortment(SETTINGS))


@pytest.fixture(scope="module")
def weather() -> Weather:
    return make_weather(SETTINGS, CalendarSettings(), REGIONS, 7)


@pytest.fixture(scope="module")
def said(weather: Weather) -> pl.DataFrame:
    return weather_frame(SETTINGS, weather)


def test_summers_are_warm_and_warm_days_follow_warm_days(weather: Weather) -> None:
    days = [SETTINGS.start + timedelta(days=day) for day in range(weather.temperature.shape[1])]
    july, january = (np.array([day.month == month for day in days]) for month in (7, 1))
    assert weather.temperature[:, july].mean() - weather.temperature[:, january].mean() > 10
    steps = np.diff(weather.temperature, axis=1)
    assert steps.std() < weather.temperature.std() / 2


def test_forecasts_get_better_as_the_day_comes_nearer(weather: Weather) -> None:
    error = (weather.planned - weather.temperature[:, :, None]).std(axis=(0, 1))
    np.testing.assert_allclose(error, 0.6 * np.sqrt(np.arange(1, PLANNED_DAYS + 1)), rtol=0.1)


def test_every_day_of_the_past_is_observed_at_its_end_after_28_forecasts(said: pl.DataFrame, weather: Weather) -> None:
    day, region = date(2025, 3, 3), REGIONS[0]
    rows = said.filter(event_date=day, store_node=region).sort("known_at")
    assert rows.height == PLANNED_DAYS + 1
    moments = [datetime.fromisoformat("2025-03-04T00:00+00:00") - timedelta(days=28 - row) for row in range(29)]
    assert rows["known_at"].to_list() == moments
    place = (day - SETTINGS.start).days
    assert rows["value"][-1] == pytest.approx(weather.temperature[0, place], abs=0.005)
    assert rows["value"][-2] == pytest.approx(weather.planned[0, place, 0], abs=0.005)


def test_of_days_ahead_nothing_is_known_but_what_was_forecast_by_the_last_day(said: pl.DataFrame) -> None:
    end = datetime.fromisoformat("2025-07-01T00:00+00:00")
    assert said["known_at"].max() == end
    ahead = said.filter(pl.col("event_date") > SETTINGS.end)
    latest = ahead.group_by("event_date", "store_node").agg(pl.col("known_at").max())
    assert set(latest["known_at"]) == {end}
    assert latest["event_date"].max() == SETTINGS.end + timedelta(days=PLANNED_DAYS)
    assert said.select("event_date", "store_node", "known_at").is_duplicated().sum() == 0


def test_ten_degrees_more_do_what_the_truth_says(weather: Weather) -> None:
    category, region = np.arange(7), np.zeros(7, dtype=np.int64)
    warmer = replace(weather, temperature=weather.temperature + 10.0)
    rise = warmer.log_factor(category, region) - weather.log_factor(category, region)
    np.testing.assert_allclose(rise, np.broadcast_to(weather.effect[:, None], rise.shape))
    assert (weather.effect != 0).sum() == 4
    sizes = np.abs(weather.effect[weather.effect != 0])
    assert ((sizes >= 0.1) & (sizes <= 0.2)).all()


def test_the_effect_is_in_the_demand_of_its_category() -> None:
    law = make_calendar(SETTINGS, make_assortment(SETTINGS))
    assert law is not None
    without = replace(law, weather=replace(law.weather, effect=np.zeros_like(law.weather.effect)))
    ratio = np.log(law.factors() / without.factors())
    temperature = law.weather.temperature[law.region[law.store]]
    slope = (ratio * (temperature - 11.0)).sum(axis=1) / ((temperature - 11.0) ** 2).sum(axis=1)
    np.testing.assert_allclose(10 * slope, law.weather.effect[law.category])
