"""The law of the made-up files is what it says it is, and the counts show it."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from bench.m5_law import (
    DEPARTMENTS,
    EVENTS,
    FIRST_DAY,
    PAYDAYS,
    STATES,
    STORES,
    Law,
    event_day,
    named_events,
    paydays,
    wandering,
)

DAYS = [FIRST_DAY + timedelta(days=number) for number in range(800)]
FOOD = [place for place, (name, _) in enumerate(DEPARTMENTS) if name.startswith("FOODS")]
HOBBIES = [place for place, (name, _) in enumerate(DEPARTMENTS) if name.startswith("HOBBIES")]


@pytest.fixture(scope="module", params=[1, 2, 3])
def law(request: pytest.FixtureRequest) -> Law:
    return Law(DAYS, request.param)


def test_each_state_has_ten_paydays_a_month_on_days_of_its_own() -> None:
    assert all(len(set(PAYDAYS[state])) == 10 for state in STATES)
    assert len({PAYDAYS[state] for state in STATES}) == 3
    january = [date(2012, 1, day) for day in range(1, 32)]
    places = paydays(january)
    assert [sorted(row[row > 0]) for row in places] == [list(range(1, 11))] * 3
    assert places[STATES.index("TX"), :6].tolist() == [1, 0, 2, 0, 3, 4]


@pytest.mark.parametrize(
    ("name", "year", "day"),
    [
        ("Easter", 2011, date(2011, 4, 24)),
        ("Thanksgiving", 2012, date(2012, 11, 22)),
        ("MemorialDay", 2011, date(2011, 5, 30)),
        ("SuperBowl", 2012, date(2012, 2, 5)),
        ("Mother's day", 2016, date(2016, 5, 8)),
        ("Father's day", 2016, date(2016, 6, 19)),
        ("LaborDay", 2014, date(2014, 9, 1)),
        ("PresidentsDay", 2013, date(2013, 2, 18)),
        ("Christmas", 2015, date(2015, 12, 25)),
    ],
)
def test_yearly_events_fall_where_m5s_do(name: str, year: int, day: date) -> None:
    assert event_day(name, year) == day
    assert named_events([day]) == [name]


def test_every_event_has_a_day_in_every_year() -> None:
    assert all(event_day(event.name, year).year == year for event in EVENTS for year in range(2011, 2017))


def test_paydays_move_some_food_departments_by_a_third_and_others_not_at_all(law: Law) -> None:
    food = law.payday_factor[FOOD]
    moved = food > 1
    assert 5 <= moved.sum() <= 25
    assert ((food[moved] >= 1.2) & (food[moved] <= 1.45)).all()
    assert (food[~moved] == 1).all()
    assert (law.payday_factor[HOBBIES] == 1).all()


def test_weekday_factors_differ_by_department_and_store_and_average_one(law: Law) -> None:
    np.testing.assert_allclose(law.weekday_factor.mean(axis=2), 1.0)
    spread = np.log(law.weekday_factor).std(axis=(0, 1))
    assert ((spread > 0.05) & (spread < 0.25)).all()


def test_an_event_has_another_size_each_year_and_reaches_the_days_around_it(law: Law) -> None:
    easter = law.event_effects.filter(event_name="Easter").group_by("event_date", "days_from_event")
    mean = easter.agg(pl.col("log_effect").mean()).pivot("days_from_event", index="event_date").sort("event_date")
    assert {int(away) for away in mean.columns[1:]} == {-3, -2, -1, 0, 1}
    assert mean["0"].n_unique() == mean.height >= 3
    assert abs(mean["0"].mean() + 0.3 * 5 / 7) < 0.25  # type: ignore[operator]
    np.testing.assert_allclose(mean["-2"] / mean["-1"], 0.6)


def test_levels_jump_once_in_about_400_days(law: Law) -> None:
    department, store, _, size = law.level_shifts
    assert 0.7 < len(size) / (len(DEPARTMENTS) * len(STORES) * len(DAYS) / 400) < 1.4
    assert ((np.abs(size) >= 0.12) & (np.abs(size) <= 0.35)).all()
    assert len(set(zip(department.tolist(), store.tolist(), strict=True))) > 35


def test_nothing_sells_on_christmas_and_the_seed_decides_all_else(law: Law) -> None:
    assert (law.factors[:, :, DAYS.index(date(2011, 12, 25))] == 0).all()
    assert (law.factors > 0).sum() == law.factors.size - 70 * 2
    np.testing.assert_array_equal(law.factors, Law(DAYS, law.seed).factors)
    assert (law.factors[0] != replace(law, seed=9).factors[0]).mean() > 0.9


def test_factors_are_the_product_of_the_parts_that_are_told(law: Law) -> None:
    """A regression of the factors on the calendar finds weekdays and paydays again, up to the noise of a day."""
    log = np.log(np.where(law.is_open, law.factors, np.nan))
    monday = np.array([day.weekday() for day in DAYS])
    smooth = np.apply_along_axis(lambda row: np.convolve(np.nan_to_num(row), np.ones(7) / 7, "same"), 2, log)
    detrended = log - smooth
    found = np.stack([np.nanmean(detrended[:, :, monday == day], axis=2) for day in range(7)], axis=2)
    told = np.log(law.weekday_factor) - np.log(law.weekday_factor).mean(axis=2, keepdims=True)
    assert np.abs(found - found.mean(axis=2, keepdims=True) - told).mean() < 0.02
    texas = [place for place, store in enumerate(STORES) if store.startswith("TX")]
    on = paydays(DAYS)[STATES.index("TX")] > 0
    # Days before the sixteenth: paydays and others lie between each other there.
    early = np.array([day.day < 16 for day in DAYS])
    calm = log - np.log(law.weekday_factor)[:, :, monday]
    jump = np.nanmean(calm[:, texas][:, :, on], axis=2) - np.nanmean(calm[:, texas][:, :, ~on & early], axis=2)
    assert np.abs(jump - np.log(law.payday_factor[:, texas])).mean() < 0.03


def test_a_wandering_level_keeps_its_spread() -> None:
    levels = wandering(np.random.default_rng(0), (4000, 300), 0.1, 0.9)
    spread = 0.1 / np.sqrt(1 - 0.81)
    np.testing.assert_allclose(levels.std(axis=0), spread, rtol=0.1)
    np.testing.assert_allclose((levels[:, 1:] * levels[:, :-1]).mean() / spread**2, 0.9, rtol=0.05)
