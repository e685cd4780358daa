"""Telling others what is recorded: entries of the ledger, and operational events, each to every destination.

What belongs here: which events a destination lacks, the order, and noting how far it is. What does not: how events are
written (`resources.outbox.event`), or how each destination takes them.

At least once, and in order: a destination is noted to have an event after it has it for good, and gets none before it
has all before it. One that takes nothing keeps nobody else waiting, and gets what it missed when it is there again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Final, Protocol
from uuid import NAMESPACE_URL, uuid5

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import DeliveryError, ForecastAssetsError, InputError, RefusedError
from forecast_assets.operations.home_broker import required_broker
from forecast_assets.settings import Settings
from resources.broker.broker import Subscription
from resources.operational.alerts import CLOSED, OPENED, Alert
from resources.operational.traces import TraceStore
from resources.outbox.destinations import BrokerDestination, EventDestination, WebhookDestination, event_topic
from resources.outbox.event import LEDGER, OPERATIONS, STREAMS, OutboxEvent, ledger_event
from resources.outbox.inbox import EventInbox
from resources.outbox.store import DestinationPosition, OutboxStore, outbox_store
from resources.stores.home import Stores

BATCH: Final = 200
# First and longest wait of `follow_events` after a destination took nothing, and between looks where all is well.
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0
# A consumer that is to end does so when nothing has come for so long: joining a group takes some seconds itself.
QUIET_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Delivery:
    """What a destination was told of a stream.

    Attributes:
        place: How far it is, and why it took no more.
        delivered: How many events it took.
        waiting: How many it lacks.
        is_elsewhere: Whether another process is just telling it.
    """

    place: DestinationPosition
    delivered: int
    waiting: int
    is_elsewhere: bool = False


class _Stream(Protocol):
    """Events in their order."""

    def newest(self) -> int:
        """Return the position of the newest; 0 if there is none."""
        ...

    def after(self, position: int, most: int) -> list[OutboxEvent]:
        """Return those behind a position."""
        ...


class LedgerEvents:
    """What is told of the entries of a ledger.

    Args:
        stores: Of the ledger.
        traces: Of the home; None for none.
    """

    def __init__(self, stores: Stores, traces: TraceStore | None = None) -> None:
        self._stores, self._traces = stores, traces

    def _trace_of(self, work: str) -> str:
        return "" if self._traces is None else self._traces.traceparent_of(work) or ""

    def newest(self) -> int:
        """Return the sequence of the newest entry; 0 if there is none."""
        return self._stores.ledger.state().sequence

    def after(self, position: int, most: int) -> list[OutboxEvent]:
        """Return the events of the entries behind a position.

        Raises:
            BrokenChainError: If an entry was changed.
        """
        if self.newest() <= position:
            return []
        (first,) = self._stores.ledger.after(0, 1)
        told = self._stores.ledger.after(position, most)
        return [
            ledger_event(first.hash, entry, stored, self._trace_of)
            for entry, stored in zip(told, self._stores.ledger.stored(told), strict=True)
        ]


def home_outbox(settings: Settings) -> OutboxStore:
    """Return the outbox of a home."""
    return outbox_store(settings.outbox_path, settings.event_store)


def home_traces(settings: Settings) -> TraceStore:
    """Return which runs of a home were made in which traces."""
    return TraceStore(settings.traces_path)


def home_destinations(settings: Settings) -> list[EventDestination]:
    """Return who is told, by the settings.

    Raises:
        InputError: If the library of a broker is not installed, or two webhooks have the same host and path.
    """
    found = list[EventDestination]()
    if settings.broker is not None:
        found.append(BrokerDestination(required_broker(settings), settings.topic_prefix))
    found += [WebhookDestination(url, settings.webhook_secret) for url in dict.fromkeys(settings.webhooks)]
    twice = sorted(name for name, count in Counter(each.name for each in found).items() if count > 1)
    if twice:
        # Under one name each would count as having what the other one got.
        raise InputError(
            f"FORECAST_ASSETS_WEBHOOKS has two addresses of {twice[0]}.",
            remedy="Name one of them, or give each a path of its own: what follows a `?` does not tell them apart.",
        )
    return found


def record_alerts(settings: Settings, alerts: Sequence[Alert]) -> int:
    """Record that alerts opened and closed as operational events, each once however often it is asked for.

    Args:
        settings: Of the home.
        alerts: As they are kept.

    Returns:
        How many events are new.

    Raises:
        StorageError: If they cannot be written.
    """
    outbox, added = home_outbox(settings), 0
    for alert in sorted(alerts, key=lambda each: each.alert_id):
        for what, at in ((OPENED, alert.opened_at), (CLOSED, alert.closed_at)):
            if at is not None:
                # Alerts of several homes may be in one outbox.
                name = f"{settings.operational_path}#{alert.alert_id}/{what}/{alert.opened_at.isoformat()}"
                subject = f"alerts/{alert.fingerprint}"
                event_id = str(uuid5(NAMESPACE_URL, name))
                added += bool(outbox.add(f"alert.{what}", subject, _facts(alert), at, event_id=event_id))
    return added


def _facts(alert: Alert) -> Mapping[str, object]:
    return {
        "code": alert.code,
        "severity": alert.severity,
        "subject": alert.subject,
        "words": alert.words,
        "remedy": alert.remedy,
        "opened_at": alert.opened_at.isoformat(),
    }


# --- telling ---


def deliver_events(
    stores: Stores,
    outbox: OutboxStore,
    destinations: Sequence[EventDestination],
    *,
    traces: TraceStore | None = None,
    seconds: float = inf,
) -> list[Delivery]:
    """Tell every destination what it lacks; one that takes nothing keeps no other waiting.

    Args:
        stores: Of the ledger.
        outbox: Of the home.
        destinations: Who is told.
        traces: Of the home, for who wants to go from an event to the run that made it.
        seconds: No batch is begun after so long; what is left waits for the next call.

    Returns:
        Of each destination and stream what was told.

    Raises:
        StorageError: If the ledger cannot be read, or it cannot be noted how far they are.
    """
    if not destinations:
        return []
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(len(destinations), "outbox") as threads:
        streams = _streams(stores, outbox, traces)
        told = threads.map(lambda each: _deliver(streams, outbox, each, until), destinations)
        return [delivery for deliveries in told for delivery in deliveries]


def _deliver(
    streams: Mapping[str, _Stream], outbox: OutboxStore, destination: EventDestination, until: float
) -> list[Delivery]:
    told = list[Delivery]()
    with outbox.alone(destination.name) as is_alone:
        for before in _places(outbox, destination, streams, notes=is_alone):
            stream, now = streams[before.stream], before
            # Who takes nothing of one stream is not asked to take of the other: each asking may take seconds.
            if is_alone and not any(each.place.trouble for each in told):
                now = _deliver_stream(outbox, destination, stream, before, until)
            waiting = max(0, stream.newest() - now.position)
            told.append(Delivery(now, now.position - before.position, waiting, not is_alone))
    return told


def _deliver_stream(
    outbox: OutboxStore, destination: EventDestination, stream: _Stream, place: DestinationPosition, until: float
) -> DestinationPosition:
    """Tell a destination what it lacks of a stream; return how far it is then."""
    try:
        _require_same(stream, place)
        while time.monotonic() < until and (events := stream.after(place.position, BATCH)):
            last = events[destination.take(events) - 1]
            place = DestinationPosition(place.destination, place.stream, last.position, last.id, _now())
            outbox.put(place)
    except ForecastAssetsError as error:
        place = replace(place, trouble=str(error.message), trouble_since=place.trouble_since or _now())
        outbox.put(place)
    else:
        if place.trouble:
            place = replace(place, trouble="", trouble_since="")
            outbox.put(place)
    return place


def _require_same(stream: _Stream, place: DestinationPosition) -> None:
    """Refuse to go on where a destination has what this ledger has not: it was restored, or is another one."""
    if place.stream != LEDGER or not place.mark:
        return
    found = stream.after(place.position - 1, 1)
    if not found or found[0].id != place.mark:
        raise RefusedError(
            f"{place.destination} was told entry {place.position} as it is not in this ledger.",
            remedy=Sentence(
                "The ledger was restored to an earlier state, or is another one. Tell it again what it is to have: ",
                Action("outbox move", {"to": 0}, on=(place.destination,)),
                ".",
            ),
            destination=place.destination,
            position=place.position,
        )


def _places(
    outbox: OutboxStore, destination: EventDestination, streams: Mapping[str, _Stream], *, notes: bool
) -> list[DestinationPosition]:
    """Return how far a destination is; of one that is new that is noted at once, since events may come meanwhile."""
    known = {each.stream: each for each in outbox.positions() if each.destination == destination.name}
    new = [
        _place_at(destination.name, name, stream, 0 if destination.begins_with_the_first else stream.newest())
        for name, stream in streams.items()
        if name not in known
    ]
    # Who does not hold the destination would overwrite what the one who does has noted meanwhile.
    if new and notes:
        outbox.put(*new)
    return [*known.values(), *new]


def _place_at(destination: str, name: str, stream: _Stream, position: int) -> DestinationPosition:
    found = stream.after(position - 1, 1) if position else []
    return DestinationPosition(destination, name, position, found[0].id if found else "", _now())


def _streams(stores: Stores, outbox: OutboxStore, traces: TraceStore | None = None) -> dict[str, _Stream]:
    return {LEDGER: LedgerEvents(stores, traces), OPERATIONS: outbox}


def follow_events(
    stores: Stores,
    outbox: OutboxStore,
    destinations: Sequence[EventDestination],
    wait: Callable[[float], bool],
    told: Callable[[Sequence[Delivery]], None],
    traces: TraceStore | None = None,
) -> None:
    """Tell every destination what is recorded, as long as somebody wants it.

    Args:
        stores: Of the ledger.
        outbox: Of the home.
        destinations: Who is told.
        wait: Called with seconds to wait; returns whether to end.
        told: Called after each round with what was told.
        traces: Of the home.

    Raises:
        StorageError: If the ledger cannot be read, or it cannot be noted how far they are.
    """
    seconds = FIRST_WAIT_SECONDS
    while True:
        round_ = deliver_events(stores, outbox, destinations, traces=traces)
        told(round_)
        is_well = not any(each.place.trouble for each in round_)
        seconds = FIRST_WAIT_SECONDS if is_well else min(2 * seconds, LONGEST_WAIT_SECONDS)
        if wait(seconds):
            return


# --- being told ---


def listen_to_events(
    settings: Settings, inbox: Path, group: str, *, ends_when_quiet: bool = False
) -> Iterator[OutboxEvent]:
    """Read events from the broker of a home, keep each once, and yield those that are new.

    Args:
        settings: Of the home.
        inbox: SQLite file that keeps them; what is in it is not told again.
        group: Of consumers.
        ends_when_quiet: Whether to end when nothing has come for some seconds.

    Raises:
        InputError: If the home has no broker.
        DeliveryError: If it does not answer.
        IntegrityError: If somebody else writes to its topics.
    """
    broker = required_broker(settings)
    topics = [event_topic(settings.topic_prefix, stream) for stream in STREAMS]
    yield from take_events(broker.subscribe(topics, group), EventInbox(inbox), ends_when_quiet=ends_when_quiet)


def take_events(subscription: Subscription, inbox: EventInbox, *, ends_when_quiet: bool) -> Iterator[OutboxEvent]:
    """Take events in, and yield those that are new, until nothing has come for some seconds or for ever."""
    quiet_since = time.monotonic()
    try:
        while not ends_when_quiet or time.monotonic() - quiet_since < QUIET_SECONDS:
            received = subscription.poll(BATCH, FIRST_WAIT_SECONDS)
            if received:
                quiet_since = time.monotonic()
                yield from inbox.take(received)
                # Only now: what is not in the inbox is to come again. What cannot be noted, as while the group shares
                # its partitions out anew, comes again too, and is known then.
                with suppress(DeliveryError):
                    subscription.commit(received)
    finally:
        subscription.close()


# --- looking, and putting right ---


def outbox_state(settings: Settings, stores: Stores) -> list[Delivery]:
    """Return how far every destination is, without telling any; those that the settings name no more too."""
    outbox = home_outbox(settings)
    streams = _streams(stores, outbox)
    return [Delivery(place, 0, max(0, streams[place.stream].newest() - place.position)) for place in outbox.positions()]


def events_behind(settings: Settings, stores: Stores, stream: str, position: int, most: int) -> list[OutboxEvent]:
    """Return the events of a stream behind a position: the table itself.

    Raises:
        InputError: If there is no such stream.
    """
    if stream not in STREAMS:
        raise InputError(f"There is no stream `{stream}`.", remedy=f"Name one of {', '.join(STREAMS)}.", stream=stream)
    return _streams(stores, home_outbox(settings), home_traces(settings))[stream].after(position, most)


def move_destination(settings: Settings, stores: Stores, name: str, stream: str, position: int) -> DestinationPosition:
    """Have a destination be told what stands behind a position, whatever it was told: again, or with a gap.

    Args:
        settings: Of the home.
        stores: Of the ledger.
        name: Of the destination.
        stream: Of events.
        position: 0 for everything; the newest for nothing of what there is.

    Returns:
        How far it counts from now on.

    Raises:
        InputError: If there is no such destination or position.
        RefusedError: If it is just being told something.
    """
    outbox = home_outbox(settings)
    streams = _streams(stores, outbox)
    known = sorted({each.destination for each in outbox.positions()})
    if name not in known or stream not in streams:
        raise InputError(
            f"No destination `{name}` has been told anything of a stream `{stream}`.",
            remedy=Sentence(f"Name one of {', '.join(known) or 'none'}: ", Action("outbox status"), "."),
            destination=name,
        )
    newest = streams[stream].newest()
    if not 0 <= position <= newest:
        raise InputError(
            f"The stream `{stream}` has the positions 1 to {newest}, and 0 before them.",
            remedy="Name one of them.",
            position=position,
        )
    with outbox.alone(name) as is_alone:
        if not is_alone:
            raise RefusedError(
                f"{name} is just being told something by another process.", remedy="End that, or repeat in a moment."
            )
        place = _place_at(name, stream, streams[stream], position)
        outbox.put(place)
    return place


def forget_destination(settings: Settings, name: str) -> None:
    """Forget how far a destination is that is no more: operational events are not kept for it any longer.

    Raises:
        InputError: If nobody of that name has been told anything, or the settings name it.
        RefusedError: If it is just being told something.
    """
    outbox = home_outbox(settings)
    known = sorted({each.destination for each in outbox.positions()})
    if name not in known:
        raise InputError(
            f"No destination `{name}` has been told anything.",
            remedy=Sentence(f"Name one of {', '.join(known) or 'none'}: ", Action("outbox status"), "."),
            destination=name,
        )
    if name in {each.name for each in home_destinations(settings)}:
        raise InputError(
            f"{name} is still to be told: the settings name it.",
            remedy="Take it out of FORECAST_ASSETS_BROKER or FORECAST_ASSETS_WEBHOOKS first.",
            destination=name,
        )
    with outbox.alone(name) as is_alone:
        if not is_alone:
            raise RefusedError(
                f"{name} is just being told something by another process.", remedy="End that, or repeat in a moment."
            )
        outbox.forget(name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
