"""What published runs said of a day: no more is read than the day needs, and no more kept than fits."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.accuracy import run_days
from forecast_assets.accuracy.run_days import RunDay, RunKnowledgeCache, read_run
from forecast_assets.contracts import PRODUCT_HIERARCHY, SALES
from forecast_assets.core.errors import ChangedFileError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from resources.ledger.entries.publish import Publication
from resources.store.blobs import BlobStore
from resources.store.parquet import to_parquet
from resources.stores.home import Stores
from tests.support.accuracy_cases import SERIES, forecasts, risks

CUTOFF = date(2025, 6, 1)
DAYS = [CUTOFF + timedelta(days=step) for step in range(1, 15)]


def sales(units: float = 1.0) -> pl.DataFrame:
    """Four weeks of sales: the day's number of the month, times some units."""
    days = pl.date_range(CUTOFF - timedelta(days=27), CUTOFF, eager=True)
    series = pl.DataFrame(SERIES, schema=["store_id", "sku_id"], orient="row")
    rows = pl.DataFrame({"event_date": days}).join(series, how="cross")
    return SALES.conform(
        rows.with_columns(
            sales_units=pl.col("event_date").dt.day() * units,
            known_at=(pl.col("event_date") + timedelta(days=1)).cast(pl.Datetime("us", "UTC")),
        )
    )


def tree() -> pl.DataFrame:
    members = {"sku_id": ["A", "B"], "depth": [1, 1], "level_name": ["category"] * 2, "node_id": ["food", "toys"]}
    known = datetime(2025, 1, 1, tzinfo=UTC)
    return PRODUCT_HIERARCHY.conform(
        pl.DataFrame(members).with_columns(event_date=pl.lit(known.date()), known_at=pl.lit(known))
    )


def take_in(stores: Stores, feed: str, frame: pl.DataFrame) -> None:
    batch = stores.observations.write(frame, feed=feed, source="till", trust=1.0, declared_lag=timedelta(0))
    stores.observations.record([batch])


def publish(stores: Stores, version: str, more: int = 0) -> Publication:
    """Publish a run of two weeks whose expected sales name the version and the step."""
    key = RunKey("daily", CUTOFF, version, 14)
    names = [batch.batch_id for batch in stores.observations.batches()]
    facts = {"prediction_date": str(CUTOFF), "known_until": "2025-06-02T00:00:00+00:00"}
    snapshot = put(stores, "feature_snapshots", CUTOFF, pl.DataFrame({"none": [0]}), {"batches": names}, facts)
    steps = pl.DataFrame({"target_date": DAYS, "step": range(1, 15)})
    said = (
        forecasts().join(steps, how="cross").with_columns((pl.col("step") + more).cast(UNITS).alias("forecast_units"))
    )
    made = {"feature_snapshots": snapshot}
    products = {
        "forecasts": put(stores, "forecasts", key, said.sort("store_id", "sku_id", "step"), made, {}),
        "stockout_risks": put(stores, "stockout_risks", key, risks().join(steps, how="cross"), made, {}),
    }
    return Publication(key, products, {}, {}, 1, "now")


def put(
    stores: Stores, name: str, key: object, frame: pl.DataFrame, inputs: dict[str, object], facts: dict[str, object]
) -> str:
    path = f"predictions/{name}/{key}.parquet"
    data = to_parquet(frame)
    return stores.predictions.write_bytes(
        name, data, key=key, path=path, rows=frame.height, schema="", inputs=inputs, facts=facts
    ).version


@pytest.fixture
def shop(stores: Stores) -> Stores:
    take_in(stores, "sales", sales())
    take_in(stores, "product_hierarchy", tree())
    return stores


def test_a_day_of_a_run_is_read_with_what_is_measured_and_no_more(shop: Stores) -> None:
    said = read_run(shop, publish(shop, "stat-1"), DAYS[9], RunKnowledgeCache())
    assert said.forecasts.select("store_id", "sku_id").rows() == SERIES
    assert said.forecasts["forecast_units"].cast(pl.Int64).to_list() == [10] * 4
    assert "step" not in said.forecasts.columns
    assert said.risks["risk_band"].to_list() == ["moderate", "high", "critical", "unknown"]
    # 11 June is a Wednesday; the last one that was known is 28 May.
    assert said.naive.rows() == [(*series, 28.0) for series in SERIES]
    assert [level.name for level in said.hierarchy.product_levels] == ["total", "category", "sku"]


def test_what_the_time_of_a_run_knew_is_read_once_for_all_its_days(
    shop: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, resolved = [], []
    build, naive = Hierarchy.build, run_days._seasonal_naive

    def build_noted(*given: pl.DataFrame) -> Hierarchy:
        built.append(given)
        return build(*given)

    def naive_noted(history: History, series: pl.DataFrame, day: date) -> pl.Series:
        resolved.append(day)
        return naive(history, series, day)

    monkeypatch.setattr(Hierarchy, "build", build_noted)
    monkeypatch.setattr(run_days, "_seasonal_naive", naive_noted)
    cache, runs = RunKnowledgeCache(), [publish(shop, "stat-1"), publish(shop, "stat-2", more=1)]
    read: list[RunDay] = [read_run(shop, run, day, cache) for day in DAYS for run in runs]
    assert len(built) == 1, "both runs have the same series and memberships"
    assert resolved == [day for day in DAYS[:7] for _ in runs], "a second week repeats the first"
    assert [one.naive["naive_units"][0] for one in read[14:]] == [one.naive["naive_units"][0] for one in read[:14]]


def test_files_are_hashed_once_and_again_when_they_changed(shop: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run, cache, hashed = publish(shop, "stat-1"), RunKnowledgeCache(), []
    hash_of = BlobStore.hash_of

    def noted(store: BlobStore, path: str) -> str:
        hashed.append(path)
        return hash_of(store, path)

    monkeypatch.setattr(BlobStore, "hash_of", noted)
    for day in DAYS:
        read_run(shop, run, day, cache)
    assert len(hashed) == 2
    forecasts = shop.predictions.version(run.products["forecasts"])
    Path(shop.predictions.paths(forecasts.files)[0]).write_bytes(b"something else")
    with pytest.raises(ChangedFileError, match=r"r0\.parquet` changed after it was written"):
        read_run(shop, run, DAYS[0], cache)


def test_no_more_pasts_are_kept_than_fit(shop: Stores) -> None:
    runs = [publish(shop, f"stat-{number}", more=number) for number in range(4)]
    cache, none = RunKnowledgeCache(most_series=8), RunKnowledgeCache(most_series=1)
    for run in runs:
        said = read_run(shop, run, DAYS[0], cache)
        assert read_run(shop, run, DAYS[0], none).naive.equals(said.naive)
    assert (len(cache), len(none)) == (2, 1)
