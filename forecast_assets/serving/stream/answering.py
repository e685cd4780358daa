"""Requests as they come, answers as they are ready: nothing lost, whoever dies.

What belongs here: reading requests, having them answered at the same time, trying again, and noting what is done. What
does not: any answer (`door`), or what is kept of one (`resources.operational`).

An answer is kept, then handed to the broker, and when that has it for good the group notes that it needs the request no
more. Whoever dies in between leaves a request that comes again, and what is kept answers it with the same bytes.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic
from typing import Final

from forecast_assets.core.errors import DeliveryError, StorageError
from forecast_assets.serving.stream.door import StreamDoor, Worked
from forecast_assets.serving.stream.topics import (
    CONTENT_TYPE,
    KEY,
    QUESTION,
    REQUEST_ID,
    RETRY_AFTER,
    SANDBOX,
    STATUS,
    TRACE,
    StreamTopics,
)
from resources.broker.broker import Broker, BrokerMessage, ReceivedMessage, Subscription
from resources.broker.dead_letters import dead_letter, letter_of
from resources.operational.stream_answers import KeptAnswer, StreamAnswers
from resources.operational.stream_letters import StreamLetters

# A request waits so long for others to come with it.
_POLL_SECONDS: Final = 0.005
_IDLE_SECONDS: Final = 0.1
# What is ready within so long is kept, handed over and noted together: most of what that costs is the same for many.
_TOGETHER_SECONDS: Final = 0.02
_FULL_SECONDS: Final = 0.05
_FIRST_REST_SECONDS: Final = 0.2
_LONGEST_REST_SECONDS: Final = 10.0
_FORGETS_SECONDS: Final = 600.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnsweringOptions:
    """How requests are worked off.

    Attributes:
        at_once: Requests that are under way at most; while there are so many, none are read.
        tried_for_seconds: How long a request is tried again that fails by what may pass, such as a disk.
        last_answers_seconds: How long what is under way has when it is told to stop.
        kept_for: How long the same request has the same answer.
    """

    at_once: int = 32
    tried_for_seconds: float = 120.0
    last_answers_seconds: float = 10.0
    kept_for: timedelta = timedelta(days=8)


@dataclass
class AnsweringCounts:
    """What was done since it began.

    Attributes:
        answered: Answers that the broker has.
        dead_lettered: Messages that became dead letters.
        tried_again: Tries besides the first.
        in_flight: Requests that are under way now.
    """

    answered: int = 0
    dead_lettered: int = 0
    tried_again: int = 0
    in_flight: int = 0


@dataclass
class _Rest:
    """How long to wait after a failure: twice as long each time."""

    until: float = 0.0
    seconds: float = 0.0

    def begin(self) -> float:
        self.seconds = min(max(2 * self.seconds, _FIRST_REST_SECONDS), _LONGEST_REST_SECONDS)
        self.until = monotonic() + self.seconds
        return self.seconds

    def end(self) -> None:
        self.until = self.seconds = 0.0

    @property
    def is_over(self) -> bool:
        return monotonic() >= self.until


@dataclass
class _Pending:
    """A request under way."""

    message: ReceivedMessage
    future: Future[Worked] | None = None
    came_at: float = field(default_factory=monotonic)
    rest: _Rest = field(default_factory=_Rest)
    worked: Worked | None = None
    is_settled: bool = False

    @property
    def place(self) -> tuple[str, int]:
        return self.message.topic, self.message.partition


def _now() -> datetime:
    return datetime.now(UTC)


class Answering:
    """One consumer of the requests of a home.

    Args:
        broker: Where requests and answers are.
        topics: Their names.
        door: What answers.
        answers: Where answers are kept.
        letters: Where what cannot be answered is kept.
        options: How.
        clock: Returns the present moment.
        is_sandbox: Whether answers are marked.
    """

    def __init__(
        self,
        broker: Broker,
        topics: StreamTopics,
        door: StreamDoor,
        answers: StreamAnswers,
        letters: StreamLetters,
        options: AnsweringOptions | None = None,
        *,
        clock: Callable[[], datetime] = _now,
        is_sandbox: bool = False,
    ) -> None:
        self._broker, self._topics, self._door = broker, topics, door
        self._answers, self._letters, self._clock = answers, letters, clock
        self._options, self._is_sandbox = options or AnsweringOptions(), is_sandbox
        self.counts: Final = AnsweringCounts()
        self._subscription: Subscription | None = None
        self._pending: list[_Pending] = []
        self._unnoted: defaultdict[tuple[str, int], deque[_Pending]] = defaultdict(deque)
        self._reading, self._handing = _Rest(), _Rest()
        self._forgets_at = self._settles_at = 0.0

    def run(self, stopped: Event) -> None:
        """Answer until told to stop; then answer what is under way, and leave the group.

        Args:
            stopped: Set when it is to end.
        """
        ends_at = float("inf")
        try:
            with ThreadPoolExecutor(self._options.at_once, thread_name_prefix="stream") as threads:
                while not stopped.is_set() or (self._pending and monotonic() < ends_at):
                    if stopped.is_set():
                        ends_at = min(ends_at, monotonic() + self._options.last_answers_seconds)
                    self._read(is_ending=stopped.is_set())
                    self._start(threads)
                    self._settle()
                    self._forget()
                self._leave()
                threads.shutdown(wait=False, cancel_futures=True)
        finally:
            self._leave()

    def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _read(self, *, is_ending: bool) -> None:
        """Read what there is room for; join the group, again where the broker has let this consumer go."""
        room = self._options.at_once - len(self._pending)
        if is_ending or room <= 0 or not self._reading.is_over:
            self._wait()
            return
        try:
            if self._subscription is None:
                self._subscription = self._broker.subscribe([self._topics.requests], self._topics.group)
            for message in self._subscription.poll(room, _POLL_SECONDS if self._pending else _IDLE_SECONDS):
                pending = _Pending(message)
                self._pending.append(pending)
                self._unnoted[pending.place].append(pending)
            self._reading.end()
        except DeliveryError as error:
            _log.warning("requests cannot be read; again in %.1f s: %s", self._reading.begin(), error)
            self._leave()

    def _wait(self) -> None:
        """Wait for an answer, or a moment."""
        under_way = [each.future for each in self._pending if each.future is not None and not each.future.done()]
        if under_way:
            wait(under_way, timeout=_FULL_SECONDS, return_when=FIRST_COMPLETED)
        else:
            Event().wait(_POLL_SECONDS)

    def _start(self, threads: ThreadPoolExecutor) -> None:
        """Have what was read answered, and what failed by what may pass again when its time has come."""
        for each in self._pending:
            if each.worked is None and each.future is not None and each.future.done():
                self._take(each, each.future.result())
            if each.worked is None and each.future is None and each.rest.is_over:
                each.future = threads.submit(self._door.work, each.message)
        self.counts.in_flight = len(self._pending)

    def _take(self, pending: _Pending, worked: Worked) -> None:
        if worked.is_passing and monotonic() < pending.came_at + self._options.tried_for_seconds:
            pending.future = None
            pending.rest.begin()
            self.counts.tried_again += 1
        else:
            pending.worked = worked

    def _settle(self) -> None:
        """Keep what is answered, hand it over, and note it; where that fails, all of it again after a rest."""
        if monotonic() < self._settles_at or not self._handing.is_over:
            return
        ready = [*self._in_order()]
        if not ready:
            return
        self._settles_at = monotonic() + _TOGETHER_SECONDS
        try:
            self._hand_over(ready)
        except StorageError as error:
            _log.warning("answers cannot be handed over; again in %.1f s: %s", self._handing.begin(), error)
            return
        self._handing.end()
        for each in ready:
            each.is_settled = True
        self._pending = [each for each in self._pending if not each.is_settled]
        self._note()

    def _in_order(self) -> Iterator[_Pending]:
        """Yield what is answered, of each key in the order of its requests; a message without a key has no order."""
        waiting = set[tuple[str, int, str]]()
        for each in self._pending:
            lane = (*each.place, each.message.key)
            if each.worked is None:
                waiting.add(lane)
            elif not each.message.key or lane not in waiting:
                yield each

    def _hand_over(self, ready: Sequence[_Pending]) -> None:
        now, worked = self._clock(), [each.worked for each in ready if each.worked is not None]
        wanted = [each.keep for each in worked if each.keep is not None]
        kept = dict(zip(map(_id_of, wanted), self._answers.keep(wanted, now), strict=True))
        said = [each if each.keep is None else self._door.held(each, kept[_id_of(each.keep)]) for each in worked]
        letters = [
            letter_of(pending.message, each.letter, without=[KEY])
            for pending, each in zip(ready, said, strict=True)
            if each.letter is not None
        ]
        self._letters.keep(letters, now)
        messages = [
            self._message(pending.message, each)
            for pending, each in zip(ready, said, strict=True)
            if each.answer is not None
        ]
        self._broker.publish([*messages, *(dead_letter(self._topics.prefix, each, now) for each in letters)])
        self.counts.answered += len(messages)
        self.counts.dead_lettered += len(letters)

    def _message(self, asked: ReceivedMessage, worked: Worked) -> BrokerMessage:
        answer = worked.answer
        assert answer is not None
        assert worked.request_id is not None
        headers = {
            REQUEST_ID: worked.request_id,
            QUESTION: worked.question,
            STATUS: str(int(answer.status)),
            CONTENT_TYPE: answer.content_type,
            TRACE: worked.trace,
            **({} if answer.retry_after_seconds is None else {RETRY_AFTER: str(answer.retry_after_seconds)}),
            **({SANDBOX: "true"} if self._is_sandbox else {}),
        }
        return BrokerMessage(self._topics.answers, asked.key, answer.body, headers)

    def _note(self) -> None:
        """Note up to where each partition is done: never past a request that is not."""
        done = list[ReceivedMessage]()
        for waiting in self._unnoted.values():
            last: ReceivedMessage | None = None
            while waiting and waiting[0].is_settled:
                last = waiting.popleft().message
            if last is not None:
                done.append(last)
        if self._subscription is None or not done:
            return
        try:
            self._subscription.commit(done)
        except DeliveryError as error:
            _log.warning("what was answered could not be noted, and may come again: %s", error)

    def _forget(self) -> None:
        if monotonic() < self._forgets_at:
            return
        self._forgets_at = monotonic() + _FORGETS_SECONDS
        try:
            self._answers.forget(self._clock() - self._options.kept_for)
        except StorageError as error:
            _log.warning("old answers could not be forgotten: %s", error)


def _id_of(answer: KeptAnswer) -> tuple[str, str]:
    return answer.key_id, answer.request_id
