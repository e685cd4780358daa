"""Vacuum removes what no entry names and nothing else, whoever else writes and wherever it is killed."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import (
    FindingsError,
    InputError,
    LostRaceError,
    MissingFileError,
    StorageError,
    VacuumUnderWayError,
)
from forecast_assets.presentation.actions import error_text
from resources.ledger import log as ledger_module
from resources.ledger.log import entry_path, head_text
from resources.ledger.records import canonical
from resources.maintenance import vacuuming
from resources.maintenance.vacuuming import VacuumResult, old_catalogues, vacuum_store
from resources.maintenance.verification import verify_store
from resources.orchestration.dagster_home import open_instance
from resources.store.blobs import Blob, BlobStore, sha256
from resources.store.bucket import BucketStore
from resources.store.manifests import acceptance_path, manifest_path, staging_path
from resources.stores.home import Stores, open_stores
from resources.stores.products import snapshot_key
from tests.support import store_cases
from tests.support.command import Call, caller

UNFINISHED = store_cases.run_key(day=3)
LONG_AGO = 1.0


@pytest.fixture
def left(stores: Stores) -> Stores:
    """A store with a published run and, long ago, a run that stopped before its commit."""
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.publish(stores, store_cases.run_key())
    store_cases.stage(stores, UNFINISHED)
    age(stores)
    return stores


def age(stores: Stores, *paths: str) -> None:
    for path in paths or [blob.path for blob in stores.blobs.everything()]:
        os.utime(stores.blobs.local(path), (LONG_AGO, LONG_AGO))


def paths(stores: Stores) -> set[str]:
    return {blob.path for blob in stores.blobs.everything()}


def unfinished_products(stores: Stores) -> dict[str, str]:
    return {name: stores.predictions.staged(name, UNFINISHED).version for name in PUBLISHED}


def remove(stores: Stores) -> VacuumResult:
    return vacuum_store(stores.blobs, stores.ledger, by="ana")


def is_clean(stores: Stores) -> bool:
    state = stores.ledger.state()
    heads = [head_text(state.sequence, state.head)]
    return not verify_store(stores.blobs, expect_heads=heads).findings


def listed(stores: Stores) -> list[str]:
    """What the newest vacuum was to remove, as it is on record."""
    names: list[str] = json.loads(stores.blobs.get(stores.ledger.state().vacuums[-1].path))["paths"]
    return names


class Hooked(BlobStore):
    """Calls something once, before the first write or removal of a path that starts so."""

    def __init__(self, root: Path, prefix: str, then: Callable[[], None], *, after: int = 0) -> None:
        super().__init__(root)
        self._prefix, self._then, self._after = prefix, [then], after

    def _look(self, path: str) -> None:
        if path.startswith(self._prefix) and self._then:
            self._after -= 1
            if self._after < 0:
                self._then.pop()()

    def create(self, path: str, data: bytes) -> bool:
        self._look(path)
        return super().create(path, data)

    def remove(self, path: str) -> None:
        self._look(path)
        super().remove(path)


def hooked(stores: Stores, prefix: str, then: Callable[[], None], after: int = 0) -> Stores:
    return Stores.on(Hooked(stores.blobs.root, prefix, then, after=after))


# --- what goes and what stays ---


def test_looking_lists_what_would_go_and_changes_nothing(left: Stores) -> None:
    before, sequence = left.blobs.everything(), left.ledger.state().sequence
    found = vacuum_store(left.blobs, left.ledger)
    assert {staging_path("forecasts", UNFINISHED), manifest_path(unfinished_products(left)["forecasts"])} <= {
        blob.path for blob in found.files
    }
    assert left.blobs.everything() == before
    assert open_stores(left.blobs.root).ledger.state().sequence == sequence


def test_removing_takes_exactly_what_looking_showed(left: Stores) -> None:
    before = paths(left)
    shown = {blob.path for blob in vacuum_store(left.blobs, left.ledger).files}
    removed = remove(left)
    assert {blob.path for blob in removed.files} == shown
    assert before - paths(left) == shown


def test_everything_that_an_entry_names_stays_byte_for_byte(left: Stores) -> None:
    named = {path: left.blobs.get(path) for path in verify_store(left.blobs).named}
    remove(left)
    assert {path: left.blobs.get(path) for path in named} == named
    assert is_clean(left)


def test_what_was_removed_is_on_record(left: Stores) -> None:
    removed = remove(left)
    begun, ended = left.ledger.entries()[-2:]
    assert (begun.kind, begun.body["by"], begun.body["files"]) == ("vacuum", "ana", len(removed.files))
    assert begun.body["bytes"] == removed.bytes
    assert sorted(listed(left)) == sorted(blob.path for blob in removed.files)
    assert (ended.kind, dict(ended.body)) == ("vacuumed", {"vacuum": begun.sequence})
    assert removed.sequence == begun.sequence


def test_where_nothing_may_go_nothing_is_recorded(left: Stores) -> None:
    remove(left)
    sequence = left.ledger.state().sequence
    assert remove(left).files == ()
    assert left.ledger.state().sequence == sequence


def test_what_is_younger_than_the_age_stays(stores: Stores) -> None:
    store_cases.ingest(stores)
    store_cases.stage(stores, UNFINISHED)
    assert remove(stores).files == ()


def test_staged_snapshots_stay_with_their_files_and_acceptances(left: Stores) -> None:
    pointer = staging_path("feature_snapshots", snapshot_key(UNFINISHED.prediction_date))
    snapshot = left.predictions.staged("feature_snapshots", snapshot_key(UNFINISHED.prediction_date))
    left.predictions.accept(snapshot.version, "looks_at_no_future")
    age(left)
    kept = {pointer, manifest_path(snapshot.version), snapshot.files[0].path}
    kept |= {acceptance_path(snapshot.version, "looks_at_no_future")}
    assert kept.isdisjoint(verify_store(left.blobs).named)
    remove(left)
    assert kept <= paths(left)


def test_outside_forecasts_that_are_staged_stay(left: Stores) -> None:
    made = left.predictions.write_artifact("external_forecasts", b"x", key="k", folder="external", inputs={}, facts={})
    age(left)
    remove(left)
    assert left.predictions.staged("external_forecasts", "k") == made
    assert left.blobs.has(made.files[0].path)


def test_what_a_young_product_was_made_from_stays(left: Stores) -> None:
    parent = left.predictions.staged("forecasts", UNFINISHED)
    child = left.predictions.write_artifact(
        "reports", b"x", key="k", folder="reports", inputs={"forecasts": parent.version}, facts={}
    )
    remove(left)
    left.predictions.verify(child.version)
    assert not left.blobs.has(staging_path("stockout_risks", UNFINISHED))


def test_scratch_of_a_killed_writer_goes(left: Stores) -> None:
    scratch = left.blobs.local("scratch/0123")
    scratch.parent.mkdir(exist_ok=True)
    scratch.write_bytes(b"half")
    age(left)
    remove(left)
    assert not scratch.exists()


@pytest.mark.parametrize("days", [0.99, 0, -1])
def test_less_than_a_day_is_refused(left: Stores, days: float) -> None:
    with pytest.raises(InputError, match="a day at least"):
        vacuum_store(left.blobs, left.ledger, by="ana", older_than=timedelta(days=days))


def test_a_store_with_findings_is_not_vacuumed(left: Stores) -> None:
    batch = left.observations.batches()[0].path
    left.blobs.local(batch).write_bytes(b"changed")
    before = paths(left)
    with pytest.raises(FindingsError, match=batch) as refused:
        remove(left)
    assert exit_code(type(refused.value)) == 5
    assert paths(left) == before


def test_a_store_whose_tail_was_cut_is_not_vacuumed(left: Stores) -> None:
    """Else what the lost entries named would be removed."""
    state = left.ledger.state()
    head = head_text(state.sequence, state.head)
    left.blobs.remove(entry_path(state.sequence))
    cut = open_stores(left.blobs.root)
    before = paths(cut)
    with pytest.raises(FindingsError, match=entry_path(state.sequence)):
        vacuum_store(cut.blobs, cut.ledger, by="ana", expect_heads=[head])
    assert paths(cut) == before


def test_a_run_can_be_made_again_after_its_leftovers_are_gone(left: Stores) -> None:
    remove(left)
    store_cases.publish(left, UNFINISHED)
    assert is_clean(left)


def test_an_empty_store_stays_empty(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    assert remove(stores).files == ()
    assert not (tmp_path / "store").exists()


def test_acceptances_of_what_a_registered_version_was_trained_on_stay(left: Stores) -> None:
    """Only the first publication that was made with the version names them: without them there is never one."""
    snapshot = left.ledger.state().versions["stat-1"].training_snapshot
    left.predictions.accept(snapshot, "looks_at_no_future")
    age(left)
    assert acceptance_path(snapshot, "looks_at_no_future") not in verify_store(left.blobs).named
    assert remove(left).files
    staged = store_cases.stage(left, UNFINISHED)
    made = left.predictions.write_artifact(
        "forecasts", b"made with it", key=UNFINISHED, folder="x", inputs={"training_snapshots": snapshot}, facts={}
    )
    for check in store_cases.CHECKS:
        left.predictions.accept(made.version, check)
    left.predictions.publish(
        UNFINISHED,
        {**staged, "forecasts": made.version},
        lambda name: ["looks_at_no_future"] if name == "training_snapshots" else store_cases.required(name),
    )
    assert UNFINISHED in left.ledger.state().publications


def test_what_was_measured_stays_staged_so_that_no_day_is_due_again(left: Stores) -> None:
    made = left.predictions.write_artifact("forecast_accuracy", b"x", key="daily/d", folder="a", inputs={}, facts={})
    age(left)
    assert remove(left).files
    assert left.predictions.staged("forecast_accuracy", "daily/d") == made


# --- what cannot be removed ---


def not_permitted() -> None:
    raise StorageError("Not permitted.")


@pytest.mark.parametrize(("prefix", "after"), [("staging/", 0), ("staging/", 3), ("predictions/", 0)])
def test_a_vacuum_that_cannot_remove_a_file_ends_and_nobody_waits(
    left: Stores, monkeypatch: pytest.MonkeyPatch, prefix: str, after: int
) -> None:
    with pytest.raises(StorageError, match="Not permitted"):
        remove(hooked(left, prefix, not_permitted, after=after))
    assert open_stores(left.blobs.root).ledger.state().open_vacuum is None
    assert is_clean(left)
    monkeypatch.setattr(ledger_module, "VACUUM_SECONDS", 0.0)
    store_cases.publish(open_stores(left.blobs.root), UNFINISHED)
    assert is_clean(left)


def test_a_killed_vacuum_is_ended_without_removing_where_a_manifest_is_damaged(
    left: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which files are named cannot be known then; others must be able to publish all the same."""
    killed(left, "staging/")
    stores = open_stores(left.blobs.root)
    version = stores.ledger.state().publications[store_cases.run_key()].products["stockout_risks"]
    stores.blobs.local(manifest_path(version)).write_bytes(b"{}")
    before = paths(stores)
    with pytest.raises(FindingsError, match=version):
        remove(stores)
    assert before <= paths(stores)
    assert stores.ledger.state().open_vacuum is None
    monkeypatch.setattr(ledger_module, "VACUUM_SECONDS", 0.0)
    store_cases.publish(open_stores(left.blobs.root), UNFINISHED)


