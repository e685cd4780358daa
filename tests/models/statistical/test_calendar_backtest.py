import json
from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.calendar_backtest import squares_of_sums
from forecast_assets.models.statistical.effects import EVENTS, Effects, fit_effects
from forecast_assets.models.statistical.series import forecast_series
from forecast_assets.models.statistical.training import train_statistical
from tests.support.calendar_cases import FAIR, PAYDAY, Shops, shops

HORIZON = 28


@pytest.fixture(scope="module")
def made() -> Shops:
    return shops(days=280)


@pytest.fixture(scope="module")
def artifact(made: Shops) -> StatisticalArtifact:
    return train_statistical(made.panel, made.groups, horizon=HORIZON, workers=1, only_quick=True)


def test_a_calendar_that_knows_its_stores_misses_their_sums_by_less(made: Shops) -> None:
    """One node of six is moved by paydays; series' own records tell most of their weekdays with any calendar."""
    past, came = made.panel.as_of(HORIZON), made.panel.sales[:, -HORIZON:]
    effects = fit_effects(past, made.groups)
    losses = [
        float(np.nanmean(squares_of_sums(past, effects.with_calendar_kind(kind), made.groups, came)))
        for kind in CALENDARS
    ]
    assert losses[0] < 0.8 * losses[1] < losses[2]


def test_days_that_are_not_known_are_not_missed(made: Shops) -> None:
    past, came = made.panel.as_of(HORIZON), made.panel.sales[:, -HORIZON:].copy()
    effects = fit_effects(past, made.groups)
    whole = squares_of_sums(past, effects, made.groups, came)
    came[:, 3:5] = np.nan
    some = squares_of_sums(past, effects, made.groups, came)
    assert np.isnan(some[:, 3:5]).all()
    assert np.delete(some, [3, 4], axis=1) == pytest.approx(np.delete(whole, [3, 4], axis=1))


def test_training_takes_the_calendar_that_its_backtests_bear_out(artifact: StatisticalArtifact) -> None:
    assert artifact.choices["calendar"] == CALENDARS[0]
    assert set(artifact.comparisons["calendar"]) == set(CALENDARS)
    assert artifact.recurring_events == (PAYDAY,)
    assert StatisticalArtifact.from_bytes(artifact.to_bytes()) == artifact


def test_a_calendar_that_was_never_right_again_is_not_taken(made: Shops) -> None:
    """Paydays and weekdays meant something until three months ago, and the opposite since."""
    before = np.arange(280) < 280 - 3 * HORIZON
    inverse = np.where(made.on_payday[:, :280], made.payday[:, None], 1.0)
    usual = made.weekday[:, made.panel.weekday[:280]] * inverse
    sales = np.where(before, made.panel.sales, np.round(made.panel.sales / usual**2))
    found = train_statistical(
        replace(made.panel, sales=sales), made.groups, horizon=HORIZON, workers=1, only_quick=True
    )
    assert found.choices["calendar"] != CALENDARS[0]


def test_where_there_is_no_calendar_to_choose_weekdays_and_events_are_those_of_groups(made: Shops) -> None:
    found = train_statistical(made.panel, made.groups, horizon=HORIZON, workers=1, only_quick=True, calendars=("none",))
    assert found.choices["calendar"] == "none"
    assert set(found.comparisons["calendar"]) == {"none"}
    assert set(found.comparisons["events"]) == set(EVENTS)
    assert not forecast_series(made.panel, found, made.groups).components["payday_units"].any()


def test_paydays_are_a_driver_where_they_move_anything(made: Shops, artifact: StatisticalArtifact) -> None:
    forecasts = forecast_series(made.panel, artifact, made.groups)
    assert sum(forecasts.components.values()) == pytest.approx(forecasts.mean)
    payday, on = forecasts.components["payday_units"], made.on_payday[:, 280:]
    assert (payday[~on] == 0.0).all()
    share = (payday / forecasts.mean)[on & (made.payday > 1)[:, None]]
    assert share.mean() == pytest.approx(1 - 1 / 1.4, abs=0.06)


def test_a_version_without_a_calendar_keeps_its_bytes_and_its_forecasts(
    made: Shops, artifact: StatisticalArtifact
) -> None:
    """Its artifact names no calendar, as those do that were trained before there was one."""
    plain = replace(artifact, effects=artifact.effects.with_calendar_kind("none"))
    assert "calendar" not in json.loads(plain.to_bytes())["effects"]
    again = StatisticalArtifact.from_bytes(plain.to_bytes())
    assert again.effects == plain.effects
    assert again.recurring_events == ()
    for name in ("payday_units", "time_of_month_units"):
        assert not forecast_series(made.panel, again, made.groups).components[name].any()


def test_effects_without_a_calendar_say_nothing_of_one(artifact: StatisticalArtifact) -> None:
    plain = artifact.effects.with_calendar_kind("none").to_data()
    assert {"calendar", "node_weekday_prior_units"}.isdisjoint(plain)
    assert Effects.from_data(plain).calendar_kind == "none"


def test_an_event_a_little_more_than_a_year_ago_is_remembered() -> None:
    """A movable feast that falls three days ahead fell 371 days before that."""
    days, ahead = 420, 3
    made = shops(days=days, event=1.6, event_days=(days + ahead - 371, days + ahead))
    artifact = train_statistical(made.panel, made.groups, horizon=HORIZON, workers=1, only_quick=True)
    calendar = artifact.effects.calendar
    assert calendar is not None
    assert calendar.kind == CALENDARS[0]
    assert FAIR in calendar.rare
    assert calendar.factors(made.panel, made.groups).event[:, days + ahead] == pytest.approx(1.6, rel=0.12)
