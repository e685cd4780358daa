"""How a home does, and its alerts, as tables and as JSON.

What belongs here: words and tables. What does not: looking, or deciding what is an alert.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from forecast_assets.core.errors import UnhealthyError, first_ten
from forecast_assets.core.health import HealthFinding, Severity
from forecast_assets.operations.health.look import HomeHealth, Looked
from forecast_assets.presentation.actions import sentence_text
from forecast_assets.presentation.text import table
from resources.operational.alerts import Alert

OK: Final = "ok"
NOT_WATCHED: Final = "-"


def doctor_text(health: HomeHealth) -> str:
    """Return a table of what was looked at, and below it what to do about each finding."""
    rows = [(each.probe.name, looked_state(each), seen_words(each)) for each in health.looked]
    shown = [table(("what", "state", "seen"), rows)]
    shown += [f"{each.severity} {each.fingerprint}\n  {each.words}\n  {_to_do(each)}" for each in _worst_first(health)]
    counts = [
        f"{sum(looked_state(each) == state for each in health.looked)} {state}" for state in (OK, "warning", "problem")
    ]
    return "\n\n".join([*shown, ", ".join(counts)])


def doctor_json(health: HomeHealth) -> str:
    """Return the same for programs."""
    looked = [
        {
            "name": each.probe.name,
            "state": looked_state(each),
            "seen": seen_words(each),
            "seconds": round(each.seconds, 3),
            "findings": [_finding(finding) for finding in each.findings],
        }
        for each in health.looked
    ]
    return json.dumps({"at": health.at.isoformat(), "looked": looked}, indent=2, ensure_ascii=False)


def require_healthy(health: HomeHealth) -> None:
    """Refuse a home that has a problem; warnings are told and stop nobody.

    Raises:
        UnhealthyError: Naming the problems.
    """
    problems = [each for each in health.findings if each.severity is Severity.PROBLEM]
    if problems:
        raise UnhealthyError(
            f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}: "
            f"{first_ten(each.fingerprint for each in problems)}.",
            remedy="What to do about each stands above.",
            problems=[each.fingerprint for each in problems],
        )


def alerts_text(alerts: Sequence[Alert]) -> str:
    """Return alerts as a table."""
    if not alerts:
        return "No alert is open."
    rows = [
        (
            str(each.alert_id),
            each.severity,
            f"{each.code} {each.subject}",
            f"{each.opened_at:%Y-%m-%d %H:%M}",
            alert_state(each),
            each.words,
        )
        for each in alerts
    ]
    return table(("alert", "severity", "what", "since (UTC)", "state", "words"), rows)


def alerts_json(alerts: Sequence[Alert]) -> str:
    """Return alerts for programs."""
    return json.dumps([{**vars(each), "severity": each.severity} for each in alerts], default=str, indent=2)


def alert_state(alert: Alert) -> str:
    """Return who looks at an alert and until when, that it is closed, or that it is open."""
    if alert.state == "acknowledged":
        return f"{alert.acknowledged_by} until {alert.acknowledged_until:%Y-%m-%d %H:%M}"
    return f"closed {alert.closed_at:%Y-%m-%d %H:%M}" if alert.closed_at is not None else alert.state


def looked_state(looked: Looked) -> str:
    """Return how bad the worst is that a probe found: ok where nothing, `-` where there is nothing to look at."""
    worst = max((each.severity for each in looked.findings), key=lambda each: each.rank, default=None)
    if worst is not None and worst is not Severity.INFO:
        return str(worst)
    return NOT_WATCHED if looked.seen is None or not looked.seen.is_watched else OK


def seen_words(looked: Looked) -> str:
    """Return what a probe saw."""
    return "could not be looked at" if looked.seen is None else looked.seen.words


def _worst_first(health: HomeHealth) -> list[HealthFinding]:
    return sorted(health.findings, key=lambda each: -each.severity.rank)


def _to_do(finding: HealthFinding) -> str:
    return f"To do: {sentence_text(finding.remedy)}" + (
        f" Runbook: docs/runbooks/{finding.code}.md" if finding.is_alert else ""
    )


def _finding(finding: HealthFinding) -> Mapping[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "subject": finding.subject,
        "words": finding.words,
        "to_do": sentence_text(finding.remedy),
        "facts": finding.facts,
    }