@pytest.mark.parametrize("data", [b"{}", canonical({"paths": 7}), canonical({"paths": ["../outside"]})])
def test_a_killed_vacuum_whose_list_is_none_is_ended_without_removing(left: Stores, data: bytes) -> None:
    left.blobs.create_addressed(f"vacuums/{sha256(data)}.json", data)
    body = {"by": "mallory", "files": 1, "bytes": 0, "listed": sha256(data)}
    left.ledger.append("vacuum", body, lambda _: None)
    before = paths(left)
    with pytest.raises(FindingsError, match=sha256(data)):
        remove(left)
    assert before <= paths(left)
    assert left.ledger.state().open_vacuum is None


# --- others write at the same time ---


def test_a_publication_that_comes_first_keeps_its_files(left: Stores) -> None:
    """It comes after the names were collected and before the vacuum is on record."""
    other, products = open_stores(left.blobs.root), unfinished_products(left)

    def publish() -> None:
        other.predictions.publish(UNFINISHED, products, store_cases.required)

    removed = remove(hooked(left, "vacuums/", publish))
    assert UNFINISHED in open_stores(left.blobs.root).ledger.state().publications
    named = verify_store(left.blobs).named
    assert not {blob.path for blob in removed.files} & named
    assert not set(listed(left)) & named
    assert is_clean(left)


