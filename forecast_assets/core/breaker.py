"""A circuit breaker: what failed a few times in a row is left alone for a while, so that nobody waits for it.

What belongs here: when to leave alone and when to try again (Nygard, Release It!, 2nd edition, 2018, ch. 5). What does
not: what is called, or what is done instead.
"""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

FAILURES: Final = 3
OPEN_SECONDS: Final = 30.0


class Breaker:
    """Counts failures in a row.

    Args:
        failures: So many in a row open it.
        open_seconds: For so long it stays open; then one call tries, and closes it or opens it again.
        clock: Returns seconds.
    """

    def __init__(
        self, failures: int = FAILURES, open_seconds: float = OPEN_SECONDS, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most, self._seconds, self._clock = failures, open_seconds, clock
        self._failed, self._until = 0, 0.0
        self._lock = Lock()

    @property
    def is_open(self) -> bool:
        """Whether calls are not made at present."""
        with self._lock:
            return self._failed >= self._most and self._clock() < self._until

    def allows(self) -> bool:
        """Whether a call may be made now; of those who ask once it has been open long enough, one tries."""
        with self._lock:
            if self._failed < self._most:
                return True
            if self._clock() < self._until:
                return False
            self._until = self._clock() + self._seconds
            return True

    def succeeded(self) -> None:
        """Note that a call did what it was to do."""
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        """Note that it did not."""
        with self._lock:
            self._failed += 1
            if self._failed >= self._most:
                self._until = self._clock() + self._seconds
