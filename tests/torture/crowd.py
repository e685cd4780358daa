"""Processes that write to one store and read from it at once: what each of them does, and what it says of it.

Stores are named by a location, a folder or the URL of a bucket, so that every process opens its own. Processes meet in
a folder: they start together, writers every round of theirs, and readers hear there what was built and when to end.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pytest
import sqlalchemy

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.errors import AlreadyPublishedError, LostRaceError
from forecast_assets.core.keys import RunKey
from resources.ledger.entries.evaluate import BacktestRecord
from resources.store.blobs import sha256
from resources.store.parquet import to_parquet
from resources.stores.home import Stores
from resources.stores.products import run_folder
from tests.support import ledger_cases, products
from tests.support.places import Place
from tests.support.store_cases import CHECKS, CUTOFF, ingest, product_frame, register, required, run_key

MEETING_SECONDS: Final = 120.0
ROWS_OF_FORECASTS: Final = 14


@dataclass(frozen=True)
class Meeting:
    """A folder in which processes wait for one another and tell one another things."""

    folder: Path

    def come(self, name: str) -> None:
        """Say that one is there, as a reader: who publishes goes first, as on a machine with more cores."""
        os.nice(10)
        self._looks(name).touch()
        # A reader may go on as another user.
        self._looks(name).chmod(0o666)
        self._enter(name)

    def _enter(self, name: str) -> None:
        (self.folder / f"came-{name}").touch()

    def wait_for(self, name: str, others: int) -> None:
        """Go on when all have come."""
        self._enter(name)
        until = time.monotonic() + MEETING_SECONDS
        while len(list(self.folder.glob("came-*"))) < others:
            assert time.monotonic() < until, "the others did not come"
            time.sleep(0.01)

    def look_up(self, name: str) -> None:
        """Say that a reader has looked once more."""
        with self._looks(name).open("ab") as file:
            file.write(b".")

    def wait_for_looks(self, running: Mapping[str, Future[Any]]) -> None:
        """Go on when every reader has looked from now on, or one has failed, which its result will say.

        So what readers must have seen does not depend on how many cores there are.
        """
        # The next look may have begun before.
        wanted = {name: self._looks(name).stat().st_size + 2 for name in running}
        until = time.monotonic() + MEETING_SECONDS
        while any(self._looks(name).stat().st_size < size for name, size in wanted.items()):
            if any(one.done() for one in running.values()):
                return
            assert time.monotonic() < until, "the others did not look"
            time.sleep(0.01)

    def _looks(self, name: str) -> Path:
        return self.folder / f"looks-{name}"

    def tell(self, sequence: int) -> None:
        """Say that the catalogue of this ledger entry is built."""
        scratch = self.folder / "scratch"
        scratch.write_text(str(sequence))
        scratch.replace(self.folder / "built")

    def built(self) -> int:
        """Return the ledger entry whose catalogue was built last."""
        return int((self.folder / "built").read_text())

    def end(self) -> None:
        (self.folder / "end").touch()

    def is_over(self) -> bool:
        return (self.folder / "end").exists()


@contextmanager
def processes(many: int) -> Iterator[Callable[..., Future[Any]]]:
    """Start functions in processes of their own, which share nothing with this one."""
    with ProcessPoolExecutor(many, mp_context=get_context("spawn")) as pool:
        yield pool.submit


# --- writers ---


@dataclass(frozen=True)
class Attempt:
    """One try to publish a run: how it was told from others, and its ledger entry and products if it was published."""

    key: RunKey
    units: int
    sequence: int | None
    products: dict[str, str] | None


@dataclass(frozen=True)
class Deeds:
    """What one writer did.

    Attributes:
        attempts: Its tries to publish.
        measured: Whether its measurement stood, repeated one that stood, or lost.
        backtested: The backtest that all others record too, as it stands, and whether this writer recorded it.
        own: Ledger entry of a backtest of its own.
    """

    attempts: tuple[Attempt, ...]
    measured: str
    backtested: tuple[BacktestRecord, bool]
    own: int


def write(place: Place, meeting: Path, number: int, writers: int, rounds: int, measured: bytes) -> Deeds:
    """Publish runs that all others want too, and runs of one's own; ingest, register and promote in between.

    At the end all measure the same day, backtest the same version, and each backtests another one in its own way.
    """
    stores = place.open()
    attempts = []
    for at in range(rounds):
        # Every round begins together: else on few cores the first may be through before the last begins.
        Meeting(meeting).wait_for(f"{at}-{number}", writers * (at + 1))
        if number < 2:
            # Both say the same at once.
            ingest(stores, at)
        if number == 2:
            stores.registry.promote("stat-1", by="ana", reason=f"round {at}")
        if number == 3:
            register(stores, f"stat-{at + 2}")
        attempts += [_attempt(stores, key, number + 1) for key in (shared_key(at), own_key(number, at))]
    Meeting(meeting).wait_for(f"end-{number}", writers * (rounds + 1))
    backtested = ledger_cases.record_backtest(stores)
    own, is_new = ledger_cases.record_backtest(stores, "stat-2", wape_of(number))
    assert is_new
    return Deeds(tuple(attempts), _measure(stores, measured), backtested, own.sequence)


def shared_key(at: int) -> RunKey:
    return run_key(at)


def own_key(number: int, at: int) -> RunKey:
    return run_key(100 * (number + 1) + at)


def wape_of(number: int) -> float:
    return (number + 1) / 1000


def _attempt(stores: Stores, key: RunKey, units: int) -> Attempt:
    try:
        published = stores.predictions.publish(key, staged(stores, key, units), required)
    except AlreadyPublishedError:
        return Attempt(key, units, None, None)
    return Attempt(key, units, published.sequence, dict(published.products))


def staged(stores: Stores, key: RunKey, units: int) -> dict[str, str]:
    """Write and accept the products of a run, as `store_cases.stage` does, but without validating the same rows."""
    store, inputs = stores.predictions, {"batches": [batch.batch_id for batch in stores.observations.batches()]}
    made = {}
    for name in PUBLISHED:
        data = to_parquet(product_frame(name, key, units))
        made[name] = store.write_bytes(
            name, data, key=key, path=f"{run_folder(name, key)}/{sha256(data)}.parquet", rows=1,
            schema=PRODUCTS[name].fingerprint, inputs=inputs, facts={"units": units},
        ).version  # fmt: skip
        for check in CHECKS:
            store.accept(made[name], check)
    return made


def _measure(stores: Stores, data: bytes) -> str:
    product = stores.predictions.write_bytes(
        "forecast_accuracy", data, key=f"daily/{CUTOFF}", path=f"accuracy/{sha256(data)}.parquet", rows=1, schema="",
        inputs={"batches": []}, facts={"known_until": "2025-06-05T12:00:00+00:00", "runs": 1},
    )  # fmt: skip
    try:
        _, is_new = stores.predictions.record_measurement("daily", CUTOFF, product, since=0, required_checks=())
    except LostRaceError:
        return "lost"
    return "stood" if is_new else "repeated"


def run_writers(place: Place, meeting: Path, writers: int, rounds: int, measured: Sequence[bytes]) -> list[Deeds]:
    """Let processes write at once; each measures with one of the given bytes."""
    meeting.mkdir()
    register(place.open())
    with processes(writers) as start:
        running = [
            start(write, place, meeting, number, writers, rounds, measured[number % len(measured)])
            for number in range(writers)
        ]
        return [one.result() for one in running]


# --- readers ---

Query = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Sight:
    """What one reader saw: connections, reads, the ledger entries that new connections showed, and its refusals.

    Attributes:
        kept: Over how many ledger entries a connection was held open and kept what it had.
        refused: How often a connection for writing was refused.
    """

    connections: int
    reads: int
    seen: frozenset[int]
    kept: int = 0
    refused: int = 0


HEAD: Final = "SELECT sequence FROM audit.ledger_head"
RUNS: Final = (
    "SELECT prediction_date, count(*), min(forecast_units)::INTEGER, max(forecast_units)::INTEGER, "
    'sum(forecast_units)::INTEGER FROM "stat-1".forecasts GROUP BY ALL ORDER BY ALL'
)
RISKS: Final = 'SELECT count(DISTINCT prediction_date) FROM "stat-1".stockout_risks'
KEYS: Final = "SELECT publication_key FROM audit.publications"
LINKS: Final = "SELECT count(DISTINCT publication_key) FROM audit.lineage WHERE link = 'forecasts'"
REPORTS: Final = (
    "SELECT evaluated_sequence, value, is_newest FROM audit.backtest_reports "
    "WHERE method = 'version' AND cutoff IS NULL ORDER BY ALL"
)
# Before every run its version is backtested.
ENTRIES_OF_DAY: Final = 2


def units_of(day: int) -> int:
    return day + 1


def look(query: Query, before: int) -> int:
    """Read everything that a connection shows; it must be what was published up to its ledger entry, and no more.

    Args:
        query: Runs SQL.
        before: Ledger entries before the first run.

    Returns:
        The ledger entry.
    """
    ((head,),) = query(HEAD)
    days = range((head - before) // ENTRIES_OF_DAY)
    numbers = [(units_of(day), units_of(day), ROWS_OF_FORECASTS * units_of(day)) for day in days]
    assert query(RUNS) == [(CUTOFF + timedelta(day), ROWS_OF_FORECASTS, *numbers[day]) for day in days]
    assert query(RISKS) == [(len(days),)]
    assert query(KEYS) == [(str(run_key(day)),) for day in days]
    assert query(LINKS) == [(len(days),)]
    backtested = [before + ENTRIES_OF_DAY * day + 1 for day in days]
    assert query(REPORTS) == [(entry, wape_of(day), day == days[-1]) for day, entry in enumerate(backtested)]
    return int(head)


def asking(connection: duckdb.DuckDBPyConnection) -> Query:
    return lambda sql: connection.execute(sql).fetchall()


@contextmanager
def by_duckdb(link: Path) -> Iterator[Query]:
    with duckdb.connect(str(link), read_only=True) as connection:
        yield asking(connection)


@contextmanager
def by_sqlalchemy(link: Path) -> Iterator[Query]:
    """As BI tools do."""
    engine = sqlalchemy.create_engine(f"duckdb:///{link}", connect_args={"read_only": True})
    try:
        with engine.connect() as connection:
            yield lambda sql: [tuple(row) for row in connection.execute(sqlalchemy.text(sql))]
    finally:
        engine.dispose()


@contextmanager
def by_attaching(link: Path) -> Iterator[Query]:
    """From a database of one's own, in memory, in which the views are copied to tables."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{link}' AS catalogue (READ_ONLY)")
        connection.execute("USE catalogue")

        def query(sql: str) -> list[tuple[Any, ...]]:
            connection.execute(f"CREATE OR REPLACE TABLE memory.mine AS {sql}")
            return connection.execute("FROM memory.mine").fetchall()

        yield query


