"""Prepared runs of a process: made once, shared, and let go when others are asked more.

What belongs here: which are kept, and making each once however many ask at the same time. What does not: preparing.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Final

from forecast_assets.core.keys import RunKey
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.stores.home import Stores

# A champion and a challenger of both cadences; each holds the panel of all its series.
MOST_KEPT: Final = 4


class PreparedRuns:
    """Prepares runs when they are first asked for.

    Args:
        stores: Where everything is.
        most: Runs that are kept.
        prepare: Makes one; by default from the stores, on all cores.
    """

    def __init__(
        self, stores: Stores, most: int = MOST_KEPT, prepare: Callable[[Stores, RunKey], PreparedRun] = prepare_run
    ) -> None:
        self._stores, self._most, self._prepare = stores, most, prepare
        self._kept: OrderedDict[RunKey, Future[PreparedRun]] = OrderedDict()
        self._lock = Lock()

    def is_ready(self, run: RunKey) -> bool:
        """Whether a run is prepared, so that nobody would wait for it."""
        with self._lock:
            kept = self._kept.get(run)
        return kept is not None and kept.done() and kept.exception() is None

    def get(self, run: RunKey, timeout: float | None = None) -> PreparedRun:
        """Return a prepared run; the first who asks has it begun, and all wait for the same one.

        Args:
            run: Which.
            timeout: Seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: If it is not prepared by then; it goes on being prepared.
            ForecastAssetsError: What kept it from being prepared; who asks next tries again.
        """
        with self._lock:
            made = self._kept.get(run)
            if made is None:
                made = self._kept[run] = Future()
                Thread(target=self._make, args=(run, made), name=f"prepare {run}", daemon=True).start()
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(run)
        return made.result(timeout)

    def _make(self, run: RunKey, made: "Future[PreparedRun]") -> None:
        try:
            made.set_result(self._prepare(self._stores, run))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            with self._lock:
                # It may have been let go, and be prepared again by now.
                if self._kept.get(run) is made:
                    del self._kept[run]
            made.set_exception(error)
