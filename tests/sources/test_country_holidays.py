"""Public holidays as events."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.core.errors import SourceError
from forecast_assets.sources.country_holidays import read_country_holidays
from tests.support.intake_cases import findings_of

FIRST, LAST = date(2011, 1, 1), date(2016, 12, 31)


def test_holidays_are_events_known_a_year_ahead() -> None:
    batch = read_country_holidays("US", FIRST, LAST)
    assert findings_of(batch) == []
    assert (batch.feed, batch.source, batch.trust, batch.declared_lag) == ("events", "holidays_us", 0.5, timedelta(0))
    fourth = batch.frame.filter(pl.col("event_date") == date(2013, 7, 4))
    assert fourth.rows() == [("Independence Day", "all", date(2013, 7, 4), datetime(2012, 7, 4, tzinfo=UTC), None)]
    assert batch.frame["event_date"].is_between(FIRST, LAST).all()
    thanksgivings = batch.frame.filter(pl.col("event_name") == "Thanksgiving Day")["event_date"]
    assert [day.day for day in thanksgivings] == [24, 22, 28, 27, 26, 24]


def test_holidays_of_a_state_are_its_own_source_and_may_be_limited_to_it() -> None:
    country = read_country_holidays("US", FIRST, LAST)
    state = read_country_holidays("us", FIRST, LAST, subdivision="CA", store_node="CA")
    assert state.source == "holidays_us_ca"
    assert set(state.frame["store_node"]) == {"CA"}
    own = set(state.frame["event_name"]) - set(country.frame["event_name"])
    assert "Cesar Chavez Day" in own


def test_names_do_not_depend_on_the_language_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    year = date(2025, 1, 1), date(2025, 12, 31)
    names = []
    for language in ("de_DE.UTF-8", "uk_UA.UTF-8"):
        monkeypatch.setenv("LANGUAGE", language)
        names.append(read_country_holidays("DE", *year).frame["event_name"].to_list())
    assert names[0] == names[1]
    assert "Good Friday" in names[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("XX", FIRST, LAST, None), r"no country `XX`\. Known: AD, AE, .* and \d+ more"),
        (("US", FIRST, LAST, "QQ"), r"`US` has no subdivision `QQ`\. Known: AK, AL, .* and \d+ more"),
        (("US", LAST, FIRST, None), r"span from 2016-12-31 to 2011-01-01 is empty"),
        (("US", date(2025, 3, 1), date(2025, 3, 2), None), "US has no holiday from 2025-03-01 to 2025-03-02"),
    ],
)
def test_what_cannot_be_given_is_named(arguments: tuple[str, date, date, str | None], message: str) -> None:
    country, since, until, subdivision = arguments
    with pytest.raises(SourceError, match=message):
        read_country_holidays(country, since, until, subdivision=subdivision)
