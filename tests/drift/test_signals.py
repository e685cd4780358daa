"""Signals: one for one cause, opened once, and kept where nothing could be judged."""

from datetime import date

from forecast_assets.contracts import BROKEN, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.drift.signals import opened_and_closed, signals_of
from tests.support.ledger_cases import judgement

DAY = date(2025, 6, 30)
SINCE = date(2025, 6, 25)


def test_what_all_stores_do_is_one_signal_and_what_some_do_is_another() -> None:
    stores = [judgement(scope=name, verdict=CHANGED, since=SINCE, size=0.3) for name in ("S1", "S2")]
    whole = judgement(verdict=CHANGED, since=date(2025, 6, 26), size=0.1823)
    (one,) = signals_of([whole, *stores], DAY)
    assert (one.signal, one.since) == ("feed/sales/sales_units/changed/all", "2025-06-26")
    assert "+20%" in one.evidence
    (some,) = signals_of(stores, DAY)
    assert (some.signal, some.since) == ("feed/sales/sales_units/changed/stores", "2025-06-25")
    assert "S1" in some.evidence
    assert "S2" in some.evidence


def test_a_signal_opens_once_and_closes_when_it_is_judged_and_told_no_more() -> None:
    told = signals_of([judgement(verdict=BROKEN, since=DAY)], DAY)
    name = told[0].signal
    assert opened_and_closed([judgement(verdict=BROKEN)], told, []) == ((told[0],), ())
    assert opened_and_closed([judgement(verdict=BROKEN)], told, [name]) == ((), ())
    assert opened_and_closed([judgement()], [], [name]) == ((), (name,))


def test_a_signal_stays_where_its_figure_is_missing_or_cannot_be_judged() -> None:
    name = "feed/sales/sales_units/changed/all"
    assert opened_and_closed([], [], [name]) == ((), ())
    assert opened_and_closed([judgement(verdict=TOO_LITTLE_HISTORY)], [], [name]) == ((), ())