WAYS: Final = {"duckdb": by_duckdb, "sqlalchemy": by_sqlalchemy, "attached": by_attaching}


def read(way: str, link: Path, meeting: Path, before: int) -> Sight:
    """Connect, read and leave, again and again; each connection shows what was built before it, or later."""
    at, connections, seen = Meeting(meeting), 0, set()
    is_last = False
    at.come(way)
    while not is_last:
        is_last, least = at.is_over(), at.built()
        with WAYS[way](link) as query:
            head = look(query, before)
            assert head >= least, f"{head} is shown, and {least} was built before"
            assert look(query, before) == head
        connections += 1
        seen.add(head)
        at.look_up(way)
    return Sight(connections, connections * 2, frozenset(seen))


def hold(link: Path, meeting: Path, before: int, held: int = 4) -> Sight:
    """Hold several connections open while others are built; each keeps what it had."""
    at, connections, reads, kept, seen = Meeting(meeting), 0, 0, 0, set()
    opened: list[tuple[duckdb.DuckDBPyConnection, int]] = []
    at.come("held")
    while not at.is_over():
        least = at.built()
        if least not in seen:
            opened.append((duckdb.connect(str(link), read_only=True), -1))
            connections += 1
        for number, (connection, known) in enumerate(opened):
            head = look(asking(connection), before)
            assert known in {-1, head}
            assert known != -1 or head >= least
            opened[number] = (connection, head)
            kept, reads = max(kept, at.built() - head), reads + 1
            seen |= {head, least}
        if len(opened) > held:
            opened.pop(0)[0].close()
        at.look_up("held")
    for connection, _ in opened:
        connection.close()
    return Sight(connections, reads, frozenset(seen), kept)


