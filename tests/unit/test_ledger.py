"""The ledger: order, chain, races, and what cannot be read."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from forecast_assets.errors import AlreadyRegisteredError, BrokenChainError, StorageError, UnknownEntryError
from resources.blobs import BlobStore
from resources.ledger import GENESIS, Ledger, LedgerState, canonical


def promote(name: str) -> dict[str, str]:
    return {"channel": "champion", "model_version": name, "by": "ana", "reason": "test"}


def admit_all(state: LedgerState) -> None:
    assert state is not None


def test_entries_form_a_chain(tmp_path: Path) -> None:
    ledger = Ledger(BlobStore(tmp_path))
    entries = [ledger.append("promote", promote(f"v-{n}"), admit_all) for n in range(5)]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == GENESIS
    assert all(after.previous == before.hash for before, after in pairwise(entries))
    assert Ledger(BlobStore(tmp_path)).state().channel("champion") == "v-4"


def test_two_ledgers_on_one_folder_see_each_other(tmp_path: Path) -> None:
    first, second = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    first.append("promote", promote("a"), admit_all)
    second.append("promote", promote("b"), admit_all)
    assert first.state().channel("champion") == "b"
    assert first.state().head == second.state().head


def test_of_many_writers_each_entry_has_one_winner_and_none_is_lost(tmp_path: Path) -> None:
    def write(writer: int) -> list[int]:
        ledger = Ledger(BlobStore(tmp_path))
        return [ledger.append("promote", promote(f"w{writer}-{n}"), admit_all).sequence for n in range(10)]

    with ThreadPoolExecutor(8) as pool:
        sequences = [sequence for done in pool.map(write, range(8)) for sequence in done]
    assert sorted(sequences) == list(range(1, 81))
    assert len(Ledger(BlobStore(tmp_path)).entries()) == 80


def test_a_writer_that_lost_the_race_asks_again_whether_it_may_go_on(tmp_path: Path) -> None:
    slow, quick = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    asked: list[int] = []

    def only_first(state: LedgerState) -> None:
        asked.append(state.sequence)
        if not asked[1:]:
            quick.append("promote", promote("quick"), admit_all)
        elif state.channel("champion") == "quick":
            raise AlreadyRegisteredError("someone was quicker")

    with pytest.raises(AlreadyRegisteredError, match="quicker"):
        slow.append("promote", promote("slow"), only_first)
    assert asked == [0, 1]
    assert slow.state().channel("champion") == "quick"


@pytest.mark.parametrize("damage", ["edited", "reordered", "torn", "removed"])
def test_a_damaged_entry_breaks_the_chain_for_every_reader(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(BlobStore(tmp_path))
    for name in ("a", "b", "c"):
        ledger.append("promote", promote(name), admit_all)
    first, second = sorted((tmp_path / "ledger").glob("*.json"))[:2]
    if damage == "edited":
        raw = json.loads(first.read_bytes())
        raw["body"]["model_version"] = "z"
        first.write_bytes(canonical(raw))
    elif damage == "reordered":
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
    elif damage == "removed":
        second.unlink()
    else:
        second.write_bytes(second.read_bytes()[:-5])
    with pytest.raises(BrokenChainError):
        Ledger(BlobStore(tmp_path)).state()


def test_a_home_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    target = tmp_path / "home"
    target.write_text("not a folder")
    for use in (lambda: BlobStore(target).create("a", b"x"), lambda: BlobStore(target).find("a")):
        with pytest.raises(StorageError, match=r"FORECAST_ASSETS_HOME|Check the disk"):
            use()


def appended_by_a_later_release(tmp_path: Path, **facts: object) -> Ledger:
    """A ledger whose second entry has something that this release does not know."""
    ledger = Ledger(BlobStore(tmp_path))
    first = ledger.append("promote", promote("a"), admit_all)
    raw = {
        "format": 1, "sequence": 2, "previous": first.hash, "kind": "promote", "recorded_at": "now",
        "body": promote("b"), **facts,
    }  # fmt: skip
    (tmp_path / "ledger/000000000002.json").write_bytes(canonical(raw))
    return Ledger(BlobStore(tmp_path))


def test_an_entry_of_a_later_release_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownEntryError, match=r"entry 2 is of the kind `abolish`; .* knows .*publish.* upgrade"
    ) as one:
        appended_by_a_later_release(tmp_path / "kind", kind="abolish").state()
    with pytest.raises(UnknownEntryError, match=r"entry 2 has the format 2; this release reads 1\..* upgrade"):
        appended_by_a_later_release(tmp_path / "format", format=2).entries()
    assert one.value.exit_code == 5
    assert appended_by_a_later_release(tmp_path / "known").state().channel("champion") == "b"


@pytest.mark.parametrize("body", [{}, {"key": "no key", "products": {}, "accepted": {}}, {"key": 3}])
def test_an_entry_whose_body_is_not_what_its_kind_says_breaks_the_chain(tmp_path: Path, body: object) -> None:
    ledger = appended_by_a_later_release(tmp_path, kind="publish", body=body)
    for _ in range(2):
        with pytest.raises(BrokenChainError, match="entry 2 of the kind `publish` cannot be read"):
            ledger.state()


def listings(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the folders that are listed from now on."""
    listed: list[str] = []
    names_after = blobs.names_after

    def noted(folder: str, path: str) -> list[str]:
        listed.append(folder)
        return names_after(folder, path)

    monkeypatch.setattr(blobs, "names_after", noted)
    return listed


def test_an_open_ledger_is_not_listed_to_find_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, other = BlobStore(tmp_path), Ledger(BlobStore(tmp_path))
    other.append("promote", promote("a"), admit_all)
    ledger, listed = Ledger(blobs), listings(blobs, monkeypatch)
    assert [ledger.state().sequence for _ in range(3)] == [1, 1, 1]
    assert listed == ["ledger"], "the first look lists, so that a hole is found; later ones do not"
    other.append("promote", promote("b"), admit_all)
    assert ledger.state().channel("champion") == "b"
    assert listed == ["ledger"]


@pytest.mark.parametrize("missing", [1, 3])
def test_a_hole_behind_the_end_that_an_open_ledger_knows_is_found(tmp_path: Path, missing: int) -> None:
    ledger, other = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    for number in range(5):
        other.append("promote", promote(f"v-{number}"), admit_all)
        ledger.state() if number == 0 else None
    for sequence in range(2, 2 + missing):
        (tmp_path / f"ledger/{sequence:012d}.json").unlink()
    for read in (ledger.state, ledger.entries, lambda: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000002\.json`"):
            read()


def test_a_long_hole_is_never_filled(tmp_path: Path) -> None:
    ledger, other = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    assert ledger.state().sequence == 0
    for number in range(8):
        other.append("promote", promote(f"v-{number}"), admit_all)
    for sequence in range(1, 8):
        (tmp_path / f"ledger/{sequence:012d}.json").unlink()
    for read in (ledger.entries, lambda: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000001\.json`"):
            read()
