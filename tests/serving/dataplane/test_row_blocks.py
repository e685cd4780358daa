"""Rows of few series from blocks in memory: the same as from the files, whatever is where, and bounded."""

from collections.abc import Sequence
from itertools import product
from random import Random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane import row_blocks
from forecast_assets.serving.dataplane.published import read_once
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores
from tests.support import store_cases
from tests.support.store_cases import publish, run_key

SERIES = [*product([f"S-{number}" for number in range(5)], [f"A-{number}" for number in range(7)])]


def published(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Publication:
    """A run of 35 series of a few days each, in blocks of 5 rows of which three are decoded at once."""
    of_one = store_cases.product_frame

    def of_all(name: str, key: RunKey, units: int = 4) -> pl.DataFrame:
        frame = of_one(name, key, units)
        if "store_id" not in frame.columns or "sku_id" not in frame.columns:
            return frame
        frame = frame.filter(pl.col("sku_id") == frame["sku_id"][0])
        return pl.concat(frame.with_columns(store_id=pl.lit(store), sku_id=pl.lit(sku)) for store, sku in SERIES)

    monkeypatch.setattr(store_cases, "product_frame", of_all)
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS", 5)
    monkeypatch.setattr(row_blocks, "PORTION_ROWS", 15)
    store_cases.ingest(stores)
    store_cases.register(stores)
    return publish(stores, run_key())


def scanned(stores: Stores, run: Publication, series: Sequence[StoreSku]) -> pl.DataFrame:
    rows = scan_product(stores, run, "forecasts").collect()
    return rows.filter([one in series for one in rows.select("store_id", "sku_id").iter_rows()])


@pytest.mark.parametrize("asked", [*([one] for one in SERIES), SERIES[3:9], SERIES, [SERIES[30], SERIES[2]]])
def test_rows_are_those_of_the_files_in_their_order(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, asked: list[StoreSku]
) -> None:
    run = published(stores, monkeypatch)
    blocks = RowBlocks(stores)
    for _ in range(2):
        found = blocks.rows(run, "forecasts", asked).collect()
        assert_frame_equal(found, scanned(stores, run, asked))
        assert found.height >= len(asked)


def test_rows_that_are_not_to_be_kept_are_the_same_and_leave_no_block(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, run = RowBlocks(stores), published(stores, monkeypatch)
    for one in SERIES:
        assert_frame_equal(blocks.rows(run, "forecasts", [one], keeps=False).collect(), scanned(stores, run, [one]))
    assert not blocks._blocks
    # What is kept is read from there all the same.
    blocks.rows(run, "forecasts", [SERIES[0]]).collect()
    monkeypatch.setattr(pl.LazyFrame, "slice", None)
    assert not blocks.rows(run, "forecasts", [SERIES[0]], keeps=False).collect().is_empty()


def test_a_question_reads_each_product_of_a_run_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, run, asked = RowBlocks(stores), published(stores, monkeypatch), list[str]()

    def counted(publication: Publication, name: str, series: Sequence[StoreSku]) -> pl.LazyFrame:
        asked.append(name)
        return blocks.rows(publication, name, series)

    read = read_once(counted)
    for name in ("forecasts", "stockout_risks", "forecasts"):
        for one in (SERIES[4], SERIES[20]):
            assert_frame_equal(read(run, name, [one]).collect(), blocks.rows(run, name, [one]).collect())
    assert asked == ["forecasts", "forecasts", "stockout_risks", "stockout_risks"]


def test_what_the_run_has_not_has_no_rows(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, run = RowBlocks(stores), published(stores, monkeypatch)
    for one in (("A", "A"), ("S-2", "A-9"), ("Z", "Z")):
        found = blocks.rows(run, "forecasts", [one]).collect()
        assert (found.height, found.schema) == (0, scan_product(stores, run, "forecasts").collect_schema())


def test_rows_in_another_order_are_scanned(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run, one = published(stores, monkeypatch), SERIES[11]
    monkeypatch.setattr(row_blocks, "scan_product", lambda *asked: scan_product(*asked).reverse())
    found = RowBlocks(stores).rows(run, "forecasts", [one]).collect()
    assert_frame_equal(found, scanned(stores, run, [one]).reverse())


def test_a_file_is_decoded_once_and_never_beyond_the_bound(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run, decoded = published(stores, monkeypatch), []
    of_blocks = RowBlocks._decode

    def counted(blocks: RowBlocks, version: str, scan: pl.LazyFrame, place: int) -> bytes:
        decoded.append(place)
        return of_blocks(blocks, version, scan, place)

    monkeypatch.setattr(RowBlocks, "_decode", counted)
    roomy = RowBlocks(stores)
    for one in [*SERIES, *SERIES]:
        roomy.rows(run, "forecasts", [one]).collect()
    rows = scan_product(stores, run, "forecasts").select(pl.len()).collect().item()
    assert len(decoded) == -(-rows // 15)
    tight = RowBlocks(stores, most_bytes=40_000)
    # In any order, so that parts of a portion are asked for again that lost others.
    for one in Random(1).choices(SERIES, k=150):
        assert not tight.rows(run, "forecasts", [one]).collect().is_empty()
        assert tight._bytes == sum(map(len, tight._blocks.values())) <= 40_000
    assert len(decoded) > 2 * -(-rows // 15)
