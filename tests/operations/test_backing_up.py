"""A backup is a store of the same bytes, whatever both are kept in, and is added to by what it lacks."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from forecast_assets.core.errors import (
    BackupConflictError,
    ChangedFileError,
    FindingsError,
    InputError,
    IntegrityError,
    LostRaceError,
    MissingFileError,
    StorageError,
    UnknownEntryError,
)
from forecast_assets.operations import backing_up
from forecast_assets.operations.backing_up import back_up, backups_of, last_backup, status_of_backup, verify_backup
from forecast_assets.operations.restoring import restore
from forecast_assets.settings import Settings
from resources.ledger.log import BUNDLE, bundle_path, entry_path
from resources.maintenance.backup_index import BackupPlace
from resources.maintenance.vacuuming import vacuum_store
from resources.maintenance.verification import verify_store
from resources.store.blobs import BlobStore, sha256
from tests.support.backup_cases import (
    EVENTS,
    archive,
    content,
    no_pages,
    said,
    say,
    settings_of,
    small_home,
    stores_of,
    tree,
)
from tests.support.store_cases import ingest, publish, run_key, stage


@dataclass(frozen=True)
class Kept:
    """A home, and where it is backed up to."""

    settings: Settings
    to: str

    @property
    def place(self) -> BackupPlace:
        return BackupPlace.open(self.to, self.settings.mirror_folder)


@pytest.fixture(params=["folder to folder", "folder to bucket", "bucket to folder", "bucket to bucket"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    source, to = request.param.split(" to ")
    url = request.getfixturevalue("url") if "bucket" in (source, to) else ""
    given = {"store_url": f"{url}/live"} if source == "bucket" else {}
    settings = small_home(tmp_path / "home", **given)
    return Kept(settings, f"{url}/backup" if to == "bucket" else str(tmp_path / "backup"))


@pytest.fixture
def local(tmp_path: Path) -> Kept:
    return Kept(small_home(tmp_path / "home"), str(tmp_path / "backup"))


def store_of_backup(kept: Kept) -> dict[str, str]:
    store = kept.place.store
    return {blob.path: store.hash_of(blob.path) for blob in store.everything() if not blob.path.startswith("scratch/")}


# --- what a backup has ---


def test_a_backup_is_the_store_and_is_restored_to_the_same(kept: Kept, tmp_path: Path) -> None:
    stores = stores_of(kept.settings)
    # Pointers of runs are conveniences; those of snapshots outlive them.
    wanted = {
        path: digest
        for path, digest in content(stores).items()
        if not path.startswith("staging/") or path.startswith("staging/feature_snapshots/")
    }
    outcome = back_up(kept.settings, kept.to)
    assert store_of_backup(kept) == wanted
    assert outcome.store.copied_files == outcome.store.files == len(wanted)
    assert outcome.store.head == verify_store(stores.blobs).head
    assert not verify_store(kept.place.store, expect_heads=[outcome.store.head]).findings

    again = back_up(kept.settings, kept.to)
    assert (again.store.copied_files, again.store.copied_bytes, again.store.files) == (0, 0, len(wanted))
    assert store_of_backup(kept) == wanted

    found = verify_backup(kept.settings, kept.to)
    assert (found.store.findings, found.wrong, found.files) == ((), (), 2)

    home = settings_of(tmp_path / "restored")
    restored = restore(home, kept.to, no_pages)
    assert content(stores_of(home)) == wanted
    assert restored.verification.head == outcome.store.head
    assert said(home.home) == ["the first"]
    assert tree(home.home / EVENTS) == tree(kept.settings.home / EVENTS)


def test_what_is_new_is_added_and_nothing_else_is_touched(kept: Kept) -> None:
    back_up(kept.settings, kept.to)
    before = store_of_backup(kept)
    stores = stores_of(kept.settings)
    publish(stores, run_key(2), 9)
    outcome = back_up(kept.settings, kept.to)
    after = store_of_backup(kept)
    assert {path: after[path] for path in before} == before
    assert outcome.store.copied_entries == 1
    assert outcome.store.copied_files == len(after) - len(before) > 10
    assert run_key(2) in stores.on(kept.place.store).ledger.state().publications


def test_entries_beyond_a_bundle_are_opened_by_it(local: Kept) -> None:
    stores = stores_of(local.settings)
    while stores.ledger.state().sequence <= BUNDLE:
        stores.registry.promote("stat-1", by="ana", reason="as before")
    back_up(local.settings, local.to)
    assert local.place.store.get(bundle_path(BUNDLE)) == stores.blobs.get(bundle_path(BUNDLE))
    assert not verify_store(local.place.store).findings
    # One that was damaged is no bundle: it is left out, since it can be made again.
    (local.settings.store_folder / bundle_path(BUNDLE)).write_bytes(b"damaged")
    other = f"{local.to}-2"
    back_up(local.settings, other)
    assert not (Path(other) / "store" / bundle_path(BUNDLE)).exists()
    assert not verify_store(BlobStore(Path(other) / "store")).findings


def test_what_no_entry_names_is_left_out_but_for_what_a_run_may_start_from(local: Kept) -> None:
    stores = stores_of(local.settings)
    made = stage(stores, run_key(5), 11)
    back_up(local.settings, local.to)
    held = store_of_backup(local)
    snapshot = stores.predictions.version(made["forecasts"]).inputs["feature_snapshots"]
    assert f"manifests/{snapshot}.json" in held
    assert not {f"manifests/{version}.json" for version in made.values()} & held.keys()
    assert not verify_store(local.place.store).findings
    # A pointer at what is gone is of no use, and stops nobody.
    stores.blobs.remove(f"manifests/{snapshot}.json")
    back_up(local.settings, f"{local.to}-2")


def test_a_backup_and_a_vacuum_do_not_meet(local: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stores = stores_of(local.settings)
    stage(stores, run_key(5), 11)
    for path in local.settings.store_folder.rglob("*"):
        os.utime(path, (1, 1))
    real, sequences = BlobStore.remove, []

    def slow(self: BlobStore, path: str) -> None:
        if not sequences:
            sequences.append(back_up(local.settings, local.to).store.sequence)
        real(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "remove", slow)
        removed = vacuum_store(stores.blobs, stores.ledger, by="ana")
    assert removed.files
    assert sequences == [removed.sequence]
    assert not verify_store(local.place.store).findings
    # Its beginning is in the backup, its end is not: whoever restores is told.
    home = settings_of(tmp_path / "restored")
    assert restore(home, local.to, no_pages).open_vacuum == removed.sequence
    assert back_up(local.settings, local.to).store.copied_entries == 1


def test_publishing_meanwhile_leaves_a_backup_of_a_position(local: Kept) -> None:
    stop, failed = threading.Event(), list[BaseException]()

    def go_on() -> None:
        stores, day = stores_of(local.settings), 10
        try:
            while not stop.is_set():
                publish(stores, run_key(day), 4)
                say(local.settings, f"run {day}")
                day += 1
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        positions = list[int]()
        while len(set(positions)) < 4 and writer.is_alive():
            positions.append(back_up(local.settings, local.to).store.sequence)
            assert not verify_backup(local.settings, local.to).store.findings
    finally:
        stop.set()
        writer.join()
    assert not failed
    assert positions == sorted(positions)


# --- what of the home is no store ---


def test_a_database_is_taken_as_it_is_at_a_moment_and_earlier_ones_stay(local: Kept, tmp_path: Path) -> None:
    with closing(sqlite3.connect(local.settings.operational_path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("INSERT INTO said VALUES ('not yet')")
        back_up(local.settings, local.to)
        writing.execute("COMMIT")
    for at in range(3):
        say(local.settings, f"later {at}")
        back_up(local.settings, local.to, keep=2)
    index = json.loads(Path(local.to, "backup.json").read_text())
    assert len(index["snapshots"]) == 2
    named = {file["sha256"] for each in index["snapshots"] for file in each["files"]}
    assert named == {path.name.split(".")[0] for path in Path(local.to, "files").iterdir() if path.is_file()}
    restore(settings_of(tmp_path / "restored"), local.to, no_pages)
    assert said(tmp_path / "restored") == ["the first", "not yet", "later 0", "later 1", "later 2"]


def test_what_has_not_changed_is_not_copied_again(local: Kept) -> None:
    assert back_up(local.settings, local.to).taken.copied_files == 2
    say(local.settings, "more")
    archive(local.settings, b"another day")
    say(local.settings, "x", database="events")
    outcome = back_up(local.settings, local.to)
    assert [file.path for file in outcome.taken.files] == [
        "operational/events.sqlite",
        "operational/operational.sqlite",
        *sorted(f"{EVENTS}/{sha256(data)}.parquet" for data in (b"another day", b"events of a day")),
    ]
    assert outcome.taken.copied_files == 3


def test_a_damaged_database_ends_in_an_error_and_the_good_copy_stays(local: Kept, tmp_path: Path) -> None:
    with closing(sqlite3.connect(local.settings.operational_path, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO said VALUES (?)", [(f"{at:0200}",) for at in range(2_000)])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    back_up(local.settings, local.to)
    good = said(local.settings.home)
    damaged = bytearray(local.settings.operational_path.read_bytes())
    damaged[8192:40_000] = b"\xff" * (40_000 - 8192)
    local.settings.operational_path.write_bytes(damaged)
    publish(stores_of(local.settings), run_key(2), 9)
    with pytest.raises(IntegrityError, match=r"operational\.sqlite` is damaged.*The store is backed up"):
        back_up(local.settings, local.to, keep=1)
    # The store went on, the snapshot did not.
    assert run_key(2) in stores_of(local.settings).on(local.place.store).ledger.state().publications
    restore(settings_of(tmp_path / "restored"), local.to, no_pages)
    assert said(tmp_path / "restored") == good


def test_mlflow_is_in_it_where_it_is_asked_for(local: Kept) -> None:
    (local.settings.mlflow_folder / "artifacts").mkdir(parents=True)
    (local.settings.mlflow_folder / "artifacts" / "a.json").write_text("{}")
    assert len(back_up(local.settings, local.to).taken.files) == 2
    taken = back_up(local.settings, local.to, with_mlflow=True).taken
    assert "mlflow/artifacts/a.json" in {file.path for file in taken.files}


def test_events_in_postgresql_are_said_not_to_be_in_it(tmp_path: Path) -> None:
    settings = small_home(tmp_path / "home", event_store="postgresql://ana@db/events")
    (told,) = back_up(settings, str(tmp_path / "backup")).not_in_it
    assert "pg_dump" in told


# --- when it was ---


def test_the_home_and_the_backup_know_when_it_was(local: Kept) -> None:
    assert last_backup(local.settings) is None
    first = back_up(local.settings, local.to).record
    second = back_up(local.settings, f"{local.to}-2").record
    again = back_up(local.settings, local.to).record
    assert {each.place for each in backups_of(local.settings)} == {first.place, second.place}
    newest = last_backup(local.settings)
    assert newest is not None
    assert newest.recovery_point == again.recovery_point
    of_itself = status_of_backup(local.settings, local.to)
    assert (of_itself.head, of_itself.recovery_point) == (again.head, again.recovery_point)
    # What the home remembers is no truth: a file that cannot be read is told, and made anew.
    local.settings.backups_path.write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        last_backup(local.settings)
    made_anew = back_up(local.settings, local.to).record
    assert last_backup(local.settings) == made_anew


# --- what is refused ---


def test_another_ledger_is_refused_and_nothing_is_written(kept: Kept, tmp_path: Path) -> None:
    back_up(kept.settings, kept.to)
    before = store_of_backup(kept), kept.place.root.get("backup.json")
    other = small_home(tmp_path / "other")
    with pytest.raises(BackupConflictError, match="of another ledger"):
        back_up(other, kept.to)
    assert (store_of_backup(kept), kept.place.root.get("backup.json")) == before


def _cut(settings: Settings, sequence: int) -> None:
    """Take the end of a ledger away, as restoring an older disk does."""
    for path in (settings.store_folder / "ledger").iterdir():
        if int(path.name[:12]) > sequence:
            path.unlink()


def test_a_store_that_was_rolled_back_is_refused(local: Kept) -> None:
    back_up(local.settings, local.to)
    before = tree(Path(local.to))
    last = stores_of(local.settings).ledger.state().sequence
    _cut(local.settings, last - 1)
    with pytest.raises(BackupConflictError, match=rf"it has {last} entries, and the store has {last - 1}.*rolled back"):
        back_up(local.settings, local.to)
    # And one that went on from there has another past.
    stores_of(local.settings).registry.promote("stat-1", by="bo", reason="another past")
    ingest(stores_of(local.settings), day=3)
    with pytest.raises(BackupConflictError, match=f"they agree up to entry {last - 1} only"):
        back_up(local.settings, local.to)
    assert tree(Path(local.to)) == before


def test_a_changed_file_of_the_source_is_named_and_the_good_copy_stays(local: Kept) -> None:
    back_up(local.settings, local.to)
    before = tree(Path(local.to, "store"))
    stores = stores_of(local.settings)
    held = stores.predictions.files(stores.predictions.publication(run_key(0)), "forecasts")[0].path
    publish(stores, run_key(2), 9)
    new = stores.predictions.files(stores.predictions.publication(run_key(2)), "forecasts")[0].path
    for path in (held, new):
        data = bytearray((local.settings.store_folder / path).read_bytes())
        data[20] ^= 1
        (local.settings.store_folder / path).chmod(0o644)
        (local.settings.store_folder / path).write_bytes(data)
    entries = len(list((Path(local.to) / "store/ledger").iterdir()))
    with pytest.raises(ChangedFileError, match=new.rsplit("/", 1)[-1]):
        back_up(local.settings, local.to)
    after = tree(Path(local.to, "store"))
    assert {path: after[path] for path in before} == before
    assert new not in after
    assert len(list((Path(local.to) / "store/ledger").iterdir())) == entries
    assert not verify_store(local.place.store).findings
    (local.settings.store_folder / new).unlink()
    with pytest.raises(MissingFileError, match=new.rsplit("/", 1)[-1]):
        back_up(local.settings, local.to)


@pytest.mark.parametrize("what", ["an entry", "a manifest"])
def test_a_broken_ledger_is_not_copied(local: Kept, what: str) -> None:
    stores = stores_of(local.settings)
    path = entry_path(2)
    if what == "a manifest":
        path = f"manifests/{stores.predictions.publication(run_key(0)).products['forecasts']}.json"
    (local.settings.store_folder / path).write_bytes(b"{}")
    with pytest.raises(FindingsError, match=path):
        back_up(local.settings, local.to)
    assert not Path(local.to, "store").exists()


def test_a_copy_of_another_size_is_mended(local: Kept) -> None:
    back_up(local.settings, local.to)
    before = tree(Path(local.to, "store"))
    for path in (
        entry_path(2),
        next(path for path in before if path.startswith("observations/")),
        next(path for path in before if path.startswith("acceptances/")),
    ):
        Path(local.to, "store", path).write_bytes(b"cut")
        assert back_up(local.settings, local.to).store.mended == (path,)
        assert tree(Path(local.to, "store")) == before


def test_two_at_once_are_refused(local: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, met = backing_up.copy_store, []

    def meanwhile(*args: object, **named: object) -> object:
        if not met:
            for to in (local.to, f"{local.to}-2"):
                with pytest.raises(LostRaceError, match="under way"):
                    back_up(local.settings, to)
                met.append(to)
        return copied(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(backing_up, "copy_store", meanwhile)
    back_up(local.settings, local.to)
    assert len(met) == 2


@pytest.mark.parametrize(
    ("place", "match"),
    [
        (lambda home: home, "within each other"),
        (lambda home: home / "backup", "within each other"),
        (lambda home: home.parent, "within each other"),
        (lambda home: home.parent / "file", "no folder"),
        (lambda home: home.parent / "strange", "not empty"),
        (lambda _: "ftp://host/x", "cannot be used"),
    ],
)
def test_a_place_that_cannot_be_one_is_refused(
    local: Kept, tmp_path: Path, place: Callable[[Path], object], match: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "letter.txt").write_text("x")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=match):
        back_up(local.settings, str(place(local.settings.home)))
    assert tree(tmp_path) == before
    assert last_backup(local.settings) is None


def test_buckets_within_each_other_are_refused(tmp_path: Path, url: str) -> None:
    settings = small_home(tmp_path / "home", store_url=f"{url}/live")
    for to in (url, f"{url}/live", f"{url}/live/backup"):
        with pytest.raises(InputError, match="within each other"):
            back_up(settings, to)


def test_an_empty_home_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is nothing at"):
        back_up(settings_of(tmp_path / "home"), str(tmp_path / "backup"))


def test_a_disk_that_refuses_is_a_storage_error_and_repeating_completes_it(
    local: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writes = BlobStore._write, []

    def full(self: BlobStore, scratch: str, data: bytes) -> None:
        writes.append(scratch)
        if len(writes) > 20:
            raise OSError(28, "No space left on device")
        real(self, scratch, data)

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "_write", full)
        with pytest.raises(StorageError, match="Free some disk space"):
            back_up(local.settings, local.to)
    assert last_backup(local.settings) is None
    back_up(local.settings, local.to)
    assert not verify_backup(local.settings, local.to).store.findings


def test_a_backup_of_a_later_release_is_not_touched(local: Kept) -> None:
    back_up(local.settings, local.to)
    index = Path(local.to, "backup.json")
    index.write_text(json.dumps({**json.loads(index.read_text()), "format": 2}))
    with pytest.raises(UnknownEntryError, match="Upgrade this installation"):
        back_up(local.settings, local.to)
    index.write_text("no json")
    with pytest.raises(IntegrityError, match="cannot be read"):
        back_up(local.settings, local.to)


# --- verifying a backup ---


def test_a_changed_file_of_the_backup_is_found(kept: Kept) -> None:
    back_up(kept.settings, kept.to)
    place = kept.place
    stored = next(blob.path for blob in place.store.everything() if blob.path.startswith("observations/"))
    place.store.replace(stored, b"changed")
    file = next(blob.path for blob in place.files.everything() if blob.path.endswith(".sqlite"))
    place.files.replace(file, b"changed")
    found = verify_backup(kept.settings, kept.to)
    assert [each.path for each in found.store.findings] == [stored]
    assert found.wrong == (f"files/{file}",)
    place.files.remove(file)
    assert verify_backup(kept.settings, kept.to).wrong == (f"files/{file}",)


def test_a_cut_end_of_a_backup_is_found_by_what_it_says_of_itself(local: Kept) -> None:
    outcome = back_up(local.settings, local.to)
    Path(local.to, "store", entry_path(outcome.store.sequence)).unlink()
    (finding,) = verify_backup(local.settings, local.to).store.findings
    assert finding.path == entry_path(outcome.store.sequence)


def test_where_there_is_no_backup_it_is_said(local: Kept) -> None:
    for look in (verify_backup, status_of_backup):
        with pytest.raises(InputError, match="There is no backup at"):
            look(local.settings, local.to)
    assert not Path(local.to).exists()
