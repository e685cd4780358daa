"""Readers in other processes while runs are published: no error, no lock, no wrong number."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from resources.catalogue.build import refresh_catalogue
from resources.catalogue.files import NAME
from resources.stores.home import open_stores
from tests.support.ledger_cases import record_backtest
from tests.support.places import Place
from tests.support.store_cases import register, required, run_key
from tests.torture.crowd import (
    ENTRIES_OF_DAY,
    WAYS,
    Meeting,
    Sight,
    hold,
    processes,
    read,
    read_by_python,
    staged,
    try_to_write,
    units_of,
    wape_of,
)
from tests.torture.sizes import size

RUNS = size(12, 100)
FIRST = 2


@dataclass(frozen=True)
class Seen:
    """What readers saw; ledger entries before the first run, and of the last one."""

    sights: dict[str, Sight]
    before: int
    last: int


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    # Readers are other users: the folders of tests are closed to them.
    folder = Path(tempfile.mkdtemp(prefix="forecast-assets-readers-"))
    folder.chmod(0o755)
    try:
        yield read_while_publishing(folder)
    finally:
        shutil.rmtree(folder)


def read_while_publishing(folder: Path) -> Seen:
    place, meeting = Place(str(folder / "store"), str(folder / "mirror")), Meeting(folder / "meeting")
    link = folder / "catalogue" / NAME
    stores = open_stores(folder / "store")
    register(stores)
    before = stores.ledger.state().sequence

    def publish(day: int) -> None:
        key = run_key(day)
        record_backtest(stores, wape=wape_of(day))
        stores.predictions.publish(key, staged(stores, key, units_of(day)), required)
        # As a run does: the asset builds the catalogue, and the command looks whether it is there.
        built = refresh_catalogue(stores.predictions, link.parent)
        assert refresh_catalogue(open_stores(folder / "store").predictions, link.parent) == built
        meeting.tell(stores.ledger.state().sequence)

    meeting.folder.mkdir()
    for day in range(FIRST):
        publish(day)
    with processes(len(WAYS) + 3) as start:
        running = {way: start(read, way, link, meeting.folder, before) for way in WAYS}
        running["held"] = start(hold, link, meeting.folder, before)
        running["writer"] = start(try_to_write, link, meeting.folder, before)
        running["python"] = start(read_by_python, place, meeting.folder, before)
        try:
            meeting.wait_for("publisher", len(running) + 1)
            for day in range(FIRST, RUNS):
                publish(day)
                if day % 2 == 0:
                    meeting.wait_for_looks(running)
        finally:
            meeting.end()
        return Seen({name: one.result() for name, one in running.items()}, before, stores.ledger.state().sequence)


def test_every_reader_reads_what_was_published_and_nothing_else(seen: Seen) -> None:
    """Each of them compares everything that it reads; an error of one is an error here."""
    assert seen.last == seen.before + ENTRIES_OF_DAY * RUNS
    for name, sight in seen.sights.items():
        assert sight.connections >= 5, name
        assert sight.reads >= sight.connections, name
        assert len(sight.seen) >= 4, name
    assert sum(sight.reads for sight in seen.sights.values()) >= 4 * RUNS
    print({name: (sight.connections, sight.reads, len(sight.seen)) for name, sight in seen.sights.items()})


def test_new_connections_see_the_newest(seen: Seen) -> None:
    for name, sight in seen.sights.items():
        if name != "held":
            assert max(sight.seen) == seen.last, name


def test_connections_that_stay_open_keep_what_they_had(seen: Seen) -> None:
    assert seen.sights["held"].kept >= 3


def test_a_client_that_wants_to_write_is_refused_and_disturbs_nobody(seen: Seen) -> None:
    assert seen.sights["writer"].refused == seen.sights["writer"].connections
