"""How everything does, on one page: alerts, probes, feeds, runs, accuracy, drift, destinations of events, backups.

What belongs here: what an operator looks at first, read from where each of it is. What does not: deciding what is wrong
(probes, alerts), or how it looks.

A part that cannot be read keeps no other from being shown: whoever opens this does so because something fails.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from threading import Lock
from types import MappingProxyType
from typing import Final, TypeVar

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.keys import CADENCES, last_day_over
from forecast_assets.core.operational_metrics import OperationalMetric, Reading
from forecast_assets.operations.backing_up import backups_of
from forecast_assets.operations.health.look import HomeHealth, HomeLook, Probe, Remembered, examine
from forecast_assets.operations.outbox import Delivery, outbox_state
from forecast_assets.serving.dataplane.service_state import ServiceState, without_paths
from forecast_assets.settings import Settings
from forecast_assets.telemetry.collectors import all_readings, home_collectors
from forecast_assets.telemetry.home_metrics import FEED_LAG, newest_of_champion
from forecast_assets.telemetry.quality_metrics import BIAS, COVERAGE, JUDGED, SKILL, WAPE
from resources.ledger.entries.drift import DriftRecords
from resources.ledger.entries.judged_days import Signal
from resources.ledger.entries.measure import Measurements
from resources.ledger.state import LedgerState
from resources.maintenance.backup_index import BackupRecord
from resources.operational.alerts import Alert, AlertStore
from resources.operational.traces import RunTimes, TraceStore
from resources.stores.home import Stores

_T = TypeVar("_T")
_RUNS: Final = 12
_PROBE_SECONDS: Final = 5.0
# Whoever reloads the page within so long sees the same: probes ask disks and servers.
_KEPT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class FeedState:
    """How far a feed is.

    Attributes:
        feed: Its name.
        newest_day: That it speaks of.
        lag_days: Days that are over since then; below 0 for days to come.
    """

    feed: str
    newest_day: date
    lag_days: int


@dataclass(frozen=True)
class ChampionRun:
    """The newest published run of a cadence's champion.

    Attributes:
        run: Its key, as text.
        model_version: Its version.
        prediction_date: Its date.
        published_at: When, ISO 8601 in UTC.
        sequence: Ledger entry.
        age_days: Days that are over since its date.
    """

    run: str
    model_version: str
    prediction_date: date
    published_at: str
    sequence: int
    age_days: int


@dataclass(frozen=True)
class MeasuredAccuracy:
    """How good the published forecasts of a live version were, of all series, over its newest 28 measured days.

    Attributes:
        cadence: Of its runs.
        model_version: The version.
        last_day: The newest measured day of the cadence; None where it is not known.
        figures: Shares by metric, `wape`, `relative_to_naive`, `bias`, `coverage_80`; those not known left out.
        rows: Forecasts that were judged.
    """

    cadence: str
    model_version: str
    last_day: date | None
    figures: Mapping[str, float]
    rows: int


@dataclass(frozen=True)
class OperationsOverview:
    """How everything does.

    Attributes:
        at: When it was looked at, in UTC.
        service: What this process says of itself.
        recorded_at: When the newest entry of the ledger was recorded, ISO 8601 in UTC; empty where none is.
        alerts: Those that are open or acknowledged, the worst first.
        health: What the probes saw that a page can wait for.
        feeds: By feed.
        champions: The newest published run of each cadence's champion.
        runs: The last runs and how long they took, the newest first.
        accuracy: By cadence and live version.
        signals: Of drift, told and not closed.
        destinations: How far each destination of events is.
        backups: The last one to each place, the newest first.
        troubles: What could not be read, and why, a sentence each.
    """

    at: datetime
    service: ServiceState
    recorded_at: str
    alerts: Sequence[Alert]
    health: HomeHealth
    feeds: Sequence[FeedState]
    champions: Sequence[ChampionRun]
    runs: Sequence[RunTimes]
    accuracy: Sequence[MeasuredAccuracy]
    signals: Sequence[Signal]
    destinations: Sequence[Delivery]
    backups: Sequence[BackupRecord]
    troubles: Sequence[str]


class OverviewDesk:
    """Looks at a home and its service, and keeps what it saw for some seconds.

    Args:
        settings: Of the home.
        stores: Of the home.
        state: Returns what the service says of itself.
        clock: Returns the present moment.
        probes: What is looked at besides.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        state: Callable[[], ServiceState],
        clock: Callable[[], datetime],
        probes: Sequence[Probe],
    ) -> None:
        self._settings, self._stores, self._state, self._clock, self._probes = settings, stores, state, clock, probes
        self._collectors = home_collectors(settings, stores, clock)
        self._remembered = Remembered()
        self._lock = Lock()
        self._kept: tuple[float, OperationsOverview] | None = None

    def overview(self) -> OperationsOverview:
        """Return how everything does; several who ask at once look once."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > _KEPT_SECONDS:
                overview = self._look()
                self._kept = time.monotonic(), overview
            return self._kept[1]

    def _look(self) -> OperationsOverview:
        settings, now, parts = self._settings, self._clock(), _Parts()
        store = AlertStore(settings.operational_path)
        alerts: Sequence[Alert] = parts.read("Alerts", store.all, ())
        failing: Mapping[str, str] = parts.read("Destinations of alerts", store.failing, MappingProxyType({}))
        ledger = parts.read("The ledger", self._stores.ledger.state, None)
        readings = all_readings(self._collectors)
        look = HomeLook(
            settings, now, stores=self._stores, remembered=self._remembered, destinations=failing, is_read_only=True
        )
        return OperationsOverview(
            at=now,
            service=without_paths(self._state()),
            recorded_at="" if ledger is None else ledger.recorded_at,
            alerts=sorted(alerts, key=lambda each: (-each.severity.rank, each.opened_at)),
            health=examine(self._probes, look, seconds=_PROBE_SECONDS),
            feeds=_feeds(readings, now),
            champions=[] if ledger is None else _champions(ledger, now),
            runs=TraceStore(settings.traces_path).last_times([*CADENCES], _RUNS),
            accuracy=_accuracy(readings, ledger),
            signals=[] if ledger is None else [*ledger.part(DriftRecords).open_before(date.max).values()],
            destinations=parts.read("Destinations of events", lambda: outbox_state(settings, self._stores), []),
            backups=parts.read("Backups", lambda: backups_of(settings), []),
            troubles=parts.troubles,
        )


@dataclass
class _Parts:
    """Reads parts, and keeps why one could not be read."""

    troubles: list[str] = field(default_factory=list)

    def read(self, what: str, reader: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return reader()
        except ForecastAssetsError as error:
            self.troubles.append(f"{what} cannot be read: {error.message}")
            return otherwise


def _feeds(readings: Sequence[Reading], now: datetime) -> list[FeedState]:
    over = last_day_over(now)
    found = []
    for reading in readings:
        if reading.metric is FEED_LAG:
            lag = int(reading.value)
            found.append(FeedState(reading.labels[0], over - timedelta(days=lag), lag))
    return found


def _champions(ledger: LedgerState, now: datetime) -> list[ChampionRun]:
    over = last_day_over(now)
    published = (newest_of_champion(ledger, cadence) for cadence in CADENCES)
    return [
        ChampionRun(
            str(run.key), run.key.model_version, run.key.prediction_date, run.recorded_at, run.sequence,
            (over - run.key.prediction_date).days,
        )
        for run in published
        if run is not None
    ]  # fmt: skip


def _accuracy(readings: Sequence[Reading], ledger: LedgerState | None) -> list[MeasuredAccuracy]:
    def of_all(metric: OperationalMetric, *more: str) -> dict[tuple[str, str], float]:
        return {
            (reading.labels[0], reading.labels[1]): reading.value
            for reading in readings
            if reading.metric is metric and reading.labels[2:] == ("all", *reading.labels[3:4], *more)
        }

    known = {
        "wape": of_all(WAPE), "relative_to_naive": of_all(SKILL), "bias": of_all(BIAS),
        "coverage_80": of_all(COVERAGE, "80"),
    }  # fmt: skip
    days: dict[str, date] = {}
    for cadence, day in () if ledger is None else ledger.part(Measurements).by_day:
        days[cadence] = max(day, days.get(cadence, day))
    return [
        MeasuredAccuracy(
            cadence,
            version,
            days.get(cadence),
            {name: values[cadence, version] for name, values in known.items() if (cadence, version) in values},
            int(rows),
        )
        for (cadence, version), rows in sorted(of_all(JUDGED).items())
    ]
