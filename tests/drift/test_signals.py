"""Signals: one for one cause, opened once, and kept where nothing could be judged."""

from datetime import date

import pytest

from forecast_assets.contracts import BROKEN, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.core.errors import InputError
from forecast_assets.drift.signals import opened_and_closed_by, signals_of
from resources.ledger.entries.judged_days import SignalName
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
    assert opened_and_closed_by([judgement(verdict=BROKEN)], told, []) == ((told[0],), ())
    assert opened_and_closed_by([judgement(verdict=BROKEN)], told, [name]) == ((), ())
    assert opened_and_closed_by([judgement()], [], [name]) == ((), (name,))


def test_a_signal_stays_where_its_figure_is_missing_or_cannot_be_judged() -> None:
    name = "feed/sales/sales_units/changed/all"
    assert opened_and_closed_by([], [], [name]) == ((), ())
    assert opened_and_closed_by([judgement(verdict=TOO_LITTLE_HISTORY)], [], [name]) == ((), ())


def test_a_name_is_read_back_in_its_parts_whatever_a_feature_is_called() -> None:
    for name in ("sales", "daily stat-1", "lines/of/one store"):
        called = SignalName("feature", name, "distribution", CHANGED, "all")
        assert SignalName.parse(str(called)) == called


@pytest.mark.parametrize("text", ["", "feed", "feed/sales/sales_units/changed", "///"])
def test_what_has_too_few_parts_is_the_name_of_no_signal(text: str) -> None:
    with pytest.raises(InputError, match="is the name of no signal"):
        SignalName.parse(text)


def test_a_feature_with_a_slash_in_its_name_closes_when_it_is_told_no_more() -> None:
    facts = {"subject": "feature", "name": "a/b", "figure": "distribution"}
    (told,) = signals_of([judgement(**facts, verdict=CHANGED, since=SINCE)], DAY)
    assert told.called.watched == ("feature", "a/b", "distribution")
    assert opened_and_closed_by([judgement(**facts)], [], [told.signal]) == ((), (told.signal,))
