"""Putting features of prepared runs into a cache, and whether all of a run is there.

What belongs here: names of entries, the order in which a run is put, and what becomes of one that is refused. What does
not: when that is done (`online_features`), what entries say (`feature_entries`), or which process does it (`putting`).
"""

import json
import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock
from time import monotonic
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Rows
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.serving.dataplane.feature_entries import FORMAT, run_entry, series_batch
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.putting import SeriesBlock, put_block, putting
from forecast_assets.serving.dataplane.run_basis import RunBasis
from resources.feature_cache.cache import FeatureCache

# Series that are put at a time: two megabytes, and as long as others who put wait.
BLOCK: Final = 500
# A run that was refused, as by a disk that is full, is not put again for so long.
PUT_AGAIN_SECONDS: Final = 300.0
_log: Final = logging.getLogger(__name__)


class RunsInCache:
    """Runs as a cache has them; safe to share between threads.

    Args:
        cache: Where they are put.
        bases: Of runs.
        clock: Returns seconds of the epoch.
        closed: Is set when nothing is to be put any more.

    Attributes:
        put: Series that were put since the process began.
    """

    def __init__(
        self, cache: FeatureCache, bases: MadeOnce[RunKey, RunBasis], clock: Callable[[], float], closed: Event
    ) -> None:
        self._cache, self._bases, self._clock, self._closed = cache, bases, clock, closed
        self.put = 0
        self._put_here: set[RunKey] = set()
        self._refused: set[RunKey] = set()
        self._put_again: dict[RunKey, float] = {}
        self._lock = Lock()

    def may_have(self, run: RunKey) -> bool:
        """Whether it is worth asking: in a cache of this process nothing is but what it put."""
        return self._cache.is_shared or run in self._put_here

    def may_put(self, run: RunKey) -> bool:
        """Whether a run was not refused just now."""
        return monotonic() >= self._put_again.get(run, 0.0)

    def refused(self) -> tuple[RunKey, ...]:
        """Return runs that the cache did not take, and that are not whole there yet."""
        with self._lock:
            return tuple(sorted(self._refused, key=str))

    def one_of_whole(self, run: RunKey, seconds: float) -> StoreSku | None:
        """Return a series of a run of which all are in a cache that processes share, for so many seconds yet."""
        if not self._cache.is_shared:
            return None
        (said,) = self._cache.get([name_of(self._bases.get(run), "whole")])
        if said is None:
            return None
        until, store_id, sku_id = json.loads(said)
        if until - self._clock() < seconds:
            return None
        with self._lock:
            self._refused.discard(run)
        return store_id, sku_id

    def put_all(self, run: RunKey, prepared: PreparedRun, seconds: float) -> bool:
        """Put all of a run, and last what says so; return whether it is there.

        Where that is refused, it is said once, and not tried again for a while.

        Args:
            run: Published run.
            prepared: All of it.
            seconds: For how long it may be kept.
        """
        before = self.put
        try:
            is_put = self._has_put_all(run, prepared, self._clock() + seconds)
        except Exception:  # noqa: BLE001 - questions are answered without it
            _log.exception("%s could not be put into the cache", run)
            is_put = False
        if not is_put and not self._closed.is_set():
            self._refuse(run, is_in_part=self.put > before)
        return is_put

    def put_few(self, run: RunKey, prepared: PreparedRun, rows: Rows, seconds: float) -> None:
        """Put some series of a run, and what is common to it.

        Args:
            run: Published run.
            prepared: All of it.
            rows: Of the series.
            seconds: For how long they may be kept.
        """
        until = self._clock() + seconds
        if self._has_put(run, prepared, rows, until):
            self._has_put_run(run, prepared, until)

    def _refuse(self, run: RunKey, *, is_in_part: bool) -> None:
        # Of a server that takes nothing for a moment, trying again costs one block.
        if self._cache.is_lasting or is_in_part:
            self._put_again[run] = monotonic() + PUT_AGAIN_SECONDS
        with self._lock:
            is_known = run in self._refused
            self._refused.add(run)
        if not is_known:
            _log.warning("%s is held in this process: %s did not take all of it", run, self._cache.what)

    def _has_put_all(self, run: RunKey, prepared: PreparedRun, until: float) -> bool:
        count = prepared.panel.series.height
        # The first block tells whether anything is taken, and whether a process is worth its start.
        if not self._has_put(run, prepared, np.arange(min(BLOCK, count)), until):
            return False
        with putting(self._cache, count) as put:
            for start in range(BLOCK, count, BLOCK):
                rows = np.arange(start, min(start + BLOCK, count))
                if self._closed.is_set() or not self._has_put(run, prepared, rows, until, put):
                    return False
        said = json.dumps([until, *prepared.panel.series.row(0)]).encode()
        name = name_of(self._bases.get(run), "whole")
        return self._has_put_run(run, prepared, until) and self._cache.put({name: said}, until - self._clock())

    def _has_put(
        self,
        run: RunKey,
        prepared: PreparedRun,
        rows: Rows,
        until: float,
        put: Callable[[SeriesBlock], bool] | None = None,
    ) -> bool:
        basis = self._bases.get(run)
        names = [name_of_series(basis, prepared.panel.series.row(int(row))) for row in rows]
        block = SeriesBlock(names, series_batch(prepared, rows), until - self._clock())
        is_put = put_block(self._cache, block) if put is None else put(block)
        if is_put:
            with self._lock:
                self.put += len(rows)
                self._put_here.add(run)
        return is_put

    def _has_put_run(self, run: RunKey, prepared: PreparedRun, until: float) -> bool:
        name = name_of(self._bases.get(run), "run")
        return self._cache.put({name: run_entry(prepared, until)}, until - self._clock())


def name_of(basis: RunBasis, what: str) -> str:
    """Return the name of an entry of a run."""
    return f"{FORMAT}:{basis.key.feature_version}:{basis.digest}:{what}"


def name_of_series(basis: RunBasis, series: Sequence[str]) -> str:
    """Return the name of the entry of a series."""
    return name_of(basis, json.dumps(list(series), ensure_ascii=False, separators=(",", ":")))