def test_a_publication_whose_files_were_removed_waits_and_is_refused(
    left: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has checked its files already when the vacuum is recorded, and wants to append while they are removed."""
    other, products = open_stores(left.blobs.root), unfinished_products(left)
    waits, refused = threading.Event(), list[BaseException]()
    sleep = ledger_module.time.sleep

    def look_later(seconds: float) -> None:
        waits.set()
        sleep(seconds)

    monkeypatch.setattr(ledger_module.time, "sleep", look_later)

    def publish() -> None:
        try:
            other.predictions.publish(UNFINISHED, products, store_cases.required)
        except BaseException as error:  # noqa: BLE001
            refused.append(error)

    writer = threading.Thread(target=publish)

    def write_meanwhile() -> None:
        writer.start()
        assert waits.wait(30)

    remove(hooked(left, "", write_meanwhile, after=2))
    writer.join(30)
    assert [type(error) for error in refused] == [MissingFileError]
    assert UNFINISHED not in open_stores(left.blobs.root).ledger.state().publications
    assert is_clean(left)


def test_a_publication_that_a_whole_vacuum_overtakes_is_refused(left: Stores) -> None:
    """It has checked everything and is about to append when a vacuum begins, removes and ends."""
    products = unfinished_products(left)
    following = entry_path(left.ledger.state().sequence + 1)
    slow = hooked(left, following, lambda: remove(open_stores(left.blobs.root)) and None)
    with pytest.raises(MissingFileError, match="vacuum has removed"):
        slow.predictions.publish(UNFINISHED, products, store_cases.required)
    assert UNFINISHED not in open_stores(left.blobs.root).ledger.state().publications
    assert is_clean(left)


def test_a_promotion_does_not_wait_for_a_vacuum(left: Stores) -> None:
    other = open_stores(left.blobs.root)
    remove(hooked(left, "staging/", lambda: other.registry.promote("stat-1", by="ana", reason="now") and None))
    assert open_stores(left.blobs.root).ledger.state().channel("champion") == "stat-1"
    assert is_clean(left)


def test_what_is_written_anew_while_a_vacuum_is_open_stays_and_can_be_published(left: Stores) -> None:
    pointers = {path for path in paths(left) if path.startswith("staging/")}

    def write_again() -> None:
        for path in paths(left) - pointers:
            os.utime(left.blobs.local(path))

    products = unfinished_products(left)
    removed = remove(hooked(left, entry_path(left.ledger.state().sequence + 1), write_again))
    assert {blob.path for blob in removed.files} <= pointers
    open_stores(left.blobs.root).predictions.publish(UNFINISHED, products, store_cases.required)
    assert is_clean(left)


def test_of_two_vacuums_at_once_one_is_refused(left: Stores) -> None:
    refused: list[LostRaceError] = []

    def vacuum_too() -> None:
        with pytest.raises(LostRaceError) as error:
            remove(open_stores(left.blobs.root))
        refused.append(error.value)

    remove(hooked(left, "staging/", vacuum_too))
    assert len(refused) == 1
    assert is_clean(left)


# --- killed in between ---

KILLED = """
import os, sys
from pathlib import Path
from resources.stores.home import Stores
from tests.resources.maintenance.test_vacuuming import Hooked, remove
kill = lambda: os.kill(os.getpid(), 9)
remove(Stores.on(Hooked(Path(sys.argv[1]), sys.argv[2], kill, after=int(sys.argv[3]))))
"""


def killed(stores: Stores, prefix: str, after: int = 0) -> None:
    command = [sys.executable, "-c", KILLED, str(stores.blobs.root), prefix, str(after)]
    assert subprocess.run(command, check=False).returncode == -9


@pytest.mark.parametrize(
    ("prefix", "after"),
    [("vacuums/", 0), ("ledger/", 0), ("staging/", 0), ("staging/", 3), ("acceptances/", 0), ("predictions/", 1),
     ("manifests/", 0), ("manifests/", 2), ("ledger/", 1)],
)  # fmt: skip
def test_a_killed_vacuum_leaves_a_clean_store_and_the_next_one_ends_it(left: Stores, prefix: str, after: int) -> None:
    would_go = {blob.path for blob in vacuum_store(left.blobs, left.ledger).files}
    killed(left, prefix, after)
    stores = open_stores(left.blobs.root)
    assert is_clean(stores)
    begun = stores.ledger.state().open_vacuum
    found = remove(stores)
    assert found.taken_over == (0 if begun is None else begun.sequence)
    assert stores.ledger.state().open_vacuum is None
    assert not would_go & paths(stores)
    assert is_clean(stores)
    store_cases.publish(stores, UNFINISHED)


def test_until_a_killed_vacuum_is_ended_a_publication_says_how_to_end_it(
    left: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = unfinished_products(left)
    killed(left, "staging/")
    monkeypatch.setattr(ledger_module, "VACUUM_SECONDS", 0.0)
    with pytest.raises(VacuumUnderWayError) as caught:
        open_stores(left.blobs.root).predictions.publish(UNFINISHED, products, store_cases.required)
    assert "vacuum --remove --by NAME" in error_text(caught.value)


def test_a_killed_vacuum_can_be_ended_where_a_published_file_is_lost_and_goes_no_further(left: Stores) -> None:
    """Whether names can be trusted follows from entries and manifests alone; publishing must not be held up."""
    killed(left, "staging/")
    stores = open_stores(left.blobs.root)
    stores.blobs.remove(stores.observations.batches()[0].path)
    with pytest.raises(FindingsError):
        remove(stores)
    assert stores.ledger.state().open_vacuum is None


def test_a_list_that_names_published_files_removes_none_of_them(left: Stores) -> None:
    everything = canonical({"paths": sorted(paths(left))})
    left.blobs.create_addressed(f"vacuums/{sha256(everything)}.json", everything)
    body = {"by": "mallory", "files": len(paths(left)), "bytes": 0, "listed": sha256(everything)}
    left.ledger.append("vacuum", body, lambda _: None)
    remove(left)
    assert not left.blobs.has(staging_path("forecasts", UNFINISHED))
    assert is_clean(left)


# --- buckets ---


class AgedBucket(BucketStore):
    """Everything in it was written a month ago."""

    def everything(self) -> list[Blob]:
        return [replace(blob, written_at=blob.written_at - timedelta(days=30)) for blob in super().everything()]


@pytest.fixture
def bucket(tmp_path: Path) -> Stores:
    stores = Stores.on(AgedBucket("memory:///", tmp_path / "mirror"))
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.publish(stores, store_cases.run_key())
    store_cases.stage(stores, UNFINISHED)
    return stores


def test_a_bucket_is_vacuumed_the_same_way(bucket: Stores) -> None:
    assert remove(bucket).files
    assert not bucket.blobs.has(staging_path("forecasts", UNFINISHED))
    assert is_clean(bucket)


def interrupted(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(type(stores.blobs), "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remove(stores)


def interrupt(_: BlobStore, path: str) -> None:
    raise KeyboardInterrupt(path)


def test_in_a_bucket_a_vacuum_is_not_taken_for_killed_too_early(
    bucket: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(bucket, monkeypatch)
    before = paths(bucket)
    with pytest.raises(VacuumUnderWayError):
        remove(bucket)
    assert paths(bucket) == before


def test_in_a_bucket_a_vacuum_that_is_long_over_is_taken_over_under_an_entry_of_its_own(
    bucket: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that of two that want to, one gets it, and the first one, should it wake up, cannot end it."""
    interrupted(bucket, monkeypatch)
    monkeypatch.setattr(vacuuming, "PRESUMED_DEAD_AFTER", timedelta(0))
    assert remove(bucket).taken_over
    kinds = [entry.kind for entry in bucket.ledger.entries()]
    assert kinds[-3:] == ["vacuum", "vacuum", "vacuumed"]
    assert is_clean(bucket)


def test_in_a_bucket_a_vacuum_stops_well_before_another_may_take_it_over(
    bucket: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 * vacuuming.REMOVAL_LIMIT <= vacuuming.PRESUMED_DEAD_AFTER
    monkeypatch.setattr(vacuuming, "REMOVAL_LIMIT", timedelta(seconds=-1))
    before = paths(bucket)
    with pytest.raises(StorageError, match="Removing took longer"):
        remove(bucket)
    assert before <= paths(bucket)
    assert bucket.ledger.state().open_vacuum is None


def test_in_a_bucket_time_goes_on_while_the_machine_is_suspended(
    bucket: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock stands still then; who wakes up an hour later would go on removing what others name."""
    removals: list[str] = []
    monkeypatch.setattr(type(bucket.blobs), "remove", lambda _, path: removals.append(path))
    clock = {time.CLOCK_BOOTTIME: lambda: 3600.0 * len(removals)}
    monkeypatch.setattr(vacuuming.time, "clock_gettime", lambda which: clock[which]())
    with pytest.raises(StorageError, match="Removing took longer"):
        remove(bucket)
    assert len(removals) == 1


def test_who_was_taken_for_killed_stops_removing(bucket: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one has ended it meanwhile: by then anything may be named."""
    removals: list[str] = []
    other = Stores.on(bucket.blobs)

    def remove_and_end(_: BlobStore, path: str) -> None:
        if not removals:
            other.ledger.append("vacuumed", {"vacuum": other.ledger.state().sequence}, lambda _: None)
        removals.append(path)

    monkeypatch.setattr(vacuuming, "CHECK_EVERY_REMOVALS", 2)
    monkeypatch.setattr(type(bucket.blobs), "remove", remove_and_end)
    with pytest.raises(LostRaceError, match="another one has ended it"):
        remove(bucket)
    assert len(removals) == 2
    assert [entry.kind for entry in bucket.ledger.entries()][-2:] == ["vacuum", "vacuumed"]


def test_in_a_bucket_a_removal_that_was_not_answered_is_waited_for_before_anybody_may_publish(
    bucket: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_while_waiting: list[bool] = []

    def wait(_: float) -> None:
        open_while_waiting.append(bucket.ledger.state().open_vacuum is not None)

    def unanswered(_: BlobStore, path: str) -> None:
        raise StorageError(f"`{path}` was not answered.")

    monkeypatch.setattr(vacuuming.time, "sleep", wait)
    monkeypatch.setattr(type(bucket.blobs), "remove", unanswered)
    with pytest.raises(StorageError, match="not answered"):
        remove(bucket)
    assert open_while_waiting == [True]
    assert bucket.ledger.state().open_vacuum is None


# --- catalogues ---


def test_old_catalogues_go_but_the_present_one_and_young_ones_stay(left: Stores, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    present = store_cases.catalogue(left, folder)
    # Those of earlier releases lie in no folder of their own.
    earlier, torn, young, old = (
        folder / name
        for name in (
            "catalogue-1.duckdb",
            ".catalogue-1-7",
            "catalogue-2/catalogue.duckdb",
            "catalogue-3/catalogue.duckdb",
        )
    )
    for file in (earlier, torn / "catalogue.duckdb", young, old):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"views")
    for file in (earlier, torn, old, present):
        os.utime(file, (LONG_AGO, LONG_AGO))
    assert old_catalogues(folder / "catalogue.duckdb", timedelta(days=7)) == [torn, earlier, old]


# --- the command ---


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    return caller(monkeypatch, capsys, "vacuum")


def test_the_command_looks_by_default(left: Stores, call: Call) -> None:
    before = paths(left)
    code, text = call()
    assert code == 0
    assert "Nothing was removed" in text
    assert "No head is recorded outside of the store" in text
    assert "staging" in text
    assert paths(left) == before


def test_the_command_removes_for_somebody(left: Stores, tmp_path: Path, call: Call) -> None:
    store_cases.catalogue(left, tmp_path / "catalogue")
    old = tmp_path / "catalogue" / "catalogue-000000000001-old" / "catalogue.duckdb"
    earlier = tmp_path / "catalogue" / "catalogue-000000000001-old.duckdb"
    old.parent.mkdir()
    for file in (old, earlier):
        file.write_bytes(b"views")
        os.utime(file, (LONG_AGO, LONG_AGO))
    would_go = {blob.path for blob in vacuum_store(left.blobs, left.ledger).files}
    code, text = call("--remove", "--by", "ana")
    assert code == 0
    assert f"Removed {len(would_go)} files" in text
    assert not would_go & paths(left)
    assert not old.parent.exists()
    assert not earlier.exists()
    assert (tmp_path / "catalogue" / "catalogue.duckdb").exists()


@pytest.mark.parametrize(
    "arguments", [("--remove",), ("--by", "ana"), ("--remove", "--by", " "), ("--older-than-days", "0")]
)
def test_the_command_wants_who_and_a_safe_age(left: Stores, call: Call, arguments: tuple[str, ...]) -> None:
    before = paths(left)
    assert call(*arguments)[0] == 2
    assert paths(left) == before


def test_the_command_refuses_a_store_whose_tail_was_cut(left: Stores, tmp_path: Path, call: Call) -> None:
    store_cases.catalogue(left, tmp_path / "catalogue")
    left.blobs.remove(entry_path(left.ledger.state().sequence))
    before = paths(left)
    assert call("--remove", "--by", "ana")[0] == 5
    assert paths(left) == before


def test_the_command_refuses_a_store_whose_tail_was_cut_where_only_dagster_knows(
    left: Stores, tmp_path: Path, call: Call
) -> None:
    """The catalogue was built anew from what is left of the ledger."""
    state = left.ledger.state()

    @dg.asset(key=dg.AssetKey(["daily", "published_predictions"]))
    def published() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"ledger_head": head_text(state.sequence, state.head)})

    instance = open_instance(tmp_path / "dagster")
    dg.materialize([published], instance=instance)
    instance.dispose()
    left.blobs.remove(entry_path(state.sequence))
    store_cases.catalogue(open_stores(left.blobs.root), tmp_path / "catalogue")
    before = paths(left)
    assert call("--remove", "--by", "ana")[0] == 5
    assert paths(left) == before


def test_the_command_removes_nothing_where_a_recorded_head_cannot_be_read(
    left: Stores, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "catalogue.duckdb").write_bytes(b"damaged")
    before = paths(left)
    state = left.ledger.state()
    head = head_text(state.sequence, state.head)
    code, text = call("--remove", "--by", "ana", "--expect-head", head, "--no-head-recorded")
    assert (code, "The head in catalogue could not be read" in text) == (4, True)
    assert paths(left) == before


def test_the_command_removes_nothing_where_no_head_is_recorded_unless_somebody_answers_for_that(
    left: Stores, call: Call
) -> None:
    before = paths(left)
    code, text = call("--remove", "--by", "ana")
    assert (code, "--no-head-recorded" in text) == (4, True)
    assert paths(left) == before
    assert call("--remove", "--by", "ana", "--no-head-recorded")[0] == 0
    assert paths(left) != before


def test_the_command_removes_where_a_head_is_given_that_is_an_entry(left: Stores, call: Call) -> None:
    state = left.ledger.state()
    before = paths(left)
    assert call("--remove", "--by", "ana", "--expect-head", head_text(state.sequence, 64 * "a"))[0] == 5
    assert paths(left) == before
    assert call("--remove", "--by", "ana", "--expect-head", head_text(state.sequence, state.head))[0] == 0
    assert paths(left) != before


def test_the_command_loads_no_orchestration(left: Stores, tmp_path: Path) -> None:
    assert left
    code = (
        "import sys; from forecast_assets.cli import cli; cli(['vacuum'], standalone_mode=False); "
        "sys.exit('dagster' in sys.modules)"
    )
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
