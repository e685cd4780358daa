"""Figures of what goes on beside a home's products: alerts, who is told of events, backups.

What belongs here: what alerts, the outbox and backups say of themselves. What does not: judging any of it.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from forecast_assets.core.health import ALERT_CODES
from forecast_assets.core.operational_metrics import OperationalMetric, Reading
from forecast_assets.operations.backing_up import last_backup
from forecast_assets.operations.outbox import outbox_state
from forecast_assets.telemetry.home_metrics import Home
from resources.operational.alerts import AlertStore

ALERTS: Final = OperationalMetric("alerts_open", "gauge", "alerts", "Alerts that are not closed.", ("code",))
WAITING: Final = OperationalMetric(
    "outbox_waiting_events",
    "gauge",
    "events",
    "Events that a destination does not have yet.",
    ("destination", "stream"),
)
FAILING: Final = OperationalMetric(
    "outbox_destination_failing",
    "gauge",
    "flag",
    "1 if a destination took nothing when it was last told.",
    ("destination", "stream"),
)
BACKUP: Final = OperationalMetric(
    "backup_recovery_point_timestamp_seconds",
    "gauge",
    "seconds",
    "Up to when the newest backup goes, since 1970 in UTC; not there where none was made.",
)
OPERATIONS_METRICS: Final = (ALERTS, WAITING, FAILING, BACKUP)


def operations_readings(home: Home) -> Iterator[Reading]:
    """Read them."""
    known = Counter(each.code for each in AlertStore(home.settings.operational_path).all())
    for code in ALERT_CODES:
        yield ALERTS(known[code], code)
    for each in outbox_state(home.settings, home.stores):
        yield WAITING(each.waiting, each.place.destination, each.place.stream)
        yield FAILING(bool(each.place.trouble), each.place.destination, each.place.stream)
    backup = last_backup(home.settings)
    if backup is not None:
        yield BACKUP(datetime.fromisoformat(backup.recovery_point).timestamp())
