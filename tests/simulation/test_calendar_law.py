"""Effects of the calendar by category and store: what was asked for, told exactly, and in the demand."""

from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.simulation.assortment import make_assortment
from forecast_assets.simulation.calendar_law import AROUND, PAYDAY, CalendarLaw, make_calendar
from forecast_assets.simulation.calendar_settings import CalendarSettings
from forecast_assets.simulation.m5_writer import write_m5
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.m5 import read_m5
from forecast_assets.sources.simulated import read_simulated

OFF = CalendarSettings(**{each.name: 0.0 for each in fields(CalendarSettings)})
SETTINGS = SimulatorSettings(skus=28, stores=7, days=400, calendar=CalendarSettings())
PLAIN = replace(SETTINGS, calendar=None)
KEY = ["sku_id", "store_id", "event_date"]


def law_of(settings: SimulatorSettings) -> CalendarLaw:
    made = make_calendar(settings, make_assortment(settings))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def law() -> CalendarLaw:
    return law_of(SETTINGS)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_retailer(SETTINGS)


def frame(simulation: Simulation, feed: str) -> pl.DataFrame:
    return next(batch.frame for batch in simulation.batches if batch.feed == feed)


def test_a_retailer_without_a_calendar_has_no_law() -> None:
    assert make_calendar(PLAIN, make_assortment(PLAIN)) is None


def test_the_mean_of_every_series_is_the_plain_one_times_its_effects(simulation: Simulation, law: CalendarLaw) -> None:
    plain = simulate_retailer(PLAIN).truth.select(*KEY, plain="mean_demand_units")
    both = simulation.truth.join(plain, on=KEY, how="left")
    place = {pair: row for row, pair in enumerate(_pairs_of_series())}
    row = np.array([place[pair] for pair in both.select("sku_id", "store_id").iter_rows()])
    day = (both["event_date"] - SETTINGS.start).dt.total_days().to_numpy()
    np.testing.assert_allclose(both["mean_demand_units"], both["plain"] * law.factors()[row, day], rtol=1e-12)


def _pairs_of_series() -> list[tuple[str, str]]:
    made = make_assortment(SETTINGS)
    return [
        (str(made.sku_ids[sku]), str(made.store_ids[store]))
        for sku, store in zip(made.sku_of_series, made.store_of_series, strict=True)
    ]


def test_effects_that_are_switched_off_change_nothing() -> None:
    law = law_of(replace(SETTINGS, calendar=OFF))
    np.testing.assert_array_equal(law.factors(), 1.0)
    assert law.paydays.is_empty()
    assert law.level_shifts.is_empty()


def test_paydays_are_ten_a_month_by_region_and_move_some_food_only(law: CalendarLaw) -> None:
    month = law.paydays.filter(pl.col("event_date").dt.strftime("%Y-%m") == "2025-03")
    assert set(month.group_by("store_node").len()["len"]) == {10}
    days = month.group_by("store_node").agg(pl.col("event_date").sort())["event_date"].to_list()
    assert len({tuple(each) for each in days}) > 1
    food = np.isin(law.categories, ["BAKERY", "DAIRY", "PRODUCE"])
    assert (law.payday_factor[~food] == 1).all()
    moved = law.payday_factor[food] > 1
    assert 0.2 < moved.mean() < 0.8
    assert ((law.payday_factor[food][moved] > 1.3) & (law.payday_factor[food][moved] < 1.52)).all()


def test_a_regression_on_calm_effects_finds_paydays_and_weekdays_again() -> None:
    calm = replace(OFF, payday_size=0.34, payday_share=0.5, weekday_spread=0.1)
    law = law_of(replace(SETTINGS, calendar=calm))
    weekday = np.array([day.weekday() for day in law.days])
    for category in range(len(law.categories)):
        for store in range(len(law.store_ids)):
            region = law.weather.regions[law.region[store]]
            paid = np.isin(law.days, law.paydays.filter(store_node=region)["event_date"].to_list())
            design = np.c_[np.eye(7)[weekday], paid]
            found = np.exp(np.linalg.lstsq(design, law.log_factor[category, store], rcond=None)[0])
            np.testing.assert_allclose(found[:7], law.weekday_factor[category, store])
            np.testing.assert_allclose(found[7], law.payday_factor[category, store])


