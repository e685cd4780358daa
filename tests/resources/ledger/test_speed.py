"""Reading one series, or opening a store, does not read or walk what it need not; bounds are far above the usual."""

import io
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from bench.publications import SERIES_PER_STORE, STEPS, forecast_rows, prepare, products_of, publish_run, run_key
from bench.publications import write_encoded as encoded
from bench.publications import write_validated as validated
from forecast_assets.contracts import FORECASTS
from resources.ledger.log import Entry
from resources.store.parquet import ROW_GROUP, to_parquet
from resources.stores.home import Stores, open_stores
from tests.support import store_cases

SERIES = 3 * SERIES_PER_STORE


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return forecast_rows(run_key(), SERIES)


def test_made_up_rows_keep_the_contract_and_are_sorted_as_runs_publish_them(rows: pl.DataFrame) -> None:
    FORECASTS.validate(rows)
    assert rows.height == SERIES * STEPS
    assert rows.equals(rows.sort("store_id", "sku_id", "step"))
    assert rows["q500_units"].n_unique() > rows.height / 2, "varied numbers: what repeats would be written too quickly"


def test_one_series_lies_in_at_most_two_row_groups_by_their_statistics(rows: pl.DataFrame) -> None:
    metadata = pq.ParquetFile(io.BytesIO(to_parquet(rows))).metadata
    column = {metadata.schema.column(at).name: at for at in range(metadata.num_columns)}
    assert metadata.num_row_groups == -(-rows.height // ROW_GROUP) > 1
    for store_id, sku_id in rows.select("store_id", "sku_id").unique().sample(50, seed=1).iter_rows():
        wanted = {"store_id": store_id, "sku_id": sku_id}
        hit = 0
        for at in range(metadata.num_row_groups):
            found = {name: metadata.row_group(at).column(column[name]).statistics for name in wanted}
            hit += all(found[name].min <= value <= found[name].max for name, value in wanted.items())
        assert 1 <= hit <= 2


def test_equal_rows_give_equal_bytes_however_their_memory_is_divided(rows: pl.DataFrame) -> None:
    divided = pl.concat([rows[: rows.height // 3], rows[rows.height // 3 :]], rechunk=False)
    assert to_parquet(divided) == to_parquet(rows)


def test_runs_written_without_validating_are_the_versions_that_runs_write(rows: pl.DataFrame, tmp_path: Path) -> None:
    key = run_key()
    published = []
    for name, write in (("one", validated), ("other", encoded)):
        stores = open_stores(tmp_path / name)
        prepare(stores)
        published.append(publish_run(stores, key, products_of(key, rows), write).products)
    assert published[0] == published[1]


def test_opening_a_long_store_reads_bundles_and_takes_less_than_two_seconds(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_cases.register(stores)
    for turn in range(310):
        stores.registry.promote("stat-1", by="ana", reason=f"turn {turn}")
    opened = open_stores(stores.blobs.root)
    read: list[str] = []
    find = opened.blobs.find
    monkeypatch.setattr(opened.blobs, "find", lambda path: read.append(path) or find(path))
    start = time.perf_counter()
    state = opened.ledger.state()
    assert time.perf_counter() - start < 2
    assert state.sequence == 311
    # Three bundles, eleven entries, and the place after the last.
    assert len(read) <= 20, read
    assert [type(entry) for entry in opened.ledger.entries()[:1]] == [Entry]
