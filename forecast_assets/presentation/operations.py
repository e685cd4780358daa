"""The page of operators: how everything does, as tables.

What belongs here: what stands on it, and its words. What does not: looking, or who may see it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.health.look import Looked
from forecast_assets.operations.outbox import Delivery
from forecast_assets.presentation.health import alert_state, looked_state, seen_words
from forecast_assets.presentation.pages import Html, html_section, html_table
from forecast_assets.presentation.support import warning
from forecast_assets.serving.dataplane.overview import MeasuredAccuracy, OperationsOverview
from resources.operational.alerts import Alert
from resources.operational.traces import RunTimes

OPERATIONS: Final = "/operations"
_NOTHING: Final = "<p>None.</p>"
# Of a run the parts that took longest are named.
_NAMED_STAGES: Final = 3


def operations_sections(found: OperationsOverview) -> list[str]:
    """Return the parts of the page."""
    return [
        *(warning(trouble) for trouble in found.troubles),
        _head(found),
        '<div id="answer"></div>',
        _alerts(found.alerts),
        _probes(found.health.looked),
        _feeds(found),
        _runs(found),
        _accuracy(found.accuracy),
        _drift(found),
        _destinations(found.destinations, found.at),
        _backups(found),
    ]


def _head(found: OperationsOverview) -> str:
    service = found.service
    said = [
        f"This process is ready, at ledger entry {service.ledger_sequence:,}"
        if service.is_ready
        else f"This process cannot answer: {'; '.join(service.reasons)}"
    ]
    if found.recorded_at:
        said.append(f"the newest entry was recorded {_since(found.recorded_at, found.at)}")
    note = f'<p class="note">As of {moment_text(found.at.isoformat())}. {escape("; ".join(said))}.</p>'
    worse = "".join(f"<li>{escape(each)}</li>" for each in service.degraded)
    return note + (f"\n<p>Worse than usual:</p>\n<ul>{worse}</ul>" if worse else "")


def _alerts(alerts: Sequence[Alert]) -> str:
    lines = [
        (each.alert_id, str(each.severity), f"{each.code} {each.subject}", f"{each.opened_at:%Y-%m-%d %H:%M}",
         alert_state(each))
        for each in alerts
    ]  # fmt: skip
    below = [f"{each.words} To do: {each.remedy} Runbook: docs/runbooks/{each.code}.md" for each in alerts]
    columns = ("alert", "severity", "what", "since (UTC)", "state")
    words = f"{counted(len(alerts), 'alert')} open, as the newest evaluation left them."
    return html_section("Open alerts", words, html_table(columns, lines, below=below) if lines else _NOTHING)


def _probes(looked: Sequence[Looked]) -> str:
    lines = [(each.probe.name, looked_state(each), seen_words(each), f"{each.seconds:.2f}") for each in looked]
    findings = [finding.words for each in looked for finding in each.findings]
    more = f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in findings)}</ul>" if findings else ""
    words = (
        "What this process sees now; a dash is not watched. Failed runs, stored bytes and MLflow are told by alerts "
        "alone. All of it, with what to do: forecast-assets doctor."
    )
    return html_section("Health", words, html_table(("what", "state", "seen", "seconds"), lines), more)


def _feeds(found: OperationsOverview) -> str:
    lines = [(each.feed, each.newest_day.isoformat(), each.lag_days) for each in found.feeds]
    words = "The newest day of each, and days that are over since; below 0: it speaks of days to come."
    return html_section("Feeds", words, html_table(("feed", "newest day", "days behind"), lines) if lines else _NOTHING)


def _runs(found: OperationsOverview) -> str:
    champions = [
        (each.run, each.model_version, each.prediction_date.isoformat(), each.age_days, moment_text(each.published_at),
         each.sequence)
        for each in found.champions
    ]  # fmt: skip
    published = ("newest run of the champion", "version", "prediction date", "days old", "published", "ledger entry")
    lines = [_run(each) for each in found.runs]
    columns = ("last runs", "ended", "state", "seconds", "longest parts", "checks passed", "failed")
    return html_section(
        "Runs",
        "What is published for whoever asks for the champion, and how long the last runs took.",
        html_table(published, champions) if champions else "<p>The champion of no cadence has published a run.</p>",
        html_table(columns, lines) if lines else "<p>No times of runs are recorded.</p>",
    )


def _run(times: RunTimes) -> tuple[object, ...]:
    longest = sorted(times.stage_seconds.items(), key=lambda each: -each[1])[:_NAMED_STAGES]
    parts = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in longest)
    state = "done" if times.is_done else "failed"
    ended = moment_text(datetime.fromisoformat(times.ended_at).replace(tzinfo=UTC).isoformat())
    return times.subject, ended, state, f"{times.seconds:.1f}", parts, times.checks_passed, times.checks_failed


def _accuracy(accuracy: Sequence[MeasuredAccuracy]) -> str:
    names = ("wape", "relative_to_naive", "bias", "coverage_80")
    lines = [
        (each.cadence, each.model_version, "" if each.last_day is None else each.last_day.isoformat(),
         *(_share(each.figures.get(name)) for name in names), each.rows)
        for each in accuracy
    ]  # fmt: skip
    columns = ("cadence", "version", "measured up to", "WAPE", "by that of naive", "bias", "80% interval holds", "rows")
    words = "Champion and challenger of each cadence, all series, over the newest 28 measured days."
    return html_section("Accuracy, bias and coverage", words, html_table(columns, lines) if lines else _NOTHING)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _drift(found: OperationsOverview) -> str:
    lines = [(each.signal, each.since, f"{each.size:.2f}") for each in found.signals]
    below = [each.evidence for each in found.signals]
    words = f"{counted(len(lines), 'signal')} told and not closed: forecast-assets drift backlog."
    table = html_table(("signal", "since", "size"), lines, below=below) if lines else _NOTHING
    return html_section("Drift", words, table)


def _destinations(deliveries: Sequence[Delivery], at: datetime) -> str:
    lines = [
        (each.place.destination, each.place.stream, each.place.position, each.waiting, _since(each.place.at, at),
         f"since {each.place.trouble_since}: {each.place.trouble}" if each.place.trouble else "")
        for each in deliveries
    ]  # fmt: skip
    columns = ("destination", "stream", "position", "waiting", "last told", "trouble")
    words = "Who is told what is recorded, and how far each is."
    return html_section("Destinations of events", words, html_table(columns, lines) if lines else _NOTHING)


def _backups(found: OperationsOverview) -> str:
    lines = [
        (each.place, moment_text(each.recovery_point), _since(each.recovery_point, found.at), _head_of(each.head),
         f"{each.seconds:.1f}")
        for each in found.backups
    ]  # fmt: skip
    columns = ("to", "goes back to", "which is", "ledger entry", "seconds")
    table = html_table(columns, lines) if lines else warning("This home has never been backed up.")
    return html_section(
        "Backups", "The last one to each place: what came after it would be lost with this home.", table
    )


def _head_of(head: str) -> Html:
    sequence, _, entry_hash = head.partition(":")
    return Html(f'<span title="{escape(entry_hash)}">{escape(sequence)}</span>')


def _since(recorded_at: str, now: datetime) -> str:
    """Return how long ago something was.

    Example:
        >>> _since("2025-07-01T08:00:00+00:00", datetime(2025, 7, 1, 9, 30, tzinfo=UTC))
        '1 h 30 min ago'
    """
    moment = datetime.fromisoformat(recorded_at)
    minutes = int((now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))) / timedelta(minutes=1))
    if minutes < 1:
        return "just now"
    hours, rest = divmod(minutes, 60)
    if hours >= 48:  # noqa: PLR2004 - below two days people count in hours
        return f"{hours // 24} days ago"
    return f"{hours} h {rest} min ago" if hours else f"{rest} min ago"
