"""Identity and exact quantities."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.core.errors import HorizonError, InputError
from forecast_assets.core.keys import DAILY, WEEKLY, PredictionId, RunKey
from forecast_assets.core.quantities import UNITS, from_units, publish, to_millionths, to_units

RUN = RunKey("daily", date(2024, 6, 11), "stat-1", 14)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 90))
def test_prediction_ids_read_back_whatever_the_identifiers_hold(sku: str, store: str, step: int) -> None:
    wanted = PredictionId(RUN, sku, store, step)
    assert PredictionId.parse(str(wanted)) == wanted


@pytest.mark.parametrize("text", ["", "daily/2024-06-11", "daily/x/stat-1/14/r0", "daily/2024-06-11/stat-1/14/r0/a/b"])
def test_what_is_not_an_id_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InputError, match=r"is not a prediction id|is not a run key"):
        PredictionId.parse(text)


def test_horizons_outside_the_cadence_are_refused() -> None:
    assert DAILY.horizon(None) == 28
    assert DAILY.horizon(30) == 30
    for days in (0, 6, 31):
        with pytest.raises(HorizonError, match="7 to 30 days"):
            DAILY.horizon(days)


def test_weekly_runs_have_sundays_and_30_to_90_days() -> None:
    assert WEEKLY.horizon(None) == 90
    with pytest.raises(HorizonError, match="A weekly run has a horizon of 30 to 90 days, not 28"):
        WEEKLY.horizon(28)
    WEEKLY.require_date(date(2025, 6, 29))
    with pytest.raises(
        InputError, match=r"2025-07-02 is a Wednesday; .* are Sundays. Use the one before: --date 2025-06-29"
    ):
        WEEKLY.require_date(date(2025, 7, 2))
    assert [cadence.cron_day_after for cadence in (DAILY, WEEKLY)] == ["*", "1"]


@given(st.dates(min_value=date(1970, 1, 1)))
def test_the_newest_date_of_a_cadence_is_at_most_a_week_back(day: date) -> None:
    assert DAILY.newest_date(day) == day
    sunday = WEEKLY.newest_date(day)
    assert sunday.weekday() == 6
    assert 0 <= (day - sunday).days < 7
    assert WEEKLY.allows(sunday)


@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1)))
def test_millionths_survive_the_way_to_decimals_and_back(numbers: list[int]) -> None:
    millionths = np.array(numbers, dtype=np.int64)
    series = to_units(millionths, "units")
    assert series.dtype == UNITS
    assert series.to_list() == [Decimal(number).scaleb(-6) for number in numbers]
    assert from_units(series).tolist() == numbers


def test_rounding_is_half_to_even_and_happens_once() -> None:
    assert to_millionths([0.0000005, 0.0000015, 2.0000004]).tolist() == [0, 2, 2_000_000]
    assert publish([1 / 3]).to_list() == [Decimal("0.333333")]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e13])
def test_what_does_not_fit_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite and below 1e12"):
        to_millionths([bad])
