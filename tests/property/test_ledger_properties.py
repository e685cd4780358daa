"""Whatever happens and in whatever order: what could be read at a past position of the ledger reads the same after."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    AlreadyRegisteredError,
    ForecastAssetsError,
    InputError,
    NotAcceptedError,
    NothingToRollBackError,
    NotPublishedError,
    UnknownVersionError,
)
from forecast_assets.core.keys import CHANNELS, RunKey
from resources.ledger.entries.publish import Correction
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import ingest, register

FIRST_DAY = date(2025, 1, 1)
VERSIONS = ("stat-1", "stat-2", "stat-3")
BUNDLE = 3

versions = st.sampled_from(VERSIONS)
channels = st.sampled_from(CHANNELS[:2])
numbers = st.integers(0, 9)


@dataclass(frozen=True)
class Read:
    """All that could be read at one position: who serves, what is published, and its bytes."""

    head: tuple[int, str]
    channels: Mapping[str, str | None]
    versions: frozenset[str]
    batches: tuple[str, ...]
    published: Mapping[str, tuple[int, tuple[bytes, ...]]]


def read(stores: Stores) -> Read:
    """Read all there is; the stores may be of a past position."""
    state, store = stores.ledger.state(), stores.predictions
    return Read(
        (state.sequence, state.head),
        {name: state.channel(name) for name in CHANNELS},
        frozenset(state.versions),
        tuple(state.batches),
        {
            str(key): (each.sequence, tuple(store.read_bytes(store.version(each.products[name])) for name in PUBLISHED))
            for key, each in state.publications.items()
        },
    )


class Histories(RuleBasedStateMachine):
    """A store that takes steps in any order, many of which it must refuse, beside a model that says which."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr("resources.ledger.log.BUNDLE", BUNDLE)
        self.stores = open_stores(self.home)
        self.reads = [read(self.stores)]
        self.numbers: dict[RunKey, int] = {}
        self.registered: dict[str, bool] = {}
        self.history: dict[str, list[str]] = {name: [] for name in CHANNELS}
        self.ways: dict[str, list[str]] = {name: [] for name in CHANNELS}
        self.ingested: set[int] = set()

    def teardown(self) -> None:
        self.patched.undo()
        shutil.rmtree(self.home)

    @contextmanager
    def step(self, refused: type[ForecastAssetsError] | None, *, is_new: bool = True) -> Iterator[None]:
        """Take a step that must be refused with exactly that error, or else append an entry if it says anything new."""
        before = self.reads[-1]
        if refused is None:
            yield
            self.reads.append(read(self.stores))
            assert self.reads[-1].head[0] == before.head[0] + is_new
            if not is_new:
                assert self.reads.pop() == before
            return
        with pytest.raises(refused) as caught:
            yield
        assert type(caught.value) is refused
        assert read(self.stores) == before, "what is refused leaves no trace"

    @initialize()
    def begin(self) -> None:
        """Start where going back is possible, since few sequences come so far by chance."""
        for name in VERSIONS[:2]:
            self.register(name, is_good=True)
        for name in VERSIONS[:2]:
            self.promote("champion", name, "ana")

    @rule(day=st.integers(0, 3))
    def ingest(self, day: int) -> None:
        with self.step(None, is_new=day not in self.ingested):
            ingest(self.stores, day)
        self.ingested.add(day)

    @rule(name=versions, is_good=st.booleans())
    def register(self, name: str, is_good: bool) -> None:
        with self.step(AlreadyRegisteredError if name in self.registered else None):
            register(self.stores, name, gates={"backtest_beats_seasonal_naive": is_good})
        self.registered.setdefault(name, is_good)

    @rule(channel=channels, name=versions, by=st.sampled_from(["ana", "ana", " "]))
    def promote(self, channel: str, name: str, by: str) -> None:
        refused = (
            InputError
            if not by.strip()
            else UnknownVersionError
            if name not in self.registered
            else None
            if self.registered[name]
            else NotAcceptedError
        )
        with self.step(refused):
            self.stores.registry.promote(name, by=by, reason="a test", channel=channel)
        if refused is None:
            self.history[channel].append(name)
            self.ways[channel] += [] if self.ways[channel][-1:] == [name] else [name]

    @rule(channel=channels, to=st.none() | versions)
    def roll_back(self, channel: str, to: str | None) -> None:
        """Rolling back twice goes back twice: what was rolled back from is not on the way any more."""
        known, way = self.history[channel], self.ways[channel]
        target = to or (way[-2] if len(way) > 1 else None)
        is_earlier = target in known[:-1] and target != known[-1]
        with self.step(None if is_earlier else NothingToRollBackError):
            self.stores.registry.rollback(by="ben", reason="a test", channel=channel, to=to)
        if is_earlier and target is not None:
            known.append(target)
            steps_back = way[::-1].index(target) if target in way else 0
            self.ways[channel] = way[: len(way) - steps_back] if target in way else [*way, target]

    @rule(day=st.integers(0, 1), name=versions, revision=st.integers(0, 2), number=numbers)
    def publish(self, day: int, name: str, revision: int, number: int) -> None:
        key = RunKey("daily", FIRST_DAY + timedelta(days=day), name, 7, revision)
        refused = (
            AlreadyPublishedError
            if key in self.numbers
            else NotPublishedError
            if revision and replace(key, revision=revision - 1) not in self.numbers
            else None
            if name in self.registered
            else UnknownVersionError
        )
        with self.step(refused):
            publish(self.stores, key, number)
        if refused is None:
            self.numbers[key] = number

    @rule(beyond=st.integers(1, 3))
    def look_beyond_the_end(self, beyond: int) -> None:
        with self.step(InputError):
            self.stores.as_of(len(self.reads) - 1 + beyond)

    @rule()
    def reopen(self) -> None:
        """Another process goes on."""
        self.stores = open_stores(self.home)

    @invariant()
    def numbers_are_those_that_were_published(self) -> None:
        published = self.reads[-1].published
        assert set(published) == {str(key) for key in self.numbers}
        for key, number in self.numbers.items():
            assert {int(data) for data in published[str(key)][1]} == {number}

    @invariant()
    def channels_point_where_they_were_pointed_last(self) -> None:
        serving = {name: known[-1] if known else None for name, known in self.history.items()}
        assert self.reads[-1].channels == serving

    @invariant()
    def every_past_position_reads_as_it_did(self) -> None:
        """Channels, versions, batches, publications and all their bytes, to a process that has just begun."""
        opened = open_stores(self.home)
        for position, seen in enumerate(self.reads):
            assert read(opened.as_of(position)) == seen

    @invariant()
    def who_opens_the_store_knows_what_they_know_who_followed(self) -> None:
        opened = open_stores(self.home).ledger
        assert opened.state() == self.stores.ledger.state()
        assert opened.entries() == self.stores.ledger.entries()
        bundles = [*self.home.glob("ledger_bundles/*.jsonl")]
        assert len(bundles) == opened.state().sequence // BUNDLE, "the store was opened past the end of bundles"


def publish(stores: Stores, key: RunKey, number: int) -> None:
    """Commit a run whose products hold a number."""
    store, data = stores.predictions, str(number).encode()
    products = {
        name: store.write_artifact(name, data, key=key, folder=f"predictions/{name}", inputs={}, facts={}).version
        for name in PUBLISHED
    }
    correction = Correction("ana", f"it is {number}") if key.revision else None
    store.publish(key, products, lambda _: (), correction)


def test_any_sequence_of_steps_keeps_every_past_read() -> None:
    run_state_machine_as_test(Histories, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
