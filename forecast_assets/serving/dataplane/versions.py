"""Model versions as callers choose among them.

What belongs here: what there is to name. What does not: reports of a version.
"""

from dataclasses import dataclass
from datetime import datetime

from forecast_assets.core.keys import CADENCES, CHANNELS
from resources.ledger.channels import live_versions
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.state import LedgerState


@dataclass(frozen=True)
class KnownVersion:
    """A model version.

    Attributes:
        model_version: Its name.
        family: Its family.
        cutoff: The last day that training knew.
        channels: Channels that point at it.
        is_live: Whether schedules go on scoring it.
        is_retired: Whether it serves no more.
        passed_gates: Whether it met every gate when it was registered.
        newest_prediction_date: Of its newest published run, by cadence.
        registered_at: ISO 8601 in UTC.
    """

    model_version: str
    family: str
    cutoff: str
    channels: tuple[str, ...]
    is_live: bool
    is_retired: bool
    passed_gates: bool
    newest_prediction_date: dict[str, str]
    registered_at: str


def known_versions(state: LedgerState, now: datetime) -> list[KnownVersion]:
    """Return all versions, the newest first.

    Args:
        state: What is true now.
        now: The present moment.
    """
    live = {each.model_version for cadence in CADENCES.values() for each in live_versions(state, cadence, now)}
    newest: dict[str, dict[str, str]] = {}
    for key in sorted(state.publications, key=lambda key: key.prediction_date):
        newest.setdefault(key.model_version, {})[key.cadence] = key.prediction_date.isoformat()
    pointing = {channel: state.channel(channel) for channel in CHANNELS}
    return [
        _told(version, state, pointing, live, newest.get(version.model_version, {}))
        for version in sorted(state.versions.values(), key=lambda version: -version.sequence)
    ]


def _told(
    version: VersionRecord,
    state: LedgerState,
    pointing: dict[str, str | None],
    live: set[str],
    newest: dict[str, str],
) -> KnownVersion:
    name = version.model_version
    return KnownVersion(
        model_version=name,
        family=version.family,
        cutoff=version.cutoff.isoformat(),
        channels=tuple(channel for channel, target in pointing.items() if target == name),
        is_live=name in live,
        is_retired=name in state.part(Versions).retired,
        passed_gates=not version.failed_gates(for_channel=True),
        newest_prediction_date=newest,
        registered_at=version.recorded_at,
    )
