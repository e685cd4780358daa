"""Restated rows against a naive comparison of everything, on random words of three sources."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import SALES
from forecast_assets.corrections.restatements import changed_rows
from forecast_assets.history.as_known import History
from resources.stores.home import Stores

CUTOFF = date(2025, 1, 10)
THEN, NOW = datetime(2025, 1, 11, tzinfo=UTC), datetime(2025, 1, 14, tzinfo=UTC)
SOURCES = {"audit": 0.9, "backoffice": 0.7, "pos": 0.9}
DAYS = 8


def ingest(stores: Stores, random: np.random.Generator, source: str) -> None:
    """Words of one source on four series and twelve days, known at any hour of three weeks."""
    count = 60
    frame = pl.DataFrame(
        {
            "sku_id": [f"SKU-{n}" for n in random.integers(0, 2, count)],
            "store_id": [f"S-{n}" for n in random.integers(0, 2, count)],
            "event_date": [date(2025, 1, 1) + timedelta(days=int(n)) for n in random.integers(0, 12, count)],
            "known_at": [
                datetime(2025, 1, 2, tzinfo=UTC) + timedelta(hours=int(n)) for n in random.integers(0, 400, count)
            ],
            "sales_units": random.integers(0, 3, count).astype(float),
        },
        schema=SALES.schema,
    ).unique(SALES.key, keep="first", maintain_order=True)
    record = stores.observations.write(
        frame.sort("event_date"), feed="sales", source=source, trust=SOURCES[source], declared_lag=timedelta(0)
    )
    stores.observations.record([record])


def naive(before: History, after: History) -> list[tuple[object, ...]]:
    """Every resolved row of both histories, compared one by one."""
    then, now = (values(history) for history in (before, after))
    first = CUTOFF - timedelta(days=DAYS - 1)
    found = [
        (day, f"{sku} {store}", then.get((sku, store, day)), units)
        for (sku, store, day), units in now.items()
        if day >= first and then.get((sku, store, day)) != units
    ]
    return sorted(found, key=str)


def values(history: History) -> dict[tuple[str, str, date], float]:
    rows = history.feed("sales")
    assert rows is not None
    return {
        (sku, store, day): units
        for sku, store, day, units in rows.select("sku_id", "store_id", "event_date", "sales_units").collect().rows()
    }


@pytest.mark.parametrize("seed", range(6))
def test_only_what_differs_is_listed_and_all_of_it(stores: Stores, seed: int) -> None:
    random = np.random.default_rng(seed)
    for source in SOURCES:
        ingest(stores, random, source)
    before = History(stores.observations, tuple(stores.observations.as_known(CUTOFF, THEN)), CUTOFF, THEN)
    for source in SOURCES:
        ingest(stores, random, source)
    after = History(stores.observations, tuple(stores.observations.as_known(CUTOFF, NOW)), CUTOFF, NOW, THEN)
    rows = changed_rows(before, after, DAYS, 14)
    listed = [
        (row["event_date"], row["row"], *(None if each is None else float(each) for each in amounts))
        for row in rows.rows(named=True)
        if (amounts := (row["amount_before"], row["amount_after"]))
    ]
    assert sorted(listed, key=str) == naive(before, after)
    assert rows.height
    assert (rows["is_late"] == rows["amount_before"].is_null()).all()
