"""Work beside a store: found again by what it was made from, whole or not at all, never in the store."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forecast_assets.backtesting.cache import BacktestCache, CachedStep, ProductVersions, _rename_into_place
from forecast_assets.core.errors import NotAcceptedError, RefusedError, StorageError
from forecast_assets.scoring.preconditions import require_possible
from resources.ledger.entries.register import VersionRecord, Versions
from resources.stores.home import Stores
from tests.support.store_cases import CUTOFF, ingest, register, run_key

Make = Callable[[Stores], ProductVersions]


@pytest.fixture
def cache(stores: Stores, tmp_path: Path) -> BacktestCache:
    ingest(stores)
    register(stores)
    return BacktestCache(stores, tmp_path / "bench")


class Maker:
    """Writes one product, and counts how often it was asked to."""

    def __init__(self, data: bytes = b"made") -> None:
        self.asked = 0
        self._data = data

    def __call__(self, scratch: Stores) -> ProductVersions:
        self.asked += 1
        made = scratch.predictions.write_artifact("thing", self._data, key="k", folder="things", inputs={}, facts={})
        return {"thing": made}


def content(step: CachedStep) -> bytes:
    return step.stores.predictions.read_bytes(step.made["thing"])


def folders(cache: BacktestCache) -> list[str]:
    return sorted(path.name for path in cache._folder.iterdir())


def test_the_same_inputs_are_made_once_and_others_again(cache: BacktestCache) -> None:
    make = Maker()
    first, again = (cache.step("stage", {"day": 1}, make) for _ in range(2))
    assert make.asked == 1
    assert first.made == again.made
    assert content(again) == b"made"
    cache.step("stage", {"day": 2}, make)
    cache.step("other", {"day": 1}, make)
    assert make.asked == 3


def test_other_code_is_another_input(cache: BacktestCache, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    cache.step("stage", {}, make)
    monkeypatch.setattr("forecast_assets.backtesting.cache.code_version", lambda: "another")
    cache.step("stage", {}, make)
    assert make.asked == 2


def test_nothing_of_it_is_in_the_store(cache: BacktestCache, stores: Stores) -> None:
    before = {blob.path for blob in stores.blobs.everything()}
    cache.step("stage", {}, Maker())
    assert {blob.path for blob in stores.blobs.everything()} == before
    with pytest.raises(RefusedError, match="Nothing can be recorded"):
        cache.step("stage", {"x": 1}, lambda scratch: scratch.registry.promote("stat-1", by="a", reason="b") and {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_stopped_leaves_nothing(cache: BacktestCache, error: type[BaseException]) -> None:
    def stop(scratch: Stores) -> ProductVersions:
        Maker()(scratch)
        raise error

    with pytest.raises(error):
        cache.step("stage", {}, stop)
    assert folders(cache) == []
    assert content(cache.step("stage", {}, Maker())) == b"made"


@pytest.mark.parametrize("damage", ["mark", "file", "no file"])
def test_what_is_not_as_it_was_written_is_made_again(cache: BacktestCache, damage: str) -> None:
    step = cache.step("stage", {}, Maker())
    file = step.stores.blobs.local(step.made["thing"].files[0].path)
    (folder,) = cache._folder.iterdir()
    if damage == "mark":
        (folder / "made.json").write_bytes(b"{")
    elif damage == "file":
        file.chmod(0o644)
        file.write_bytes(b"more")
    else:
        file.unlink()
    make = Maker()
    assert content(cache.step("stage", {}, make)) == b"made"
    assert make.asked == 1


def test_of_two_processes_that_make_the_same_piece_the_first_to_finish_keeps_it(cache: BacktestCache) -> None:
    first: list[int] = []

    def make(scratch: Stores) -> ProductVersions:
        other = cache.step("stage", {}, Maker())
        first.append(other.stores.blobs.local(other.made["thing"].files[0].path).stat().st_ino)
        return Maker()(scratch)

    second = cache.step("stage", {}, make)
    assert content(second) == b"made"
    # Whoever reads the first one's files goes on reading them.
    assert [second.stores.blobs.local(second.made["thing"].files[0].path).stat().st_ino] == first


def test_a_place_that_is_taken_in_the_last_moment_is_left_to_who_took_it(
    cache: BacktestCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = cache.step("stage", {}, Maker())
    # As another process sees it that looked just before, and removed nothing.
    monkeypatch.setattr("forecast_assets.backtesting.cache.shutil.rmtree", lambda *_, **__: None)
    (folder,) = cache._folder.iterdir()
    late = cache._folder / "late"
    late.mkdir()
    (late / "made.json").write_bytes(b"{}")
    _rename_into_place(late, folder)
    assert content(cache.step("stage", {}, Maker())) == content(other)


def test_a_place_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _rename_into_place(tmp_path / "nothing", tmp_path / "place")


def test_one_piece_stands_on_another(cache: BacktestCache) -> None:
    below = cache.step("below", {}, Maker(b"below"))

    def make(scratch: Stores) -> ProductVersions:
        read = scratch.predictions.read_bytes(below.made["thing"])
        return Maker(read + b" and above")(scratch)

    above = cache.step("above", {}, make, below=below.stores)
    assert content(above) == b"below and above"
    assert above.stores.predictions.read_bytes(below.made["thing"]) == b"below"


def test_its_ledger_has_versions_that_nobody_registered(cache: BacktestCache, stores: Stores) -> None:
    version = VersionRecord("trial-1", "statistical", CUTOFF, "a", "e", "", "s", "f", {}, 0, "")
    step = cache.step("stage", {}, Maker(), versions=[version])
    assert step.stores.registry.model_version("trial-1") == version
    assert list(step.stores.ledger.state().versions) == ["stat-1", "trial-1"]
    assert list(stores.ledger.state().versions) == ["stat-1"]
    assert list(cache.stores.ledger.state().versions) == ["stat-1"]


def test_a_version_that_serves_no_more_can_be_measured(stores: Stores, tmp_path: Path) -> None:
    register(stores)
    stores.registry.retire("stat-1", by="ana", reason="two versions behind")
    with pytest.raises(NotAcceptedError, match="no new run"):
        require_possible(stores, run_key())
    cache = BacktestCache(stores, tmp_path / "bench")
    step = cache.step("stage", {}, Maker(), versions=[stores.registry.model_version("stat-1")])
    assert require_possible(step.stores, run_key()).model_version == "stat-1"
    assert "stat-1" in stores.ledger.state().part(Versions).retired


def test_what_comes_later_is_not_seen(cache: BacktestCache, stores: Stores) -> None:
    register(stores, "stat-2")
    assert list(cache.stores.ledger.state().versions) == ["stat-1"]
    assert list(cache.step("stage", {}, Maker()).stores.ledger.state().versions) == ["stat-1"]


def test_what_killed_processes_left_goes_after_a_day(cache: BacktestCache) -> None:
    old, young = (cache._folder / f".unfinished-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    cache.step("stage", {}, Maker())
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_named(cache: BacktestCache) -> None:
    cache._folder.write_text("in the way")
    with pytest.raises(StorageError, match="stage-"):
        cache.step("stage", {}, Maker())
