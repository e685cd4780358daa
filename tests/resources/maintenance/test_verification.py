"""What verify looks at, what it takes for leftovers, which heads it asks for, and what the command says."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.cli import main
from forecast_assets.core.errors import InputError, StorageError
from resources.ledger.log import bundle_path, entry_path, head_text
from resources.ledger.records import canonical
from resources.maintenance.survey import CHANGED, MISSING, UNEXPECTED, UNREADABLE
from resources.maintenance.verification import Verification, verify_store
from resources.orchestration.dagster_home import open_instance
from resources.orchestration.recorded_heads import recorded_heads
from resources.store.blobs import SCRATCH, BlobStore, sha256
from resources.store.bucket import BucketStore
from resources.store.manifests import acceptance_path, manifest_path, staging_path
from resources.stores.home import Stores, open_stores
from tests.support import store_cases


@pytest.fixture
def filled(stores: Stores) -> Stores:
    """A store with a batch, a version, a run and its correction."""
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.publish(stores, store_cases.run_key())
    store_cases.publish(stores, store_cases.run_key(revision=1), units=5)
    return stores


def found(stores: Stores, *heads: str) -> dict[str, str]:
    return {each.path: each.kind for each in verify_store(stores.blobs, expect_heads=heads).findings}


def why(stores: Stores, path: str) -> str:
    return next(each.why for each in verify_store(stores.blobs).findings if each.path == path)


def head(stores: Stores) -> str:
    state = stores.ledger.state()
    return head_text(state.sequence, state.head)


def rechained(stores: Stores, sequence: int, change: Callable[[dict[str, object]], None]) -> None:
    """Edit the body of an entry as a forger would: what follows is chained anew."""
    previous = ""
    for at in range(sequence, stores.ledger.state().sequence + 1):
        file = stores.blobs.local(entry_path(at))
        raw = json.loads(file.read_bytes())
        if at == sequence:
            change(raw["body"])
        else:
            raw["previous"] = previous
        file.write_bytes(canonical(raw))
        previous = sha256(file.read_bytes())


# --- what is looked at ---


def test_an_empty_store_is_as_it_was_written_and_nothing_is_made(tmp_path: Path) -> None:
    verification = verify_store(BlobStore(tmp_path / "store"))
    assert (verification.entries, verification.files, verification.findings) == (0, 0, ())
    assert not (tmp_path / "store").exists()


def test_a_published_store_is_as_it_was_written(filled: Stores) -> None:
    verification = verify_store(filled.blobs, expect_heads=[head(filled)])
    assert verification.findings == ()
    assert verification.confirmed == {head(filled)}
    assert (verification.entries, verification.head) == (4, head(filled))
    assert verification.bytes == sum(blob.size for blob in filled.blobs.everything())


def test_looking_changes_nothing(filled: Stores) -> None:
    before = [(blob, filled.blobs.get(blob.path)) for blob in filled.blobs.everything()]
    verify_store(filled.blobs)
    assert [(blob, filled.blobs.get(blob.path)) for blob in filled.blobs.everything()] == before


def test_a_store_in_a_bucket_is_verified_the_same_way(tmp_path: Path) -> None:
    stores = Stores.on(BucketStore("memory:///", tmp_path / "mirror"))
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.publish(stores, store_cases.run_key())
    assert found(stores, head(stores)) == {}
    batch = stores.observations.batches()[0].path
    data = stores.blobs.get(batch)
    stores.blobs.replace(batch, data[:-1])
    assert found(stores) == {batch: CHANGED}
    stores.blobs.remove(batch)
    assert found(stores) == {batch: MISSING}


def test_a_file_that_this_process_hashed_before_is_hashed_again(filled: Stores) -> None:
    batch = filled.observations.batches()[0]
    filled.observations.verify(batch)
    file, stamp = filled.blobs.local(batch.path), filled.blobs.local(batch.path).stat()
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(bytes(data))
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert found(filled) == {batch.path: CHANGED}


def test_progress_is_told_of_every_stage_and_ends_at_all_there_is(filled: Stores) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    def report(stage: str, done: int, total: int) -> None:
        told.setdefault(stage, []).append((done, total))

    whole = verify_store(filled.blobs, progress=report).bytes
    assert [*told] == ["read, entries", "read, manifests", "verified, bytes"]
    assert told["read, entries"][-1] == (4, 4)
    manifests = len([path for path in verify_store(filled.blobs).named if path.startswith("manifests/")])
    assert told["read, manifests"][-1] == (manifests, manifests)
    assert told["verified, bytes"][-1] == (whole, whole)
    assert all([done for done, _ in each] == sorted(done for done, _ in each) for each in told.values())


def test_every_kind_of_named_file_is_missed(filled: Stores) -> None:
    """Batches, artifacts, manifests, products, what they were made from, acceptances: removed one at a time."""
    for path in verify_store(filled.blobs).named - {entry_path(4)}:
        data = filled.blobs.get(path)
        filled.blobs.remove(path)
        assert found(filled).get(path) == MISSING, path
        filled.blobs.local(path).write_bytes(data)
    assert found(filled) == {}


def test_a_lost_manifest_does_not_hide_what_is_wrong_elsewhere(filled: Stores) -> None:
    run, correction = filled.ledger.state().publications.values()
    lost = manifest_path(run.products["forecasts"])
    file = correction.files["forecasts"][0].path
    behind_the_lost_one = run.files["forecasts"][0].path
    filled.blobs.remove(lost)
    for path in (file, behind_the_lost_one):
        filled.blobs.local(path).write_bytes(b"changed")
    paths = found(filled)
    assert (paths[lost], paths[file], paths[behind_the_lost_one]) == (MISSING, CHANGED, CHANGED)


def test_files_behind_a_broken_entry_are_still_checked(filled: Stores) -> None:
    (correction,) = [each for key, each in filled.ledger.state().publications.items() if key.revision]
    file = correction.files["forecasts"][0].path
    filled.blobs.local(entry_path(2)).write_bytes(b"{}")
    filled.blobs.local(file).write_bytes(b"changed")
    assert found(filled) == {entry_path(2): CHANGED, file: CHANGED}


def test_a_folder_in_the_place_of_a_file_is_named_and_the_rest_is_checked(filled: Stores) -> None:
    batch = filled.observations.batches()[0].path
    filled.blobs.remove(batch)
    filled.blobs.local(batch).mkdir()
    assert found(filled) == {batch: UNREADABLE}


class Silent(BucketStore):
    """A bucket that stops answering after its listing."""

    def hash_of(self, path: str) -> str:
        raise StorageError(f"`{path}` timed out.")


def test_a_bucket_that_does_not_answer_is_a_failure_and_no_finding(tmp_path: Path) -> None:
    stores = Stores.on(Silent("memory:///", tmp_path / "mirror"))
    store_cases.ingest(stores)
    with pytest.raises(StorageError, match="timed out"):
        verify_store(stores.blobs)


# --- what entries say ---


def test_an_entry_that_says_another_number_is_named(filled: Stores) -> None:
    file = filled.blobs.local(entry_path(4))
    file.write_bytes(canonical({**json.loads(file.read_bytes()), "sequence": 5}))
    assert found(filled) == {entry_path(4): CHANGED}


def test_an_entry_of_an_unknown_kind_is_named(filled: Stores) -> None:
    file = filled.blobs.local(entry_path(4))
    file.write_bytes(canonical({**json.loads(file.read_bytes()), "kind": "decree"}))
    assert found(filled) == {entry_path(4): CHANGED}
    assert "`decree`" in why(filled, entry_path(4))


def test_a_publication_whose_files_are_not_those_of_its_manifests_is_named(filled: Stores) -> None:
    def grow(body: dict[str, object]) -> None:
        files = body["files"]
        assert isinstance(files, dict)
        files["forecasts"][0]["rows"] += 1

    rechained(filled, 3, grow)
    assert found(filled) == {entry_path(3): CHANGED}


def test_a_snapshot_of_batches_that_no_entry_records_is_named(filled: Stores) -> None:
    rechained(filled, 1, lambda body: body["batches"][0].update(source="somebody"))  # type: ignore[index]
    paths = found(filled)
    assert paths
    assert all(path.startswith("manifests/") for path in paths)
    assert "no entry records" in why(filled, next(iter(paths)))


def test_a_publication_of_the_first_release_needs_its_acceptances_to_be_there_and_to_say_so(filled: Stores) -> None:
    products = filled.ledger.state().publications[store_cases.run_key(revision=1)].products

    def as_before(body: dict[str, object]) -> None:
        del body["files"], body["acceptances"], body["cpu"]
        body["accepted"] = {name: list(store_cases.CHECKS) for name in products}

    rechained(filled, 4, as_before)
    assert found(filled) == {}
    path = acceptance_path(products["forecasts"], store_cases.CHECKS[0])
    filled.blobs.local(path).write_bytes(canonical({"check": "another", "product_version": products["forecasts"]}))
    assert found(filled) == {path: CHANGED}
    filled.blobs.remove(path)
    assert found(filled) == {path: MISSING}


def test_a_stray_entry_far_ahead_is_named_without_naming_all_between(filled: Stores) -> None:
    stray = entry_path(999_999_999_999)
    filled.blobs.local(stray).write_bytes(b"{}")
    paths = found(filled)
    assert paths[stray] == CHANGED
    assert paths[entry_path(5)] == MISSING
    assert len(paths) == 101


def test_a_missing_bundle_is_no_finding_and_one_beyond_the_end_is(stores: Stores) -> None:
    for day in range(100):
        store_cases.ingest(stores, day)
    bundle = bundle_path(100)
    data = stores.blobs.get(bundle)
    assert found(stores) == {}
    stores.blobs.remove(bundle)
    assert found(stores) == {}
    stores.blobs.replace(bundle_path(200), data)
    assert found(stores) == {bundle_path(200): UNEXPECTED}


def test_a_second_publication_of_a_run_is_named_and_what_it_names_is_checked(filled: Stores) -> None:
    """Each entry alone is right and the chain holds: only together do they say what cannot be."""
    rechained(filled, 4, lambda body: body.update(key=str(store_cases.run_key())))
    assert found(filled) == {entry_path(4): CHANGED}
    assert "again; entry 3 did" in why(filled, entry_path(4))


def test_a_second_registration_of_a_name_is_named(filled: Stores) -> None:
    store_cases.register(filled, "stat-2")
    rechained(filled, 5, lambda body: body.update(model_version="stat-1"))
    assert found(filled) == {entry_path(5): CHANGED}


OUTSIDE = [
    "../outside",
    "/etc/hostname",
    "predictions/../../outside",
    "predictions/\0",
    "",
    "a//b",
    "\ud800",
    7,
    None,
    [],
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_batch_outside_of_the_store_is_named_by_its_entry_and_never_read(filled: Stores, path: object) -> None:
    rechained(filled, 1, lambda body: body["batches"][0].update(path=path))  # type: ignore[index]
    assert found(filled)[entry_path(1)] == CHANGED
    assert path not in [*verify_store(filled.blobs).named]


@pytest.mark.parametrize("path", OUTSIDE)
def test_files_outside_of_the_store_are_named_by_the_publication_whose_manifest_is_lost(
    filled: Stores, path: object
) -> None:
    filled.blobs.remove(manifest_path(filled.ledger.state().publications[store_cases.run_key()].products["forecasts"]))
    rechained(filled, 3, lambda body: body["files"]["forecasts"][0].update(path=path))  # type: ignore[index]
    assert found(filled)[entry_path(3)] == CHANGED


@pytest.mark.parametrize(
    "change",
    [
        *({"files": [{"path": path, "sha256": 64 * "a", "rows": 1, "bytes": 1}]} for path in OUTSIDE),
        {"files": [{"path": "a", "sha256": 7, "rows": 1, "bytes": 1}]},
        {"files": 7},
        {"inputs": []},
        {"inputs": {"forecasts": "../../outside"}},
        {"inputs": {"forecasts": ["a"]}},
        {"inputs": {"batches": [["a"]]}},
        {"inputs": {"batches": 7}},
    ],
)
def test_a_manifest_of_the_right_hash_that_says_nonsense_is_named(filled: Stores, change: dict[str, object]) -> None:
    """Whoever can write an entry can write the manifest that it names."""
    version = filled.ledger.state().publications[store_cases.run_key()].products["forecasts"]
    data = canonical({**json.loads(filled.blobs.get(manifest_path(version))), **change})
    forged = manifest_path(sha256(data))
    filled.blobs.create(forged, data)
    rechained(filled, 3, lambda body: body["products"].update(forecasts=sha256(data)))  # type: ignore[attr-defined]
    assert found(filled)[forged] == CHANGED


# --- heads ---


@pytest.mark.parametrize("recorded", [f"0:{64 * 'a'}", f"4:{64 * 'a'}", f"999999999999:{64 * 'a'}"])
def test_a_head_that_is_no_entry_is_a_finding_wherever_it_is(filled: Stores, recorded: str) -> None:
    assert entry_path(int(recorded.split(":", maxsplit=1)[0])) in found(filled, recorded)


def test_the_head_of_an_empty_ledger_is_the_beginning_of_every_other(filled: Stores) -> None:
    assert found(filled, head_text(0, 64 * "0")) == {}


def test_a_cut_tail_is_seen_by_a_recorded_head_only(filled: Stores) -> None:
    recorded = head(filled)
    filled.blobs.remove(entry_path(4))
    assert entry_path(4) not in found(filled)
    assert found(filled, recorded)[entry_path(4)] == MISSING


def test_an_earlier_head_is_confirmed_after_more_was_appended(filled: Stores) -> None:
    recorded = head(filled)
    store_cases.ingest(filled, day=1)
    verification = verify_store(filled.blobs, expect_heads=[recorded])
    assert (verification.findings, verification.confirmed) == ((), {recorded})


def test_a_rewritten_tail_is_seen_by_a_recorded_head(filled: Stores) -> None:
    recorded = head(filled)
    rechained(filled, 4, lambda body: body["correction"].update(by="mallory"))  # type: ignore[attr-defined]
    assert found(filled) == {}
    assert found(filled, recorded) == {entry_path(4): CHANGED}


@pytest.mark.parametrize("text", ["", "12", "x:" + 64 * "a", "12:" + 63 * "a", "-1:" + 64 * "a"])
def test_what_is_no_head_is_refused(stores: Stores, text: str) -> None:
    with pytest.raises(InputError, match="SEQUENCE:HASH"):
        verify_store(stores.blobs, expect_heads=[text])


def test_heads_are_read_from_the_catalogue_and_from_dagster_and_nothing_is_made(filled: Stores, tmp_path: Path) -> None:
    store_cases.catalogue(filled, tmp_path / "catalogue")
    link, folder = tmp_path / "catalogue" / "catalogue.duckdb", tmp_path / "dagster"
    assert [each.where for each in recorded_heads(link, folder)] == ["catalogue"]
    assert not folder.exists()

    @dg.asset(key=dg.AssetKey(["weekly", "published_predictions"]))
    def published() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"ledger_head": head(filled)})

    instance = open_instance(folder)
    dg.materialize([published], instance=instance)
    instance.dispose()
    before = sorted(tmp_path.rglob("*"))
    heads = recorded_heads(link, folder)
    assert [(each.where, each.head) for each in heads] == [
        ("catalogue", head(filled)), ("Dagster, weekly/published_predictions", head(filled)),
    ]  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_no_head_is_recorded_where_nothing_is(tmp_path: Path) -> None:
    assert recorded_heads(tmp_path / "catalogue.duckdb", tmp_path / "dagster") == []
    assert list(tmp_path.iterdir()) == []


# --- leftovers ---


def leftovers(stores: Stores) -> set[str]:
    verification = verify_store(stores.blobs)
    assert verification.findings == ()
    return {blob.path for blob in verification.leftovers}


def test_what_a_run_staged_and_did_not_publish_is_left_over(filled: Stores) -> None:
    before = leftovers(filled)
    store_cases.stage(filled, store_cases.run_key(day=3))
    new = leftovers(filled) - before
    assert {path.split("/")[0] for path in new} == {"acceptances", "manifests", "predictions", "staging"}


def test_torn_writes_are_left_over(filled: Stores) -> None:
    torn = {f"{SCRATCH}/{32 * 'a'}", f"{SCRATCH}/{32 * 'a'}#1", "staging/forecasts/daily#12", f"{entry_path(5)}#1"}
    for path in torn:
        file = filled.blobs.local(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    assert torn <= leftovers(filled)


KILLED_AFTER = """
import os, sys
from pathlib import Path
import resources.store.blobs as blobs
from resources.stores.home import open_stores
from tests.support import store_cases
left = int(sys.argv[2])
def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return call
for name in ("put", "copy", "delete"):
    setattr(blobs.obstore, name, counted(getattr(blobs.obstore, name)))
