"""Rows of few series from blocks in memory: the same as from the files, whatever is where; nobody waits for keeping."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from random import Random
from threading import Event
from time import sleep

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane import row_blocks
from forecast_assets.serving.dataplane.published import read_once
from forecast_assets.serving.dataplane.row_blocks import RowBlocks, kept_version
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
    for _ in range(3):
        # From the file, from what is kept of it by now, and from blocks alone.
        found = blocks.rows(run, "forecasts", asked).collect()
        assert_frame_equal(found, scanned(stores, run, asked))
        assert found.height >= len(asked)
        blocks.finish()


def test_rows_partly_in_blocks_and_partly_in_the_file_are_in_their_order(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = published(stores, monkeypatch)
    blocks, chosen = RowBlocks(stores), Random(1)
    for _ in range(20):
        asked = chosen.sample(SERIES, k=6)
        assert_frame_equal(blocks.rows(run, "forecasts", asked).collect(), scanned(stores, run, asked))
        blocks.rows(run, "forecasts", [chosen.choice(SERIES)]).collect()
        blocks.finish()
        blocks._kept._let_go(chosen.choice([*blocks._kept._blocks]))


def test_rows_that_are_not_to_be_kept_are_the_same_and_leave_no_block(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, run = RowBlocks(stores), published(stores, monkeypatch)
    for one in SERIES:
        assert_frame_equal(blocks.rows(run, "forecasts", [one], keeps=False).collect(), scanned(stores, run, [one]))
    blocks.finish()
    assert not blocks._kept._blocks
    # What is kept is read from there all the same.
    blocks.rows(run, "forecasts", [SERIES[0]]).collect()
    blocks.finish()
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


def portions_kept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, bool]]:
    """Return what is kept from now on: version, number, and whether it was asked for."""
    found: list[tuple[str, int, bool]] = []
    keeps = RowBlocks._keep

    def counted(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        found.append((portion.version, portion.number, is_asked))
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", counted)
    return found


def portions_of(stores: Stores, run: Publication, product_name: str = "forecasts") -> int:
    return int(-(-scan_product(stores, run, product_name).select(pl.len()).collect().item() // 15))


def test_each_portion_is_kept_once_however_many_ask_and_never_beyond_the_bound(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = published(stores, monkeypatch), portions_kept(monkeypatch)
    roomy = RowBlocks(stores)
    for one in [*SERIES, *SERIES]:
        roomy.rows(run, "forecasts", [one]).collect()
    roomy.finish()
    assert sorted(number for _, number, _ in kept) == [*range(portions_of(stores, run))]
    del kept[:]
    tight = RowBlocks(stores, most_bytes=40_000)
    # In any order, so that parts of a portion are asked for again that lost others.
    for one in Random(1).choices(SERIES, k=150):
        assert not tight.rows(run, "forecasts", [one]).collect().is_empty()
        tight.finish()
        assert tight._kept.size == sum(map(len, tight._kept._blocks.values())) <= 40_000
    assert len(kept) > 2 * portions_of(stores, run)


def test_nobody_waits_for_keeping_and_what_is_wanted_meanwhile_is_bounded(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = published(stores, monkeypatch)
    monkeypatch.setattr(row_blocks, "MOST_WANTED", 3)
    begun, may_go_on, keeps = threading.Event(), threading.Event(), RowBlocks._keep

    def held(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        begun.set()
        assert may_go_on.wait(30)
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", held)
    blocks = RowBlocks(stores)
    for one in [*SERIES, *SERIES]:
        assert_frame_equal(blocks.rows(run, "forecasts", [one]).collect(), scanned(stores, run, [one]))
        assert begun.wait(30)
    assert (len(blocks._asked), blocks._kept.size) == (3, 0)
    may_go_on.set()
    blocks.finish()
    assert (len(blocks._asked), blocks._kept.size > 0) == (0, True)


def test_who_asks_for_rows_of_one_portion_at_once_has_it_decoded_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, decodes, goes_on = published(stores, monkeypatch), list[int](), Event()
    decode = row_blocks._portion_rows

    def slowly(portion: row_blocks._Portion, scan: pl.LazyFrame) -> pl.DataFrame:
        decodes.append(portion.number)
        assert goes_on.wait(30)
        return decode(portion, scan)

    monkeypatch.setattr(row_blocks, "_portion_rows", slowly)
    blocks, expected = RowBlocks(stores), scanned(stores, run, [SERIES[0]])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(blocks.rows, run, "forecasts", [SERIES[0]]) for _ in range(8)]
        while not decodes:
            sleep(0.001)
        goes_on.set()
        for each in asked:
            assert_frame_equal(each.result().collect(), expected)
    blocks.finish()
    # Nor is it decoded again to be kept.
    assert (decodes, blocks._held, blocks._kept.size > 0) == ([0], {}, True)


def test_few_portions_are_held_however_many_are_wanted(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run, goes_on, keeps = published(stores, monkeypatch), Event(), RowBlocks._keep

    def held(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        assert goes_on.wait(30)
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", held)
    blocks = RowBlocks(stores)
    for one in SERIES:
        assert_frame_equal(blocks.rows(run, "forecasts", [one]).collect(), scanned(stores, run, [one]))
    assert (len(blocks._held), len(blocks._asked) > row_blocks.MOST_HELD) == (row_blocks.MOST_HELD, True)
    goes_on.set()
    blocks.finish()
    assert blocks._held == {}


def test_a_portion_that_cannot_be_decoded_fails_all_who_wait_and_is_tried_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, errors, decode = published(stores, monkeypatch), [OSError("no disk")], row_blocks._portion_rows

    def failing(portion: row_blocks._Portion, scan: pl.LazyFrame) -> pl.DataFrame:
        if errors:
            raise errors.pop()
        return decode(portion, scan)

    monkeypatch.setattr(row_blocks, "_portion_rows", failing)
    blocks = RowBlocks(stores)
    with pytest.raises(OSError, match="no disk"):
        blocks.rows(run, "forecasts", [SERIES[0]])
    assert blocks._held == {}
    assert_frame_equal(blocks.rows(run, "forecasts", [SERIES[0]]).collect(), scanned(stores, run, [SERIES[0]]))
    blocks.finish()


def test_what_cannot_be_kept_is_logged_and_read_from_the_file(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class PanicError(BaseException):
        """As Polars raises where it has a defect."""

    run, errors = published(stores, monkeypatch), [OSError("no disk"), PanicError(), KeyError("a defect")]
    keeps = RowBlocks._keep

    def failing(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        if errors:
            raise errors.pop()
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", failing)
    blocks, one = RowBlocks(stores), SERIES[11]
    for kept_after in (False, False, False, True, True):
        assert_frame_equal(blocks.rows(run, "forecasts", [one]).collect(), scanned(stores, run, [one]))
        blocks.finish()
        assert bool(blocks._kept.size) == kept_after
    assert [each.levelno for each in caplog.records] == [logging.ERROR] * 3


def test_runs_are_kept_before_anybody_asks_forecasts_first_and_what_is_asked_for_before_them(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = published(stores, monkeypatch), portions_kept(monkeypatch)
    blocks = RowBlocks(stores)
    blocks.warm([run])
    blocks.finish()
    names = (FORECASTS.name, STOCKOUT_RISKS.name, FORECAST_EXPLANATIONS.name)
    assert kept == [
        (kept_version(run, name), number, False) for name in names for number in range(portions_of(stores, run, name))
    ]
    del kept[:]
    # Nothing is left to do, neither by looking again nor by asking.
    blocks.warm([run])
    for name in names:
        assert_frame_equal(
            blocks.rows(run, name, SERIES[:5]).collect(),
            scan_product(stores, run, name).collect().filter(pl.struct("store_id", "sku_id").is_in(
                [{"store_id": store, "sku_id": sku} for store, sku in SERIES[:5]]
            )),
        )  # fmt: skip
    blocks.finish()
    assert kept == []


def test_warming_stops_where_it_would_displace_what_is_in_use_and_tries_no_more(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = published(stores, monkeypatch), portions_kept(monkeypatch)
    blocks = RowBlocks(stores, most_bytes=60_000)
    blocks.warm([run])
    blocks.finish()
    tried, names = len(kept), [*blocks._kept._blocks]
    assert 0 < tried < portions_of(stores, run)
    for _ in range(3):
        blocks.warm([run])
        blocks.finish()
    # The largest of what was kept no longer fits.
    assert len(kept) <= tried + 1
    assert set(names) <= set(blocks._kept._blocks)
    assert blocks._kept.size <= 60_000


def test_nothing_is_kept_after_closing_and_rows_are_read_nevertheless(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, one = published(stores, monkeypatch), SERIES[11]
    blocks = RowBlocks(stores)
    blocks.warm([run])
    blocks.close()
    size = blocks._kept.size
    assert blocks._keeper is None
    assert_frame_equal(blocks.rows(run, "forecasts", [one]).collect(), scanned(stores, run, [one]))
    blocks.finish()
    assert blocks._kept.size == size


def test_who_knows_where_blocks_begin_waits_for_nobody_who_looks_for_others(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, run = RowBlocks(stores), published(stores, monkeypatch)
    expected = scanned(stores, run, [SERIES[3]])
    assert_frame_equal(blocks.rows(run, "forecasts", [SERIES[3]]).collect(), expected)
    looks, goes_on = Event(), Event()

    def slowly(*_: object) -> None:
        looks.set()
        assert goes_on.wait(10)
        raise OSError("the disk is gone")

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(pl.LazyFrame, "gather_every", slowly)
        other = pool.submit(blocks.rows, run, "stockout_risks", [SERIES[3]])
        assert looks.wait(10)
        assert_frame_equal(blocks.rows(run, "forecasts", [SERIES[3]]).collect(), expected)
        goes_on.set()
        with pytest.raises(OSError, match="disk is gone"):
            other.result()
    blocks.finish()
