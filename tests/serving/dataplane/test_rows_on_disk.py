"""Rows of the newest runs in files: the next process decodes nothing; whatever is wrong with a file, rows are right."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.serving.dataplane import disk_blocks, row_blocks
from forecast_assets.serving.dataplane.row_blocks import WARMED, RowBlocks, kept_version
from resources.ledger.entries.publish import Publication
from resources.row_cache.block_files import BlockFiles
from resources.stores.home import Stores
from tests.serving.dataplane.test_row_blocks import SERIES, portions_kept, published, scanned
from tests.support import store_cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "rows"


@pytest.fixture
def run(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Publication:
    return published(stores, monkeypatch)


def warmed(stores: Stores, folder: Path, *runs: Publication, most_bytes: int = 1 << 26) -> RowBlocks:
    blocks = RowBlocks(stores, files=BlockFiles(folder, most_bytes))
    look(blocks, *runs)
    return blocks


def look(blocks: RowBlocks, *runs: Publication) -> None:
    blocks.warm(runs)
    blocks.finish()


def require_right(
    blocks: RowBlocks, stores: Stores, run: Publication, series: Sequence[tuple[str, str]] = SERIES
) -> None:
    for one in series:
        assert_frame_equal(blocks.rows(run, "forecasts", [one]).collect(), scanned(stores, run, [one]))


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_next_process_reads_all_products_of_the_newest_run_and_decodes_nothing(
    stores: Stores, run: Publication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = warmed(stores, folder, run)
    assert (len(files(folder)), first._kept.size, first.is_on_disk(run)) == (len(WARMED), 0, True)
    again = RowBlocks(stores, files=BlockFiles(folder))
    expected = {name: [first.rows(run, name, [one]).collect() for one in SERIES] for name in WARMED}
    plain = {name: [RowBlocks(stores).rows(run, name, [one]).collect() for one in SERIES] for name in WARMED}
    kept = portions_kept(monkeypatch)
    look(again, run)
    monkeypatch.setattr(row_blocks, "scan_product", None)
    for name in WARMED:
        found = [again.rows(run, name, [one]).collect() for one in SERIES]
        for one, two, three in zip(found, expected[name], plain[name], strict=True):
            assert_frame_equal(one, two)
            assert_frame_equal(one, three)
    assert (kept, again._kept.size) == ([], 0)


def test_rows_are_read_from_a_file_while_it_is_written_and_it_is_no_one_elses_before(
    stores: Stores, run: Publication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeps, begun, goes_on = RowBlocks._keep, Event(), Event()

    def held(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        if portion.number == 2:
            begun.set()
            assert goes_on.wait(30)
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", held)
    blocks = RowBlocks(stores, files=BlockFiles(folder))
    blocks.warm([run])
    assert begun.wait(30)
    assert not blocks.is_on_disk(run)
    monkeypatch.setattr(pl.LazyFrame, "slice", None)
    assert not blocks.rows(run, "forecasts", SERIES[:3]).collect().is_empty()
    monkeypatch.undo()
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS", 5)
    monkeypatch.setattr(row_blocks, "PORTION_ROWS", 15)
    other = RowBlocks(stores, files=BlockFiles(folder))
    other.warm([run])
    # It leaves those to the first that writes them, and reads from the store meanwhile.
    require_right(other, stores, run)
    goes_on.set()
    blocks.finish()
    other.finish()
    look(other, run)
    assert other.is_on_disk(run)
    assert other._kept.size == 0
    require_right(other, stores, run)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_file_that_is_damaged_answers_nothing_wrong_and_is_made_anew(
    stores: Stores, run: Publication, folder: Path, kept: float
) -> None:
    warmed(stores, folder, run)
    for path in files(folder):
        content = bytearray(path.read_bytes())
        start = int(kept * len(content))
        content[start : start + 40] = bytes(each ^ 0xFF for each in content[start : start + 40])
        path.write_bytes(content)
    again = RowBlocks(stores, files=BlockFiles(folder))
    for _ in range(2):
        for name in WARMED:
            whole = row_blocks.scan_product(stores, run, name).collect()
            assert_frame_equal(pl.concat(again.rows(run, name, [one]).collect() for one in SERIES), whole)
        again.finish()
    look(again, run)
    assert again.is_on_disk(run)
    # What was kept in memory meanwhile goes with the next look.
    look(again, run)
    assert again._kept.size == 0
    require_right(again, stores, run)


def test_a_file_of_another_run_under_its_name_is_not_read(stores: Stores, run: Publication, folder: Path) -> None:
    other = store_cases.publish(stores, store_cases.run_key(1))
    warmed(stores, folder, run, other)
    for name in WARMED:
        mine, foreign = (folder / f"{kept_version(each, name)}.blocks" for each in (run, other))
        foreign.replace(mine)
    blocks = RowBlocks(stores, files=BlockFiles(folder))
    require_right(blocks, stores, run)


def test_files_that_are_removed_are_made_again_by_who_runs(stores: Stores, run: Publication, folder: Path) -> None:
    blocks = warmed(stores, folder, run)
    for path in files(folder):
        path.unlink()
    require_right(blocks, stores, run)
    look(blocks, run)
    assert len(files(folder)) == len(WARMED)
    require_right(blocks, stores, run)


def test_without_room_or_a_folder_rows_are_in_memory_and_that_is_said_once_a_version(
    stores: Stores, run: Publication, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING):
        tight = warmed(stores, folder, run, most_bytes=1_000)
        look(tight, run)
    assert files(folder) == []
    assert (tight._kept.size > 0, tight.is_on_disk(run)) == (True, False)
    assert len(caplog.records) == len(WARMED)
    assert "may have no more bytes" in caplog.text
    kept = portions_kept(monkeypatch)
    require_right(tight, stores, run)
    look(tight, run)
    # Neither is anything decoded again, nor the disk asked, for a while.
    assert kept == []
    folder.rmdir()
    folder.write_text("no folder")
    caplog.clear()
    without = warmed(stores, folder, run)
    assert without._kept.size == tight._kept.size
    assert len(caplog.records) == len(WARMED)
    require_right(without, stores, run)


def test_a_disk_that_is_full_for_a_while_costs_no_rows_and_is_tried_again(
    stores: Stores, run: Publication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, write = [3], os.pwrite

    def failing(descriptor: int, content: memoryview, place: int) -> int:
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return write(descriptor, content, place)

    monkeypatch.setattr(os, "pwrite", failing)
    blocks = warmed(stores, folder, run)
    assert files(folder) == []
    require_right(blocks, stores, run)
    look(blocks, run)
    require_right(blocks, stores, run)
    assert blocks._kept.size > 0
    left[0] = 1 << 30
    look(blocks, run)
    assert files(folder) == []
    later = disk_blocks.monotonic() + disk_blocks.TRIED_AGAIN_SECONDS
    monkeypatch.setattr(disk_blocks, "monotonic", lambda: later)
    look(blocks, run)
    look(blocks, run)
    assert blocks.is_on_disk(run)
    assert blocks._kept.size == 0
    require_right(blocks, stores, run)


def test_a_run_that_is_followed_no_more_leaves_nothing_half_made_and_stays_while_there_is_room(
    stores: Stores, run: Publication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, keeps = store_cases.publish(stores, store_cases.run_key(1)), RowBlocks._keep
    begun, goes_on = Event(), Event()

    def held(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        begun.set()
        assert goes_on.wait(30)
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", held)
    blocks = RowBlocks(stores, files=BlockFiles(folder))
    blocks.warm([run])
    assert begun.wait(30)
    blocks.warm([newer])
    goes_on.set()
    blocks.finish()
    assert sorted(path.name for path in files(folder)) == sorted(f"{kept_version(newer, n)}.blocks" for n in WARMED)
    require_right(blocks, stores, run)
    both = sum(path.stat().st_size for path in files(folder))
    look(blocks, run)
    assert len(files(folder)) == 2 * len(WARMED)
    tight = RowBlocks(stores, files=BlockFiles(folder, both + both // 2))
    for path in files(folder)[:1]:
        path.unlink()
    look(tight, run)
    look(tight, newer)
    assert tight.is_on_disk(newer)


def test_closing_leaves_nothing_half_made_and_rows_are_read_nevertheless(
    stores: Stores, run: Publication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeps, begun, goes_on = RowBlocks._keep, Event(), Event()

    def held(blocks: RowBlocks, portion: row_blocks._Portion, scan: pl.LazyFrame, is_asked: bool) -> None:
        begun.set()
        assert goes_on.wait(30)
        keeps(blocks, portion, scan, is_asked)

    monkeypatch.setattr(RowBlocks, "_keep", held)
    blocks = RowBlocks(stores, files=BlockFiles(folder))
    blocks.warm([run])
    assert begun.wait(30)
    ending = Thread(target=blocks.close)
    ending.start()
    assert blocks._closing.wait(30)
    goes_on.set()
    ending.join(30)
    assert files(folder) == []
    require_right(blocks, stores, run, SERIES[:4])
    look(blocks, run)
    assert files(folder) == []


def test_what_rows_are_kept_as_follows_from_all_that_they_follow_from(run: Publication) -> None:
    name = WARMED[0]
    version = kept_version(run, name)
    assert version.startswith(run.products[name])
    again = replace(run, products={**run.products, name: "0" * 64})
    # As a release wrote it that had fewer columns, which this one shows as it does.
    earlier = replace(run, schemas={each: kept for each, kept in run.schemas.items() if each != name})
    assert len({version, kept_version(again, name), kept_version(earlier, name), kept_version(run, WARMED[1])}) == 4