stores = open_stores(Path(sys.argv[1]))
store_cases.ingest(stores)
store_cases.register(stores)
store_cases.publish(stores, store_cases.run_key())
"""


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 8, 14, 20, 25, 33, 41, 50])
def test_whatever_a_kill_leaves_is_no_finding(tmp_path: Path, writes: int) -> None:
    command = [sys.executable, "-c", KILLED_AFTER, str(tmp_path / "store"), str(writes)]
    assert subprocess.run(command, check=False).returncode == -9
    assert verify_store(BlobStore(tmp_path / "store")).findings == ()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("notes.txt", b"mine"),
        ("ledger/notes.json", b"{}"),
        ("ledger_bundles/notes.jsonl", b"{}"),
        ("predictions/forecasts/part-0.parquet", b"PAR1"),
        (f"manifests/{64 * 'a'}.json", b"{}"),
        (f"observations/sales/{64 * 'a'}.parquet", b"PAR1"),
        (acceptance_path(64 * "a", "adds_up"), b"{}"),
        (acceptance_path(64 * "a", "adds_up"), canonical({"check": "other", "product_version": 64 * "a"})),
        (staging_path("forecasts", "newest"), b"latest"),
        (staging_path("forecasts", "newest"), 64 * b"a"),
    ],
)
def test_what_nothing_writes_is_unexpected(filled: Stores, path: str, data: bytes) -> None:
    file = filled.blobs.local(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    assert found(filled) == {path: UNEXPECTED}


def test_a_pointer_to_what_was_made_for_something_else_is_unexpected(filled: Stores) -> None:
    run = filled.ledger.state().publications[store_cases.run_key()]
    path = staging_path("forecasts", store_cases.run_key(revision=1))
    filled.blobs.replace(path, run.products["forecasts"].encode())
    assert found(filled) == {path: UNEXPECTED}


# --- while others write ---


class Hooked(BlobStore):
    """Calls something once, just before the store's files are listed."""

    def __init__(self, root: Path, then: Callable[[], None]) -> None:
        super().__init__(root)
        self._then = [then]

    def everything(self) -> list:  # type: ignore[type-arg]
        if self._then:
            self._then.pop()()
        return super().everything()


