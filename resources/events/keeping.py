"""Keeping events: days that are over are moved to the archive, and old ones leave the store.

What belongs here: which days are due. What does not: writing files, or removing rows.
"""

from dataclasses import dataclass
from datetime import date, datetime

from resources.events.archive import ArchivedDay, EventArchive
from resources.events.stores import EventStore


@dataclass(frozen=True)
class KeptEvents:
    """What was done.

    Attributes:
        moved: Days that were looked at, with what was written of each.
        dropped: Days that left the store.
        staying: Days that are too old for the store and stay in it: events came in while they were moved.
    """

    moved: tuple[ArchivedDay, ...] = ()
    dropped: tuple[date, ...] = ()
    staying: tuple[date, ...] = ()


def keep_events(
    store: EventStore, archive: EventArchive, *, retention_days: int, now: datetime, only_old: bool = False
) -> KeptEvents:
    """Move days that are over to the archive, and drop those from the store that it has had for long enough.

    No day is dropped unless each of its events was read in the archive's files just before, equal in every column, and
    the store still has exactly those.

    Args:
        store: Where events are looked up.
        archive: Where they stay for good.
        retention_days: How long the store has them.
        now: The present moment.
        only_old: Whether to look only at days that are too old for the store.

    Raises:
        StorageError: If the store does not answer.
        IntegrityError: If an event is otherwise in the store than in a file, or a file is not as it was written.
        OSError: If the archive cannot be written.
    """
    days = store.days()
    old = [day for day in days if (now.date() - day).days > retention_days]
    closed = old if only_old else [day for day in days if day < now.date()]
    moved = tuple(archive.move(store, day) for day in closed if archive.count(day) != days[day])
    dropped, staying = list[date](), list[date]()
    for day in old:
        count = archive.held(store, day)
        is_dropped = count is not None and store.drop(day, count)
        (dropped if is_dropped else staying).append(day)
    return KeptEvents(moved, tuple(dropped), tuple(staying))
