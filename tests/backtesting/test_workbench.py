"""Work beside a store: found again by what it was made from, whole or not at all, never in the store."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forecast_assets.backtesting.workbench import Made, Piece, Workbench, _take_place
from forecast_assets.core.errors import RefusedError, StorageError
from resources.ledger.entries.register import VersionRecord
from resources.stores.home import Stores
from tests.support.store_cases import CUTOFF, ingest, register

Make = Callable[[Stores], Made]


@pytest.fixture
def bench(stores: Stores, tmp_path: Path) -> Workbench:
    ingest(stores)
    register(stores)
    return Workbench(stores, tmp_path / "bench")


class Maker:
    """Writes one product, and counts how often it was asked to."""

    def __init__(self, data: bytes = b"made") -> None:
        self.asked = 0
        self._data = data

    def __call__(self, scratch: Stores) -> Made:
        self.asked += 1
        made = scratch.predictions.write_artifact("thing", self._data, key="k", folder="things", inputs={}, facts={})
        return {"thing": made}


def content(piece: Piece) -> bytes:
    return piece.stores.predictions.read_bytes(piece.made["thing"])


def folders(bench: Workbench) -> list[str]:
    return sorted(path.name for path in bench._folder.iterdir())


def test_the_same_inputs_are_made_once_and_others_again(bench: Workbench) -> None:
    make = Maker()
    first, again = (bench.piece("stage", {"day": 1}, make) for _ in range(2))
    assert make.asked == 1
    assert first.made == again.made
    assert content(again) == b"made"
    bench.piece("stage", {"day": 2}, make)
    bench.piece("other", {"day": 1}, make)
    assert make.asked == 3


def test_other_code_is_another_input(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    bench.piece("stage", {}, make)
    monkeypatch.setattr("forecast_assets.backtesting.workbench.code_version", lambda: "another")
    bench.piece("stage", {}, make)
    assert make.asked == 2


def test_nothing_of_it_is_in_the_store(bench: Workbench, stores: Stores) -> None:
    before = {blob.path for blob in stores.blobs.everything()}
    bench.piece("stage", {}, Maker())
    assert {blob.path for blob in stores.blobs.everything()} == before
    with pytest.raises(RefusedError, match="Nothing can be recorded"):
        bench.piece("stage", {"x": 1}, lambda scratch: scratch.registry.promote("stat-1", by="a", reason="b") and {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_stopped_leaves_nothing(bench: Workbench, error: type[BaseException]) -> None:
    def stop(scratch: Stores) -> Made:
        Maker()(scratch)
        raise error

    with pytest.raises(error):
        bench.piece("stage", {}, stop)
    assert folders(bench) == []
    assert content(bench.piece("stage", {}, Maker())) == b"made"


@pytest.mark.parametrize("damage", ["mark", "file", "no file"])
def test_what_is_not_as_it_was_written_is_made_again(bench: Workbench, damage: str) -> None:
    piece = bench.piece("stage", {}, Maker())
    file = piece.stores.blobs.local(piece.made["thing"].files[0].path)
    (folder,) = bench._folder.iterdir()
    if damage == "mark":
        (folder / "made.json").write_bytes(b"{")
    elif damage == "file":
        file.chmod(0o644)
        file.write_bytes(b"more")
    else:
        file.unlink()
    make = Maker()
    assert content(bench.piece("stage", {}, make)) == b"made"
    assert make.asked == 1


def test_of_two_processes_that_make_the_same_piece_the_first_to_finish_keeps_it(bench: Workbench) -> None:
    first: list[int] = []

    def make(scratch: Stores) -> Made:
        other = bench.piece("stage", {}, Maker())
        first.append(other.stores.blobs.local(other.made["thing"].files[0].path).stat().st_ino)
        return Maker()(scratch)

    second = bench.piece("stage", {}, make)
    assert content(second) == b"made"
    # Whoever reads the first one's files goes on reading them.
    assert [second.stores.blobs.local(second.made["thing"].files[0].path).stat().st_ino] == first


def test_a_place_that_is_taken_in_the_last_moment_is_left_to_who_took_it(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bench.piece("stage", {}, Maker())
    # As another process sees it that looked just before, and removed nothing.
    monkeypatch.setattr("forecast_assets.backtesting.workbench.shutil.rmtree", lambda *_, **__: None)
    (folder,) = bench._folder.iterdir()
    late = bench._folder / "late"
    late.mkdir()
    (late / "made.json").write_bytes(b"{}")
    _take_place(late, folder)
    assert content(bench.piece("stage", {}, Maker())) == content(other)


def test_a_place_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _take_place(tmp_path / "nothing", tmp_path / "place")


def test_one_piece_stands_on_another(bench: Workbench) -> None:
    below = bench.piece("below", {}, Maker(b"below"))

    def make(scratch: Stores) -> Made:
        read = scratch.predictions.read_bytes(below.made["thing"])
        return Maker(read + b" and above")(scratch)

    above = bench.piece("above", {}, make, below=below.stores)
    assert content(above) == b"below and above"
    assert above.stores.predictions.read_bytes(below.made["thing"]) == b"below"


def test_its_ledger_has_versions_that_nobody_registered(bench: Workbench, stores: Stores) -> None:
    version = VersionRecord("trial-1", "statistical", CUTOFF, "a", "e", "", "s", "f", {}, 0, "")
    piece = bench.piece("stage", {}, Maker(), versions=[version])
    assert piece.stores.registry.model_version("trial-1") == version
    assert list(piece.stores.ledger.state().versions) == ["stat-1", "trial-1"]
    assert list(stores.ledger.state().versions) == ["stat-1"]
    assert list(bench.stores.ledger.state().versions) == ["stat-1"]


def test_what_comes_later_is_not_seen(bench: Workbench, stores: Stores) -> None:
    register(stores, "stat-2")
    assert list(bench.stores.ledger.state().versions) == ["stat-1"]
    assert list(bench.piece("stage", {}, Maker()).stores.ledger.state().versions) == ["stat-1"]


def test_what_killed_processes_left_goes_after_a_day(bench: Workbench) -> None:
    old, young = (bench._folder / f".unfinished-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    bench.piece("stage", {}, Maker())
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_named(bench: Workbench) -> None:
    bench._folder.write_text("in the way")
    with pytest.raises(StorageError, match="stage-"):
        bench.piece("stage", {}, Maker())
