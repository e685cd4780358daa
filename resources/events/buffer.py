"""The buffer between answers and sinks: an answer is told at once whether its event is kept.

What belongs here: taking events while callers wait, counting those that are dropped, and the threads that write, sync
and drain. What does not: the files (`spool`), handing over (`draining`), or what an event says.

One thread writes, so that a disk that does not answer holds up nobody: an answer waits for it a moment at most.
"""

import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Final

from resources.events.draining import Drainer
from resources.events.record import DROPPED, RECORDED
from resources.events.segments import line_of
from resources.events.spool import Spool

# What an answer waits at most for its event to be appended.
WAIT_SECONDS: Final = 0.2
SYNC_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 1.0
MOST_WAITING: Final = 1_000
_MOST_REMEMBERED: Final = 10_000
_CLOSE_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BufferState:
    """How events have fared since this process began.

    Attributes:
        recorded: Events that were appended to the spool.
        dropped: Events that were not kept, by why.
        drained: Events that every sink has.
        torn: Lines of the spool that were not whole; the segments are kept aside.
        refused: Events that a sink will never take as they are; they are kept aside.
        waiting_bytes: Of events that some sink does not have, of this process and of dead ones.
        failing: What keeps a sink from taking events now, by its name.
        trouble: What keeps the spool from being synced or old events from being moved, in sentences.
    """

    recorded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    drained: int = 0
    torn: int = 0
    refused: int = 0
    waiting_bytes: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is worse than usual, in sentences."""
        dropped = sum(self.dropped.values())
        return (
            *([f"{dropped} prediction events were dropped since the service began"] if dropped else []),
            *(f"prediction events wait for the sink `{name}`: {why}" for name, why in self.failing.items()),
            *([f"{self.torn} lines of the spool were not whole"] if self.torn else []),
            *([f"{self.refused} prediction events were refused by a sink"] if self.refused else []),
            *self.trouble,
        )


class Recording:
    """An event on its way to the spool.

    Args:
        event_id: Of the event.
        appended: Done once it is appended; fails if it is not.
        dropped: Called with why if it is not.
        wait_seconds: What is waited at most, from now on.
    """

    def __init__(
        self,
        event_id: str,
        appended: "Future[None]",
        dropped: Callable[[str], None],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.event_id = event_id
        self._appended, self._dropped = appended, dropped
        self._until = monotonic() + wait_seconds
        self._status: str | None = None

    @property
    def status(self) -> str:
        """`recorded` or `dropped`; waits a moment for the disk. What is dropped once stays so."""
        if self._status is None:
            self._status = self._wait()
        return self._status

    def _wait(self) -> str:
        try:
            self._appended.result(max(self._until - monotonic(), 0.0))
        except TimeoutError:
            # Where it is being written this very moment it may be kept nevertheless; nobody was promised that.
            self._appended.cancel()
            self._dropped("the disk did not answer in time")
            return DROPPED
        except (RuntimeError, CancelledError):
            return DROPPED
        return RECORDED


def unrecorded(event_id: str) -> Recording:
    """Return the recording of an event that nobody keeps."""
    appended: Future[None] = Future()
    appended.cancel()
    return Recording(event_id, appended, lambda _: None)


class EventBuffer:
    """Keeps events of this process until every sink has them; safe to share between threads.

    Args:
        root: Where the spools of all processes are.
        drainer: Hands events over to the sinks.
        most_bytes: What may wait in the spool; beyond it events are dropped.
        most_waiting: Events that may wait for the disk.
        wait_seconds: What an answer waits at most for its event to be appended.
        open_spool: Makes the spool of this process.
    """

    def __init__(
        self,
        root: Path,
        drainer: Drainer,
        *,
        most_bytes: int,
        most_waiting: int = MOST_WAITING,
        wait_seconds: float = WAIT_SECONDS,
        open_spool: Callable[[Path], Spool] = Spool.open,
    ) -> None:
        self._root, self._drainer, self._most, self._open_spool = root, drainer, most_bytes, open_spool
        self._wait = wait_seconds
        self._queue: Queue[tuple[str, bytes, Future[None]]] = Queue(most_waiting)
        self._spool: Spool | None = None
        self._lock, self._ended, self._wake = Lock(), Event(), Event()
        self._recorded, self._dropped, self._trouble = 0, Counter[str](), ""
        self._remembered: OrderedDict[str, None] = OrderedDict()
        self._busy_since: float | None = None
        self._threads = [
            Thread(target=run, name=f"events {run.__name__.strip('_')}", daemon=True)
            for run in (self._write, self._sync, self._drain)
        ]

    def start(self) -> None:
        """Begin to write, sync and drain; what dead processes left is drained first."""
        for thread in self._threads:
            thread.start()

    def record(self, event_id: str, content: bytes) -> Recording:
        """Take an event; whoever answers asks the recording how it went.

        Args:
            event_id: Of the event; one whose id was appended lately is not appended again.
            content: Its bytes, without a line break.
        """
        appended: Future[None] = Future()
        recording = Recording(event_id, appended, self._drop, self._wait)
        with self._lock:
            is_known, since = event_id in self._remembered, self._busy_since
        if is_known:
            appended.set_result(None)
        elif self._ended.is_set():
            self._fail(appended, "the service is ending")
        elif since is not None and monotonic() - since > self._wait:
            # The disk holds the writer up: others do not wait for it too.
            self._fail(appended, "the disk did not answer in time")
        else:
            try:
                self._queue.put_nowait((event_id, line_of(content), appended))
            except Full:
                self._fail(appended, "too many wait for the disk")
        return recording

    def drop(self, event_id: str, why: str) -> Recording:
        """Return the recording of an event that could not be made, and count it."""
        appended: Future[None] = Future()
        self._fail(appended, why)
        return Recording(event_id, appended, self._drop)

    def state(self) -> BufferState:
        """Say how events have fared since this process began."""
        drained = self._drainer.state()
        with self._lock:
            spool, recorded, dropped, trouble = self._spool, self._recorded, dict(self._dropped), self._trouble
        return BufferState(
            recorded=recorded,
            dropped=dropped,
            drained=drained.drained,
            torn=drained.torn,
            refused=drained.refused,
            waiting_bytes=(spool.waiting_bytes if spool else 0) + drained.adopted_bytes,
            failing=dict(drained.failing),
            trouble=tuple(each for each in (trouble, drained.trouble) if each),
        )

    def flush(self, seconds: float) -> bool:
        """Drain what was appended before; return whether all sinks have it by then."""
        until = monotonic() + seconds
        before = self._drainer.passes
        while monotonic() < until:
            self._wake.set()
            # The pass that is under way may have begun before.
            if self._drainer.passes > before + 1:
                return not self._drainer.state().failing
            self._ended.wait(0.01)
            if self._ended.is_set():
                break
        return False

    def close(self) -> None:
        """Write what was taken, drain once more, and end; what no sink has stays for the next process."""
        self._ended.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_CLOSE_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            return
        self._drainer.release()
        if self._spool is not None:
            self._spool.close()

    # --- threads ---

    def _write(self) -> None:
        while True:
            try:
                event_id, line, appended = self._queue.get(timeout=0.1)
            except Empty:
                if self._ended.is_set():
                    return
                continue
            if appended.set_running_or_notify_cancel():
                self._busy_since = monotonic()
                self._append(event_id, line, appended)
                self._busy_since = None

    def _append(self, event_id: str, line: bytes, appended: "Future[None]") -> None:
        try:
            if self._spool is None:
                spool = self._open_spool(self._root)
                with self._lock:
                    self._spool = spool
            if self._spool.waiting_bytes + self._drainer.state().adopted_bytes + len(line) > self._most:
                self._fail(appended, "the spool is full")
                return
            self._spool.append(line)
        except OSError as error:
            self._fail(appended, f"the spool cannot be written ({os.strerror(error.errno or 0)})")
        except Exception as error:  # noqa: BLE001 - a defect here must not end the only writer
            _log.exception("an event was not written")
            self._fail(appended, f"the spool failed ({type(error).__name__})")
        else:
            with self._lock:
                self._recorded += 1
                self._remembered[event_id] = None
                while len(self._remembered) > _MOST_REMEMBERED:
                    self._remembered.popitem(last=False)
            appended.set_result(None)

    def _sync(self) -> None:
        while True:
            is_last = self._ended.wait(SYNC_SECONDS)
            if self._spool is not None:
                try:
                    self._spool.sync()
                except Exception as error:  # noqa: BLE001 - whatever fails, the next second comes
                    self._trouble = f"the spool was not synced: {error}"
                    _log.error("%s", self._trouble)
            if is_last:
                return

    def _drain(self) -> None:
        while True:
            is_last = self._ended.is_set()
            if is_last:
                # What was taken is written first.
                self._threads[0].join(_CLOSE_SECONDS)
            self._wake.clear()
            self._drainer.drain(self._spool, at_once=is_last)
            if is_last:
                return
            self._wake.wait(DRAIN_SECONDS)

    # --- counting ---

    def _fail(self, appended: "Future[None]", why: str) -> None:
        self._drop(why)
        with suppress(Exception):
            appended.set_exception(RuntimeError(why))

    def _drop(self, why: str) -> None:
        with self._lock:
            self._dropped[why] += 1
            count = self._dropped[why]
        # The first and then ever fewer: a full disk is not filled by saying so.
        if count & (count - 1) == 0:
            _log.error("prediction events dropped, since %s: %d", why, count)
