"""Observations from topics: collected into batches, and ingested like any other delivery.

What belongs here: when a batch is cut, what becomes of one that is refused, and noting what is done. What does not:
reading records (`sources.stream_records`), or what a batch has to be (`ingestion`).

Messages are noted as done once their rows are in the ledger, or they are among the dead letters. Whoever dies in
between reads them again: what is held already is no news, so that nothing is there twice. Which messages an ingest was
made from stands in its entry.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from time import monotonic
from typing import Final, TypeVar

from forecast_assets.contracts import FEEDS, QUARANTINED_ROWS
from forecast_assets.core.errors import (
    ContractError,
    DeliveryError,
    InputError,
    LostRaceError,
    StorageError,
    first_ten,
)
from forecast_assets.ingestion.days import latest_day
from forecast_assets.ingestion.ingest import IngestOutcome
from forecast_assets.operations.use_cases import UseCases
from forecast_assets.sources.stream_records import StreamedRows, StreamSource, read_messages
from resources.broker.broker import Broker, ReceivedMessage, Subscription
from resources.broker.dead_letters import dead_letter, letter_of
from resources.ledger.entries.ingest import ReadRange
from resources.operational.stream_letters import StreamLetter, StreamLetters

STREAMED: Final = tuple(name for name in FEEDS if name != QUARANTINED_ROWS.name)
_POLL_SECONDS: Final = 0.2
_MOST_POLLED: Final = 1_000
_FIRST_REST_SECONDS: Final = 0.2
_LONGEST_REST_SECONDS: Final = 30.0
# A batch that is refused is cut in halves to find the message that it is refused for, so often.
_MOST_CUTS: Final = 64
T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


def observations_topic(prefix: str, feed: str) -> str:
    """Return where records of a feed are.

    Example:
        >>> observations_topic("retail", "sales")
        'retail.observations.sales'
    """
    return f"{prefix}.observations.{feed}"


@dataclass(frozen=True)
class StreamIngestOptions:
    """How observations are collected.

    Attributes:
        feeds: Of which feeds topics are read.
        source: Who says what is on them.
        most_records: A batch is cut at about so many,
        most_bytes: at so many bytes of messages,
        most_seconds: or so long after its first message, whichever is first.
    """

    feeds: Sequence[str]
    source: StreamSource
    most_records: int = 250_000
    most_bytes: int = 128 << 20
    most_seconds: float = 60.0


@dataclass(frozen=True)
class StreamIngested:
    """What became of what was collected.

    Attributes:
        outcomes: Of each ingest that came through; one, unless some of it was refused.
        messages: That were worked off.
        records: In them.
        letters: Dead letters among them.
    """

    outcomes: Sequence[IngestOutcome]
    messages: int
    records: int
    letters: int


@dataclass
class _Collected:
    """Messages that wait for their batch."""

    messages: list[ReceivedMessage] = field(default_factory=list)
    records: int = 0
    size: int = 0
    since: float = 0.0

    def add(self, messages: Sequence[ReceivedMessage]) -> None:
        if messages and not self.messages:
            self.since = monotonic()
        self.messages += messages
        # Lines as good as records: an array is one line, and rarely long.
        self.records += sum(each.value.count(b"\n") + 1 for each in messages)
        self.size += sum(len(each.value) for each in messages)

    def is_full(self, options: StreamIngestOptions) -> bool:
        waited = monotonic() - self.since
        is_much = self.records >= options.most_records or self.size >= options.most_bytes
        return bool(self.messages) and (is_much or waited >= options.most_seconds)


@dataclass
class _Taking:
    """What becomes of one batch."""

    outcomes: list[IngestOutcome] = field(default_factory=list)
    letters: list[StreamLetter] = field(default_factory=list)
    records: int = 0
    cuts: int = 0


class _StoppedError(Exception):
    """It was told to stop while it waited; what is not noted comes again."""


def _now() -> datetime:
    return datetime.now(UTC)


class ObservationStream:
    """One consumer of the observations of a home.

    Args:
        runner: Ingests.
        broker: Where topics are.
        prefix: Of their names.
        letters: Where what cannot be ingested is kept.
        options: How.
        clock: Returns the present moment.
    """

    def __init__(
        self,
        runner: UseCases,
        broker: Broker,
        prefix: str,
        letters: StreamLetters,
        options: StreamIngestOptions,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._runner, self._broker, self._prefix = runner, broker, prefix
        self._letters, self._options, self._clock = letters, options, clock
        self._feeds = {observations_topic(prefix, feed): feed for feed in options.feeds}
        unknown = sorted({*options.feeds} - {*STREAMED})
        if unknown or not options.feeds:
            raise InputError(
                f"Topics of the feeds {first_ten(unknown)} cannot be read.",
                remedy=f"Name some of {first_ten(STREAMED)}.",
            )
        # A source that cannot be is refused now, and not with the first batch.
        self._read(options.feeds[0], [])
        self.group: Final = f"{prefix}.ingesting.{options.source.name}"
        self._subscription: Subscription | None = None

    @property
    def topics(self) -> Sequence[str]:
        """Which are read."""
        return [*self._feeds]

    def run(self, stopped: Event, told: Callable[[StreamIngested], None] = lambda _: None) -> None:
        """Ingest until told to stop; then ingest what was read, and leave the group.

        Args:
            stopped: Set when it is to end.
            told: Called with what became of each batch.

        Raises:
            IntegrityError: If the store is damaged: nothing is noted then.
        """
        collected = _Collected()
        try:
            while True:
                is_ending = stopped.is_set()
                if not is_ending:
                    collected.add(self._poll(stopped))
                if collected.messages and (is_ending or collected.is_full(self._options)):
                    told(self._work_off(collected.messages, stopped))
                    collected = _Collected()
                if is_ending:
                    return
        except _StoppedError:
            return
        finally:
            self._leave()

    def _poll(self, stopped: Event) -> Sequence[ReceivedMessage]:
        try:
            if self._subscription is None:
                self._subscription = self._broker.subscribe(self.topics, self.group)
            return self._subscription.poll(_MOST_POLLED, _POLL_SECONDS)
        except DeliveryError as error:
            _log.warning("observations cannot be read; again soon: %s", error)
            self._leave()
            stopped.wait(1.0)
            return []

    def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _work_off(self, messages: Sequence[ReceivedMessage], stopped: Event) -> StreamIngested:
        """Ingest messages, have those that cannot be among the dead letters, and note both."""
        taking = _Taking()
        self._ingest(messages, taking, stopped)
        self._again(lambda: self._letters.keep(taking.letters, self._clock()), stopped)
        told = [dead_letter(self._prefix, each, self._clock()) for each in taking.letters]
        self._again(lambda: self._broker.publish(told), stopped)
        try:
            if self._subscription is not None:
                self._subscription.commit(messages)
        except DeliveryError as error:
            _log.warning("what was ingested could not be noted, and may come again: %s", error)
        return StreamIngested(tuple(taking.outcomes), len(messages), taking.records, len(taking.letters))

    def _ingest(self, messages: Sequence[ReceivedMessage], taking: _Taking, stopped: Event) -> None:
        """Ingest messages; where they are refused, each half of them by itself, down to the one that is at fault."""
        read = {feed: (own, self._read(feed, own)) for feed, own in self._by_feed(messages)}
        batches = [rows.batch for _, rows in read.values() if rows.batch is not None]
        try:
            if batches:
                taking.outcomes.append(self._again(lambda: self._runner.ingest(batches, _ranges(messages)), stopped))
        except InputError as error:
            if len(messages) > 1 and taking.cuts < _MOST_CUTS:
                taking.cuts += 1
                half = len(messages) // 2
                self._ingest(messages[:half], taking, stopped)
                self._ingest(messages[half:], taking, stopped)
                return
            taking.letters += [letter_of(each, _why(error)) for each in messages]
            taking.records += sum(rows.records for _, rows in read.values())
            return
        for own, rows in read.values():
            taking.records += rows.records
            for bad in rows.bad:
                value = b"\n".join(record for _, record, _ in bad.records)
                taking.letters.append(letter_of(own[bad.message], _why_records(bad.records), value=value))

    def _by_feed(self, messages: Sequence[ReceivedMessage]) -> Iterator[tuple[str, Sequence[ReceivedMessage]]]:
        by_feed = defaultdict[str, list[ReceivedMessage]](list)
        for each in messages:
            by_feed[self._feeds[each.topic]].append(each)
        # In the order of the contracts, so that what others refer to comes first.
        return ((feed, by_feed[feed]) for feed in FEEDS if feed in by_feed)

    def _read(self, feed: str, messages: Sequence[ReceivedMessage]) -> StreamedRows:
        values = [each.value for each in messages]
        return read_messages(feed, self._options.source, values, latest_day(self._clock()))

    def _again(self, do: Callable[[], T], stopped: Event) -> T:
        """Do something until a disk, a broker or another ingest lets it be done.

        Raises:
            _StoppedError: If it is told to stop meanwhile.
        """
        rest = _FIRST_REST_SECONDS
        while True:
            try:
                return do()
            except (StorageError, LostRaceError) as error:
                _log.warning("observations wait; again in %.1f s: %s", rest, error)
                if stopped.wait(rest):
                    raise _StoppedError from error
                rest = min(2 * rest, _LONGEST_REST_SECONDS)


def _ranges(messages: Sequence[ReceivedMessage]) -> Sequence[ReadRange]:
    """Return which messages these are, in as few ranges as they make."""
    ranges: list[ReadRange] = []
    for topic, partition, offset in sorted({(each.topic, each.partition, each.offset) for each in messages}):
        last = ranges[-1] if ranges else None
        if last is not None and (last.topic, last.partition, last.last + 1) == (topic, partition, offset):
            ranges[-1] = ReadRange(topic, partition, last.first, offset)
        else:
            ranges.append(ReadRange(topic, partition, offset, offset))
    return ranges


def _why(error: InputError) -> str:
    if isinstance(error, ContractError) and error.findings:
        return first_ten(f"{each.feed}: {each.message}" for each in error.findings if each.is_error)
    return str(error.message)


def _why_records(records: Sequence[tuple[int, bytes, str]]) -> str:
    return first_ten(f"record {number}: {why}" for number, _, why in records)
