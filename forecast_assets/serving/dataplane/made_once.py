"""What takes long to make: made once, shared, and let go when other things are asked for more.

What belongs here: which are kept, and making each once however many ask at the same time. What does not: making one.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class MadeOnce(Generic[Key, Made]):
    """Makes things when they are first asked for.

    Args:
        make: Makes one.
        most: How many are kept.
    """

    def __init__(self, make: Callable[[Key], Made], most: int) -> None:
        self._make, self._most = make, most
        self._kept: OrderedDict[Key, Future[Made]] = OrderedDict()
        self._lock = Lock()

    def is_ready(self, key: Key) -> bool:
        """Whether one is made, so that nobody would wait for it."""
        with self._lock:
            kept = self._kept.get(key)
        return kept is not None and kept.done() and kept.exception() is None

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
            made = self._kept.get(key)
            if made is None:
                made = self._kept[key] = Future()
                Thread(target=self._begin, args=(key, made), name=f"make {key}", daemon=True).start()
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        return made.result(timeout)

    def _begin(self, key: Key, made: "Future[Made]") -> None:
        try:
            made.set_result(self._make(key))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            with self._lock:
                # It may have been let go, and be made again by now.
                if self._kept.get(key) is made:
                    del self._kept[key]
            made.set_exception(error)