def test_what_is_published_meanwhile_is_no_finding(filled: Stores) -> None:
    def publish() -> None:
        for day in range(1, 100):
            store_cases.ingest(filled, day)
        store_cases.publish(filled, store_cases.run_key(day=2))

    verification: Verification = verify_store(Hooked(filled.blobs.root, publish))
    assert filled.blobs.has(bundle_path(100))
    assert (verification.entries, verification.findings) == (4, ())


def test_what_is_removed_while_the_store_is_walked_is_no_failure(
    filled: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = list(os.walk(filled.blobs.root))
    monkeypatch.setattr(os, "walk", lambda _, **__: [*walked, (str(filled.blobs.root / SCRATCH), [], ["removed"])])
    assert found(filled) == {}


# --- the command ---


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["forecast-assets", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().out

    return run


def test_the_command_says_all_is_well_and_that_no_head_was_there(
    filled: Stores, call: Callable[..., tuple[int, str]]
) -> None:
    code, text = call("verify")
    assert code == 0
    assert "No head is recorded outside of the store" in text
    assert f"4 entries, {len(filled.blobs.everything())} files" in text
    assert "everything is as it was written" in text


def test_the_command_lists_every_finding_and_ends_with_exit_code_5(
    filled: Stores, call: Callable[..., tuple[int, str]]
) -> None:
    wrong = [batch.path for batch in filled.observations.batches()] + [entry_path(1)]
    for path in wrong:
        filled.blobs.local(path).write_bytes(b"changed")
    code, text = call("verify")
    assert code == 5
    assert all(path in text for path in found(filled))
    assert set(wrong[1:]) <= set(found(filled))


def test_the_command_confirms_the_head_of_the_catalogue(
    filled: Stores, tmp_path: Path, call: Callable[..., tuple[int, str]]
) -> None:
    store_cases.catalogue(filled, tmp_path / "catalogue")
    code, text = call("verify", "--expect-head", head(filled))
    assert code == 0
    assert f"Head of catalogue: {head(filled)} is an entry" in text
    assert f"Head of --expect-head: {head(filled)} is an entry" in text


def test_the_command_notices_by_itself_that_the_tail_was_cut(
    filled: Stores, tmp_path: Path, call: Callable[..., tuple[int, str]]
) -> None:
    store_cases.catalogue(filled, tmp_path / "catalogue")
    recorded = head(filled)
    filled.blobs.remove(entry_path(4))
    code, text = call("verify")
    assert code == 5
    assert f"missing    {entry_path(4)}" in text
    assert f"{recorded} IS NOT an entry" in text


def test_a_head_that_is_none_is_an_input_error(call: Callable[..., tuple[int, str]]) -> None:
    assert call("verify", "--expect-head", "12")[0] == 2


def test_a_head_before_the_first_entry_that_is_none_ends_with_exit_code_5(
    filled: Stores, call: Callable[..., tuple[int, str]]
) -> None:
    assert filled
    code, text = call("verify", "--expect-head", f"0:{64 * 'a'}")
    assert code == 5
    assert "IS NOT an entry" in text


def test_a_second_look_at_a_store_opened_anew_says_the_same(filled: Stores) -> None:
    again = open_stores(filled.blobs.root)
    assert verify_store(again.blobs) == verify_store(filled.blobs)
