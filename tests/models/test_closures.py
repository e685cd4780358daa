"""On which days nothing can sell, by records with a known truth: Poisson sales of stores with known opening days."""

import numpy as np
import numpy.typing as npt
import pytest

from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.closures import closed_days, is_weekly
from tests.support.forecast_cases import lawful_panel, panel_of, series_of

DAYS, HORIZON = 140, 14
MONDAY, SUNDAY = 0, 6
# The first day of these panels is a Monday.
WEEKDAYS = np.arange(DAYS + HORIZON) % 7


def is_open(*closed: int | slice, weekday: int | None = None) -> Bools:
    """[T + H] Which days a store is open: neither on some columns nor on a weekday."""
    out = np.ones(DAYS + HORIZON, dtype=np.bool_)
    for columns in closed:
        out[columns] = False
    return out & (weekday != WEEKDAYS)


def shops(*opens: Bools, articles: int = 6, level: float = 5.0, seed: int = 1) -> Panel:
    """Stores S0, S1, .. with as many articles each, which sell on open days."""
    count = articles * len(opens)
    days = np.repeat(np.stack(opens)[:, :DAYS], articles, axis=0)
    sales = np.random.default_rng(seed).poisson(level * days).astype(np.float64)
    return panel_of(sales, HORIZON, series=series_of(count, stores=len(opens)))


def columns(closed: Bools, row: int = 0) -> list[int]:
    return np.flatnonzero(closed[row]).tolist()


def test_a_retailer_that_is_always_open_has_no_closed_day() -> None:
    assert not closed_days(lawful_panel()).any()
    assert not closed_days(shops(is_open(), is_open(), articles=20, level=0.06)).any()
    assert not closed_days(shops(is_open(), articles=1, level=0.5)).any()


@pytest.mark.parametrize(("articles", "level"), [(1, 6.0), (6, 5.0), (20, 0.06), (40, 0.03)])
def test_a_shop_closed_on_sundays_is_closed_on_all_of_them_and_on_those_ahead(articles: int, level: float) -> None:
    panel = shops(is_open(weekday=SUNDAY), articles=articles, level=level)
    closed = closed_days(panel)
    np.testing.assert_array_equal(closed[:, DAYS:], np.tile(WEEKDAYS[DAYS:] == SUNDAY, (articles, 1)))
    assert (closed[:, :DAYS] == (WEEKDAYS[:DAYS] == SUNDAY)).mean() > 0.99
    assert is_weekly(closed, DAYS)[closed[:, DAYS:]].all()


def test_sundays_that_no_source_lists_are_silent_all_the_same() -> None:
    """But for the last of them, the last day of all, which may still come."""
    listed = shops(is_open(weekday=SUNDAY))
    unlisted = panel_of(np.where(WEEKDAYS[:DAYS] == SUNDAY, np.nan, listed.sales), HORIZON, series=listed.series)
    expected = closed_days(listed)
    assert expected[:, DAYS - 1].all()
    expected[:, DAYS - 1] = False
    np.testing.assert_array_equal(closed_days(unlisted), expected)


def test_a_store_speaks_for_itself_alone() -> None:
    closed = closed_days(shops(is_open(weekday=SUNDAY), is_open(50)))
    assert columns(closed[:6, DAYS:]) == [6, 13]
    assert columns(closed, 6) == [50]


def test_two_weeks_close_no_weekday_and_three_do() -> None:
    sundays = np.flatnonzero(WEEKDAYS[:DAYS] == SUNDAY)
    for weeks, found in ((2, []), (3, [6, 13])):
        closed = closed_days(shops(is_open(*sundays[-weeks:].tolist())))
        assert columns(closed[:, :DAYS]) == sundays[-weeks:].tolist()
        assert columns(closed[:, DAYS:]) == found


