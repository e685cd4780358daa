"""Features kept by this process alone: a bounded number of bytes, of which those asked for least recently go first.

What belongs here: the bound, and ages. What does not: what is kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Final

MOST_BYTES: Final = 64 << 20


class InProcessCache:
    """Bytes in memory.

    Args:
        most_bytes: Of entries and their names; an entry that is larger is not kept.
        clock: Returns seconds.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = monotonic) -> None:
        self._most, self._clock = most_bytes, clock
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def what(self) -> str:
        """What it is, for people."""
        return "memory"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return "this process"

    @property
    def is_shared(self) -> bool:
        """No other process finds anything here."""
        return False

    @property
    def is_lasting(self) -> bool:
        """It ends with this process."""
        return False

    def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what is there: see `FeatureCache.get`."""
        with self._lock:
            return [self._found(name) for name in names]

    def put(self, entries: Mapping[str, bytes], seconds: float) -> bool:
        """Keep entries: see `FeatureCache.put`."""
        until = self._clock() + seconds
        with self._lock:
            for name, content in entries.items():
                self._drop(name)
                if seconds > 0 and _size(name, content) <= self._most:
                    self._kept[name] = content, until
                    self._bytes += _size(name, content)
            while self._bytes > self._most:
                self._drop(next(iter(self._kept)))
        return True

    def trouble(self) -> str | None:
        """Return None: memory answers."""
        return None

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _found(self, name: str) -> bytes | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        content, until = kept
        if self._clock() >= until:
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return content

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= _size(name, kept[0])


def _size(name: str, content: bytes) -> int:
    return len(name) + len(content)
