"""Evaluating alerts: looking, keeping what was found, telling what changed. One use case for the command and Dagster.

What belongs here: the order of these. What does not: any of them.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from forecast_assets.alerts.destinations import Destination, NotTakenError, read_destinations
from forecast_assets.alerts.sending import Delivered, deliver
from forecast_assets.alerts.wording import WordedNotice
from forecast_assets.core.errors import IntegrityError, StorageError
from forecast_assets.core.health import HealthFinding
from forecast_assets.operations.health.look import HomeHealth, HomeLook, Probe, Remembered, RunHistory, examine
from forecast_assets.operations.health.registry import ALERTING
from forecast_assets.operations.outbox import record_alerts
from forecast_assets.presentation.actions import sentence_text
from forecast_assets.settings import Settings
from resources.operational.alerts import (
    CLOSED,
    OPEN,
    OPENED,
    Alert,
    AlertStore,
    Notice,
    NoticeItem,
    TakenFindings,
    TellingRules,
)
from resources.stores.home import Stores

_UNKEPT_AGAIN: Final = 3600.0
# Changes of so long are recorded as events if they are not: who died between keeping and recording did so lately.
_RECORDED_AGAIN: Final = timedelta(days=2)


@dataclass(frozen=True)
class AlertEvaluation:
    """What came of evaluating the alerts of a home.

    Attributes:
        health: What probes saw.
        taken: What opened and closed, and what is told.
        delivered: What each destination was handed.
        trouble: Why alerts could not be kept; empty if they were.
    """

    health: HomeHealth
    taken: TakenFindings
    delivered: tuple[Delivered, ...] = ()
    trouble: str = ""


@dataclass
class AlertEvaluator:
    """Evaluates alerts of a home again and again; remembers what need not be read again.

    Attributes:
        settings: Of the home.
        probes: What is looked at.
        remembered: Of looks before.
    """

    settings: Settings
    probes: Sequence[Probe] = ALERTING
    remembered: Remembered = field(default_factory=Remembered)
    _told_unkept: float | None = None

    def evaluate(
        self, history: RunHistory | None = None, stores: Stores | None = None, now: datetime | None = None
    ) -> AlertEvaluation:
        """Look, open and close alerts, and tell what changed.

        Args:
            history: What Dagster remembers of runs.
            stores: Where everything is, if it is open already.
            now: The present moment; that of the clock if left out.

        Raises:
            InputError: If an address of a destination is none.
        """
        now = now or datetime.now(UTC)
        destinations = read_destinations(self.settings.alert_to)
        store = AlertStore(self.settings.operational_path)
        names = {each.name for each in destinations}
        look = HomeLook(self.settings, now, history, stores, self.remembered, failing_destinations(self.settings))
        health = examine(self.probes, look)
        findings = [(each, sentence_text(each.remedy)) for each in health.findings if each.is_alert]
        try:
            taken = store.take(
                findings, now, unknown=health.unknown_codes, destinations=sorted(names), rules=self._rules
            )
            changed = [*store.changed_since(now - _RECORDED_AGAIN)]
            delivered = deliver(store, destinations, self._worded, now)
        except (StorageError, IntegrityError) as error:
            return AlertEvaluation(
                health, TakenFindings(), self._tell_unkept(findings, destinations, error, now), str(error)
            )
        # Last: the database of events may be what the alerts are about. What is not recorded now is at the next look.
        with suppress(StorageError):
            record_alerts(self.settings, changed)
        return AlertEvaluation(health, taken, tuple(delivered))

    @property
    def _rules(self) -> TellingRules:
        return TellingRules(timedelta(hours=self.settings.alert_again_hours), self.settings.alert_most_per_hour)

    def _worded(self, notice: Notice) -> WordedNotice:
        return told(self.settings, notice)

    def _tell_unkept(
        self,
        findings: Sequence[tuple[HealthFinding, str]],
        destinations: Sequence[Destination],
        error: Exception,
        now: datetime,
    ) -> tuple[Delivered, ...]:
        """Tell what was found though it cannot be kept, as on a full disk; once an hour: what is new, nobody knows."""
        if self._told_unkept is not None and time.monotonic() - self._told_unkept < _UNKEPT_AGAIN:
            return ()
        self._told_unkept = time.monotonic()
        unkept = HealthFinding(
            "probe-failed", "alerts", f"Alerts cannot be kept: {error}", "Free space or mend rights."
        )
        items = tuple(
            NoticeItem(OPENED, unrecorded(finding, remedy, now))
            for finding, remedy in [*findings, (unkept, str(unkept.remedy))]
        )
        return tuple(send_each(destinations, self._worded(Notice(str(uuid4()), now, items))))


def failing_destinations(settings: Settings) -> Mapping[str, str]:
    """Return which destinations of a home did not take what was sent last, each with why; none where nobody knows.

    Raises:
        InputError: If an address of a destination is none.
    """
    names = {each.name for each in read_destinations(settings.alert_to)}
    try:
        return {name: why for name, why in AlertStore(settings.operational_path).failing().items() if name in names}
    except (StorageError, IntegrityError):
        return {}


def told(settings: Settings, notice: Notice) -> WordedNotice:
    """Return a notification of a home with what its words need."""
    return WordedNotice(
        notice, f"{settings.home.expanduser().absolute()} on {socket.gethostname()}", settings.alert_runbooks
    )


def unrecorded(finding: HealthFinding, remedy: str, now: datetime) -> Alert:
    """Return an alert that no store has."""
    return Alert(
        0, finding.fingerprint, finding.code, finding.subject, finding.words, remedy, finding.facts, OPEN, now, now
    )


def send_each(destinations: Sequence[Destination], message: WordedNotice) -> list[Delivered]:
    """Hand a notification to destinations that no store knows of."""
    found = []
    for destination in destinations:
        try:
            destination.send(message)
        except NotTakenError as error:
            found.append(Delivered(destination.name, 0, str(error)))
        else:
            found.append(Delivered(destination.name, 1))
    return found


def try_destinations(settings: Settings, now: datetime) -> list[Delivered]:
    """Send every destination an alert that says it is a test, and its end; nothing is recorded.

    Raises:
        InputError: If an address of a destination is none.
    """
    finding = HealthFinding("probe-failed", "test", "This is a test: nothing is wrong.", "Nothing.")
    alert = unrecorded(finding, str(finding.remedy), now)
    over = Alert(**{**vars(alert), "state": CLOSED, "closed_at": now})
    destinations = read_destinations(settings.alert_to)
    opened, closed = (
        told(settings, Notice(str(uuid4()), now, (item,)))
        for item in (NoticeItem(OPENED, alert), NoticeItem(CLOSED, over))
    )
    first = send_each(destinations, opened)
    took = [each for each, came in zip(destinations, first, strict=True) if not came.trouble]
    failed = [each for each in [*first, *send_each(took, closed)] if each.trouble]
    troubles = {each.destination: each for each in failed}
    return [troubles.get(each.destination, each) for each in first]
