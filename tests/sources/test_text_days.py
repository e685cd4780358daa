"""Days as texts: every form that is found, what is left open, and the day of a moment in a zone."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.sources.text_days import (
    FORMS,
    ISO,
    SERIAL,
    FoundForm,
    found_form,
    has_short_years,
    is_time_zone,
    moment_days,
    text_days,
)

DAY = date(2025, 6, 30)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2025-06-30", ISO), ("2025/06/30", "%Y/%m/%d"), ("2025.06.30", "%Y.%m.%d"), ("20250630", "%Y%m%d"),
        ("30.06.2025", "%d.%m.%Y"), ("30.6.2025", "%d.%m.%Y"), ("30/06/2025", "%d/%m/%Y"), ("6/30/2025", "%m/%d/%Y"),
        ("30-06-2025", "%d-%m-%Y"), ("06-30-2025", "%m-%d-%Y"), ("30-JUN-2025", "%d-%b-%Y"),
        ("30 Jun 2025", "%d %b %Y"),
        ("45838", SERIAL),
    ],
)  # fmt: skip
@pytest.mark.parametrize("time", ["", " 00:00:00", "T14:05", " 2:05 PM", " 23:59:59.999"])
def test_every_form_is_found_and_a_time_of_day_changes_no_day(text: str, form: str, time: str) -> None:
    texts = pl.Series([text + time])
    assert found_form(texts) == FoundForm(form)
    read = text_days(texts, form)
    assert read.days.to_list() == [DAY]
    assert not read.is_unzoned.any()


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(FORMS))
def test_a_day_comes_back_from_every_form(day: date, form: str) -> None:
    text = str((day - date(1899, 12, 30)).days) if form == SERIAL else day.strftime(form)
    assert text_days(pl.Series([text]), form).days.to_list() == [day]


@given(st.lists(st.dates(date(2000, 1, 1), date(2099, 12, 31)), min_size=1, max_size=20), st.sampled_from(FORMS))
def test_a_form_that_is_found_without_doubt_reads_the_days_that_were_written(days: list[date], form: str) -> None:
    texts = [str((day - date(1899, 12, 30)).days) if form == SERIAL else day.strftime(form) for day in days]
    found = found_form(pl.Series(texts))
    assert found.form is not None
    if not found.other:
        assert text_days(pl.Series(texts), found.form).days.to_list() == days
    else:
        assert form in {found.form, found.other}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["03/04/2025", "05/06/2025"], FoundForm("%d/%m/%Y", "%m/%d/%Y")),
        (["03-04-2025"], FoundForm("%d-%m-%Y", "%m-%d-%Y")),
        (["05/05/2025", "06/06/2025"], FoundForm("%d/%m/%Y")),
        (["03/04/2025", "03/13/2025"], FoundForm("%m/%d/%Y")),
        (["03.04.2025"], FoundForm("%d.%m.%Y")),
        (["2025-06-30", "30.06.2025", "2025-07-01"], FoundForm(ISO)),
        (["2025-06-30", "30.06.2025"], FoundForm(ISO)),
        (["30.06.25"], FoundForm(None)),
        (["Monday", "12", "123456"], FoundForm(None)),
        (["12345"], FoundForm(None)),
        ([], FoundForm(None)),
    ],
)
def test_what_texts_say_of_their_form(texts: list[str], found: FoundForm) -> None:
    assert found_form(pl.Series(texts, dtype=pl.String)) == found


@pytest.mark.parametrize(
    "text", ["30.02.2025", "31/04/2025", "2025-06-30 25:00", "2025-06-30 12:61", "2025-06-30 x", ""]
)
def test_what_is_no_day_is_read_as_none(text: str) -> None:
    for form in FORMS:
        assert text_days(pl.Series([text]), form).days.to_list() == [None]


@pytest.mark.parametrize("text", ["30.06.25", "6/30/25", "30-06-25 12:00"])
def test_years_of_two_digits_are_noticed(text: str) -> None:
    assert has_short_years(pl.Series([text]))
    assert found_form(pl.Series([text])).form is None


BERLIN = [
    "2025-06-30T00:00:00+02:00",
    "2025-06-29 22:00Z",
    "2025-12-31T23:30:00+01:00",
    "2025-06-30 14:05",
    "2025-06-30",
]


def test_moments_with_a_zone_are_of_the_day_of_the_zone_that_is_said() -> None:
    read = text_days(pl.Series(BERLIN), ISO, "Europe/Berlin")
    assert read.days.to_list() == [DAY, DAY, date(2025, 12, 31), DAY, DAY]
    assert not read.is_unzoned.any()


def test_without_a_zone_that_is_said_they_are_of_the_day_of_utc_and_that_is_noticed() -> None:
    read = text_days(pl.Series([*BERLIN, "2025-06-30T00:00:00Z"]), ISO)
    eve = DAY - timedelta(days=1)
    assert read.days.to_list() == [eve, eve, date(2025, 12, 31), DAY, DAY, DAY]
    assert read.is_unzoned.to_list() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("zone", "asked", "day", "noticed"),
    [
        (None, None, date(2025, 6, 29), False),
        (None, "Europe/Berlin", date(2025, 6, 29), False),
        ("UTC", None, date(2025, 6, 29), True),
        ("UTC", "UTC", date(2025, 6, 29), False),
        ("UTC", "Europe/Berlin", DAY, False),
        ("Europe/Berlin", None, DAY, False),
        ("Europe/Berlin", "America/New_York", date(2025, 6, 29), False),
    ],
)
def test_moments_of_a_type_have_a_day(zone: str | None, asked: str | None, day: date, noticed: bool) -> None:
    moment = pl.Series([datetime(2025, 6, 29, 22, tzinfo=UTC)])
    typed = moment.dt.replace_time_zone(None) if zone is None else moment.dt.convert_time_zone(zone)
    read = moment_days(typed, asked)
    assert read.days.to_list() == [day]
    assert read.is_unzoned.to_list() == [noticed]


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.times(), st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]))
def test_a_moment_is_of_the_same_day_as_text_and_as_a_type(day: date, at: time, zone: str) -> None:
    aware = datetime.combine(day, at.replace(microsecond=0), UTC)
    typed = moment_days(pl.Series([aware]), zone).days
    assert text_days(pl.Series([aware.isoformat()]), ISO, zone).days.equals(typed)


def test_time_zones_have_names_of_the_iana() -> None:
    assert is_time_zone("Asia/Kolkata")
    assert not is_time_zone("CEST/Berlin")