def try_to_write(link: Path, meeting: Path, before: int) -> Sight:
    """Connect to write, as many drivers do by default, as a user who may not; then read as one may."""
    # Imported while everything may still be read.
    with by_duckdb(link) as query:
        look(query, before)
    at, connections, refused, seen = Meeting(meeting), 0, 0, set()
    at.come("writer")
    if os.geteuid() == 0:
        os.setuid(65534)
    is_last = False
    while not is_last:
        is_last, least = at.is_over(), at.built()
        with pytest.raises(duckdb.IOException, match="Permission denied"):
            duckdb.connect(str(link))
        refused += 1
        with by_duckdb(link) as query:
            head = look(query, before)
            assert head >= least
        connections += 1
        seen.add(head)
        at.look_up("writer")
    return Sight(connections, connections, frozenset(seen), refused=refused)


def read_by_python(place: Place, meeting: Path, before: int) -> Sight:
    """Open the stores anew and read runs with their hashes; what the ledger names is there, whole."""
    at, connections, reads, seen = Meeting(meeting), 0, 0, set()
    at.come("python")
    is_last = False
    while not is_last:
        is_last, least = at.is_over(), at.built()
        stores = place.open()
        state = stores.ledger.state()
        assert state.sequence >= least
        assert list(state.publications) == [run_key(day) for day in range((state.sequence - before) // ENTRIES_OF_DAY)]
        for day, publication in list(enumerate(state.publications.values()))[-3:]:
            for name, version in publication.products.items():
                frame = stores.predictions.read(stores.predictions.version(version))
                assert frame.equals(product_frame(name, run_key(day), units_of(day)))
                reads += 1
        for day, record in list(enumerate(state.backtests["stat-1"]))[-3:]:
            report = stores.predictions.read(stores.predictions.version(record.product_version))
            assert report.equals(products.make_backtests("stat-1", wape_of(day)))
            reads += 1
        connections += 1
        seen.add(state.sequence)
        at.look_up("python")
    return Sight(connections, reads, frozenset(seen))


def read_back(stores: Stores, attempt: Attempt) -> None:
    """Read what a winner published, with its hashes; it holds the winner's numbers."""
    assert attempt.products is not None
    for name, version in attempt.products.items():
        frame = stores.predictions.read(stores.predictions.version(version))
        assert frame.equals(product_frame(name, attempt.key, attempt.units)), attempt
    assert isinstance(frame, pl.DataFrame)
