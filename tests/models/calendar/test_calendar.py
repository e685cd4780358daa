import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.calendar import CALENDARS, Calendar, _layout, clipped, packed
from forecast_assets.models.calendar.estimation import fit_calendar
from forecast_assets.models.calendar.fitting import ALL
from tests.support.calendar_cases import FAIR, PAYDAY, Shops, shops
from tests.support.forecast_cases import panel_of


@pytest.fixture(scope="module")
def made() -> Shops:
    return shops(event=1.2)


@pytest.fixture(scope="module")
def calendar(made: Shops) -> Calendar:
    return made.fitted().calendar


def test_a_calendar_survives_json_exactly(made: Shops, calendar: Calendar) -> None:
    again = Calendar.from_data(json.loads(json.dumps(asdict(calendar))))
    assert again == calendar
    before, after = (each.factors(made.panel, made.groups) for each in (calendar, again))
    for name, factors in vars(before).items():
        assert factors.tobytes() == getattr(after, name).tobytes()


def test_what_was_read_is_named(calendar: Calendar) -> None:
    assert (calendar.recurring, calendar.rare) == ((PAYDAY,), (FAIR,))
    assert (len(calendar.groups), len(calendar.stores), len(calendar.nodes)) == (3, 6, 18)
    assert calendar.kind == CALENDARS[0]


def test_weekdays_average_one_and_days_of_the_month_too(made: Shops, calendar: Calendar) -> None:
    found = calendar.factors(made.panel, made.groups)
    assert found.weekday.mean(axis=1) == pytest.approx(1.0)
    january = found.month[:, :31]
    assert np.log(january).mean(axis=1) == pytest.approx(0.0, abs=1e-4)


def test_paydays_and_events_do_nothing_on_other_days(made: Shops, calendar: Calendar) -> None:
    found = calendar.factors(made.panel, made.groups)
    assert (found.payday[~made.on_payday] == 1.0).all()
    assert (np.delete(found.event, range(197, 202), axis=1) == 1.0).all()
    assert (found.event[:, 200] > 1.05).all()


def test_a_store_that_training_did_not_see_takes_its_group(made: Shops, calendar: Calendar) -> None:
    panel = replace(made.panel, series=made.panel.series.with_columns(store_id=pl.lit("new")))
    found, by_group = (each.factors(panel, made.groups) for each in (calendar, calendar.by_group()))
    assert found.weekday == pytest.approx(by_group.weekday)
    assert found.payday == pytest.approx(by_group.payday)
    # Of the first group half of the stores are moved by paydays.
    assert 1.05 < made.found_payday(found)[0] < 1.35


def test_a_group_that_training_did_not_see_takes_its_store(made: Shops, calendar: Calendar) -> None:
    unseen = np.full(len(made.groups), "unseen")
    found = calendar.factors(made.panel, unseen)
    stores = made.panel.series["store_id"].to_numpy()
    for store in np.unique(stores):
        assert np.unique(found.weekday[stores == store], axis=0).shape == (1, 7)
    assert np.unique(found.weekday, axis=0).shape == (6, 7)


def test_without_stores_a_group_is_the_same_everywhere(made: Shops, calendar: Calendar) -> None:
    kept = calendar.by_group()
    assert kept.kind == CALENDARS[1]
    assert np.unique(kept.factors(made.panel, made.groups).weekday, axis=0).shape == (3, 7)
    assert Calendar.from_data(json.loads(json.dumps(asdict(kept)))) == kept


def test_factors_of_a_series_do_not_depend_on_others(made: Shops, calendar: Calendar) -> None:
    rows = np.array([4, 11])
    alone = calendar.factors(made.panel.take(rows), made.groups[rows])
    for name, factors in vars(calendar.factors(made.panel, made.groups)).items():
        assert factors[rows].tobytes() == getattr(alone, name).tobytes()


def test_what_a_calendar_says_of_a_day_does_not_depend_on_the_days_before(made: Shops, calendar: Calendar) -> None:
    """But for a run of paydays that was under way on the first day: its places count from there."""
    recent = made.panel.recent(100)
    start = made.panel.history_days - 100
    for name, factors in vars(calendar.factors(recent, made.groups)).items():
        if name != "weekday":
            whole = getattr(calendar.factors(made.panel, made.groups), name)
            assert factors[:, 10:].tobytes() == np.ascontiguousarray(whole[:, start + 10 :]).tobytes()


def test_an_event_that_training_did_not_see_does_nothing(made: Shops, calendar: Calendar) -> None:
    panel = replace(made.panel, event_names=(PAYDAY, PAYDAY, "unheard of"))
    assert (calendar.factors(panel, made.groups).event == 1.0).all()


