"""Alerts of a home: which are open, who looks at them, and what has been told to whom.

What belongs here: the states of an alert, which changes one notification tells, and handing each to a destination once.
What does not: looking for findings (`operations.health`), or how a notification is written and sent
(`forecast_assets.alerts`).

What is to be told is recorded in one transaction; only then is anything sent. So two that evaluate at once tell once,
and a process that dies after sending and before recording that repeats that notification alone, under its old id.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, RefusedError
from forecast_assets.core.health import CODES, HealthFinding, Severity
from resources.operational.opening import operational_rows, operational_store

OPEN: Final = "open"
ACKNOWLEDGED: Final = "acknowledged"
CLOSED: Final = "closed"
# What a notification says of an alert.
OPENED: Final = "opened"
STILL_OPEN: Final = "still open"

# Longer than sending one notification may take: what a dead process claimed is free by then.
LEASE: Final = timedelta(seconds=60)
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
# What is so old is told to nobody any more, and forgotten.
_TOLD_LATE: Final = timedelta(days=1)
_KEPT: Final = timedelta(days=90)
_AT_ONCE: Final = 20
# A look that is later than this one by more was made by a clock that was ahead: this one counts all the same.
_LOOKS_OVERLAP: Final = timedelta(minutes=10)
_HOUR: Final = timedelta(hours=1)

_NAME: Final = "alerts"
_TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS alerts (
    alert_id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    words TEXT NOT NULL,
    remedy TEXT NOT NULL,
    facts TEXT NOT NULL,
    state TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    closed_at TEXT,
    acknowledged_by TEXT,
    acknowledged_until TEXT,
    reason TEXT,
    told TEXT NOT NULL DEFAULT '',
    told_at TEXT
) STRICT
""",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_alert_of_a_kind ON alerts (fingerprint) WHERE state <> 'closed'",
    """
CREATE TABLE IF NOT EXISTS alert_notices (
    notice_id TEXT PRIMARY KEY,
    made_at TEXT NOT NULL,
    items TEXT NOT NULL
) STRICT
""",
    """
CREATE TABLE IF NOT EXISTS alert_deliveries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    notice_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    claimed_by TEXT,
    claimed_until TEXT,
    sent_at TEXT,
    UNIQUE (notice_id, destination)
) STRICT
""",
    """
CREATE TABLE IF NOT EXISTS alert_destinations (
    destination TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    again_at TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT
""",
    "CREATE TABLE IF NOT EXISTS alert_looks (id INTEGER PRIMARY KEY CHECK (id = 1), looked_at TEXT NOT NULL) STRICT",
)


@dataclass(frozen=True)
class Alert:
    """A finding that people are told of, from when it was found until it is found no more.

    Attributes:
        alert_id: Its number.
        fingerprint: By what the same finding is known.
        code: Of the finding.
        subject: What it is about.
        words: What is wrong, as it was found last.
        remedy: What to do.
        facts: What a program needs of it.
        state: `open`, `acknowledged` or `closed`.
        opened_at: When it was found first.
        seen_at: When it was found last.
        closed_at: When it was found no more; None while it is.
        acknowledged_by: Who looks at it; None if nobody said so.
        acknowledged_until: Until when nothing more is told of it than its end.
        reason: What that person does about it.
    """

    alert_id: int
    fingerprint: str
    code: str
    subject: str
    words: str
    remedy: str
    facts: Mapping[str, Any]
    state: str
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_until: datetime | None = None
    reason: str | None = None

    @property
    def severity(self) -> Severity:
        """How bad it is; a code of a later release is a warning."""
        return CODES[self.code].severity if self.code in CODES else Severity.WARNING


@dataclass(frozen=True)
class NoticeItem:
    """What a notification says of one alert.

    Attributes:
        what: `opened`, `still open` or `closed`.
        alert: The alert as it was then.
    """

    what: str
    alert: Alert


@dataclass(frozen=True)
class Notice:
    """A notification: all that one evaluation had to tell.

    Attributes:
        notice_id: A UUID; the same however often it is sent.
        made_at: When.
        items: What it tells, the worst first.
    """

    notice_id: str
    made_at: datetime
    items: tuple[NoticeItem, ...]


@dataclass(frozen=True)
class TellingRules:
    """How often people are told.

    Attributes:
        again: After how long an alert that is still open is told again.
        most_per_hour: Notifications in an hour at most.
    """

    again: timedelta = timedelta(hours=24)
    most_per_hour: int = 12


USUAL_RULES: Final = TellingRules()


