"""Covariates of a store, as a panel reads them: the past as it came, days ahead as planned, earlier cutoffs as then."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import COVARIATES, SALES
from forecast_assets.features.panel import Panel
from forecast_assets.history.as_known import History
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.home import Stores, open_stores

CUTOFF = date(2025, 6, 10)
SERIES = pl.DataFrame({"store_id": ["S"], "sku_id": ["A"]})
DAYS = 4
# From day to day the plan of a day is a degree higher; what came is 20 degrees more.
PLAN, OBSERVED = 10.0, 30.0


def moment(day: date, hours: float = 6) -> datetime:
    """Hours after the end of a day."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(hours=hours)


def put(stores: Stores, feed: str, frame: pl.DataFrame, source: str, lag: int = 6) -> BatchRecord:
    record = stores.observations.write(frame, feed=feed, source=source, trust=0.8, declared_lag=timedelta(hours=lag))
    stores.observations.record([record])
    return record


def words(*rows: tuple[int, datetime, float]) -> pl.DataFrame:
    """Temperature of all stores by day from the cutoff on, moment and value."""
    said = [("temperature", "all", CUTOFF + timedelta(days=day), known_at, value) for day, known_at, value in rows]
    return pl.DataFrame(said, schema=COVARIATES.schema, orient="row").sort("event_date", "known_at")


def planned() -> pl.DataFrame:
    """A plan of each day, said on each of the two days before it, at their end less an hour."""
    return words(
        *(
            (day, moment(CUTOFF + timedelta(days=day - ahead), -1), PLAN - ahead)
            for day in range(-DAYS + 1, 3)
            for ahead in (1, 2)
        )
    )


def observed() -> pl.DataFrame:
    return words(*((day, moment(CUTOFF + timedelta(days=day), 5), OBSERVED + day) for day in range(-DAYS + 1, 3)))


@pytest.fixture
def panel(tmp_path: Path) -> Callable[..., Panel]:
    def read(*frames: pl.DataFrame, known_until: datetime | None = None, later: datetime | None = None) -> Panel:
        stores = open_stores(tmp_path / "store")
        sales = pl.DataFrame({"event_date": [CUTOFF - timedelta(days=day) for day in reversed(range(DAYS))]})
        put(stores, "sales", sales.with_columns(
            sku_id=pl.lit("A"), store_id=pl.lit("S"), sales_units=pl.lit(1.0),
            known_at=pl.lit(moment(CUTOFF, 1)),
        ).select(SALES.names).cast(SALES.schema), "till")  # fmt: skip
        for at, frame in enumerate(frames):
            put(stores, "covariates", frame, f"weather_{at}")
        made_at = known_until or moment(CUTOFF)
        batches = tuple(stores.observations.as_known(CUTOFF, later or made_at))
        plans = made_at if later else None
        made = History(stores.observations, batches, CUTOFF, later or made_at, plans)
        return made.panel(SERIES, history_days=DAYS, horizon_days=2)

    return read


def known(panel: Panel, cutoff: int) -> list[float | None]:
    values = panel.covariates.as_known("temperature", cutoff, DAYS + 2)[0]
    return [None if np.isnan(value) else float(value) for value in values]


def test_a_plan_and_what_came_by_two_sources(panel: Callable[..., Panel]) -> None:
    made = panel(planned(), observed())
    assert known(made, DAYS - 1) == [27.0, 28.0, 29.0, 30.0, 9.0, 8.0]
    assert known(made, DAYS - 2) == [27.0, 28.0, 29.0, 9.0, 8.0, None]
    assert known(made, 0) == [27.0, 9.0, 8.0, None, None, None]
    assert known(made.as_of(2), 1)[:4] == [27.0, 28.0, 9.0, 8.0]


def test_what_is_observed_only_is_never_known_ahead(panel: Callable[..., Panel]) -> None:
    made = panel(observed())
    for cutoff in range(DAYS):
        assert known(made, cutoff) == [27.0 + day for day in range(cutoff + 1)] + [None] * (DAYS + 1 - cutoff)


def test_observations_of_days_to_come_change_nothing(panel: Callable[..., Panel], tmp_path: Path) -> None:
    alone = panel(planned(), observed().filter(pl.col("event_date") <= CUTOFF))
    (tmp_path / "store").rename(tmp_path / "first")
    beside = panel(planned(), observed())
    assert [known(alone, cutoff) for cutoff in range(DAYS)] == [known(beside, cutoff) for cutoff in range(DAYS)]


def test_a_correction_knows_more_of_the_past_and_no_more_of_the_future(panel: Callable[..., Panel]) -> None:
    late = moment(CUTOFF + timedelta(days=2), 0)
    news = words((-1, late, 50.0), (1, late, 60.0), (2, late, 70.0))
    made = panel(planned(), pl.concat([observed(), news]).sort("event_date", "known_at"), later=late)
    assert known(made, DAYS - 1) == [27.0, 28.0, 50.0, 30.0, 9.0, 8.0]
    assert known(made, DAYS - 2) == [27.0, 28.0, 29.0, 9.0, 8.0, None]


def test_there_are_none_without_a_feed(panel: Callable[..., Panel]) -> None:
    assert panel().covariates.names == ()
