"""Draining: segments of the spool are handed to every sink, and removed when all have them.

What belongs here: the order, trying again later and ever less often, and what is not whole or not wanted. What does
not: who calls when (`buffer`).
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

from forecast_assets.core.errors import ForecastAssetsError
from resources.events.record import EventRecord
from resources.events.segments import read_segment
from resources.events.sinks import EventSink
from resources.events.spool import ASIDE, Spool, SpoolFolder, adopt
from resources.store.files import write_whole

FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0
# How often old events are looked after.
_KEEP_SECONDS: Final = 3_600.0
# A segment with a line that is no event is looked at again after so long.
_UNREADABLE_SECONDS: Final = 60.0
# While a sink takes nothing, others wait no longer than this.
_SEAL_SECONDS: Final = 5.0
# Folders of dead processes are looked for this often: whoever dies is rarely waited for.
_ADOPT_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrainState:
    """How draining has fared.

    Attributes:
        drained: Events that every sink has.
        torn: Lines that were not whole.
        refused: Events that a sink will never take as they are.
        adopted_bytes: Of what dead processes left.
        failing: What keeps a sink from taking events now, by its name.
        trouble: What keeps segments from being read or old events from being moved; empty if nothing does.
    """

    drained: int = 0
    torn: int = 0
    refused: int = 0
    adopted_bytes: int = 0
    failing: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


class Drainer:
    """Hands events over; one thread drains, others may look.

    Args:
        root: Where the spools of all processes are.
        sinks: Each gets every event.
        keep: Moves old events to where they stay, and drops those that are; called now and then. None for nobody.
        clock: Returns seconds.
    """

    def __init__(
        self,
        root: Path,
        sinks: Sequence[EventSink],
        keep: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._root, self._sinks, self._keep, self._clock = root, sinks, keep, clock
        self.passes = 0
        self._adopted: list[SpoolFolder] = []
        self._taken: defaultdict[Path, set[str]] = defaultdict(set)
        self._tried = set[Path]()
        self._unreadable: dict[Path, tuple[float, Exception]] = {}
        self._wait: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._failing: dict[str, str] = {}
        self._trouble: dict[str, str] = {}
        self._counted = Counter[str]()
        self._adopt_next = self._keep_next = self._seal_next = 0.0
        self._adopted_bytes = 0
        self._lock = Lock()

    def state(self) -> DrainState:
        """Say how draining has fared."""
        with self._lock:
            return DrainState(
                self._counted["drained"],
                self._counted["torn"],
                self._counted["refused"],
                self._adopted_bytes,
                dict(self._failing),
                "; ".join(self._trouble.values()),
            )

    def drain(self, own: Spool | None, *, at_once: bool = False) -> None:
        """Hand over what waits; whatever fails is said in the state, and tried again by the next call.

        Args:
            own: The spool of this process; None if it has none yet.
            at_once: Whether to try also those sinks that failed a moment ago, and to look for dead processes.
        """
        if at_once:
            self._next.clear()
            self._adopt_next = 0.0
        self._attempt("finding the spools of dead processes failed", lambda: self._adopt(own))
        if own is not None and (at_once or self._may_seal()):
            own.seal()
        waiting = list[tuple[SpoolFolder, Path]]()
        self._attempt("looking for segments failed", lambda: waiting.extend(self._segments(own)))
        for folder, segment in waiting:
            self._attempt(_draining(segment), partial(self._hand_over, folder, segment))
        self._attempt("letting go of spools failed", self._let_go)
        if self._keep is not None and self._clock() >= self._keep_next:
            self._keep_next = self._clock() + _KEEP_SECONDS
            self._attempt("moving old events failed", self._keep)
        with self._lock:
            self.passes += 1

    def release(self) -> None:
        """Let go of what dead processes left, for the next process."""
        for folder in self._adopted:
            folder.give_up()
        self._adopted = []

    def _attempt(self, what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - whatever fails, the next pass comes
            if what not in self._trouble:
                _log.exception("%s", what)
            with self._lock:
                self._trouble[what] = f"{what}: {error}"
        else:
            with self._lock:
                self._trouble.pop(what, None)

    def _adopt(self, own: Spool | None) -> None:
        if self._clock() < self._adopt_next:
            return
        self._adopt_next = self._clock() + _ADOPT_SECONDS
        for folder in adopt(self._root, own=None if own is None else own.path):
            self._adopted.append(folder)
        waiting = sum(path.stat().st_size for folder in self._adopted for path in folder.segments())
        with self._lock:
            self._adopted_bytes = waiting

    def _may_seal(self) -> bool:
        """Whether to close the segment that is appended to.

        While a sink takes nothing, segments stay. They grow while none takes anything, and for the others' sake become
        many only slowly.
        """
        if self._failing and (len(self._failing) == len(self._sinks) or self._clock() < self._seal_next):
            return False
        self._seal_next = self._clock() + _SEAL_SECONDS
        return True

    def _segments(self, own: Spool | None) -> list[tuple[SpoolFolder, Path]]:
        """Return what waits, and forget what was said of segments that somebody took away."""
        found = [(folder, segment) for folder in self._adopted for segment in folder.segments()]
        found += [] if own is None else [(own, segment) for segment in own.sealed()]
        there = {segment for _, segment in found}
        for gone in [segment for segment in self._tried if segment not in there]:
            self._tried.remove(gone)
            self._taken.pop(gone, None)
            self._unreadable.pop(gone, None)
            if own is not None:
                own.forget(gone)
            with self._lock:
                self._trouble.pop(_draining(gone), None)
        self._tried |= there
        return found

    def _let_go(self) -> None:
        for folder in [each for each in self._adopted if not each.segments()]:
            folder.give_up()
            self._adopted.remove(folder)
        if not self._adopted:
            with self._lock:
                self._adopted_bytes = 0

    def _hand_over(self, folder: SpoolFolder, segment: Path) -> None:
        until, unreadable = self._unreadable.get(segment, (0.0, None))
        if unreadable is not None and self._clock() < until:
            raise unreadable
        due = [sink for sink in self._sinks if sink.name not in self._taken[segment]]
        if due and all(self._next.get(sink.name, 0.0) > self._clock() for sink in due):
            return
        found = read_segment(segment)
        records, unreadable = _records(found.contents)
        for sink in due:
            if self._next.get(sink.name, 0.0) <= self._clock() and self._offered(sink, records):
                self._taken[segment].add(sink.name)
        if len(self._taken[segment]) < len(self._sinks):
            return
        if unreadable is not None:
            # Perhaps of a later release, whose next process reads it: it stays, and keeps no other event waiting.
            self._unreadable[segment] = self._clock() + _UNREADABLE_SECONDS, unreadable
            raise unreadable
        if found.torn:
            _log.error("%d lines of %s are not whole; it is kept at %s", found.torn, segment, folder.put_aside(segment))
        else:
            folder.remove(segment)
        del self._taken[segment]
        with self._lock:
            self._counted["drained"] += len(records)
            self._counted["torn"] += found.torn

    def _offered(self, sink: EventSink, records: Sequence[EventRecord]) -> bool:
        """Offer events to a sink; return whether it need not be offered them again."""
        try:
            self._offer(sink, records)
        except ForecastAssetsError as error:
            self._failed(sink, error)
            return False
        with self._lock:
            self._failing.pop(sink.name, None)
        self._wait.pop(sink.name, None)
        return True

    def _offer(self, sink: EventSink, records: Sequence[EventRecord]) -> None:
        if not records:
            return
        try:
            sink.take(records)
        except ForecastAssetsError:
            raise
        except Exception:  # noqa: BLE001 - one of them may be what it will never take
            if len(records) > 1:
                for record in records:
                    self._offer(sink, [record])
                return
            _log.exception("the sink %s refuses event %s", sink.name, records[0].event_id)
            self._put_aside(sink, records[0])

    def _failed(self, sink: EventSink, error: ForecastAssetsError) -> None:
        wait = min(2 * self._wait.get(sink.name, FIRST_WAIT_SECONDS / 2), LONGEST_WAIT_SECONDS)
        self._wait[sink.name], self._next[sink.name] = wait, self._clock() + wait
        if sink.name not in self._failing:
            _log.error("prediction events wait for the sink %s: %s", sink.name, error.message)
        with self._lock:
            self._failing[sink.name] = str(error.message)

    def _put_aside(self, sink: EventSink, record: EventRecord) -> None:
        write_whole(self._root / ASIDE / f"refused-{sink.name}-{record.event_id}.json", record.content)
        with self._lock:
            self._counted["refused"] += 1


def _records(contents: Sequence[bytes]) -> tuple[list[EventRecord], Exception | None]:
    """Return the events of whole lines, and what is wrong with the first that is none."""
    records, unreadable = list[EventRecord](), None
    for content in contents:
        try:
            records.append(EventRecord.of(json.loads(content)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no event
            unreadable = unreadable or error
    return records, unreadable


def _draining(segment: Path) -> str:
    # Callers are told too, whom paths of the machine are no business of.
    return f"draining {segment.parent.name}/{segment.name} failed"