def test_a_holiday_that_moves_workdays_alone_is_told_apart_from_weekends() -> None:
    """Three holidays of eight days, from a Thursday on; sales are 40% higher on their workdays."""
    holiday = np.zeros((1, 140), dtype=np.bool_)
    for first in (24, 59, 94):
        holiday[0, first : first + 8] = True
    weekday = np.arange(140) % 7
    weekend = weekday >= 5
    mean = 400.0 * np.where(weekend, 1.3, 0.9) * np.where(holiday[0] & ~weekend, 1.4, 1.0)
    sales = np.random.default_rng(4).poisson(mean[:126], (6, 126)).astype(np.float64)
    panel = panel_of(sales, 14, event_names=("holiday",), event_days=holiday, event_kinds=("rare",))
    groups = np.full(6, "all")
    calendar = fit_calendar(panel, groups, sales, np.ones_like(sales)).calendar
    assert panel.weekday[0] == 0
    assert calendar.weekends == ("holiday",)
    assert Calendar.from_data(json.loads(json.dumps(asdict(calendar)))) == calendar
    event = calendar.factors(panel, groups).event[0]
    assert event[holiday[0] & ~weekend].mean() == pytest.approx(1.4, abs=0.1)
    assert event[holiday[0] & weekend].mean() == pytest.approx(1.0, abs=0.1)


def test_factors_stay_within_their_bounds() -> None:
    assert clipped(np.array([0.0, 1.0, 99.0])).tolist() == [0.2, 1.0, 5.0]


def test_a_fit_that_goes_on_with_other_prices_stays_close(made: Shops) -> None:
    first = made.fitted()
    again = fit_calendar(made.panel, made.groups, made.panel.sales, np.ones_like(made.panel.sales), first)
    before, after = (each.calendar.factors(made.panel, made.groups) for each in (first, again))
    assert after.weekday == pytest.approx(before.weekday, abs=0.005)
    assert after.payday == pytest.approx(before.payday, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 12),
    days=st.integers(14, 70),
    level=st.sampled_from([0.0, 0.02, 1.0, 1e5]),
    known=st.floats(0.05, 1.0),
)
def test_whatever_is_known_of_a_shop_its_factors_are_sane(
    seed: int, count: int, days: int, level: float, known: float
) -> None:
    """Shops of two weeks, without a sale or almost without a row, with events on any days in any places."""
    random = np.random.default_rng(seed)
    sales = np.where(random.random((count, days)) < known, random.poisson(level, (count, days)), np.nan)
    panel = panel_of(
        sales,
        event_names=("a", "b", "b"),
        event_days=random.random((3, days + 7)) < random.random((3, 1)),
        event_series=random.random((3, count)) < 0.6,
    )
    groups = np.array([f"G{number % 3}" for number in range(count)])
    fitted = fit_calendar(panel, groups, np.nan_to_num(sales), (~np.isnan(sales)).astype(np.float64))
    for factors in vars(fitted.calendar.factors(panel, groups)).values():
        assert np.isfinite(factors).all()
        assert (factors >= 0.2).all()
        assert (factors <= 5.0).all()


PRINT_EFFECTS = """
import hashlib, json
from dataclasses import asdict
from tests.support.calendar_cases import shops
print(hashlib.sha256(json.dumps(asdict(shops(4, 40, 200).fitted().calendar)).encode()).hexdigest())
"""


def test_the_same_bytes_for_any_number_of_threads() -> None:
    found = set()
    for threads in ("1", "2"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        done = subprocess.run(
            [sys.executable, "-c", PRINT_EFFECTS], env=environment, check=True, capture_output=True, text=True
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_a_year_of_seventy_nodes_takes_seconds() -> None:
    made = shops(7, 10, 450)
    started = time.process_time()
    made.fitted()
    assert time.process_time() - started < 6.0


def test_a_short_history_has_no_days_of_the_month() -> None:
    """Each came three times at most: what a group did on them by chance is all that there is to see."""
    made = shops(days=90, event_days=(60,))
    short = made.fitted().calendar
    assert not short.has_month
    assert (short.factors(made.panel, made.groups).month == 1.0).all()
    assert Calendar.from_data(json.loads(json.dumps(asdict(short)))) == short


def test_what_is_kept_of_days_follows_the_days_the_events_and_the_version(made: Shops, calendar: Calendar) -> None:
    """Asked by turns, each is as where nothing is kept."""
    moved = replace(made.panel, event_days=np.roll(made.panel.event_days, 5, axis=1), events_beyond=None)
    later = replace(made.panel, first_date=made.panel.first_date + timedelta(days=3))
    asked = [(calendar, made.panel), (calendar, moved), (calendar, later), (calendar.by_group(), made.panel)]
    asked += [(replace(calendar, has_month=False, effects=_without_months(calendar)), made.panel), *asked]
    found = [_bytes_of(version, panel, made) for version, panel in asked]
    alone = []
    for version, panel in asked:
        _layout.cache_clear()
        alone.append(_bytes_of(version, panel, made))
    assert found == alone
    assert len(set(found)) == 5


def _bytes_of(calendar: Calendar, panel: Panel, made: Shops) -> bytes:
    return b"".join(
        np.ascontiguousarray(each).tobytes() for each in vars(calendar.factors(panel, made.groups)).values()
    )


def _without_months(calendar: Calendar) -> dict[str, str]:
    """Effects of the layer of all, as of a version that learned none of days of the month."""
    return {ALL: packed(calendar.by_layer[ALL][calendar._columns.kind != "month"])}
