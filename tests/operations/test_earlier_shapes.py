"""What an earlier release published stays readable beside today's runs: in SQL, in Python, in files, in comparisons."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from forecast_assets.contracts import (
    FORECAST_ACCURACY,
    PRODUCTS,
    PUBLISHED,
    absent_columns,
    contract_then,
    earlier_fingerprints,
)
from forecast_assets.core.errors import ReplayDifferenceError, UnknownProductError
from forecast_assets.operations import comparison
from forecast_assets.operations.differences import difference_of_rows
from forecast_assets.operations.reading import (
    export_product,
    measured_accuracy,
    read_product,
    scan_predictions,
    scan_product,
)
from forecast_assets.operations.replaying import Replay
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores, open_stores
from tests.support.earlier_stores import GROWN, LATER, publish_as_before, publish_without
from tests.support.store_cases import catalogue, ingest, publish, register, run_key
from tests.support.trial_cases import FIRST, Said, accuracy_rows, measured_rows
from tests.support.trial_cases import both as both_versions

OLD, NEW = run_key(0), run_key(1)
QUALITY = ["out_of_distribution_score", "quality_flags"]
DRIVERS = ["relatives_units", "availability_units"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """A version with a run of the earlier release and one of today, and versions that have one of them only."""
    stores = open_stores(tmp_path_factory.mktemp("both") / "store")
    ingest(stores)
    for version in ("stat-1", "stat-2"):
        register(stores, version)
    publish_as_before(stores, OLD, units=4)
    publish(stores, NEW, units=5)
    publish_as_before(stores, run_key(0, "stat-2"), units=4)
    return stores


@pytest.fixture(scope="module")
def database(both: Stores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return catalogue(both, tmp_path_factory.mktemp("catalogue"))


def rows(database: Path, query: str) -> Sequence[Any]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.sql(query).fetchall()


def published(stores: Stores, day: int = 0) -> Publication:
    return stores.predictions.publication(run_key(day))


def test_the_shape_of_then_is_the_contract_without_what_was_added() -> None:
    assert set(GROWN) == {"forecasts", "aggregate_forecasts", "forecast_explanations"}
    for name in (*GROWN, "base_forecasts"):
        for fingerprint in earlier_fingerprints(name):
            assert contract_then(name, fingerprint).fingerprint == fingerprint
        assert absent_columns(name, None) == absent_columns(name, earlier_fingerprints(name)[0])
        assert absent_columns(name, PRODUCTS[name].fingerprint) == {}


def test_the_entry_says_which_columns_files_have(both: Stores) -> None:
    assert published(both).schemas == {}
    assert published(both, 1).schemas == {name: PRODUCTS[name].fingerprint for name in PUBLISHED}
    file = both.predictions.files(published(both), "forecasts")[0]
    assert not set(QUALITY) & set(pl.read_parquet_schema(both.blobs.local(file.path)))


@pytest.mark.parametrize("product", PUBLISHED)
@pytest.mark.parametrize("version", ["stat-1", "stat-2"])
def test_a_view_has_the_columns_of_the_contract_in_their_types(
    database: Path, both: Stores, version: str, product: str
) -> None:
    described = rows(database, f'DESCRIBE "{version}".{product}')
    named = {name: kind for name, kind, *_ in described if name != "prediction_id"}
    assert list(named) == PRODUCTS[product].names
    if version == "stat-2" and product in LATER:
        assert rows(database, f'FROM "{version}".{product}') == []
    today = both.predictions.files(published(both, 1), product)[0]
    with duckdb.connect() as connection:
        file = connection.read_parquet(str(both.blobs.local(today.path)), hive_partitioning=False)
        assert named == dict(zip(file.columns, map(str, file.types), strict=True))


def test_a_view_shows_nothing_where_nothing_was_recorded(database: Path) -> None:
    said = rows(
        database,
        """SELECT DISTINCT prediction_date, out_of_distribution_score, quality_flags, forecast_units
        FROM "stat-1".forecasts ORDER BY 1""",
    )
    assert said == [(OLD.prediction_date, None, None, Decimal(4)), (NEW.prediction_date, 0.5, "", Decimal(5))]
    sums = rows(
        database,
        """SELECT prediction_date, sum(relatives_units), count(relatives_units), count(DISTINCT prediction_id)
        FROM "stat-1".forecast_explanations GROUP BY ALL ORDER BY 1""",
    )
    assert sums == [(OLD.prediction_date, 0, 14, 14), (NEW.prediction_date, 0, 14, 14)]


@pytest.mark.parametrize("product", PUBLISHED)
def test_python_reads_both_as_one(both: Stores, product: str) -> None:
    contract = PRODUCTS[product]
    many = scan_predictions(both, product, model_version="stat-1").collect()
    assert many.schema == contract.schema
    runs = [published(both, day) for day in (0, 1) if day or product not in LATER]
    singles = [scan_product(both, run, product).collect() for run in runs]
    assert many.equals(pl.concat(singles))
    assert all(read_product(both, run, product).equals(one) for run, one in zip(runs, singles, strict=True))


@pytest.mark.parametrize("product", LATER)
def test_a_product_that_came_later_is_missed_with_words(both: Stores, product: str, database: Path) -> None:
    for read in (read_product, scan_product):
        with pytest.raises(UnknownProductError, match=f"no `{product}` of .*{OLD}.*published by a release that made"):
            read(both, published(both), product)
    with pytest.raises(UnknownProductError, match=f"no `{product}`"):
        scan_predictions(both, product, model_version="stat-2")
    with duckdb.connect(str(database), read_only=True) as connection:
        said = connection.table("audit.publications").select("publication_key", f"{product}_version").fetchall()
        links = connection.table("audit.lineage").select("publication_key", "link").distinct().fetchall()
    assert dict(said)[str(OLD)] == ""
    assert dict(said)[str(NEW)] == published(both, 1).products[product]
    assert {key for key, link in links if link == product} == {str(NEW)}
    assert {key for key, link in links if link == "forecasts"} >= {str(OLD), str(NEW)}


def test_what_is_absent_is_null_and_a_driver_is_zero(both: Stores) -> None:
    old, new = published(both), published(both, 1)
    assert read_product(both, old, "forecasts").select(QUALITY).unique().rows() == [(None, None)]
    assert read_product(both, new, "forecasts").select(QUALITY).unique().rows() == [(0.5, "")]
    assert scan_product(both, old, "forecast_explanations").select(DRIVERS).unique().collect().rows() == [(0, 0)]


@pytest.mark.parametrize("fingerprint", earlier_fingerprints("forecast_explanations"))
def test_runs_of_every_shape_that_there_was_are_read_as_one(tmp_path: Path, fingerprint: str) -> None:
    name = "forecast_explanations"
    stores = open_stores(tmp_path / "store")
    ingest(stores)
    register(stores)
    old = publish_without(stores, OLD, name, fingerprint)
    publish(stores, NEW, units=5)
    absent = [*absent_columns(name, fingerprint)]
    assert absent
    assert old.schemas[name] == fingerprint
    file = pl.read_parquet_schema(stores.blobs.local(stores.predictions.files(old, name)[0].path))
    assert not set(absent) & set(file)
    assert read_product(stores, old, name).select(absent).unique().rows() == [(0,) * len(absent)]
    many = scan_predictions(stores, name, model_version="stat-1").collect()
    assert many.schema == PRODUCTS[name].schema
    with duckdb.connect(str(catalogue(stores, tmp_path / "sql")), read_only=True) as connection:
        shown = connection.sql('FROM "stat-1".forecast_explanations').select(*absent, "prediction_date").distinct().pl()
    assert sorted(shown.rows()) == [(*[0] * len(absent), run.prediction_date) for run in (OLD, NEW)]


def test_an_export_has_all_columns(both: Stores, tmp_path: Path) -> None:
    out = tmp_path / "forecasts.csv"
    assert export_product(both, published(both), "forecasts", out) == 14
    assert pl.read_csv(out).columns == PRODUCTS["forecasts"].names


def test_a_correction_of_an_old_run_is_compared_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Hand-made snapshots name no moment of knowledge.
    monkeypatch.setattr(comparison, "_inputs", lambda *_: pl.DataFrame())
    monkeypatch.setattr(comparison, "made_from", lambda *_: ())
    stores = open_stores(tmp_path / "store")
    ingest(stores)
    register(stores)
    publish_as_before(stores, OLD, units=4)
    publish(stores, replace(OLD, revision=1), units=6)
    found = comparison.compare_runs(stores, OLD, replace(OLD, revision=1))
    assert found.totals.filter(driver="forecast_units").row(0)[1:] == (56, 84, 28)
    assert found.totals.filter(driver="relatives_units").row(0)[1:] == (0, 0, 0)


def test_a_replay_names_the_columns_that_only_the_rebuilt_product_has(both: Stores) -> None:
    stored = both.predictions.read(both.predictions.version(published(both).products["forecasts"]))
    rebuilt = read_product(both, published(both), "forecasts")
    found = difference_of_rows("forecasts", stored, rebuilt, key=PRODUCTS["forecasts"].key)
    assert (found.only_published, found.only_rebuilt, found.rows, found.columns) == (0, 2, 0, ())
    nothing = Replay("daily/r0", 1, (), "", (), ("code is 0.2, was 0.1",), found, ())
    words = r"0 rows differ; only one of them has out_of_distribution_score, quality_flags\. Why: code is 0.2, was"
    with pytest.raises(ReplayDifferenceError, match=words):
        nothing.require_equal()


def test_measurements_of_earlier_releases_are_read_with_those_of_today(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    grown = absent_columns("forecast_accuracy", earlier_fingerprints("forecast_accuracy")[0])
    kept = tuple(column for column in FORECAST_ACCURACY.columns if column.name not in grown)
    then = replace(FORECAST_ACCURACY, columns=kept)
    early, late = (accuracy_rows(FIRST + timedelta(days=at), both_versions(Said(), Said())) for at in range(2))
    measured_rows(stores, FIRST, early.drop(grown), then)
    measured_rows(stores, FIRST + timedelta(days=1), late)
    read = measured_accuracy(stores, "daily")
    assert read.schema == FORECAST_ACCURACY.schema
    assert read.filter(target_date=FIRST).drop(grown).equals(early.drop(grown))
    assert read.filter(target_date=FIRST)["crps_units"].null_count() == early.height
    assert read.filter(target_date=FIRST + timedelta(days=1)).equals(late)