def test_an_event_reaches_the_days_around_it_and_differs_from_year_to_year() -> None:
    law = law_of(replace(SETTINGS, calendar=replace(OFF, event_size=0.15, event_spread=0.4), days=800))
    summer = law.event_effects.filter(event_name="midsummer", category="DAIRY")
    mean = summer.group_by("event_date", "days_from_event").agg(pl.col("log_effect").mean()).sort("event_date")
    before = mean.filter(days_from_event=-1)["log_effect"]
    assert before.n_unique() == len(before) >= 3
    assert set(mean["days_from_event"]) == {*AROUND, 0}
    day = law.days.index(date(2024, 6, 20))
    assert law.log_factor[:, :, day].mean() == pytest.approx(
        law.event_effects.filter(event_date=date(2024, 6, 21), days_from_event=-1)["log_effect"].mean()
    )


def test_levels_jump_where_the_truth_says_and_never_after_the_last_observed_day() -> None:
    law = law_of(replace(SETTINGS, calendar=replace(OFF, shift_every_days=100.0, shift_size=0.3)))
    category, store, day, size = law.level_shifts.row(0)
    place = law.categories.index(category), law.store_ids.index(store), law.days.index(day)
    before = law.log_factor[place[0], place[1], place[2] - 1] if place[2] else 0.0
    assert law.log_factor[place] - before == pytest.approx(size)
    assert 0.1 <= abs(size) <= 0.3
    assert law.level_shifts["event_date"].max() <= SETTINGS.end  # type: ignore[operator]
    expected = len(law.categories) * len(law.store_ids) * SETTINGS.days / 100
    assert 0.7 < law.level_shifts.height / expected < 1.3


def test_noise_is_shared_as_it_says() -> None:
    law = law_of(replace(SETTINGS, calendar=replace(OFF, noise_all=0.05)))
    assert np.ptp(law.log_factor, axis=(0, 1)).max() == 0
    assert 0.04 < law.log_factor[0, 0].std() < 0.06
    own = law_of(replace(SETTINGS, calendar=replace(OFF, noise_by_both=0.05))).log_factor
    assert abs(np.corrcoef(own[0, 0], own[1, 0])[0, 1]) < 0.2


def test_paydays_are_events_of_their_region_known_a_year_ahead(simulation: Simulation, law: CalendarLaw) -> None:
    events = FEEDS["events"].validate(frame(simulation, "events"))
    paid = events.filter(event_name=PAYDAY)
    assert paid.select("store_node", "event_date").equals(law.paydays.sort("event_date", "store_node"))
    assert set(paid["store_node"]) <= set(frame(simulation, "store_hierarchy").filter(level_name="region")["node_id"])
    assert (paid["known_at"].dt.date() == paid["event_date"] - timedelta(days=365)).all()
    plain = frame(simulate_retailer(PLAIN), "events")
    assert events.filter(pl.col("event_name") != PAYDAY).equals(plain)


def test_the_weather_is_a_covariate_of_each_region_with_its_forecasts(simulation: Simulation, law: CalendarLaw) -> None:
    said = FEEDS["covariates"].validate(frame(simulation, "covariates"))
    assert said.equals(simulation.effects["weather"].select(said.columns))
    assert set(said["store_node"]) == set(law.weather.regions)
    ahead = said.filter(pl.col("event_date") > SETTINGS.end)
    assert ahead.height > 0
    assert ahead["known_at"].max() == said["known_at"].max()
    assert not any(batch.feed == "covariates" for batch in simulate_retailer(PLAIN).batches)


def test_the_truth_is_written_beside_the_feeds_and_read_by_no_reader(simulation: Simulation, tmp_path: Path) -> None:
    write_native(simulation, tmp_path / "shop")
    for name, effects in simulation.effects.items():
        assert pl.read_parquet(tmp_path / "shop" / "truth" / f"{name}.parquet").equals(effects)
    assert {
        "payday_factors",
        "weekday_factors",
        "event_effects",
        "level_shifts",
        "weather",
    } <= simulation.effects.keys()
    assert len(read_simulated(tmp_path / "shop")) == len(simulation.batches)
    assert write_native(simulation, tmp_path / "shop") is False


def test_paydays_come_through_m5s_files_as_days_of_a_state(simulation: Simulation, tmp_path: Path) -> None:
    write_m5(simulation, tmp_path / "m5")
    events = next(batch.frame for batch in read_m5(tmp_path / "m5") if batch.feed == "events")
    snap = events.filter(event_name="snap").select("store_node", "event_date")
    until = SETTINGS.end + timedelta(days=SETTINGS.horizon)
    paid = frame(simulation, "events").filter(pl.col("event_date") <= until, event_name=PAYDAY)
    assert snap.sort("event_date", "store_node").equals(paid.select("store_node", "event_date"))
