"""Prediction events as use cases: putting their parts together, moving days that are over, draining by hand.

What belongs here: from settings to what is done. What does not: making an event (`serving.dataplane`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from forecast_assets.operations.outbox import home_outbox
from forecast_assets.settings import Settings
from resources.events.archive import EventArchive
from resources.events.buffer import EventBuffer
from resources.events.draining import Drainer, DrainState
from resources.events.home import EventHome
from resources.events.keeping import KeptEvents, keep_events
from resources.events.record import EventRecord
from resources.events.sinks import STORE, EventSink, JsonLinesSink, StoreSink
from resources.events.stores import EventStore, event_store


def event_home(settings: Settings) -> EventHome:
    """Return the events of a home; its buffer takes none before it is started.

    Args:
        settings: Of the home.
    """
    store, archive = events_store(settings), EventArchive(settings.events_folder)

    def keep() -> None:
        keep_events(store, archive, retention_days=settings.event_retention_days, now=datetime.now(UTC), only_old=True)

    drainer = Drainer(settings.spool_folder, _sinks(settings, store), keep if STORE in settings.event_sinks else None)
    buffer = EventBuffer(settings.spool_folder, drainer, most_bytes=settings.event_spool_mb << 20)
    return EventHome(buffer, store, archive)


def events_store(settings: Settings) -> EventStore:
    """Return where events of a home are looked up."""
    return event_store(settings.events_path, settings.event_store)


def find_event(settings: Settings, event_id: str) -> EventRecord | None:
    """Return an event of a home by its id; None if there is none."""
    return events_store(settings).find(event_id) or EventArchive(settings.events_folder).find(event_id)


def known_events(settings: Settings, event_ids: Sequence[str]) -> set[str]:
    """Return which of some ids are events of a home."""
    return events_store(settings).known(event_ids) | EventArchive(settings.events_folder).known(event_ids)


@dataclass(frozen=True)
class MovedEvents:
    """What was moved, and where it is.

    Attributes:
        kept: Days.
        archive: The files.
        view: DuckDB file that shows all of them.
    """

    kept: KeptEvents
    archive: EventArchive
    view: str


def move_events(settings: Settings, now: datetime) -> MovedEvents:
    """Move days that are over to Parquet, and drop from the store what it has had for long enough.

    Operational events go after as long, once every destination has them.

    Args:
        settings: Of the home.
        now: The present moment.

    Raises:
        StorageError: If the store does not answer.
        IntegrityError: If an event is otherwise in the store than in a file, or a file is not as it was written.
    """
    from resources.events.view import build_view

    archive = EventArchive(settings.events_folder)
    kept = keep_events(events_store(settings), archive, retention_days=settings.event_retention_days, now=now)
    outbox = home_outbox(settings)
    if outbox.newest():
        outbox.drop_before(now - timedelta(days=settings.event_retention_days))
    return MovedEvents(kept, archive, str(build_view(archive, settings.operational_view_path)))


def drain_events(settings: Settings) -> DrainState:
    """Hand over what dead processes left in the spool; what a living one has, it hands over itself."""
    drainer = Drainer(settings.spool_folder, _sinks(settings, events_store(settings)))
    drainer.drain(None, at_once=True)
    drainer.release()
    return drainer.state()


def _sinks(settings: Settings, store: EventStore) -> Sequence[EventSink]:
    made: dict[str, EventSink] = {STORE: StoreSink(store)}
    return [made[name] if name in made else JsonLinesSink() for name in dict.fromkeys(settings.event_sinks)]
