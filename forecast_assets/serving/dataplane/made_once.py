"""What takes long to make: made once, shared, and let go when other things are asked for more, or when it is old.

What belongs here: which are kept for how long, and making each once however many ask at the same time. What does not:
making one.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import inf
from threading import Lock, Semaphore, Thread
from time import monotonic
from typing import Generic, TypeVar

from forecast_assets.core.panics import as_error

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


@dataclass
class _MadeSince(Generic[Made]):
    """What is made, and since when; or is being made."""

    made: "Future[Made]" = field(default_factory=Future)
    since: float = inf

    @property
    def is_ready(self) -> bool:
        return self.made.done() and self.made.exception() is None


class MadeOnce(Generic[Key, Made]):
    """Makes things when they are first asked for.

    Args:
        make: Makes one.
        most: How many are kept.
        keeps_seconds: How long one is kept.
        clock: Returns seconds.
        at_once: How many are made at the same time, where each takes much memory; others wait for their turn.
    """

    def __init__(
        self,
        make: Callable[[Key], Made],
        most: int,
        *,
        keeps_seconds: float = inf,
        clock: Callable[[], float] = monotonic,
        at_once: int | None = None,
    ) -> None:
        self._make, self._most, self._keeps, self._clock = make, most, keeps_seconds, clock
        self._kept: OrderedDict[Key, _MadeSince[Made]] = OrderedDict()
        self._lock = Lock()
        self._turn: AbstractContextManager[object] = nullcontext() if at_once is None else Semaphore(at_once)

    def is_ready(self, key: Key) -> bool:
        """Whether one is made, so that nobody would wait for it."""
        return self.seconds_left(key) > 0.0

    def is_begun(self, key: Key) -> bool:
        """Whether one is made, or being made."""
        with self._lock:
            return self._still_kept(key) is not None

    def seconds_left(self, key: Key) -> float:
        """Return for how long one that is made is kept yet; 0 for one that is not made."""
        with self._lock:
            kept = self._still_kept(key)
        return self._left(kept) if kept is not None and kept.is_ready else 0.0

    def get(self, key: Key, timeout: float | None = None) -> Made:
        """Return one; the first who asks has it begun, and all wait for the same one.

        Args:
            key: Which.
            timeout: Seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: If it is not made by then; it goes on being made.
            ForecastAssetsError: What kept it from being made; who asks next tries again.
        """
        with self._lock:
            kept = self._still_kept(key)
            if kept is None:
                kept = self._kept[key] = _MadeSince()
                Thread(target=self._begin, args=(key, kept), name=f"make {key}", daemon=True).start()
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        return kept.made.result(timeout)

    def renew(self, key: Key) -> None:
        """Make one again, and wait for it; whoever asks meanwhile is given the one that is there.

        Raises:
            ForecastAssetsError: What kept it from being made; the one that is there stays for as long as it may.
        """
        kept: _MadeSince[Made] = _MadeSince()
        with self._turn:
            kept.made.set_result(self._make(key))
        kept.since = self._clock()
        with self._lock:
            # Nobody asked for it any more, perhaps.
            if key in self._kept:
                self._kept[key] = kept

    def let_go(self, key: Key) -> None:
        """Let go of one that is made; one that is being made is left alone."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.is_ready:
                del self._kept[key]

    def let_go_old(self) -> None:
        """Let go of what is too old, so that it takes no room until somebody asks."""
        with self._lock:
            for key in list(self._kept):
                self._still_kept(key)

    def _still_kept(self, key: Key) -> _MadeSince[Made] | None:
        """Return what is there, or being made, and not too old."""
        kept = self._kept.get(key)
        if kept is not None and self._left(kept) <= 0.0:
            del self._kept[key]
            return None
        return kept

    def _left(self, kept: _MadeSince[Made]) -> float:
        return self._keeps - (self._clock() - kept.since)

    def _begin(self, key: Key, kept: _MadeSince[Made]) -> None:
        try:
            with self._turn:
                made = self._make(key)
            kept.since = self._clock()
            kept.made.set_result(made)
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            with self._lock:
                # It may have been let go, and be made again by now.
                if self._kept.get(key) is kept:
                    del self._kept[key]
            # What is no `Exception` would go around whoever falls back.
            kept.made.set_exception(as_error(error))
