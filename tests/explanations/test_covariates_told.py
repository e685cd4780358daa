"""Covariates in words: names and directions where a day is far from usual, by store, and nothing elsewhere."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from forecast_assets.explanations.covariates_told import covariates_by_store
from forecast_assets.features.covariates import WORD_COLUMNS, Covariates, lay_out_covariates

FIRST = date(2025, 1, 1)
DAYS, AHEAD = 91, 2
CUTOFF = FIRST + timedelta(days=DAYS - 1)
STORES = pl.Series("store_id", ["S1", "S1", "S2"])
# From day to day 1 below and above 10: a standard deviation is 1.
USUAL = 10.0 + np.where(np.arange(DAYS) % 2, 1.0, -1.0)


def covariates(**said: dict[str, list[float | None]]) -> Covariates:
    """Covariates that were as usual; ahead, by place, what is planned of the two days, None for no plan."""
    rows = [
        (name, place, FIRST + timedelta(days=day), CUTOFF, value)
        for name, plans in said.items()
        for place, plan in plans.items()
        for day, value in enumerate([*USUAL.tolist(), *plan])
        if value is not None
    ]
    words = pl.LazyFrame(rows, schema=list(WORD_COLUMNS), orient="row")
    return lay_out_covariates(words, STORES.to_frame(), FIRST, DAYS + AHEAD, None)


def told(made: Covariates) -> list[tuple[str, int, str]]:
    found = covariates_by_store(made, STORES, CUTOFF, DAYS, AHEAD)
    return [(store, (day - CUTOFF).days, words) for store, day, words in found.rows()]


def test_days_far_from_usual_are_told_by_name_and_direction_for_their_store() -> None:
    made = covariates(rain={"S1": [12.0, 10.4], "S2": [9.4, 10.0]})
    assert told(made) == [("S1", 1, "rain above usual"), ("S2", 1, "rain below usual")]


def test_two_at_most_are_told_the_furthest_first() -> None:
    made = covariates(heat={"all": [11.5, 10.0]}, rain={"all": [14.0, 10.0]}, wind={"all": [7.0, 10.0]})
    assert {words for *_, words in told(made)} == {"rain above usual and wind below usual"}


def test_without_a_plan_the_last_week_is_told() -> None:
    made = covariates(rain={"S1": [None, 12.0], "S2": [None, None]})
    assert told(made) == [("S1", 2, "rain above usual")]
    wet = np.concatenate([USUAL[:-7], np.full(7, 16.0)])
    rows = [("rain", "S1", FIRST + timedelta(days=day), CUTOFF, value) for day, value in enumerate(wet.tolist())]
    words = pl.LazyFrame(rows, schema=list(WORD_COLUMNS), orient="row")
    late = lay_out_covariates(words, STORES.to_frame(), FIRST, DAYS + AHEAD, None)
    assert told(late) == [("S1", step, "rain above usual lately") for step in (1, 2)]


def test_there_is_nothing_to_tell_without_covariates() -> None:
    assert told(Covariates()) == []
