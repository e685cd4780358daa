"""What the ledger promises wherever its blobs are, in a folder or in a bucket: order, chain, one winner per entry."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import AlreadyRegisteredError, BrokenChainError, StorageError, UnknownEntryError
from resources.ledger.entries.folded import GENESIS
from resources.ledger.log import Ledger, bundle_path, bundled, entry_path
from resources.ledger.records import canonical
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore, sha256
from tests.support import store_cases
from tests.support.buckets import REPOSITORY
from tests.support.ledger_cases import promote
from tests.support.places import Place


def test_entries_form_a_chain(place: Place) -> None:
    ledger = place.ledger()
    entries = [promote(ledger, f"v-{n}") for n in range(5)]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == GENESIS
    assert all(after.previous == before.hash for before, after in pairwise(entries))
    assert place.ledger().state().channel("champion") == "v-4"


def test_two_ledgers_of_one_place_see_each_other(place: Place) -> None:
    first, second = place.ledger(), place.ledger()
    promote(first, "a")
    promote(second, "b")
    assert first.state().channel("champion") == "b"
    assert first.state().head == second.state().head


# --- races ---


def test_of_many_writers_each_entry_has_one_winner_and_none_is_lost(place: Place) -> None:
    def write(writer: int) -> list[int]:
        ledger = place.ledger()
        return [promote(ledger, f"w{writer}-{n}").sequence for n in range(10)]

    with ThreadPoolExecutor(8) as pool:
        sequences = [sequence for done in pool.map(write, range(8)) for sequence in done]
    assert sorted(sequences) == list(range(1, 81))
    assert len(place.ledger().entries()) == 80


WRITER = """
import sys
from pathlib import Path
from resources.ledger.log import Ledger
from resources.store.bucket import open_blobs
ledger = Ledger(open_blobs(sys.argv[1], Path(sys.argv[2])))
sys.stdin.readline()
for number in range(5):
    body = {"channel": "champion", "model_version": f"{sys.argv[3]}-{number}", "by": "ana", "reason": "test"}
    print(ledger.append("promote", body, lambda state: None).sequence)
