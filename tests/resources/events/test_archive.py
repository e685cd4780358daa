"""The archive: days that are over stay for good, and the store lets go of nothing that is not in it."""

import json
import stat
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.core.errors import ChangedFileError, IntegrityError
from resources.events.archive import COLUMNS, EventArchive
from resources.events.keeping import KeptEvents, keep_events
from resources.events.record import EventRecord
from resources.events.sqlite import SqliteEvents
from resources.events.view import build_view
from tests.support.event_cases import NOW, event, event_id

DAY = NOW.date()


@pytest.fixture
def store(tmp_path: Path) -> SqliteEvents:
    made = SqliteEvents(tmp_path / "events.sqlite")
    made.add([event(number) for number in range(10)])
    return made


@pytest.fixture
def archive(tmp_path: Path) -> EventArchive:
    return EventArchive(tmp_path / "sho*p [1]" / "events")


def kept(store: SqliteEvents, archive: EventArchive, days_later: int, *, only_old: bool = False) -> KeptEvents:
    now = NOW + timedelta(days=days_later)
    return keep_events(store, archive, retention_days=120, now=now, only_old=only_old)


def shown(archive: EventArchive, query: str) -> Sequence[tuple[object, ...]]:
    path = build_view(archive, archive.folder.parent / "operational.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_a_day_that_is_over_is_moved_row_for_row_and_stays_in_the_store(
    store: SqliteEvents, archive: EventArchive
) -> None:
    assert kept(store, archive, 0).moved == ()
    (moved,) = kept(store, archive, 1).moved
    assert (moved.day, moved.events, moved.written, moved.late) == (DAY, 10, 10, 0)
    (file,) = archive.files(DAY)
    frame = pl.read_parquet(file, glob=False)
    assert [EventRecord.of(json.loads(text)) for text in frame["document"]] == [*store.of_day(DAY)]
    assert frame["series"][0].to_list() == [{"store_id": "S-01", "sku_id": "Käse €/1"}]
    assert store.days() == {DAY: 10}
    assert archive.held(store, DAY) == 10


def test_moving_again_writes_nothing_and_late_events_into_a_file_of_their_own(
    store: SqliteEvents, archive: EventArchive
) -> None:
    kept(store, archive, 1)
    assert kept(store, archive, 2).moved == ()
    store.add([event(11), event(12)])
    (moved,) = kept(store, archive, 2).moved
    assert (moved.events, moved.written) == (12, 2)
    assert len(archive.files(DAY)) == 2
    assert shown(archive, "SELECT count(*), count(DISTINCT event_id) FROM operational.prediction_events") == [(12, 12)]


def test_a_day_leaves_the_store_after_the_retention_and_not_before(store: SqliteEvents, archive: EventArchive) -> None:
    kept(store, archive, 1)
    assert kept(store, archive, 120).dropped == ()
    assert store.days() == {DAY: 10}
    assert kept(store, archive, 121).dropped == (DAY,)
    assert store.days() == {}
    found = archive.find(event_id(3))
    assert found is not None
    assert found.content == event(3).content
    assert archive.find(event_id(99)) is None


def test_a_day_that_nobody_moved_is_moved_before_it_is_dropped(store: SqliteEvents, archive: EventArchive) -> None:
    store.add([event(20, at=NOW + timedelta(days=100))])
    found = kept(store, archive, 130, only_old=True)
    assert [each.day for each in found.moved] == [DAY]
    assert found.dropped == (DAY,)
    assert archive.count(DAY) == 10


def test_what_comes_after_its_day_was_dropped_is_moved_too_and_kept_once(
    store: SqliteEvents, archive: EventArchive
) -> None:
    kept(store, archive, 121)
    # From the spool of a process that died long ago: one that is there already, one that is not.
    store.add([event(3), event(30)])
    found = kept(store, archive, 122)
    assert found.dropped == (DAY,)
    assert shown(archive, "SELECT count(*), count(DISTINCT event_id) FROM operational.prediction_events") == [(11, 11)]


def test_nothing_is_dropped_that_is_other_in_the_archive(store: SqliteEvents, archive: EventArchive) -> None:
    kept(store, archive, 1)
    (file,) = archive.files(DAY)
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ChangedFileError, match="does not hash to its name"):
        kept(store, archive, 121)
    assert store.days() == {DAY: 10}


def test_nothing_is_dropped_that_is_other_in_the_store(
    store: SqliteEvents, archive: EventArchive, tmp_path: Path
) -> None:
    kept(store, archive, 1)
    other = SqliteEvents(tmp_path / "other.sqlite")
    other.add([*(event(number) for number in range(9)), event(9, warnings=["changed"])])
    with pytest.raises(IntegrityError, match="are other in"):
        kept(other, archive, 121)
    assert other.days() == {DAY: 10}


def test_nothing_is_dropped_that_is_missing_from_the_archive(
    store: SqliteEvents, archive: EventArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, archive, 1)
    # As many as there are, and another one: the count alone would not tell.
    monkeypatch.setattr(EventArchive, "count", lambda *_: 11)
    store.add([event(30)])
    found = kept(store, archive, 121)
    assert (found.dropped, found.staying) == ((), (DAY,))
    assert store.days() == {DAY: 11}


def test_an_event_that_comes_while_a_day_is_dropped_keeps_it_in_the_store(
    store: SqliteEvents, archive: EventArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EventArchive.held

    def late(self: EventArchive, of: SqliteEvents, day: date) -> int | None:
        found = real(self, of, day)
        of.add([event(40)])
        return found

    monkeypatch.setattr(EventArchive, "held", late)
    assert kept(store, archive, 121).staying == (DAY,)
    assert store.days() == {DAY: 11}


def test_a_killed_move_leaves_no_file_under_a_name_that_is_read(
    store: SqliteEvents, archive: EventArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            kept(store, archive, 1)
    assert archive.files(DAY) == []
    (moved,) = kept(store, archive, 1).moved
    assert moved.written == 10


def test_the_view_shows_what_the_archive_has_when_it_is_asked(store: SqliteEvents, archive: EventArchive) -> None:
    columns = "SELECT column_name FROM (DESCRIBE operational.prediction_events)"
    assert [name for (name,) in shown(archive, columns)] == list(COLUMNS)
    assert shown(archive, "SELECT * FROM operational.prediction_events") == []
    kept(store, archive, 1)
    query = "SELECT caller, series[1].sku_id, document::JSON ->> '$.steps[0].outputs.base_units[0]'"
    assert shown(archive, f"{query} FROM prediction_events ORDER BY occurred_at LIMIT 1") == [
        ("ana", "Käse €/1", "1.25")
    ]
