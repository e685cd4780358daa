"""Keeping the runs of channels prepared: whatever goes wrong, the next look comes."""

import logging
from dataclasses import dataclass
from datetime import date
from threading import Event
from time import sleep
from typing import cast

import pytest

from forecast_assets.core.errors import StorageError
from forecast_assets.core.keys import RunKey
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.warming import Warming, runs_to_warm
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.stores.home import Stores
from tests.support.store_cases import ingest, publish, register, run_key


class FailingFeatures:
    """Fails at each look, each time otherwise, and at last not any more."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [StorageError("no answer"), OSError("no disk"), KeyError("a defect")]
        self.looked = Event()

    def let_go_old(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.looked.set()


def test_no_error_ends_the_looks_and_each_is_logged(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    features = FailingFeatures()
    with caplog.at_level(logging.WARNING), Warming(stores, cast("OnlineFeatures", features), RowBlocks(stores), 0.01):
        assert features.looked.wait(10)
    assert [(each.levelname, each.exc_info is not None) for each in caplog.records] == [
        ("WARNING", False), ("WARNING", False), ("ERROR", True),
    ]  # fmt: skip


class NotedFeatures:
    """Notes which runs are prepared."""

    def __init__(self) -> None:
        self.warmed: list[RunKey] = []

    def warm(self, run: RunKey, _told: object) -> None:
        self.warmed.append(run)

    def let_go_old(self) -> None:
        pass


class RefusedOnce(NotedFeatures):
    """Cannot prepare runs of one version."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self.version, self.looks = version, 0

    def warm(self, run: RunKey, told: object) -> None:
        super().warm(run, told)
        if run.model_version == self.version:
            raise StorageError("this code makes other numbers", remedy="none")

    def let_go_old(self) -> None:
        self.looks += 1


def test_a_run_that_cannot_be_prepared_holds_up_no_other_and_is_left_alone_for_a_while(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(stores)
    for version, channel in (("stat-1", "champion"), ("stat-2", "challenger")):
        register(stores, version)
        publish(stores, run_key(0, version))
        stores.registry.promote(version, by="ana", reason="better", channel=channel)
    features = RefusedOnce("stat-1")
    warming = Warming(stores, cast("OnlineFeatures", features), RowBlocks(stores))
    with pytest.raises(StorageError, match="other numbers"):
        warming.once()
    warming.once()
    assert [run.model_version for run in features.warmed] == ["stat-1", "stat-2", "stat-2"]
    assert features.looks == 2
    monkeypatch.setattr("forecast_assets.serving.dataplane.warming.monotonic", lambda: 1e12)
    with pytest.raises(StorageError):
        warming.once()


class NotedBlocks:
    """Notes whose rows are kept beforehand, and fails every time."""

    def __init__(self) -> None:
        self.warmed: list[RunKey] = []

    def warm(self, runs: list[Publication]) -> None:
        self.warmed += [run.key for run in runs]
        raise OSError("no disk")


def test_rows_of_the_newest_run_are_kept_and_it_is_prepared_though_they_cannot_be(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(stores)
    register(stores)
    publish(stores, run_key())
    stores.registry.promote(run_key().model_version, by="ana", reason="better")
    features, few = NotedFeatures(), NotedBlocks()
    Warming(stores, cast("OnlineFeatures", features), cast("RowBlocks", few)).once()
    assert few.warmed == features.warmed == [run_key()]
    assert [each.exc_info is not None for each in caplog.records] == [True]


class NotedRuns:
    """Notes whose rows are kept beforehand, and which look it was."""

    def __init__(self) -> None:
        self.looks: list[list[RunKey]] = []
        self.is_there = Event()

    def warm(self, runs: list[Publication]) -> None:
        self.looks.append([run.key for run in runs])
        if runs:
            self.is_there.set()


def test_a_run_that_is_published_is_noticed_before_the_next_look_and_nothing_else_brings_one(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_assets.serving.dataplane.warming.NOTICES_SECONDS", 0.01)
    ingest(stores)
    register(stores)
    few = NotedRuns()
    with Warming(stores, cast("OnlineFeatures", NotedFeatures()), cast("RowBlocks", few), 1_000.0):
        while not few.looks:
            sleep(0.001)
        sleep(0.1)
        assert few.looks == [[]]
        publish(stores, run_key())
        assert few.is_there.wait(10)
    assert few.looks[-1] == [run_key()]


@dataclass
class Followed:
    """What is looked at of a ledger."""

    publications: list[RunKey]
    channels: dict[str, str]

    def channel(self, name: str) -> str | None:
        return self.channels.get(name)


def test_runs_of_channels_are_warmed_and_where_a_cadence_has_none_its_newest() -> None:
    weekly = RunKey("weekly", date(2025, 1, 5), "stat-2", 90)
    published = [run_key(0), run_key(1), run_key(1, revision=1), run_key(2, "stat-2"), weekly]

    def warmed(**channels: str) -> list[RunKey]:
        return runs_to_warm(cast("LedgerState", Followed(published, channels)))

    assert warmed() == [run_key(2, "stat-2"), weekly]
    assert warmed(champion="stat-1") == [run_key(1, revision=1), weekly]
    assert warmed(champion="stat-1", challenger="stat-2") == [run_key(1, revision=1), run_key(2, "stat-2"), weekly]
    # A version that has published nothing yet is nobody's reason to prepare another one.
    assert warmed(champion="stat-3") == [weekly]
    published.clear()
    assert warmed() == []