"""


def test_processes_that_append_at_once_each_win_their_own_entries(place: Place) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, place.location, place.mirror, f"w{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )
        for number in range(8)
    ]  # fmt: skip
    with ThreadPoolExecutor(len(writers)) as pool:
        said = list(pool.map(lambda writer: writer.communicate("go\n", timeout=120)[0], writers))
    assert sorted(int(number) for line in said for number in line.split()) == list(range(1, 41))
    entries = place.ledger().entries()
    assert [entry.sequence for entry in entries] == list(range(1, 41))
    assert {entry.body["model_version"] for entry in entries} == {f"w{n}-{m}" for n in range(8) for m in range(5)}


def test_a_writer_that_lost_its_entry_to_another_takes_the_next(place: Place) -> None:
    slow, quick, asked = place.ledger(), place.ledger(), list[int]()

    def admit(state: LedgerState) -> None:
        asked.append(state.sequence)
        if len(asked) == 1:
            promote(quick, "quick")

    assert promote(slow, "slow", admit).sequence == 2
    assert asked == [0, 1]


def test_a_writer_that_lost_the_race_asks_again_whether_it_may_go_on(place: Place) -> None:
    slow, quick, asked = place.ledger(), place.ledger(), list[int]()

    def only_first(state: LedgerState) -> None:
        asked.append(state.sequence)
        if not asked[1:]:
            promote(quick, "quick")
        elif state.channel("champion") == "quick":
            raise AlreadyRegisteredError("someone was quicker")

    with pytest.raises(AlreadyRegisteredError, match="quicker"):
        promote(slow, "slow", only_first)
    assert asked == [0, 1]
    assert slow.state().channel("champion") == "quick"


# --- damage ---


def edited(place: Place, sequence: int) -> None:
    raw = json.loads(place.blobs().get(entry_path(sequence)))
    raw["body"]["model_version"] = "z"
    place.change(entry_path(sequence), canonical(raw))


def reordered(place: Place) -> None:
    one, two = (place.blobs().get(entry_path(sequence)) for sequence in (1, 2))
    place.change(entry_path(1), two)
    place.change(entry_path(2), one)


HARMS: dict[str, Callable[[Place], None]] = {
    "edited": lambda place: edited(place, 1),
    "edited in the middle": lambda place: edited(place, 2),
    "reordered": reordered,
    "torn": lambda place: place.change(entry_path(2), place.blobs().get(entry_path(2))[:-5]),
    "removed": lambda place: place.blobs().remove(entry_path(2)),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_entry_breaks_the_chain_for_every_reader(place: Place, harm: str) -> None:
    ledger = place.ledger()
    for name in ("a", "b", "c"):
        promote(ledger, name)
    HARMS[harm](place)
    with pytest.raises(BrokenChainError):
        place.ledger().state()


def reads(ledger: Ledger) -> list[Callable[[], object]]:
    return [ledger.state, ledger.entries, lambda: promote(ledger, "x")]


def lacks(sequence: int) -> str:
    return re.escape(f"The ledger lacks `{entry_path(sequence)}`")


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_hole_behind_the_end_that_an_open_ledger_knows_is_found(place: Place, missing: int) -> None:
    known, other = place.ledger(), place.ledger()
    for number in range(5):
        promote(other, f"v-{number}")
        known.state() if number == 0 else None
    for sequence in range(2, 2 + missing):
        place.blobs().remove(entry_path(sequence))
    for read in (*reads(known), *reads(place.ledger())):
        with pytest.raises(BrokenChainError, match=lacks(2)):
            read()


def test_a_long_hole_is_never_filled(place: Place) -> None:
    known, other = place.ledger(), place.ledger()
    assert known.state().sequence == 0
    for number in range(32):
        promote(other, f"v-{number}")
    for sequence in range(1, 32):
        place.blobs().remove(entry_path(sequence))
    for read in (*reads(known)[1:], *reads(place.ledger())):
        with pytest.raises(BrokenChainError, match=lacks(1)):
            read()


# --- what others write: later releases, and whoever writes past the ledger ---


def appended_by_a_later_release(place: Place, **facts: object) -> Ledger:
    """A ledger whose second entry has something that this release does not know."""
    first = promote(place.ledger(), "a")
    body = {"channel": "champion", "model_version": "b", "by": "ana", "reason": "test"}
    raw = {
        "format": 1, "sequence": 2, "previous": first.hash, "kind": "promote", "recorded_at": "now", "body": body,
        **facts,
    }  # fmt: skip
    assert place.blobs().create(entry_path(2), canonical(raw))
    return place.ledger()


def test_an_entry_of_a_later_release_asks_for_an_upgrade(place: Place) -> None:
    with pytest.raises(
        UnknownEntryError, match=r"entry 2 is of the kind `abolish`; .* knows .*measure.* upgrade"
    ) as one:
        appended_by_a_later_release(place.beside("kind"), kind="abolish").state()
    with pytest.raises(UnknownEntryError, match=r"entry 2 has the format 2; this release reads 1\..* upgrade"):
        appended_by_a_later_release(place.beside("format"), format=2).entries()
    assert exit_code(type(one.value)) == 5
    assert appended_by_a_later_release(place.beside("known")).state().channel("champion") == "b"


@pytest.mark.parametrize("body", [{}, {"key": "no key", "products": {}, "accepted": {}}, {"key": 3}])
def test_an_entry_whose_body_is_not_what_its_kind_says_breaks_the_chain(place: Place, body: object) -> None:
    ledger = appended_by_a_later_release(place, kind="publish", body=body)
    for _ in range(2):
        with pytest.raises(BrokenChainError, match="entry 2 of the kind `publish` cannot be read"):
            ledger.state()


@pytest.mark.parametrize(
    ("kind", "again"), [("publish", r"publishes daily/2025-01-01/stat-1/7/r0"), ("register", "registers stat-1")]
)
def test_what_is_said_once_is_not_said_again_by_whoever_writes_past_the_ledger(
    place: Place, kind: str, again: str
) -> None:
    stores = place.open()
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.publish(stores, store_cases.run_key())
    first = next(entry for entry in stores.ledger.entries() if entry.kind == kind)
    head = stores.ledger.state()
    raw = {
        "format": 1, "sequence": head.sequence + 1, "previous": head.head, "kind": kind,
        "recorded_at": head.recorded_at, "body": {**first.body, "cpu": "another"},
    }  # fmt: skip
    assert place.blobs().create(entry_path(head.sequence + 1), canonical(raw))
    opened = place.ledger()
    for _ in range(2):
        with pytest.raises(BrokenChainError, match=f"entry {head.sequence + 1} {again} again; entry {first.sequence} "):
            opened.state()


# --- bundles: copies that must neither stand in the way nor stand for what is not there ---

# Ten entries each, which behave as a hundred do.
BUNDLE = 10
LONG = 2 * BUNDLE + 5


@pytest.fixture(scope="module")
def long_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two full bundles and five entries after them."""
    root = tmp_path_factory.mktemp("long") / "store"
    ledger = Ledger(BlobStore(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resources.ledger.log.BUNDLE", BUNDLE)
        for number in range(1, LONG + 1):
            promote(ledger, f"v-{number}")
    return root


@pytest.fixture
def long(long_template: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr("resources.ledger.log.BUNDLE", BUNDLE)
    place.copy_from(long_template)
    bundles = [bundle_path(BUNDLE), bundle_path(2 * BUNDLE)]
    assert place.blobs().names_after("ledger_bundles", "ledger_bundles/") == bundles
    return place


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << 1
    return bytes(changed)


def flipped_after(word: bytes) -> Callable[[bytes], bytes]:
    """Flip a bit in the middle of a bundle, in the value that follows a word."""
    return lambda data: flipped(data, data.index(word, len(data) // 2) + len(word))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "flip in a body": flipped_after(b'"model_version":"v'),
    "flip in the format": flipped_after(b'"format":'),
    "flip in a kind": flipped_after(b'"kind":"'),
    "flip in a previous": flipped_after(b'"previous":"'),
    "flip in the last line": lambda data: flipped(data, data.rindex(b'"model_version":"v') + 18),
    "without its last line": lambda data: data.rpartition(b"\n")[0],
    "with a line more": lambda data: data + b"\n",
    "garbage": lambda data: b"\xff\x00\n" * (len(data) // 3),
    "no entries": lambda _: b"\n".join([b'["kind"]', b"3", b"{}"]),
    "nested without end": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("last", [BUNDLE, 2 * BUNDLE])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_keeps_nobody_from_the_entries(long: Place, damage: str, last: int) -> None:
    expected = long.ledger().entries()
    data = long.blobs().get(bundle_path(last))
    long.change(bundle_path(last), DAMAGES[damage](data))
    assert long.blobs().get(bundle_path(last)) != data
    ledger = long.ledger()
    assert ledger.state().channel("champion") == f"v-{LONG}"
    assert ledger.entries() == expected
    assert promote(ledger, "next").sequence == LONG + 1
    assert long.ledger().state().channel("champion") == "next"


def test_a_bundle_that_the_storage_does_not_give_keeps_nobody_from_the_entries(
    long: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = long.blobs()
    find = blobs.find

    def failing(path: str) -> bytes | None:
        if path.startswith("ledger_bundles/"):
            raise StorageError("a broken sector", remedy="Another disk.")
        return find(path)

    monkeypatch.setattr(blobs, "find", failing)
    assert Ledger(blobs).state().sequence == LONG


@pytest.mark.parametrize("last", [BUNDLE, 2 * BUNDLE])
def test_where_a_bundle_and_an_entry_are_damaged_every_look_names_the_entry(long: Place, last: int) -> None:
    long.change(bundle_path(last), b"")
    long.change(entry_path(5), b"{}")
    ledger = long.ledger()
    for _ in range(3):
        with pytest.raises(BrokenChainError, match="A ledger entry cannot be read: 'format'"):
            ledger.state()
    long.change(entry_path(5), long.blobs().get(entry_path(6)))
    with pytest.raises(BrokenChainError, match="Ledger entry 5 does not follow"):
        ledger.state()


@pytest.mark.parametrize("first", [1, BUNDLE - 1, BUNDLE, BUNDLE + 1, 2 * BUNDLE - 1])
def test_what_a_bundle_has_beyond_the_last_entry_was_there(long: Place, first: int) -> None:
    """Whoever cuts the end of the ledger must not have its place taken by another history."""
    for sequence in range(first, LONG + 1):
        long.blobs().remove(entry_path(sequence))
    for read in (Ledger.state, lambda ledger: promote(ledger, "x")):
        with pytest.raises(BrokenChainError, match=f"ends at entry {first - 1}, but `ledger_bundles/.* came after it"):
            read(long.ledger())
    assert not long.blobs().has(entry_path(first))


@pytest.mark.parametrize("entries", [BUNDLE, LONG])
def test_a_forged_bundle_is_not_believed_over_the_entries(long: Place, entries: int) -> None:
    """The forger chains a whole bundle anew, so that nothing in it contradicts itself."""
    blobs = long.blobs()
    for sequence in range(entries + 1, LONG + 1):
        blobs.remove(entry_path(sequence))
    if entries == BUNDLE:
        blobs.remove(bundle_path(2 * BUNDLE))
    lines: list[bytes] = []
    for sequence in range(1, BUNDLE + 1):
        raw = json.loads(blobs.get(entry_path(sequence)))
        raw["previous"] = sha256(lines[-1]) if lines else GENESIS
        raw["body"]["by"] = "mallory"
        lines.append(canonical(raw))
    long.change(bundle_path(BUNDLE), bundled(lines))
    found = long.ledger().entries()
    assert {entry.body["by"] for entry in found} == {"ana"}
    assert len(found) == entries
