"""Whether questions can be answered now, and what is not as it should be.

What belongs here: looking at what the data plane stands on. What does not: mending it.
"""

import logging
import re
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.keys import CADENCES, DAILY, WEEKLY
from resources.ledger.state import LedgerState
from resources.stores.home import Stores

NOTHING_PUBLISHED: Final = "nothing is published yet"
# A path of the machine in words of others: between quotation marks, or alone; never a part of an address.
_PATH: Final = re.compile(r"""(['"`])/(?:(?!\1).)*\1|(?<![^\s(])/[^\s:;,)]+""")
_log: Final = logging.getLogger(__name__)
# A daily run is made the day after its date; a weekly one within the week after its Sunday.
_LATE_AFTER_DAYS: Final = {DAILY.name: 2, WEEKLY.name: 9}


@dataclass(frozen=True)
class ServiceState:
    """What can be answered.

    Attributes:
        is_ready: Whether stored reads can be answered.
        reasons: Why not; empty where they can.
        degraded: What is worse than usual, in sentences.
        ledger_sequence: The newest entry that is known.
        newest_prediction_date: Of what the champion of each cadence has published.
        features: How the cache of features does; None where none is asked.
        events: How prediction events have fared since the process began; None where none are recorded.
    """

    is_ready: bool
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    ledger_sequence: int = 0
    newest_prediction_date: dict[str, str] = field(default_factory=dict)
    features: dict[str, Any] | None = None
    events: dict[str, Any] | None = None


def service_state(stores: Stores, now: datetime) -> ServiceState:
    """Read the ledger, and say what there is to answer from.

    Args:
        stores: Where everything is.
        now: The present moment.
    """
    try:
        state = stores.ledger.state()
    except (ForecastAssetsError, OSError) as error:
        _log.warning("the ledger cannot be read: %s", error)
        return ServiceState(is_ready=False, reasons=(f"the ledger cannot be read: {error}",))
    if not state.publications:
        return ServiceState(is_ready=False, reasons=(NOTHING_PUBLISHED,), ledger_sequence=state.sequence)
    newest = _newest_of_champions(state)
    late = [
        f"the newest {cadence} run of the champion is {(now.date() - found).days} days old"
        for cadence, found in newest.items()
        if (now.date() - found).days > _LATE_AFTER_DAYS[cadence]
    ]
    days = {cadence: found.isoformat() for cadence, found in newest.items()}
    return ServiceState(
        is_ready=True, degraded=tuple(late), ledger_sequence=state.sequence, newest_prediction_date=days
    )


def without_paths(state: ServiceState) -> ServiceState:
    """Return the same without paths of the machine, which are for the log: whoever asks has no key."""
    return replace(
        state,
        reasons=_told(state.reasons),
        degraded=_told(state.degraded),
        features=_told(state.features),
        events=_told(state.events),
    )


def _told(value: Any) -> Any:
    if isinstance(value, str):
        return _PATH.sub("a path of the service", value)
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items()}
    return type(value)(map(_told, value)) if isinstance(value, (tuple, list)) else value


def _newest_of_champions(state: LedgerState) -> dict[str, date]:
    found = {}
    for name, cadence in CADENCES.items():
        champion = state.channel(cadence.champion)
        dates = [
            key.prediction_date for key in state.publications if (key.cadence, key.model_version) == (name, champion)
        ]
        if dates:
            found[name] = max(dates)
    return found
