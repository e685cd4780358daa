"""Pairs: the same days, the same rows, runs as first published."""

from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest

from forecast_assets.lifecycle.pairs import compared_rows, paired_days
from tests.support.trial_cases import CHALLENGER, CHAMPION, FIRST, Said, accuracy_rows, both, trial

DAY = FIRST + timedelta(days=2)


def compared(*frames: pl.DataFrame) -> pl.DataFrame:
    return compared_rows(pl.concat(frames).lazy(), trial()).collect()


def test_a_day_that_both_were_measured_on_is_a_pair() -> None:
    rows = compared(accuracy_rows(DAY, both(Said(loss=100.5), Said(loss=90.25))))
    before, between, pair = paired_days(rows, trial(), 1, [DAY])
    assert (pair.target_date, pair.champion_loss, pair.challenger_loss, pair.no_pair) == (
        DAY, Decimal("100.5"), Decimal("90.25"), "",
    )  # fmt: skip
    for missing, day in zip((before, between), (FIRST, FIRST + timedelta(days=1)), strict=True):
        assert (missing.target_date, missing.champion_loss, missing.no_pair) == (day, None, "not measured")


@pytest.mark.parametrize(
    ("champion", "challenger", "why"),
    [
        (Said(), None, f"no run of {CHALLENGER}"),
        (None, Said(), f"no run of {CHAMPION}"),
        (None, None, f"no run of {CHAMPION} and {CHALLENGER}"),
        (Said(rows=200), Said(rows=199), "not the same rows"),
    ],
)
def test_what_is_no_pair_says_why(champion: Said | None, challenger: Said | None, why: str) -> None:
    said = {
        (version, 1): each for version, each in ((CHAMPION, champion), (CHALLENGER, challenger)) if each is not None
    }
    other = accuracy_rows(DAY, {("stat-9", 1): Said()})
    rows = compared(other, *([accuracy_rows(DAY, said)] if said else []))
    assert paired_days(rows, trial(first_day=DAY), 1, [DAY])[0].no_pair == why


@pytest.mark.parametrize(
    "changed", [{"revision": 1}, {"cadence": "weekly"}, {"store_level": "total"}, {"forecast_horizon": 28}]
)
def test_corrections_and_other_runs_are_no_evidence(changed: dict[str, object]) -> None:
    rows = accuracy_rows(DAY, both(Said(), Said()))
    rows = rows.with_columns(**{name: pl.lit(value, rows.schema[name]) for name, value in changed.items()})
    assert compared(rows).is_empty()


def test_the_loss_is_that_of_the_rules() -> None:
    rows = accuracy_rows(DAY, both(Said(), Said())).with_columns(pinball_loss_units=pl.lit(Decimal(7)))
    rows = rows.with_columns(pl.col("pinball_loss_units").cast(pl.Decimal(18, 6)))
    by_pinball = trial(first_day=DAY, rules={"loss": "pinball_loss"})
    (pair,) = paired_days(compared(rows), by_pinball, 1, [DAY])
    assert pair.champion_loss == pair.challenger_loss == Decimal(7)


def test_nothing_that_was_measured_is_no_day() -> None:
    assert paired_days(compared(accuracy_rows(DAY, both(Said(), Said()))), trial(), 1, []) == []