@dataclass(frozen=True)
class TakenFindings:
    """What came of an evaluation.

    Attributes:
        opened: Alerts that were not open before.
        closed: Alerts whose findings are there no more.
        notice: What is told now; None where nothing is.
        held_back: Changes that wait, since enough was told in this hour; the next notification has them.
    """

    opened: tuple[Alert, ...] = ()
    closed: tuple[Alert, ...] = ()
    notice: Notice | None = None
    held_back: int = 0


class AlertStore:
    """The alerts of a home.

    Args:
        path: The operational database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(
        self,
        findings: Sequence[tuple[HealthFinding, str]],
        now: datetime,
        *,
        unknown: Collection[str] = (),
        destinations: Sequence[str] = (),
        rules: TellingRules = USUAL_RULES,
    ) -> TakenFindings:
        """Open, keep open and close alerts by what was found, and make the notification that tells it.

        Args:
            findings: Everything that was found, each with its remedy in words.
            now: When it was looked for. What was looked for minutes before the newest look changes nothing.
            unknown: Codes of which nobody knows: their alerts stay as they are.
            destinations: Names of those who are told.
            rules: How often.
        """
        with operational_store(self._path, *_TABLES) as database:
            newest = database.execute("SELECT looked_at FROM alert_looks").fetchone()
            if newest is not None and _text(now) < newest["looked_at"] <= _text(now + _LOOKS_OVERLAP):
                return TakenFindings()
            database.execute("INSERT OR REPLACE INTO alert_looks VALUES (1, ?)", (_text(now),))
            _forget(database, now)
            opened = [_open(database, finding, remedy, now) for finding, remedy in findings]
            found = {finding.fingerprint for finding, _ in findings}
            closed = tuple(_close(database, found, unknown, now))
            _wake(database, now)
            due = _due(database, now, rules.again)
            notice = _notice(database, due, now, destinations, rules) if due and destinations else None
            new = tuple(each for each in opened if each is not None)
            return TakenFindings(new, closed, notice, len(due) if notice is None and destinations else 0)

    def all(self, *, has_closed: bool = False) -> Sequence[Alert]:
        """Return alerts, the newest first.

        Args:
            has_closed: Whether closed ones are among them.
        """
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            rows = database.execute(
                "SELECT * FROM alerts WHERE ? OR state <> 'closed' ORDER BY alert_id DESC", (has_closed,)
            )
            return [_read(row) for row in rows]

    def changed_since(self, moment: datetime) -> Sequence[Alert]:
        """Return alerts that opened or closed since a moment."""
        return [
            each
            for each in self.all(has_closed=True)
            if each.opened_at >= moment or (each.closed_at is not None and each.closed_at >= moment)
        ]

    def acknowledge(self, alert_id: int, *, by: str, until: datetime, reason: str, now: datetime) -> Alert:
        """Say that somebody looks at an alert: until then nothing more is told of it than its end.

        Raises:
            InputError: If there is no such alert, or nobody is named.
            RefusedError: If it is closed.
        """
        if not by.strip():
            raise InputError("An acknowledgement needs who.", remedy="Give --by NAME.")
        if until <= now:
            raise InputError(f"{_text(until)} is over.", remedy="Name a later moment, or a number of hours from 1 on.")
        with operational_store(self._path, *_TABLES) as database:
            row = database.execute("SELECT * FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone()
            which = Sentence("See which there are: ", Action("alerts list"), ".")
            if row is None:
                raise InputError(f"There is no alert {alert_id}.", remedy=which, alert_id=alert_id)
            if row["state"] == CLOSED:
                raise RefusedError(f"Alert {alert_id} is closed: it is found no more.", remedy=which, alert_id=alert_id)
            database.execute(
                "UPDATE alerts SET state = 'acknowledged', acknowledged_by = ?, acknowledged_until = ?, reason = ? "
                "WHERE alert_id = ?",
                (by, _text(until), reason, alert_id),
            )
            return _read(database.execute("SELECT * FROM alerts WHERE alert_id = ?", (alert_id,)).fetchone())

    # --- handing over ---

    def claim(self, destination: str, by: str, now: datetime) -> Sequence[Notice]:
        """Take the notifications that a destination lacks, oldest first; none where it is left alone, or others send.

        Args:
            destination: Its name.
            by: Who sends, such as a UUID of this call.
            now: The present moment.
        """
        with operational_store(self._path, *_TABLES) as database:
            waits = database.execute(
                # What is further ahead than anybody waits was noted by a clock that was ahead.
                "SELECT 1 FROM alert_destinations WHERE destination = ? AND again_at > ? AND again_at <= ? "
                "UNION ALL SELECT 1 FROM alert_deliveries "
                "WHERE destination = ? AND sent_at IS NULL AND claimed_until > ? AND claimed_until <= ?",
                (
                    destination,
                    _text(now),
                    _text(now + _LONGEST_WAIT),
                    destination,
                    _text(now),
                    _text(now + LEASE + _LOOKS_OVERLAP),
                ),
            ).fetchone()
            if waits:
                return []
            rows = database.execute(
                "SELECT position, notice_id, made_at, items FROM alert_deliveries JOIN alert_notices USING (notice_id) "
                "WHERE destination = ? AND sent_at IS NULL ORDER BY position LIMIT ?",
                (destination, _AT_ONCE),
            ).fetchall()
            database.executemany(
                "UPDATE alert_deliveries SET claimed_by = ?, claimed_until = ? WHERE position = ?",
                [(by, _text(now + LEASE), row["position"]) for row in rows],
            )
            return [_read_notice(row) for row in rows]

    def sent(self, notice_id: str, destination: str, now: datetime) -> None:
        """Record that a destination took a notification."""
        with operational_store(self._path, *_TABLES) as database:
            database.execute(
                "UPDATE alert_deliveries SET sent_at = ?, claimed_until = NULL WHERE notice_id = ? AND destination = ?",
                (_text(now), notice_id, destination),
            )
            database.execute("DELETE FROM alert_destinations WHERE destination = ?", (destination,))

    def failed(self, destination: str, by: str, why: str, now: datetime) -> None:
        """Record that a destination did not take one, and leave it alone for a while, longer each time.

        Args:
            destination: Its name.
            by: Who sent: what it claimed is free again.
            why: Why, without a secret.
            now: The present moment.
        """
        with operational_store(self._path, *_TABLES) as database:
            row = database.execute(
                "SELECT failures FROM alert_destinations WHERE destination = ?", (destination,)
            ).fetchone()
            failures = 1 if row is None else row["failures"] + 1
            wait = min(_FIRST_WAIT * 2 ** min(failures - 1, 10), _LONGEST_WAIT)
            database.execute(
                "INSERT OR REPLACE INTO alert_destinations VALUES (?, ?, ?, ?)",
                (destination, failures, _text(now + wait), why),
            )
            self._let_go(database, destination, by)

    def let_go(self, destination: str, by: str) -> None:
        """Give back what was claimed and not sent."""
        with operational_store(self._path, *_TABLES) as database:
            self._let_go(database, destination, by)

    @staticmethod
    def _let_go(database: sqlite3.Connection, destination: str, by: str) -> None:
        database.execute(
            "UPDATE alert_deliveries SET claimed_until = NULL WHERE destination = ? AND claimed_by = ?",
            (destination, by),
        )

    def failing(self) -> Mapping[str, str]:
        """Return the destinations that did not take what was sent last, each with why."""
        with operational_rows(self._path, "alert_destinations") as database:
            if database is None:
                return {}
            return {row["destination"]: row["why"] for row in database.execute("SELECT * FROM alert_destinations")}

    def waiting(self) -> Mapping[str, int]:
        """Return how many notifications each destination lacks; those that lack none are left out."""
        with operational_rows(self._path, "alert_deliveries") as database:
            if database is None:
                return {}
            rows = database.execute(
                "SELECT destination, count(*) AS n FROM alert_deliveries WHERE sent_at IS NULL GROUP BY destination"
            )
            return {row["destination"]: row["n"] for row in rows}


# --- steps of one evaluation, within its transaction ---


def _open(database: sqlite3.Connection, finding: HealthFinding, remedy: str, now: datetime) -> Alert | None:
    """Keep an alert of a finding; return it if it was not open before."""
    said = (finding.words, remedy, json.dumps(dict(finding.facts), default=str), _text(now))
    known = database.execute(
        "UPDATE alerts SET words = ?, remedy = ?, facts = ?, seen_at = ? WHERE fingerprint = ? AND state <> 'closed'",
        (*said, finding.fingerprint),
    )
    if known.rowcount:
        return None
    made = database.execute(
        "INSERT INTO alerts (words, remedy, facts, seen_at, fingerprint, code, subject, state, opened_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (*said, finding.fingerprint, finding.code, finding.subject, _text(now)),
    )
    return _read(database.execute("SELECT * FROM alerts WHERE alert_id = ?", (made.lastrowid,)).fetchone())


def _close(
    database: sqlite3.Connection, found: Collection[str], unknown: Collection[str], now: datetime
) -> Iterable[Alert]:
    for row in database.execute("SELECT * FROM alerts WHERE state <> 'closed' ORDER BY alert_id").fetchall():
        if row["fingerprint"] in found or row["code"] in unknown:
            continue
        database.execute(
            "UPDATE alerts SET state = 'closed', closed_at = ? WHERE alert_id = ?", (_text(now), row["alert_id"])
        )
        yield _read(database.execute("SELECT * FROM alerts WHERE alert_id = ?", (row["alert_id"],)).fetchone())


def _wake(database: sqlite3.Connection, now: datetime) -> None:
    """Open what was acknowledged until now, and tell it again."""
    database.execute(
        "UPDATE alerts SET state = 'open', told = '', told_at = NULL "
        "WHERE state = 'acknowledged' AND acknowledged_until <= ?",
        (_text(now),),
    )


def _due(database: sqlite3.Connection, now: datetime, again: timedelta) -> list[NoticeItem]:
    """Return what is to be told, the worst first."""
    rows = database.execute(
        "SELECT * FROM alerts WHERE "
        "(state = 'open' AND told = '') OR (state = 'open' AND told_at <= ?) "
        "OR (state = 'closed' AND told <> 'closed' AND closed_at >= ?) ORDER BY alert_id",
        (_text(now - again), _text(now - _TOLD_LATE)),
    )
    items = [NoticeItem(_what(row), _read(row)) for row in rows]
    told = [item for item in items if item.what != STILL_OPEN or item.alert.severity is not Severity.INFO]
    return sorted(told, key=lambda item: (item.what == CLOSED, -item.alert.severity.rank))


def _what(row: sqlite3.Row) -> str:
    if row["state"] == CLOSED:
        return CLOSED
    return OPENED if row["told"] == "" else STILL_OPEN


def _notice(
    database: sqlite3.Connection,
    due: Sequence[NoticeItem],
    now: datetime,
    destinations: Sequence[str],
    rules: TellingRules,
) -> Notice | None:
    """Make a notification; None where enough were made in this hour: what is due stays due."""
    lately = database.execute(
        "SELECT count(*) FROM alert_notices WHERE made_at > ? AND made_at <= ?", (_text(now - _HOUR), _text(now))
    ).fetchone()[0]
    if lately >= rules.most_per_hour:
        return None
    notice = Notice(str(uuid4()), now, tuple(due))
    database.execute(
        "INSERT INTO alert_notices VALUES (?, ?, ?)",
        (notice.notice_id, _text(now), json.dumps([_item_document(item) for item in due])),
    )
    database.executemany(
        "INSERT INTO alert_deliveries (notice_id, destination) VALUES (?, ?)",
        [(notice.notice_id, each) for each in destinations],
    )
    database.executemany(
        "UPDATE alerts SET told = ?, told_at = ? WHERE alert_id = ?",
        [(CLOSED if item.what == CLOSED else OPEN, _text(now), item.alert.alert_id) for item in due],
    )
    return notice


def _forget(database: sqlite3.Connection, now: datetime) -> None:
    kept, late = _text(now - _KEPT), _text(now - _TOLD_LATE)
    database.execute("DELETE FROM alerts WHERE state = 'closed' AND closed_at < ?", (kept,))
    old = "SELECT notice_id FROM alert_notices WHERE made_at < ?"
    database.execute(f"DELETE FROM alert_deliveries WHERE notice_id IN ({old})", (late,))  # noqa: S608 - a constant
    database.execute("DELETE FROM alert_notices WHERE made_at < ?", (late,))


# --- reading ---


def _item_document(item: NoticeItem) -> Mapping[str, Any]:
    alert = item.alert
    moments = {
        name: None if value is None else _text(value)
        for name, value in vars(alert).items()
        if name.endswith(("_at", "_until"))
    }
    return {"what": item.what, "alert": {**vars(alert), "facts": dict(alert.facts), **moments}}


def _read_notice(row: sqlite3.Row) -> Notice:
    items = tuple(NoticeItem(each["what"], _alert(each["alert"])) for each in json.loads(row["items"]))
    return Notice(row["notice_id"], datetime.fromisoformat(row["made_at"]), items)


def _read(row: sqlite3.Row) -> Alert:
    return _alert({**dict(row), "facts": json.loads(row["facts"])})


def _alert(said: Mapping[str, Any]) -> Alert:
    names = Alert.__dataclass_fields__
    read = {name: said[name] for name in names if name in said}
    moments = {
        name: datetime.fromisoformat(value)
        for name, value in read.items()
        if name.endswith(("_at", "_until")) and value is not None
    }
    return Alert(**{**read, **moments})


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
