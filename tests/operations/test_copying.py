"""Which runs a copy has, catching up, holding it against the ledger, and what it does when it cannot."""

from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import ChangedFileError, MirrorConflictError, MirrorUnavailableError
from forecast_assets.core.keys import RunKey
from forecast_assets.operations import copying
from forecast_assets.operations.copying import (
    CopyDelay,
    CopyOutcome,
    compare_copy,
    copied_runs,
    follow_publications,
    published_parts,
    runs_to_copy,
    sync_copy,
    wanted_runs,
)
from forecast_assets.operations.reading import read_product
from forecast_assets.settings import Settings
from resources.operational_copy.databases import CopyDatabase
from resources.operational_copy.layout import row_order
from resources.stores.home import Stores, open_stores
from tests.support.copy_cases import Target
from tests.support.store_cases import ingest, publish, register, run_key

ROWS = 14 + 28 + 14 + 14 + 6 + 42


@pytest.fixture
def published(stores: Stores) -> Stores:
    """Three daily dates of one version, the first of them corrected."""
    ingest(stores)
    register(stores)
    for day in range(3):
        publish(stores, run_key(day))
    publish(stores, run_key(revision=1), units=9)
    return stores


def keys(stores: Stores, database: CopyDatabase) -> list[RunKey]:
    return [run.key for run in copied_runs(stores, database)]


def differences(stores: Stores, target: Target, *, deep: bool = False, keep: int = 14) -> list[str]:
    return [*compare_copy(stores, target.database, keep, deep=deep).differences]


def test_a_copy_has_what_is_published_and_says_so(published: Stores, target: Target) -> None:
    assert differences(published, target) == ["there is no copy yet"]
    told: list[tuple[str, int, int]] = []
    outcome = sync_copy(published, target.database, 14, lambda *said: told.append(said))
    newest_first = (run_key(2), run_key(1), run_key(revision=1), run_key())
    assert (outcome.runs, outcome.written, outcome.dropped) == (4, newest_first, ())
    assert told == [("copy rows of runs", at * ROWS, 4 * ROWS) for at in range(5)]
    found = compare_copy(published, target.database, 14, deep=True)
    assert (found.differences, found.runs, found.rows) == ((), 4, 4 * ROWS)
    publication = published.predictions.publication(run_key(revision=1))
    with target.database.reading(published.ledger.until(1)[0].hash) as reader:
        assert reader is not None
        for product in PUBLISHED:
            rows = pl.concat(reader.rows(product, run_key(revision=1)))
            assert rows.equals(read_product(published, publication, product).sort(row_order(product)))


