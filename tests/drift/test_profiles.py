"""Stores under each other's names: found on the day, and never where names are right or nothing tells them."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from forecast_assets.drift.profiles import match_stores
from forecast_assets.drift.stage import swapped_since
from resources.ledger.entries.drift import DriftRecord, DriftRecords
from resources.ledger.entries.judged_days import Signal

LAST = date(2025, 6, 30)


def sales(stores: int = 5, products: int = 120, days: int = 60, *, is_alike: bool = False) -> pl.DataFrame:
    random = np.random.default_rng(4)
    own = np.zeros((stores, products, 1)) if is_alike else random.normal(0.0, 0.3, (stores, products, 1))
    busy = random.normal(0.0, 0.3, (1, 1, days))
    mean = np.exp(random.uniform(1.0, 3.0, (1, products, 1)) + own + busy)
    store, product, day = np.indices((stores, products, days)).reshape(3, -1)
    return pl.DataFrame(
        {
            "store_id": [f"S{number}" for number in store],
            "sku_id": [f"A{number}" for number in product],
            "event_date": [LAST - timedelta(days=int(days - 1 - each)) for each in day],
            "sales_units": random.poisson(np.broadcast_to(mean, (stores, products, days))).ravel().astype(float),
        }
    )


def swapped(rows: pl.DataFrame, names: dict[str, str], since: date = LAST, until: date = LAST) -> pl.DataFrame:
    is_on = pl.col("event_date").is_between(since, until)
    return rows.with_columns(store_id=pl.when(is_on).then(pl.col("store_id").replace(names)).otherwise("store_id"))


def test_swapped_stores_are_named_on_the_same_day() -> None:
    rows = swapped(sales(), {"S1": "S3", "S3": "S1"})
    match = match_stores("sales", rows.lazy(), LAST)
    assert match is not None
    assert match.stores == ("S1", "S3")
    three = match_stores("sales", swapped(sales(), {"S0": "S2", "S2": "S4", "S4": "S0"}).lazy(), LAST)
    assert three is not None
    assert three.stores == ("S0", "S2", "S4")


def test_right_names_are_never_doubted() -> None:
    rows = sales().lazy()
    for back in range(8):
        match = match_stores("sales", rows, LAST - timedelta(days=back))
        assert match is not None
        assert match.stores == ()


def test_stores_that_sell_alike_cannot_be_told_apart_and_nothing_is_said() -> None:
    match = match_stores("sales", swapped(sales(is_alike=True), {"S1": "S3", "S3": "S1"}).lazy(), LAST)
    assert match is not None
    assert match.stores == ()


def test_one_store_or_a_store_without_a_day_is_not_judged() -> None:
    assert match_stores("sales", sales(1).lazy(), LAST) is None
    rows = sales().filter((pl.col("store_id") != "S2") | (pl.col("event_date") < LAST))
    assert match_stores("sales", rows.lazy(), LAST) is None


@pytest.mark.parametrize("days", [2, 3, 8, 40])
def test_stores_that_stay_swapped_are_told_until_the_day_on_which_they_are_not(days: int) -> None:
    since = LAST - timedelta(days=days - 1)
    rows = swapped(sales(days=90), {"S1": "S3", "S3": "S1"}, since)
    match = match_stores("sales", rows.lazy(), LAST, since)
    assert match is not None
    assert match.stores == ("S1", "S3")
    mended = swapped(sales(days=90), {"S1": "S3", "S3": "S1"}, since, LAST - timedelta(days=1))
    match = match_stores("sales", mended.lazy(), LAST, since)
    assert match is not None
    assert match.stores == ()


def test_a_store_goes_by_its_own_past_for_eight_weeks_and_then_by_what_it_has_become() -> None:
    name = "feed/sales/store_names/broken/stores"
    opened = DriftRecord(LAST, "", "", "", (Signal(name, LAST.isoformat(), 40.0, "swapped"),))
    records = DriftRecords({LAST: [opened]})
    assert swapped_since(records, LAST) == {}, "on the day itself nothing was told before"
    assert swapped_since(records, LAST + timedelta(days=55)) == {"sales": LAST}
    assert swapped_since(records, LAST + timedelta(days=56)) == {}
    after = LAST + timedelta(days=9)
    records.by_day[after] = [DriftRecord(after, "", "", "", (), (name,), sequence=2)]
    assert swapped_since(records, after) == {"sales": LAST}
    assert swapped_since(records, after + timedelta(days=1)) == {}, "it was told no more"
