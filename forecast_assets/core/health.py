"""Findings about a home: what is not as an operator wants it, as probes say it and alerts keep it.

What belongs here: what a finding is, which codes there are, and how bad each is. What does not: looking
(`operations.health`), telling anybody (`forecast_assets.alerts`), or how a door shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from forecast_assets.core.actions import Sentence


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    WARNING = "warning"
    PROBLEM = "problem"

    @property
    def rank(self) -> int:
        """A higher number is worse."""
        return [*Severity].index(self)


@dataclass(frozen=True)
class FindingCode:
    """A kind of findings.

    Attributes:
        code: Its name, which never changes: alerts, their pages and PagerDuty's keys go by it.
        severity: How bad such a finding is.
        meaning: What it means, as a title.
        is_alert: Whether it is told to people who do not ask; else `doctor` alone shows it.
    """

    code: str
    severity: Severity
    meaning: str
    is_alert: bool = True


def _codes(*codes: FindingCode) -> dict[str, FindingCode]:
    return {each.code: each for each in codes}


CODES: Final[Mapping[str, FindingCode]] = _codes(
    FindingCode("late-feed", Severity.PROBLEM, "a daily feed has not reached the day that is due"),
    FindingCode("late-run", Severity.PROBLEM, "the champion's run of a date that is due is not published"),
    FindingCode("failed-run", Severity.PROBLEM, "a run failed, and none after it has succeeded"),
    FindingCode("failed-check", Severity.PROBLEM, "a blocking check failed, so that nothing was published"),
    FindingCode("verify-finding", Severity.PROBLEM, "stored bytes are not what was recorded"),
    FindingCode("ledger-unreadable", Severity.PROBLEM, "the ledger, or the store that holds it, cannot be read"),
    FindingCode("drift-confirmed", Severity.WARNING, "a drift was told on a second day, or by a second figure"),
    FindingCode(
        "bias-out-of-bounds", Severity.WARNING, "forecasts are too high or too low by more than the policy has"
    ),
    FindingCode("coverage-out-of-bounds", Severity.WARNING, "intervals hold too few or too many days by the policy"),
    FindingCode("challenger-verdict", Severity.INFO, "the evidence of a trial says something that somebody may act on"),
    FindingCode("service-unavailable", Severity.PROBLEM, "the service does not answer, or is not ready"),
    FindingCode("service-degraded", Severity.WARNING, "the service answers, with something worse than usual"),
    FindingCode("breaker-open", Severity.WARNING, "the model of a run fails, and published rows answer in its place"),
    FindingCode("spool-growing", Severity.WARNING, "prediction events wait for a sink that does not take them"),
    FindingCode("disk-nearly-full", Severity.PROBLEM, "a disk that the home needs has little room left"),
    FindingCode("mlflow-behind", Severity.WARNING, "MLflow says other than the ledger, or does not answer"),
    FindingCode("copy-behind", Severity.WARNING, "the operational copy lacks published runs, or does not answer"),
    FindingCode("redis-down", Severity.WARNING, "the Redis that services share does not answer"),
    FindingCode("event-store-down", Severity.WARNING, "the database of prediction events does not answer"),
    FindingCode("clock-behind", Severity.WARNING, "the clock is behind the newest entry of the ledger"),
    FindingCode("destination-down", Severity.WARNING, "alerts could not be handed to one of their destinations"),
    FindingCode("broker-down", Severity.WARNING, "the message broker does not answer"),
    FindingCode("outbox-behind", Severity.WARNING, "a destination of events was not told what was recorded"),
    FindingCode("backup-old", Severity.WARNING, "the newest backup is old, and entries were recorded since"),
    FindingCode("probe-failed", Severity.WARNING, "something could not be looked at, so that nobody knows"),
    # Told by `doctor` alone.
    FindingCode("home-unusable", Severity.PROBLEM, "the home folder cannot be read or written", is_alert=False),
    FindingCode("catalogue-behind", Severity.WARNING, "the catalogue lacks publications", is_alert=False),
    FindingCode("dagster-home", Severity.WARNING, "Dagster's home or history is not usable", is_alert=False),
    FindingCode("vacuum-open", Severity.WARNING, "a vacuum has begun and not ended", is_alert=False),
    FindingCode("versions-differ", Severity.WARNING, "libraries are not those of the lock", is_alert=False),
    FindingCode("python-too-old", Severity.PROBLEM, "Python is older than the product needs", is_alert=False),
    FindingCode("too-open", Severity.WARNING, "others than the owner may write to the home", is_alert=False),
)
ALERT_CODES: Final = tuple(code for code, each in CODES.items() if each.is_alert)


@dataclass(frozen=True)
class HealthFinding:
    """Something that is not as it should be.

    Example:
        >>> HealthFinding("late-feed", "sales", "`sales` ends 2025-06-29.", "Ask its owner.").fingerprint
        'late-feed/sales'

    Attributes:
        code: One of `CODES`.
        subject: What it is about, so that the same thing found again is the same: a feed, a key, a place.
        words: What is wrong, in a sentence.
        remedy: What to do.
        facts: What a program needs of it, by name.
    """

    code: str
    subject: str
    words: str
    remedy: str | Sentence
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return CODES[self.code].severity

    @property
    def is_alert(self) -> bool:
        """Whether people are told who do not ask."""
        return CODES[self.code].is_alert

    @property
    def fingerprint(self) -> str:
        """By what the same thing found again is known; words and figures may change meanwhile."""
        return f"{self.code}/{self.subject}"


@dataclass(frozen=True)
class FailedRun:
    """A run that failed and that none after it has made good.

    Attributes:
        job: Name of the job.
        partition: Of the run; empty where it has none.
        run_id: Dagster's name of it.
        failed_at: When, in UTC.
        checks: Blocking checks that failed in it, each with its words; none where something else went wrong.
        words: What went wrong, in one line.
    """

    job: str
    partition: str
    run_id: str
    failed_at: datetime
    checks: tuple[tuple[str, str], ...] = ()
    words: str = ""