def test_what_is_there_is_not_copied_again_and_what_is_new_is(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    before = copied_runs(published, target.database)
    assert sync_copy(published, target.database, 14).written == ()
    assert runs_to_copy(published, target.database, 14) == []
    publish(published, run_key(3))
    assert runs_to_copy(published, target.database, 14) == [run_key(3)]
    assert differences(published, target) == [f"{run_key(3)} is missing"]
    assert sync_copy(published, target.database, 14).written == (run_key(3),)
    assert [run for run in copied_runs(published, target.database) if run in before] == before


def test_the_newest_runs_are_kept(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    outcome = sync_copy(published, target.database, 2)
    assert (outcome.runs, outcome.dropped) == (2, (run_key(), run_key(revision=1)))
    assert keys(published, target.database) == [run_key(1), run_key(2)]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(28,)]
    assert differences(published, target, keep=2) == []


def test_at_each_moment_of_a_sync_some_run_is_there(
    published: Stores, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_copy(published, target.database, 1)
    publish(published, run_key(3))
    seen: list[list[RunKey]] = []

    def watched(name: str) -> None:
        real = getattr(copying, name)

        def call(*arguments: object, **options: object) -> object:
            try:
                return real(*arguments, **options)
            finally:
                seen.append(keys(published, target.database))

        monkeypatch.setattr(copying, name, call)

    for name in ("copy_run", "drop_runs", "mend_views"):
        watched(name)
    sync_copy(published, target.database, 1, lambda *_: seen.append(keys(published, target.database)))
    assert seen[0] == [run_key(2)]
    assert [run_key(2), run_key(3)] in seen
    assert seen[-1] == [run_key(3)]
    assert [] not in seen


def test_a_run_that_a_channel_points_at_stays_until_there_is_a_newer_one(published: Stores, target: Target) -> None:
    register(published, "stat-2")
    published.registry.promote("stat-1", by="ana", reason="the first")
    for day in range(3, 6):
        publish(published, run_key(day, "stat-2"))
    wanted = [each.key for each in wanted_runs(published.ledger.state(), 2)]
    assert wanted == [run_key(5, "stat-2"), run_key(4, "stat-2"), run_key(2)]
    sync_copy(published, target.database, 2)
    publish(published, run_key(6))
    outcome = sync_copy(published, target.database, 2)
    assert keys(published, target.database) == [run_key(5, "stat-2"), run_key(6)]
    assert outcome.dropped == (run_key(2), run_key(4, "stat-2"))


def test_a_late_correction_of_an_old_date_does_not_drive_newer_dates_out(published: Stores) -> None:
    publish(published, run_key(revision=2))
    assert [each.key for each in wanted_runs(published.ledger.state(), 3)] == [
        run_key(2), run_key(1), run_key(revision=2),
    ]  # fmt: skip


def test_changed_deleted_and_added_rows_are_found_and_mended(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    change = "UPDATE {0}forecasts SET {1} = {1} + 1 WHERE prediction_date = '2025-01-02' AND step = 3 AND sku_id = 'A'"
    target.run(change, target.column("base_units"))
    target.run("DELETE FROM {0}stockout_risks WHERE prediction_date = '2025-01-03' AND step = 1")
    target.run("UPDATE {0}cumulative_forecasts SET prediction_date = '2031-01-01' WHERE prediction_date = '2025-01-01'")
    found = differences(published, target)
    assert f"{run_key(2)} has 12 rows of `stockout_risks` instead of 14" in found
    assert f"{run_key()} has 0 rows of `cumulative_forecasts` instead of 6" in found
    assert "12 rows of `cumulative_forecasts` are of no run" in found
    assert f"{run_key(1)} has other rows of `forecasts` than were published" not in found
    assert f"{run_key(1)} has other rows of `forecasts` than were published" in differences(
        published, target, deep=True
    )
    outcome = sync_copy(published, target.database, 14, again=True)
    assert (len(outcome.written), outcome.strays) == (4, 12)
    assert differences(published, target, deep=True) == []


def test_missing_views_and_foreign_runs_are_found_and_mended(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    target.run("DROP VIEW {1}", target.view("stat-1", "forecasts"))
    target.run("UPDATE {0}runs SET prediction_date = '2031-01-01' WHERE prediction_date = '2025-01-03'")
    found = differences(published, target)
    stranger = run_key((run_key().prediction_date.replace(year=2031) - run_key().prediction_date).days)
    assert f"{stranger} is none of the ledger's" in found
    assert f"{run_key(2)} is missing" in found
    assert "the view forecasts of `stat-1` is missing" in found
    outcome = sync_copy(published, target.database, 14)
    assert (outcome.written, outcome.dropped) == ((run_key(2),), (stranger,))
    assert differences(published, target, deep=True) == []


def test_a_run_recorded_with_other_products_is_copied_anew(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    target.run("UPDATE {0}runs SET forecasts_version = 'other' WHERE prediction_date = '2025-01-03'")
    assert differences(published, target) == [f"{run_key(2)} is recorded with other products than the ledger has"]
    assert sync_copy(published, target.database, 14).written == (run_key(2),)
    assert differences(published, target, deep=True) == []


def test_what_stopped_goes_on(published: Stores, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = copying.copy_run, 0

    def stops(*arguments: object, **options: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "copy_run", stops)
    with pytest.raises(KeyboardInterrupt):
        sync_copy(published, target.database, 14)
    monkeypatch.setattr(copying, "copy_run", real)
    assert keys(published, target.database) == [run_key(1), run_key(2)]
    assert sync_copy(published, target.database, 14).written == (run_key(revision=1), run_key())


def test_a_published_file_that_was_changed_is_told_and_not_copied(published: Stores, target: Target) -> None:
    sync_copy(published, target.database, 14)
    publish(published, run_key(3))
    publication = published.predictions.publication(run_key(3))
    (file,) = published.predictions.files(publication, "stockout_risks")
    path = Path(published.blobs.place(file.path))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedFileError):
        sync_copy(published, target.database, 1)
    assert keys(published, target.database) == [run_key(), run_key(revision=1), run_key(1), run_key(2)]
    assert target.run("SELECT count(*) FROM {0}forecasts") == [(4 * 14,)]


def test_rows_come_part_by_part_in_the_order_of_their_key(published: Stores) -> None:
    publication = published.predictions.publication(run_key())
    for product in PUBLISHED:
        parts = [*published_parts(published, publication, product, size=5)]
        assert max(part.height for part in parts) <= 5
        rows = pl.concat(parts)
        assert rows.equals(read_product(published, publication, product).sort(row_order(product)))


def test_nothing_is_made_where_nothing_is_published(stores: Stores, target: Target) -> None:
    assert sync_copy(stores, target.database, 14) == CopyOutcome(target.database.place, 0, 0)
    assert compare_copy(stores, target.database, 14).differences == ()
    assert copied_runs(stores, target.database) == []
    assert runs_to_copy(stores, target.database, 14) == []
    assert not target.path.exists()


def test_another_ledger_is_refused(published: Stores, target: Target, tmp_path: Path) -> None:
    sync_copy(published, target.database, 14)
    other = open_stores(tmp_path / "other")
    ingest(other)
    register(other)
    publish(other, run_key())
    for refused in (
        lambda: sync_copy(other, target.database, 14),
        lambda: compare_copy(other, target.database, 14),
        lambda: runs_to_copy(other, target.database, 14),
    ):
        with pytest.raises(MirrorConflictError, match="another ledger"):
            refused()
    assert differences(published, target) == []


def test_a_publication_is_followed_and_a_database_that_is_down_stops_nobody(published: Stores, tmp_path: Path) -> None:
    off = Settings(home=tmp_path)
    assert follow_publications(off, published) is None
    late = follow_publications(off.model_copy(update={"operational_copy": "postgresql://127.0.0.1:1/x"}), published)
    assert isinstance(late, CopyDelay)
    assert isinstance(late.error, MirrorUnavailableError)
    on = off.model_copy(update={"operational_copy": "sqlite", "operational_copy_runs": 1})
    followed = follow_publications(on, published)
    assert isinstance(followed, CopyOutcome)
    assert followed.written == (run_key(2),)


def test_a_copy_without_rights_on_its_folder_stops_nobody(published: Stores, tmp_path: Path) -> None:
    (tmp_path / "operational_copy").write_text("a file where the folder should be")
    late = follow_publications(Settings(home=tmp_path, operational_copy="sqlite"), published)
    assert isinstance(late, CopyDelay)
    assert isinstance(late.error, MirrorUnavailableError)


def test_a_version_of_no_run_any_more_is_not_shown(published: Stores, target: Target) -> None:
    register(published, "stat-2")
    sync_copy(published, target.database, 14)
    for day in range(3, 5):
        publish(published, run_key(day, "stat-2"))
    sync_copy(published, target.database, 2)
    with target.database.reading(published.ledger.until(1)[0].hash) as reader:
        assert reader is not None
        assert {version for version, _ in reader.views()} == {"stat-2"}
