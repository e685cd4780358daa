"""What probes get and give back, and asking all of them within bounded time.

What belongs here: a look at a home, a probe, and how one that fails or hangs costs no other. What does not: what any
probe looks at.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import Any, Final, Protocol

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ForecastAssetsError, first_line
from forecast_assets.core.health import FailedRun, HealthFinding
from forecast_assets.settings import Settings
from resources.ledger.state import LedgerState
from resources.stores.home import Stores, open_stores

PROBE_SECONDS: Final = 20.0


class RunHistory(Protocol):
    """What Dagster remembers; whoever knows Dagster hands it in."""

    def failed_runs(self, since: datetime) -> Sequence[FailedRun]:
        """Return runs that failed since a moment and that no later run of their job and partition made good.

        Raises:
            StorageError: If the history cannot be read.
        """

    def trouble(self) -> str:
        """Return what is wrong with Dagster's home, in a sentence; empty where nothing is."""


class NoHistory:
    """A home in which nothing has run yet."""

    def failed_runs(self, since: datetime) -> Sequence[FailedRun]:
        """Return nothing."""
        del since
        return []

    def trouble(self) -> str:
        """Return that nothing is wrong."""
        return ""


class Remembered:
    """What looks at one home remember from one to the next, so that nothing is read again while it is the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, Any]] = {}
        self._lock = Lock()

    def get(self, name: str, rests_on: object, make: Callable[[], Any]) -> Any:
        """Return what was made, or make it anew.

        Args:
            name: Of what is made.
            rests_on: What it rests on: the same, the same result.
            make: Makes it.
        """
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None and kept[0] == rests_on:
            return kept[1]
        made = make()
        with self._lock:
            self._kept[name] = rests_on, made
        return made


class HomeLook:
    """One look at a home.

    Args:
        settings: Of the home.
        now: The present moment; in UTC.
        history: What Dagster remembers.
        stores: Where everything is; opened when first asked for if left out.
        remembered: Of looks before.
        destinations: Destinations of alerts that fail, each with why; as the alerts know them.
        is_read_only: Whether not even the turn of what is looked at next is kept.
    """

    def __init__(
        self,
        settings: Settings,
        now: datetime,
        history: RunHistory | None = None,
        stores: Stores | None = None,
        remembered: Remembered | None = None,
        destinations: Mapping[str, str] | None = None,
        *,
        is_read_only: bool = False,
    ) -> None:
        self.is_read_only = is_read_only
        self.settings, self.now = settings, now
        self.history: RunHistory = history or NoHistory()
        self.remembered = remembered or Remembered()
        self.destinations = destinations or {}
        self._stores = stores
        self._state: LedgerState | None = None
        self._lock = Lock()

    @property
    def stores(self) -> Stores:
        """The stores.

        Raises:
            StorageError: If they cannot be opened.
        """
        with self._lock:
            if self._stores is None:
                self._stores = open_stores(self.settings.store, self.settings.mirror_folder)
            return self._stores

    @property
    def state(self) -> LedgerState:
        """What the ledger says, read once a look.

        Raises:
            ForecastAssetsError: If it cannot be read; the probe of the ledger says so for all.
        """
        stores = self.stores
        with self._lock:
            if self._state is None:
                self._state = stores.ledger.state()
            return self._state


@dataclass(frozen=True)
class Seen:
    """What a probe saw.

    Attributes:
        words: What there is, for whoever asks though nothing is wrong.
        findings: What is not as it should be.
        is_watched: Whether there is anything to look at: what a home does not have is no trouble of it.
    """

    words: str
    findings: tuple[HealthFinding, ...] = ()
    is_watched: bool = True


def not_watched(why: str) -> Seen:
    """Return that there is nothing to look at.

    Args:
        why: Why, and how it would be.
    """
    return Seen(why, is_watched=False)


@dataclass(frozen=True)
class Probe:
    """Something to look at.

    Attributes:
        name: What is looked at.
        codes: Of the findings that it may return: none of them is over while it cannot look.
        look: Looks; only reads.
        needs_ledger: Whether it says nothing where the ledger cannot be read: one cause is one finding.
    """

    name: str
    codes: tuple[str, ...]
    look: Callable[[HomeLook], Seen]
    needs_ledger: bool = False


@dataclass(frozen=True)
class Looked:
    """What came of asking a probe.

    Attributes:
        probe: The probe.
        seen: What it saw; None where it could not look.
        findings: What is not as it should be; that it could not look is one.
        seconds: How long it took.
    """

    probe: Probe
    seen: Seen | None
    findings: tuple[HealthFinding, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class HomeHealth:
    """What all probes saw.

    Attributes:
        looked: By probe, in the order of the registry.
        at: Moment of the look.
    """

    looked: tuple[Looked, ...]
    at: datetime

    @property
    def findings(self) -> list[HealthFinding]:
        """Everything that is not as it should be."""
        return [finding for each in self.looked for finding in each.findings]

    @property
    def unknown_codes(self) -> frozenset[str]:
        """Codes of which nobody knows now: their probes could not look."""
        return frozenset(code for each in self.looked if each.seen is None for code in each.probe.codes)


@dataclass
class _Probing:
    """A probe that is being asked."""

    probe: Probe
    seen: Seen | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def ask(self, look: HomeLook) -> None:
        try:
            self.seen = self.probe.look(look)
        except BaseException as error:  # noqa: BLE001 - one probe must not end the others; what it raised is told
            self.error = error
        self.seconds = time.monotonic() - self.began


def examine(probes: Sequence[Probe], look: HomeLook, *, seconds: float = PROBE_SECONDS) -> HomeHealth:
    """Ask all probes, at the same time; one that fails or hangs costs no other and is told.

    Args:
        probes: What to look at.
        look: At which home, and when.
        seconds: How long any of them may take; together they take no longer.
    """
    asked = [_Probing(probe) for probe in probes]
    # Of daemons: one that hangs keeps no process from ending.
    threads = [Thread(target=each.ask, args=(look,), daemon=True, name=f"probe {each.probe.name}") for each in asked]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    looked = [_looked(replace(each), seconds) for each in asked]
    return HomeHealth(tuple(_one_cause(looked)), look.now)


def _looked(asked: _Probing, seconds: float) -> Looked:
    if asked.seen is not None:
        return Looked(asked.probe, asked.seen, asked.seen.findings, asked.seconds)
    if asked.error is None:
        why, remedy = (
            f"it did not end within {seconds:g} s",
            Sentence("Look whether a server or a disk hangs; ", _AGAIN),
        )
    elif isinstance(asked.error, ForecastAssetsError):
        why, remedy = str(asked.error.message).rstrip("."), Sentence(asked.error.remedy)
    else:
        why = f"{type(asked.error).__name__}: {first_line(asked.error)}"
        remedy = Sentence("Repeat it; if it stays, report it: ", _AGAIN)
    words = f"Whether all is well with {asked.probe.name} could not be seen: {why}."
    finding = HealthFinding("probe-failed", asked.probe.name, words, remedy, {"probe": asked.probe.name})
    return Looked(asked.probe, None, (finding,), asked.seconds or seconds)


_AGAIN: Final = Action("doctor")


def _one_cause(looked: Sequence[Looked]) -> list[Looked]:
    """Say of a ledger that cannot be read once what every probe of it says."""
    is_broken = any(finding.code == "ledger-unreadable" for each in looked for finding in each.findings)
    return [
        replace(each, findings=()) if is_broken and each.probe.needs_ledger and each.seen is None else each
        for each in looked
    ]


def age(look: HomeLook, recorded_at: str) -> timedelta:
    """Return how long ago something was recorded.

    Args:
        look: With the present moment.
        recorded_at: Moment, ISO 8601.
    """
    return look.now - datetime.fromisoformat(recorded_at)
