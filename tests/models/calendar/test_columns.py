from dataclasses import replace
from datetime import date

import numpy as np

from forecast_assets.models.calendar.columns import CalendarColumns, CalendarDays, Places, place_in_run
from tests.support.calendar_cases import FAIR, PAYDAY, PAYDAYS, shops
from tests.support.forecast_cases import panel_of


def test_places_in_a_run_count_from_its_first_day() -> None:
    falls = np.array([False, True, True, True, False, False, True])
    assert place_in_run(falls).tolist() == [0, 1, 2, 3, 0, 0, 1]


def test_an_event_of_two_days_has_days_before_its_first_and_after_its_last() -> None:
    days = CalendarDays.since(date(2026, 3, 2), 9)
    columns = CalendarColumns((), ("fair",))
    design = columns.design(days, {"fair": np.arange(9) // 2 == 2}).toarray()
    on, near = design[:, columns.kind == "event"], design[:, columns.kind == "event_near"]
    assert np.flatnonzero(on[:, 0]).tolist() == [4, 5]
    assert [np.flatnonzero(column).tolist() for column in near.T] == [[1], [2], [3], [6]]


def test_an_event_at_the_edge_has_the_days_near_it_that_there_are() -> None:
    days = CalendarDays.since(date(2026, 3, 2), 3)
    columns = CalendarColumns((), ("fair",))
    near = columns.design(days, {"fair": np.arange(3) == 1}).toarray()[:, columns.kind == "event_near"]
    assert [np.flatnonzero(column).tolist() for column in near.T] == [[], [], [0], [2]]


def test_days_before_an_event_after_the_last_day_are_near_it() -> None:
    days = CalendarDays.since(date(2026, 3, 2), 5)
    columns = CalendarColumns(("pay",), ("fair",))
    falls = np.arange(8) == 6
    design = columns.design(days, {"fair": falls, "pay": falls}).toarray()
    near = design[:, columns.kind == "event_near"]
    assert [np.flatnonzero(column).tolist() for column in near.T] == [[3], [4], [], []]
    assert not design[:, np.isin(columns.kind, ["event", "payday"])].any()


def test_every_day_has_one_weekday_one_day_of_the_month_and_on_a_payday_three_columns_more() -> None:
    days = CalendarDays.since(date(2026, 1, 30), 4)
    columns = CalendarColumns((PAYDAY,), ())
    design = columns.design(days, {PAYDAY: np.array([False, True, True, False])})
    assert design.sum(axis=1).ravel().tolist() == [[2.0, 5.0, 5.0, 2.0]]
    named = [sorted(columns.kind[design[[day]].indices].tolist()) for day in (0, 1)]
    assert named == [
        ["month", "weekday"],
        ["month", "payday", "payday_position", "payday_weekday", "weekday"],
    ]


def test_places_differ_in_their_events_only() -> None:
    made = shops(groups=2, stores=4)
    places = Places.of(made.panel)
    assert len(set(places.code[:4].tolist())) == len(set(places.code[4:].tolist())) == 1
    assert places.code[0] != places.code[4]
    days = CalendarDays.since(made.panel.first_date, 392).day_of_month
    for row, of_month in ((0, PAYDAYS[0]), (4, PAYDAYS[1])):
        here = places.falls[places.code[row]]
        assert here[PAYDAY].tolist() == np.isin(days, of_month).tolist()
        assert np.flatnonzero(here[FAIR]).tolist() == [200]


def test_an_event_that_no_day_of_the_history_saw_has_no_column() -> None:
    made = shops()
    assert CalendarColumns.of(made.panel) == CalendarColumns((PAYDAY,), (FAIR,))
    assert CalendarColumns.of(made.panel.as_of(164)) == CalendarColumns((PAYDAY,), ())
    assert CalendarColumns.of(made.panel.as_of(200)) == CalendarColumns((PAYDAY,), (), has_month=False)
    none = replace(made.panel, event_names=(), event_days=made.panel.event_days[:0], event_series=np.zeros((0, 18)) > 0)
    assert CalendarColumns.of(none) == CalendarColumns((), ())
    assert Places.of(none).falls == ({},)


def test_what_a_source_says_of_an_event_decides_whether_it_recurs() -> None:
    panel = replace(shops().panel, event_kinds=("rare", "rare", "recurring"))
    assert CalendarColumns.of(panel) == CalendarColumns((FAIR,), (PAYDAY,), weekends=(PAYDAY,))


def test_an_event_of_both_weekends_and_other_days_has_a_column_for_its_weekends() -> None:
    days = CalendarDays.since(date(2026, 3, 6), 5)
    columns = CalendarColumns((), ("fair", "feast"), weekends=("feast",))
    design = columns.design(days, {"feast": np.arange(5) < 4, "fair": np.arange(5) > 0})
    assert np.flatnonzero(design.toarray()[:, columns.kind == "event_weekend"][:, 0]).tolist() == [1, 2]


def test_only_events_that_were_seen_on_both_have_it() -> None:
    # From a Monday on; the third event falls on a weekend only after the history.
    falls = np.zeros((3, 28), dtype=np.bool_)
    falls[0, [4, 5]] = falls[1, [5, 13]] = falls[2, [8, 9, 26]] = True
    panel = panel_of(np.ones((1, 21)), 7, event_names=("both", "weekends", "workdays"), event_days=falls)
    assert panel.weekday[0] == 0
    assert CalendarColumns.of(panel).weekends == ("both",)
