"""Many processes publish at once: every run once, nothing lost."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.keys import RunKey
from resources.maintenance.verification import verify_store
from resources.store.parquet import to_parquet
from tests.accuracy.test_records import rows
from tests.support import products
from tests.torture.crowd import Attempt, Deeds, Place, own_key, read_back, run_writers, shared_key, wape_of
from tests.torture.sizes import size

WRITERS = size(6, 8)
ROUNDS = size(2, 40)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[Deeds]]:
    folder = tmp_path_factory.mktemp("writers")
    place = Place(str(folder / "store"), str(folder / "mirror"))
    return place, write_at_once(place, folder / "meeting", WRITERS, ROUNDS)


def write_at_once(place: Place, meeting: Path, writers: int, rounds: int) -> list[Deeds]:
    """Let writers race, and check all that must be true of any store afterwards."""
    measured = [to_parquet(rows(late).select(FORECAST_ACCURACY.names)) for late in (0, 1)]
    done = run_writers(place, meeting, writers, rounds, measured)
    attempts = [attempt for deeds in done for attempt in deeds.attempts]
    require_one_winner_each(attempts, writers, rounds)
    require_nothing_lost(place, attempts)
    require_one_measurement(place, done)
    require_every_evaluation_once(place, done)
    return done


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


def require_every_evaluation_once(place: Place, done: Sequence[Deeds]) -> None:
    stores = place.open()
    evaluations = stores.ledger.state().evaluations
    # Who comes later has the evaluation that stands.
    assert {evaluation for evaluation, _ in (deeds.evaluated for deeds in done)} == set(evaluations["stat-1"])
    assert len(evaluations["stat-1"]) == sum(is_new for _, is_new in (deeds.evaluated for deeds in done)) == 1
    own = {deeds.own: number for number, deeds in enumerate(done)}
    assert [one.sequence for one in evaluations["stat-2"]] == sorted(own)
    for one in evaluations["stat-2"]:
        report = stores.predictions.read(stores.predictions.version(one.product_version))
        assert report.equals(products.make_backtests("stat-2", wape_of(own[one.sequence])))


def test_of_all_who_want_a_run_one_publishes_it_and_nothing_is_lost(written: tuple[Place, list[Deeds]]) -> None:
    place, done = written
    assert len(done) == WRITERS
    assert len(place.open().ledger.state().publications) == ROUNDS * (WRITERS + 1)


def test_the_race_was_one(written: tuple[Place, list[Deeds]]) -> None:
    """Who wins is up to the machine; that all were at it at the same time is not."""
    _, done = written
    sequences = [[a.sequence for a in deeds.attempts if a.sequence is not None] for deeds in done]
    assert max(min(own) for own in sequences) < min(max(own) for own in sequences)


def test_ingests_and_promotions_in_between_are_recorded(written: tuple[Place, list[Deeds]]) -> None:
    place, _ = written
    state = place.open().ledger.state()
    assert len(state.batches) == ROUNDS
    assert [appointment.reason for appointment in state.appointments] == [f"round {at}" for at in range(ROUNDS)]
    assert list(state.versions) == [f"stat-{number}" for number in range(1, ROUNDS + 2)]


def test_the_clock_of_the_ledger_never_goes_back(written: tuple[Place, list[Deeds]]) -> None:
    place, _ = written
    moments = [entry.recorded_at for entry in place.open().ledger.entries()]
    assert moments == sorted(moments)
