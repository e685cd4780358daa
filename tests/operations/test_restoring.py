"""A home that was lost is made again from its backup: store, databases, catalogue, copies, and every number."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from forecast_assets.core.errors import (
    ChangedFileError,
    FindingsError,
    InputError,
    IntegrityError,
    RefusedError,
    StorageError,
)
from forecast_assets.launch import Runner
from forecast_assets.operations import restoring
from forecast_assets.operations.backing_up import back_up
from forecast_assets.operations.copying import CopyOutcome, compare_copy, home_copy
from forecast_assets.operations.mirroring import MirrorOutcome, compare_mirror, mirror_place
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.restoring import MARKER, restore
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.mirror import page_paths, version_pages
from resources.ledger.log import entry_path
from resources.maintenance.verification import verify_store
from tests.support.backup_cases import content, no_pages, said, settings_of, small_home, stores_of, tree
from tests.support.store_cases import publish, run_key

QUERIES = (
    'FROM "stat-1".forecasts ORDER BY ALL',
    'FROM "stat-1".stockout_risks ORDER BY ALL',
    "FROM audit.publications ORDER BY ALL",
)


@pytest.fixture
def backup(tmp_path: Path) -> str:
    back_up(small_home(tmp_path / "home"), str(tmp_path / "backup"))
    return str(tmp_path / "backup")


def answers(catalogue: Path) -> list[Sequence[Any]]:
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        return [connection.sql(query).fetchall() for query in QUERIES]


@pytest.mark.usefixtures("brief_runs")
def test_a_destroyed_retailer_is_made_again_with_the_same_answers_and_replays_to_the_byte(
    published: tuple[Runner, RunOutcome], tmp_path: Path
) -> None:
    runner, outcome = published
    lost, to = tmp_path / "retailer", str(tmp_path / "backup")
    shutil.copytree(runner.settings.home, lost, symlinks=True)
    given = {"mlflow": True, "operational_copy": "sqlite", "workers": runner.settings.workers}
    settings = settings_of(lost, **given)
    before = answers(runner.settings.catalogue_path)
    wanted = {path: digest for path, digest in content(stores_of(settings)).items() if not path.startswith("staging/")}
    back_up(settings, to)
    shutil.rmtree(lost)

    restored = restore(settings, to, version_pages)
    stores = stores_of(settings)
    held = content(stores)
    assert {path: held.get(path) for path in wanted} == wanted
    assert answers(settings.catalogue_path) == before
    assert isinstance(restored.copy, CopyOutcome)
    assert not compare_copy(stores, home_copy(settings), settings.operational_copy_runs, deep=True).differences
    assert isinstance(restored.mirror, MirrorOutcome)
    assert restored.mirror.written == tuple(stores.ledger.state().versions)
    assert not compare_mirror(stores, mirror_place(settings), pages=page_paths).differences
    replayed = replay(stores, settings, outcome.publication.key, lambda *_: None)
    replayed.require_equal()
    assert [each.recorded for each in replayed.products] == [each.rebuilt for each in replayed.products]


def test_a_home_that_holds_anything_is_refused_and_left_as_it_is(backup: str, tmp_path: Path) -> None:
    for name in ("store/ledger", "letter.txt"):
        home = tmp_path / f"new-{name.split('/')[0]}"
        (home / name).mkdir(parents=True)
        with pytest.raises(InputError, match="is not empty"):
            restore(settings_of(home), backup, no_pages)
        assert [path.name for path in home.iterdir()] == [name.split("/")[0]]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="no folder"):
        restore(settings_of(tmp_path / "file"), backup, no_pages)


def test_a_bucket_that_holds_anything_is_refused(backup: str, tmp_path: Path, url: str) -> None:
    small_home(tmp_path / "other", store_url=url)
    with pytest.raises(InputError, match="is not empty"):
        restore(settings_of(tmp_path / "new", store_url=url), backup, no_pages)
    assert not (tmp_path / "new").exists()


def test_where_there_is_no_backup_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no backup at"):
        restore(settings_of(tmp_path / "new"), str(tmp_path / "nowhere"), no_pages)
    assert not (tmp_path / "new").exists()


def test_what_was_interrupted_goes_on_when_asked_to(
    backup: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = settings_of(tmp_path / "new")

    def broken(*_: object) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "put_back", broken)
        with pytest.raises(StorageError):
            restore(home, backup, no_pages)
    with pytest.raises(InputError, match="A restore was interrupted"):
        restore(home, backup, no_pages)
    with pytest.raises(RefusedError, match="Another restore was interrupted"):
        restore(home, backup, no_pages, until=2, resumes=True)
    back_up(small_home(tmp_path / "other"), str(tmp_path / "backup-of-another"))
    with pytest.raises(RefusedError, match="Another restore was interrupted"):
        restore(home, str(tmp_path / "backup-of-another"), no_pages, resumes=True)
    outcome = restore(home, backup, no_pages, resumes=True)
    assert outcome.store.copied_files == 0
    assert said(home.home) == ["the first"]
    assert not (home.home / MARKER).exists()
    with pytest.raises(InputError, match="is not empty"):
        restore(home, backup, no_pages, resumes=True)
    with pytest.raises(InputError, match="No restore was interrupted"):
        restore(settings_of(tmp_path / "newer"), backup, no_pages, resumes=True)


def test_a_past_position_has_the_store_alone(backup: str, tmp_path: Path) -> None:
    stores = stores_of(settings_of(tmp_path / "home"))
    past = stores.predictions.publication(run_key(0)).sequence
    home = settings_of(tmp_path / "audit")
    outcome = restore(home, backup, no_pages, until=past)
    found = stores_of(home).ledger
    assert [entry.hash for entry in found.entries()] == [entry.hash for entry in stores.ledger.until(past)]
    assert list(found.state().publications) == [run_key(0)]
    assert outcome.snapshot is None
    assert not (home.home / "operational").exists()
    assert not verify_store(stores_of(home).blobs).leftovers
    with pytest.raises(InputError, match="there is no entry 99"):
        restore(settings_of(tmp_path / "beyond"), backup, no_pages, until=99)


@pytest.mark.parametrize("what", ["a product", "a database", "an entry"])
def test_a_changed_file_of_the_backup_stops_it(backup: str, tmp_path: Path, what: str) -> None:
    names = {
        "a product": next(path for path in tree(Path(backup)) if path.startswith("store/predictions/forecasts")),
        "a database": next(path for path in tree(Path(backup)) if path.endswith(".sqlite")),
        "an entry": f"store/{entry_path(2)}",
    }
    path = Path(backup, names[what])
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    home = settings_of(tmp_path / "new")
    with pytest.raises((ChangedFileError, FindingsError), match=path.name):
        restore(home, backup, no_pages)
    # Nothing is published in what was begun, unless the store is whole.
    assert bool(stores_of(home).ledger.state().sequence) == (what == "a database")
    assert (home.home / MARKER).exists()


def test_a_backup_whose_end_was_cut_is_not_restored_as_if_it_were_whole(backup: str, tmp_path: Path) -> None:
    last = stores_of(settings_of(tmp_path / "home")).ledger.state().sequence
    Path(backup, "store", entry_path(last)).unlink()
    with pytest.raises(FindingsError, match=entry_path(last)):
        restore(settings_of(tmp_path / "new"), backup, no_pages)
    # Up to the entry before it is there.
    outcome = restore(settings_of(tmp_path / "audit"), backup, no_pages, until=last - 1)
    assert outcome.store.sequence == last - 1


def test_a_first_backup_that_never_ended_is_restored_as_far_as_it_goes(backup: str, tmp_path: Path) -> None:
    Path(backup, "backup.json").unlink()
    outcome = restore(settings_of(tmp_path / "new"), backup, no_pages)
    assert (outcome.index, outcome.snapshot) == (None, None)
    assert outcome.verification.findings == ()


def test_a_file_of_a_snapshot_is_never_put_outside_of_the_home(backup: str, tmp_path: Path) -> None:
    index = Path(backup, "backup.json")
    raw = json.loads(index.read_text())
    raw["snapshots"][-1]["files"][0]["path"] = "../outside"
    index.write_text(json.dumps(raw))
    with pytest.raises(IntegrityError, match="outside"):
        restore(settings_of(tmp_path / "new"), backup, no_pages)
    assert not (tmp_path / "outside").exists()


def test_what_is_restored_goes_on_and_is_backed_up_to_the_same_place(backup: str, tmp_path: Path) -> None:
    home = settings_of(tmp_path / "new")
    restore(home, backup, no_pages)
    publish(stores_of(home), run_key(2), 9)
    assert back_up(home, backup).store.copied_entries == 1
    # The lost one, if it turns up, has another past from there on.
    old = settings_of(tmp_path / "home")
    publish(stores_of(old), run_key(2), 7)
    with pytest.raises(RefusedError, match="another past"):
        back_up(old, backup)
