"""Many processes publish at once, into a folder or into a bucket: every run once, nothing lost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.keys import RunKey
from resources.maintenance.verification import verify_store
from resources.store.parquet import to_parquet
from tests.accuracy.test_records import rows
from tests.support import products
from tests.support.buckets import Server, lead_to, new_url
from tests.support.places import Place
from tests.torture.crowd import Attempt, Deeds, own_key, read_back, run_writers, shared_key, wape_of
from tests.torture.sizes import size


@dataclass(frozen=True)
class Written:
    """What was written at once, where, and how much of it."""

    place: Place
    writers: int
    rounds: int
    done: list[Deeds]


@pytest.fixture(scope="module")
def written_to_folder(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("writers")
    place = Place(str(folder / "store"), str(folder / "mirror"))
    return write_at_once(place, folder / "meeting", size(6, 8), size(2, 40))


@pytest.fixture(scope="module")
def written_to_bucket(started: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("writers")
    with pytest.MonkeyPatch.context() as patch:
        lead_to(started, patch)
        # The fewest that do everything: two ingest the same, one promotes, one registers.
        yield write_at_once(Place(new_url(), str(folder / "mirror")), folder / "meeting", writers=4, rounds=2)


@pytest.fixture(params=["folder", "bucket"])
def written(request: pytest.FixtureRequest) -> Written:
    made: Written = request.getfixturevalue(f"written_to_{request.param}")
    return made


def write_at_once(place: Place, meeting: Path, writers: int, rounds: int) -> Written:
    """Let writers race, and check all that must be true of any store afterwards."""
    measured = [to_parquet(rows(late).select(FORECAST_ACCURACY.names)) for late in (0, 1)]
    done = run_writers(place, meeting, writers, rounds, measured)
    attempts = [attempt for deeds in done for attempt in deeds.attempts]
    require_one_winner_each(attempts, writers, rounds)
    require_nothing_lost(place, attempts)
    require_one_measurement(place, done)
    require_every_backtest_once(place, done)
    return Written(place, writers, rounds, done)


def require_one_winner_each(attempts: Sequence[Attempt], writers: int, rounds: int) -> None:
    wins = Counter(attempt.key for attempt in attempts if attempt.sequence is not None)
    wanted = [shared_key(at) for at in range(rounds)]
    wanted += [own_key(number, at) for number in range(writers) for at in range(rounds)]
    assert wins == Counter(wanted)
    losses = Counter(attempt.key for attempt in attempts if attempt.sequence is None)
    assert losses == {shared_key(at): writers - 1 for at in range(rounds)}


def require_nothing_lost(place: Place, attempts: Sequence[Attempt]) -> None:
    stores = place.open()
    # Reading the entries verifies that each follows the one before.
    entries, state = stores.ledger.entries(), stores.ledger.state()
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    published = {entry.sequence: RunKey.parse(entry.body["key"]) for entry in entries if entry.kind == "publish"}
    winners = [attempt for attempt in attempts if attempt.sequence is not None]
    assert published == {attempt.sequence: attempt.key for attempt in winners}
    for attempt in winners:
        assert state.publications[attempt.key].products == attempt.products
        read_back(stores, attempt)
    assert verify_store(stores.blobs).findings == ()


def require_one_measurement(place: Place, done: Sequence[Deeds]) -> None:
    outcomes = Counter(deeds.measured for deeds in done)
    (days,) = place.open().ledger.state().measurements.values()
    assert len(days) == outcomes["stood"] == 1
    # Half of them have the numbers that stood.
    assert outcomes == {"stood": 1, "repeated": len(done) // 2 - 1, "lost": len(done) // 2}


def require_every_backtest_once(place: Place, done: Sequence[Deeds]) -> None:
    stores = place.open()
    backtests = stores.ledger.state().backtests
    # Who comes later has the backtest that stands.
    assert {record for record, _ in (deeds.backtested for deeds in done)} == set(backtests["stat-1"])
    assert len(backtests["stat-1"]) == sum(is_new for _, is_new in (deeds.backtested for deeds in done)) == 1
    own = {deeds.own: number for number, deeds in enumerate(done)}
    assert [one.sequence for one in backtests["stat-2"]] == sorted(own)
    for one in backtests["stat-2"]:
        report = stores.predictions.read(stores.predictions.version(one.product_version))
        assert report.equals(products.make_backtests("stat-2", wape_of(own[one.sequence])))


def test_of_all_who_want_a_run_one_publishes_it_and_nothing_is_lost(written: Written) -> None:
    assert len(written.done) == written.writers
    publications = written.place.open().ledger.state().publications
    assert len(publications) == written.rounds * (written.writers + 1)


def test_the_race_was_one(written: Written) -> None:
    """Who wins is up to the machine; that all were at it at the same time is not."""
    sequences = [[a.sequence for a in deeds.attempts if a.sequence is not None] for deeds in written.done]
    assert max(min(own) for own in sequences) < min(max(own) for own in sequences)


def test_ingests_and_promotions_in_between_are_recorded(written: Written) -> None:
    state, rounds = written.place.open().ledger.state(), range(written.rounds)
    assert len(state.batches) == written.rounds
    assert [move.reason for move in state.channel_moves] == [f"round {at}" for at in rounds]
    assert list(state.versions) == ["stat-1", *(f"stat-{at + 2}" for at in rounds)]


def test_the_clock_of_the_ledger_never_goes_back(written: Written) -> None:
    moments = [entry.recorded_at for entry in written.place.open().ledger.entries()]
    assert moments == sorted(moments)
