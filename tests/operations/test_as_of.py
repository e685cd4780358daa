"""What could be read at a past position of the ledger can be read again, by number and by moment."""

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.core.errors import InputError, NotPublishedError, RefusedError
from forecast_assets.operations.reading import read_product, resolve_run, stores_as_of
from forecast_assets.presentation.log import log_line, log_text
from resources.ledger.entries import KINDS
from resources.ledger.entries.folded import GENESIS
from resources.ledger.log import Ledger, PastLedger, entry_path
from resources.ledger.records import canonical
from resources.store.blobs import BlobStore, sha256
from resources.stores.home import Stores, open_stores
from tests.support.command import Call, caller
from tests.support.ledger_cases import LEFTOVER, every_kind
from tests.support.store_cases import CUTOFF, ingest, publish, register, run_key

# When the entries of the store below were recorded.
DAYS = {1: 10, 2: 11, 3: 12, 4: 12, 5: 13, 6: 14}


class _Clock(datetime):
    """A clock that says what it is told."""

    told = datetime(2025, 3, 10, 8, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        assert tz is UTC
        return cls.told


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six entries on five days of March: ingest, register, promote, publish, a correction, another version."""
    made = open_stores(tmp_path_factory.mktemp("template") / "store")
    steps: list[Callable[[], object]] = [
        lambda: ingest(made),
        lambda: register(made),
        lambda: made.registry.promote("stat-1", by="ana", reason="the first"),
        lambda: publish(made, run_key(), units=4),
        lambda: publish(made, run_key(revision=1), units=9),
        lambda: register(made, "stat-2"),
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("resources.ledger.log.datetime", _Clock)
        for sequence, step in enumerate(steps, start=1):
            _Clock.told = datetime(2025, 3, DAYS[sequence], 8, sequence, 5, tzinfo=UTC)
            step()
    return made.blobs.root


@pytest.fixture
def stores(template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(template, tmp_path / "home/store"))


@pytest.fixture
def call(stores: Stores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(stores.blobs.root.parent))
    monkeypatch.chdir(stores.blobs.root.parent)

    return caller(monkeypatch, capsys)


def units(stores: Stores) -> int:
    """What a planner reads who names date and version only."""
    frame = read_product(stores, resolve_run(stores, "daily", CUTOFF, "stat-1"), "forecasts")
    return int(frame["forecast_units"][0])


def test_what_was_read_before_a_correction_is_read_again(stores: Stores) -> None:
    with pytest.raises(NotPublishedError, match="has been corrected"):
        units(stores)
    assert units(stores_as_of(stores, 4)) == 4
    with pytest.raises(NotPublishedError, match="Nothing is published"):
        units(stores_as_of(stores, 3))


@pytest.mark.parametrize("position", range(1, len(DAYS) + 1))
def test_every_position_has_the_head_it_had(stores: Stores, position: int) -> None:
    entry = stores.ledger.entries()[position - 1]
    state = stores_as_of(stores, position).ledger.state()
    assert (state.sequence, state.head, state.recorded_at) == (position, entry.hash, entry.recorded_at)


def test_a_moment_is_the_last_entry_recorded_by_it(stores: Stores) -> None:
    at = datetime(2025, 3, 12, 8, 3, 5, tzinfo=UTC)
    second = timedelta(seconds=1)
    stood = [stores_as_of(stores, moment).ledger.state().sequence for moment in (at - second, at, at + second)]
    assert stood == [2, 3, 3]


def test_the_past_takes_nothing_in(stores: Stores) -> None:
    past = stores_as_of(stores, 2)
    for record in (
        lambda: past.registry.promote("stat-1", by="ana", reason="too late"),
        lambda: past.registry.register({"model_version": "stat-9", **vars(stores.registry.model_version("stat-1"))}),
        lambda: ingest(past, 5),
        lambda: publish(past, run_key(3)),
    ):
        with pytest.raises(RefusedError):
            record()
    assert open_stores(stores.blobs.root).ledger.state().sequence == len(DAYS)


def test_the_past_stays_while_others_append(stores: Stores) -> None:
    past = stores_as_of(stores, 4)
    before = past.ledger.state().head
    publish(stores, run_key(2))
    assert (past.ledger.state().head, past.ledger.state().sequence) == (before, 4)
    assert isinstance(past.ledger, PastLedger)
    assert past.ledger.entries() == Ledger(stores.blobs).entries()[:4]


def test_before_the_first_entry_there_is_nothing_to_read(stores: Stores, tmp_path: Path) -> None:
    for position in (0, datetime(2025, 3, 10, 7, tzinfo=UTC)):
        with pytest.raises(InputError, match="had not begun then: its first entry is of 2025-03-10T08:01:05"):
            stores_as_of(stores, position)
    with pytest.raises(InputError, match="it has no entry"):
        stores_as_of(open_stores(tmp_path / "empty"), datetime(2025, 3, 10, tzinfo=UTC))


@pytest.mark.parametrize("position", [7, 1000, -1])
def test_a_number_that_no_entry_has_is_refused(stores: Stores, position: int) -> None:
    with pytest.raises(InputError, match=f"has 6 entries, so there is no position {position}"):
        stores_as_of(stores, position)


def test_a_moment_by_which_more_may_be_recorded_is_refused(stores: Stores) -> None:
    now = datetime.now(UTC)
    for moment in (now, now + timedelta(days=1)):
        with pytest.raises(InputError, match=r"is not over.*newest entry, 6\."):
            stores_as_of(stores, moment)
    assert stores_as_of(stores, now - timedelta(seconds=2)).ledger.state().sequence == 6


def test_a_moment_before_a_newest_entry_whose_clock_ran_ahead_is_settled(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded before the newest entry, so what stood before it cannot change any more."""
    _Clock.told = datetime.now(UTC) + timedelta(days=2)
    with monkeypatch.context() as patched:
        patched.setattr("resources.ledger.log.datetime", _Clock)
        stores.registry.promote("stat-1", by="ben", reason="from a machine that is two days ahead")
    assert stores_as_of(stores, datetime.now(UTC) + timedelta(days=1)).ledger.state().sequence == 6
    with pytest.raises(InputError, match="is not over"):
        stores_as_of(stores, _Clock.told + timedelta(days=1))


def test_a_moment_is_a_whole_past_though_the_clocks_of_the_first_release_went_back(tmp_path: Path) -> None:
    """Entries 2 and 4 are from a machine whose clock runs ahead: what follows them is not taken without them."""
    previous, days = GENESIS, (1, 5, 2, 9, 3)
    (tmp_path / "ledger").mkdir()
    for sequence, day in enumerate(days, start=1):
        body = {"channel": "champion", "model_version": f"v-{sequence}", "by": "ana", "reason": "x"}
        data = canonical(
            {
                "format": 1, "sequence": sequence, "previous": previous, "kind": "promote",
                "recorded_at": f"2025-03-{day:02d}T08:00:00+00:00", "body": body,
            }
        )  # fmt: skip
        (tmp_path / entry_path(sequence)).write_bytes(data)
        previous = sha256(data)
    ledger = Ledger(BlobStore(tmp_path))
    stood = {day: PastLedger(ledger, datetime(2025, 3, day, 9, tzinfo=UTC)) for day in range(1, 11)}
    ends = {day: past.state().sequence for day, past in stood.items()}
    assert ends == {1: 1, 2: 1, 3: 1, 4: 1, 5: 3, 6: 3, 7: 3, 8: 3, 9: 5, 10: 5}
    for past in stood.values():
        assert past.entries() == ledger.entries()[: past.state().sequence]


@pytest.mark.parametrize(
    ("as_of", "entry"),
    [
        ("4", 4),
        ("2025-03-12", 4),
        ("2025-03-12T08:03:05", 3),
        ("2025-03-12 08:04", 3),
        ("2025-03-12T08:04:05Z", 4),
        ("2025-03-12T10:04:05+02:00", 4),
        ("2025-03-13T00:00", 4),
    ],
)
def test_commands_take_a_number_a_moment_or_a_day(call: Call, as_of: str, entry: int) -> None:
    code, told = call("runs", "--as-of", as_of)
    assert code == 0
    assert told.startswith(f"As of ledger entry {entry}, 2025-03-12T08:0{entry}:05Z: what came later is not shown.\n\n")
    assert ("daily/2025-01-01/stat-1/7/r0" in told) == (entry == 4)
    assert "r1" not in told


@pytest.mark.parametrize("as_of", ["yesterday", "2025-13-01", "1.5", "", "0001-01-01T00:00+05:00"])
def test_what_is_no_position_is_named(call: Call, as_of: str) -> None:
    code, told = call("runs", "--as-of", as_of)
    assert code == 2
    assert f"`{as_of}` is no position of the ledger" in told


RUN = ("--date", CUTOFF, "--model-version", "stat-1")
READERS = {
    "show": ("show", "forecasts", *RUN),
    "runs": ("runs",),
    "versions": ("versions",),
    "feeds": ("feeds",),
    "log": ("log",),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_the_same_as_it_did_then(call: Call, stores: Stores, reader: str) -> None:
    command = READERS[reader]
    past, now = call(*command, "--as-of", 4), call(*command)
    for later in ("000000000005.json", "000000000006.json"):
        (stores.blobs.root / "ledger" / later).unlink()
    code, then = call(*command)
    assert code == past[0] == 0
    assert past[1] == f"As of ledger entry 4, 2025-03-12T08:04:05Z: what came later is not shown.\n\n{then}"
    assert (now[1] == then) == (reader == "feeds"), "the head says something else"


def test_what_was_published_is_exported_as_it_stood(call: Call, stores: Stores, tmp_path: Path) -> None:
    assert call("export", "forecasts", *RUN, "--out", tmp_path / "now.parquet")[0] == 2
    code, told = call("export", "forecasts", *RUN, "--out", tmp_path / "then.parquet", "--as-of", "2025-03-12")
    assert (code, told.splitlines()[0][:23]) == (0, "As of ledger entry 4, 2")
    written = pl.read_parquet(tmp_path / "then.parquet")
    assert written.equals(read_product(stores, stores.predictions.publication(run_key()), "forecasts"))


def test_a_catalogue_of_the_past_shows_what_bi_tools_saw_then(call: Call, stores: Stores, tmp_path: Path) -> None:
    out = tmp_path / "then.duckdb"
    code, told = call("catalogue", "--as-of", 4, "--out", out)
    assert (code, told.splitlines()[0][:23]) == (0, "As of ledger entry 4, 2")
    with duckdb.connect(str(out), read_only=True) as connection:
        head = connection.sql("SELECT sequence, hash FROM audit.ledger_head").fetchall()
        units = connection.sql('SELECT DISTINCT revision, forecast_units::INT FROM "stat-1".forecasts').fetchall()
        published = connection.sql("SELECT publication_key FROM audit.publications").fetchall()
    assert head == [(4, stores.ledger.entries()[3].hash)]
    assert units == [(0, 4)]
    assert published == [(str(run_key()),)]
    assert not (stores.blobs.root.parent / "catalogue").exists(), "the present catalogue is left alone"


def test_a_catalogue_of_the_past_replaces_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "there.duckdb").write_text("mine")
    assert call("catalogue", "--as-of", 4, "--out", tmp_path / "there.duckdb")[0] == 2
    assert (tmp_path / "there.duckdb").read_text() == "mine"
    assert call("catalogue", "--as-of", 4, "--out", tmp_path / "no/folder.duckdb")[0] == 2
    for half in (("--as-of", 4), ("--out", tmp_path / "new.duckdb")):
        code, told = call("catalogue", *half)
        assert code == 2
        assert "needs both --as-of and --out" in told


def test_the_log_says_what_when_who_and_why_newest_first(call: Call) -> None:
    code, told = call("log")
    assert code == 0
    # Columns are as wide as the terminal: what wraps is put together again.
    accepted = "6 products, 12 checks accepted"
    entries = [" ".join(entry.split()) for entry in re.split(r"\n(?=\d)", told)[1:]]
    assert entries == [
        "6 2025-03-14T08:06:05Z register stat-2: statistical, trained up to 2025-01-01; gates passed",
        f"5 2025-03-13T08:05:05Z publish {run_key(revision=1)}: {accepted}; corrects ana sales restated {run_key()}",
        f"4 2025-03-12T08:04:05Z publish {run_key()}: {accepted}",
        "3 2025-03-12T08:03:05Z promote champion is stat-1 ana the first",
        "2 2025-03-11T08:02:05Z register stat-1: statistical, trained up to 2025-01-01; gates passed",
        "1 2025-03-10T08:01:05Z ingest 1 batch from till, 2025-01-01 to 2025-01-01; rows: sales 2",
    ]


def test_the_log_is_of_one_kind_and_no_longer_than_asked(call: Call) -> None:
    code, told = call("log", "--kind", "publish", "--top", 1)
    assert (code, told.splitlines()[1].split()[0]) == (0, "5")
    assert told.splitlines()[-1] == "1 earlier entry; show more with --top"
    assert "r0:" not in told
    assert call("log", "--kind", "vacuum")[0] == 3
    assert call("log", "--kind", "abolish")[0] == 2


def test_every_kind_of_entry_has_words(tmp_path: Path) -> None:
    stores = open_stores(tmp_path)
    every_kind(stores)
    assert {entry.kind for entry in stores.ledger.entries()} == set(KINDS)
    lines = log_text(stores, top=100).splitlines()
    assert len(lines) > len(KINDS)
    told = {entry.kind: log_line(entry) for entry in stores.ledger.entries()}
    assert told["rollback"] == ("champion is stat-1 again", "ben", "worse on promotions")
    assert told["vacuum"] == (f"removing 1 file that no entry names, {len(LEFTOVER)} bytes", "ops", "")
    assert told["vacuumed"].what.startswith("the vacuum of entry ")
    assert told["measure"].what == "daily forecasts of 2025-01-06: 2 runs, by sales known until 2025-01-06T23:00:00Z"