def test_a_weekday_that_opens_is_believed_after_its_second_week() -> None:
    """One Sunday with sales is an exception: shops that open on one before Christmas close again."""
    sundays = np.flatnonzero(WEEKDAYS[:DAYS] == SUNDAY)
    for weeks, found in ((1, [6, 13]), (2, [])):
        opened = is_open(*sundays[:-weeks].tolist())
        closed = closed_days(shops(opened))
        assert columns(closed[:, DAYS:]) == found
        assert not closed[:, sundays[-weeks:]].any()
        assert closed[:, sundays[:-weeks]].all()


def test_weeks_of_rebuilding_close_no_weekday_ahead() -> None:
    closed = closed_days(shops(is_open(slice(80, 130))))
    assert columns(closed) == list(range(80, 130))
    assert not closed[:, DAYS:].any()


def test_days_after_the_last_that_a_store_reported_may_still_come() -> None:
    panel = shops(is_open())
    late = panel.sales.copy()
    late[:, -9:] = np.nan
    assert not closed_days(panel_of(late, HORIZON, series=panel.series)).any()


def with_event(panel: Panel, at: npt.ArrayLike) -> Panel:
    days = np.zeros((1, DAYS + HORIZON), dtype=np.bool_)
    days[0, at] = True
    fields = {"event_names": ("feast",), "event_days": days}
    return panel_of(panel.sales, HORIZON, series=panel.series, **fields)


def test_an_event_on_which_a_store_was_always_closed_is_closed_ahead() -> None:
    panel = with_event(shops(is_open(30, 100), is_open(30)), [30, 100, 145])
    closed = closed_days(panel)
    assert columns(closed) == [30, 100, 145]
    assert columns(closed, 6) == [30]
    assert not is_weekly(closed, DAYS).any()


def test_slow_stores_of_a_chain_speak_for_one_another_on_an_event() -> None:
    """One silent day of a store that sells 1.2 units a day says nothing; that of twenty stores does."""
    one = with_event(shops(is_open(30), articles=20, level=0.06), [30, 145])
    assert 145 not in columns(closed_days(one))
    chain = with_event(shops(*[is_open(30)] * 20, articles=20, level=0.06), [30, 145])
    assert closed_days(chain)[:, [30, 145]].all()


def test_an_event_during_a_rebuilding_says_nothing_of_the_next() -> None:
    assert not closed_days(with_event(shops(is_open(slice(20, 50))), [30, 145]))[:, DAYS:].any()


def test_what_is_said_is_closed_unless_something_sold() -> None:
    said = np.zeros((6, DAYS + HORIZON), dtype=np.bool_)
    said[:, [40, 60, 150]] = True
    panel = shops(is_open(40))
    closed = closed_days(panel_of(panel.sales, HORIZON, series=panel.series, is_closed=said))
    assert columns(closed) == [40, 150]


def bread(sales_on_monday: Floats | float = 0.0, level: float = 6.0) -> Panel:
    """Six articles of a store that is open every day; the first is not sold on Mondays."""
    panel = shops(is_open(), level=level)
    sales = panel.sales.copy()
    sales[0, WEEKDAYS[:DAYS] == MONDAY] = sales_on_monday
    return panel_of(sales, HORIZON, series=panel.series)


def test_an_article_that_never_sells_on_a_weekday_is_known_by_its_own_record() -> None:
    closed = closed_days(bread())
    assert columns(closed[:, DAYS:]) == [0, 7]
    assert not closed[1:].any()
    assert not closed_days(bread(level=0.1)).any()


def test_an_article_without_stock_for_weeks_is_not_one_that_does_not_sell_on_any_weekday() -> None:
    panel = shops(is_open())
    sales, empty = panel.sales.copy(), np.zeros((6, DAYS), dtype=np.bool_)
    sales[0, 60:90], empty[0, 60:90] = 0.0, True
    for known in (empty, np.zeros_like(empty)):
        assert not closed_days(panel_of(sales, HORIZON, series=panel.series, is_censored=known)).any()
