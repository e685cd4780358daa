"""Online features: what a prediction needs of a few series, from a run that is prepared here, or from a cache.

What belongs here: where it comes from, and what is put into the cache when. What does not: putting it
(`runs_in_cache`), what entries say (`feature_entries`), where they are (`resources.feature_cache`), or preparing a run
(`prepared`).

A run that is prepared in this process answers about all of its series, so that nothing of it is looked up. Else the
cache is asked; on a miss the run is prepared, and what was missed is put into the cache, in the background. A run of
which all is in a cache that lasts is held by no process. Names of entries carry a hash of all that they follow from:
what was made from anything else is never found. Nothing is older than it may be, in either place: its time counts from
when its run was prepared.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from time import monotonic, time
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FORECASTS
from forecast_assets.core.errors import ForecastAssetsError, first_ten
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.core.panics import as_error
from forecast_assets.features.changes import SeriesChange
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.serving.dataplane.feature_entries import (
    RunPart,
    prepared_from,
    read_run_entry,
)
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.prepared_runs import MOST_KEPT, PreparedRuns
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.run_basis import RunBasis
from forecast_assets.serving.dataplane.runs_in_cache import RunsInCache, name_of, name_of_series
from forecast_assets.serving.dataplane.what_if import what_if
from resources.feature_cache.cache import FeatureCache
from resources.stores.home import Stores

_READING: Final = 4
KEPT_SECONDS: Final = 86_400.0
# What waits for a run in the background looks so often whether the process ends.
_WAITS_SECONDS: Final = 0.5
# When so much of its time is left, a run is prepared and put again by who has it prepared; and later, by who has not.
_RENEWED_AT: Final = 0.25
_TAKEN_OVER_AT: Final = 0.1
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureState:
    """How a cache of features does.

    Attributes:
        place: Where it is.
        answers: Whether it does.
        hits: Series that were found there since the process began.
        misses: Series that were not.
        put: Series that were put there.
    """

    place: str
    answers: bool
    hits: int
    misses: int
    put: int


class OnlineFeatures:
    """What predictions need of series; safe to share between threads.

    Args:
        stores: Where everything is; only read.
        prepared: Runs that are prepared in this process.
        cache: Where features are kept besides.
        keeps_seconds: How long they may be kept.
        clock: Returns seconds of the epoch.
        few: Reads published rows of few series; of its own if left out.
    """

    def __init__(
        self,
        stores: Stores,
        prepared: PreparedRuns,
        cache: FeatureCache,
        keeps_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time,
        few: RowBlocks | None = None,
    ) -> None:
        self._prepared, self._cache, self._keeps, self._clock = prepared, cache, keeps_seconds, clock
        self._bases: MadeOnce[RunKey, RunBasis] = MadeOnce(lambda run: RunBasis.of(stores, run), 2 * MOST_KEPT)
        self._parts: dict[str, RunPart] = {}
        self._missed: dict[RunKey, set[StoreSku]] = {}
        self._few = few or RowBlocks(stores)
        self._tried: set[RunKey] = set()
        self._hits = self._misses = 0
        self._lock = Lock()
        self._closed = Event()
        self._runs = RunsInCache(cache, self._bases, clock, self._closed)
        self._readers = ThreadPoolExecutor(_READING, thread_name_prefix="features")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="features-put")

    def is_ready(self, run: RunKey) -> bool:
        """Whether a run is prepared in this process."""
        return self._prepared.is_ready(run)

    def of(self, run: RunKey, series: Sequence[StoreSku], timeout: float) -> PreparedRun:
        """Return what predictions need of some series.

        Args:
            run: Published run.
            series: By store and SKU; what the run does not have is for whoever asks to find.
            timeout: Seconds to wait.

        Raises:
            TimeoutError: If the cache has not answered by then; or it does not have them and the run is not prepared
                by then, which goes on.
            ForecastAssetsError: If it cannot be prepared.
        """
        until = monotonic() + timeout
        if not self._prepared.is_ready(run) and self._runs.may_have(run):
            reading = self._readers.submit(self._read, run, series)
            # Where it does not answer in time, as while libraries are loaded, that is no reason to prepare the run.
            try:
                found = reading.result(timeout)
            except TimeoutError:
                # Nobody wants it any more: who asks next is not to wait for it.
                reading.cancel()
                raise
            if found is not None:
                return found
        is_missed = not self._prepared.is_ready(run)
        try:
            made = self._prepared.get(run, max(until - monotonic(), 0.0))
        except TimeoutError:
            self._put_later(run, series)
            raise
        if is_missed:
            self._put_later(run, series)
        return made

    def cached(self, run: RunKey, series: Sequence[StoreSku]) -> PreparedRun | None:
        """Return what the cache has, if it has all of it.

        Args:
            run: Published run.
            series: By store and SKU.
        """
        basis, asked = self._bases.get(run), sorted(set(series))
        part = self._part(basis)
        names = [name_of_series(basis, one) for one in asked]
        found = self._cache.get(names if part else [*names, name_of(basis, "run")])
        try:
            if part is None and found[-1] is not None:
                part = self._keep_part(basis, read_run_entry(found[-1]))
            entries = [entry for entry in found[: len(asked)] if entry is not None]
            if part is None or self._clock() >= part.until or len(entries) < len(asked):
                self._count(0 if part is None else len(entries), len(asked))
                return None
            made = prepared_from(basis, part, asked, entries)
        except Exception:  # noqa: BLE001 - whatever is wrong with an entry, it counts as not there
            _log.exception("features of %s in the cache cannot be read", run)
            self._count(0, len(asked))
            return None
        self._count(len(asked), len(asked))
        return made

    def _read(self, run: RunKey, series: Sequence[StoreSku]) -> PreparedRun | None:
        try:
            return self._found(run, series)
        except Exception:
            raise
        except BaseException as error:
            raise as_error(error) from error

    def _found(self, run: RunKey, series: Sequence[StoreSku]) -> PreparedRun | None:
        """Return what the cache has, if it has all that the run has of it: for a wrong name none is prepared."""
        made = self.cached(run, series)
        one = self._one_of_whole(run, 0.0) if made is None else None
        if one is None:
            return made
        asked = set(series)
        try:
            known = self._published(run, asked)
        except (ForecastAssetsError, OSError, pl.exceptions.PolarsError) as error:
            _log.warning("the published rows of %s cannot be read: %s", run, error)
            return None
        # Whoever asks finds that others are missing, as in a run that is prepared.
        return self.cached(run, sorted(known) or [one]) if known < asked else None

    def _published(self, run: RunKey, series: Collection[StoreSku]) -> set[StoreSku]:
        """Return which of some series a run has."""
        rows = self._few.rows(self._bases.get(run).publication, FORECASTS.name, [*series], keeps=False)
        return set(rows.select(SERIES_KEY).unique().collect().rows())

    def warm(self, run: RunKey, told: Callable[[RunKey], None] = lambda _run: None) -> None:
        """See to it that questions about a run are answered at once: prepare it here, unless others have put all of it.

        Where the cache is shared, all of a run that is prepared here is put there, and again if it was lost. Where it
        lasts, the run is let go of then: this process answers from there as others do.

        Args:
            run: Published run.
            told: Is called with the run before it is prepared.

        Raises:
            ForecastAssetsError: If it cannot be prepared.
        """
        is_ready = self._prepared.is_ready(run)
        if (self._cache.is_lasting or not is_ready) and self._answers(run):
            self._let_go(run)
            return
        if not is_ready:
            told(run)
        elif self._prepared.seconds_left(run) < _RENEWED_AT * self._keeps:
            self._prepared.renew(run)
        prepared = self._prepared.get(run)
        if self._cache.is_shared and not self.is_whole(run, _RENEWED_AT) and self._runs.may_put(run):
            self._runs.put_all(run, prepared, self._seconds(run))
        if self._answers(run):
            self._let_go(run)

    def is_whole(self, run: RunKey, left: float = _TAKEN_OVER_AT) -> bool:
        """Whether all series of a run were put into a cache that processes share.

        Args:
            run: Published run.
            left: Share of the time of entries that has to be left.
        """
        return self._one_of_whole(run, left) is not None

    def let_go_old(self) -> None:
        """Let go of runs in memory that are too old."""
        self._prepared.let_go_old()

    def state(self) -> FeatureState:
        """Say how the cache does."""
        trouble = self._cache.trouble()
        with self._lock:
            return FeatureState(self._cache.place, trouble is None, self._hits, self._misses, self._runs.put)

    def degraded(self) -> tuple[str, ...]:
        """Return what is worse than usual, in sentences."""
        trouble, what = self._cache.trouble(), self._cache.what
        if trouble is not None:
            return (f"features are of runs prepared in this process alone: {what} fails ({trouble})",)
        # One that is held no more is asked for no more.
        held = [str(run) for run in self._runs.refused() if self._prepared.is_ready(run)]
        return (f"features of {first_ten(held)} are of this process alone: {what} did not take them",) if held else ()

    def finish(self) -> None:
        """Wait until what is to be put is put."""
        self._writer.submit(lambda: None).result()

    def close(self) -> None:
        """Let go of what is held; what was to be put is left out."""
        self._closed.set()
        self._writer.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._cache.close()

    def _answers(self, run: RunKey) -> bool:
        """Whether all of a run is in the shared cache, and it answers; the first time a series is forecast by it.

        So what forecasting needs is loaded before anybody waits for it, as it is where a run is prepared.
        """
        one = self._one_of_whole(run, _TAKEN_OVER_AT)
        if one is None or run in self._tried:
            return one is not None
        few = self.cached(run, [one])
        if few is None:
            return False
        try:
            what_if(few, [SeriesChange(*one)])
        except ForecastAssetsError as error:
            _log.warning("the cache does not answer about %s, which is prepared here: %s", run, error)
            return False
        self._tried.add(run)
        return True

    def _one_of_whole(self, run: RunKey, left: float) -> StoreSku | None:
        """Return a series of a run of which all are in the shared cache for so long a share of their time yet."""
        return self._runs.one_of_whole(run, left * self._keeps)

    def _let_go(self, run: RunKey) -> None:
        """Let go of a run that is answered from the cache, unless that may be gone at any time."""
        if self._cache.is_lasting:
            self._prepared.let_go(run)

    def _part(self, basis: RunBasis) -> RunPart | None:
        with self._lock:
            found = self._parts.get(basis.digest)
            if found is not None and self._clock() >= found.until:
                del self._parts[basis.digest]
                return None
            return found

    def _keep_part(self, basis: RunBasis, part: RunPart) -> RunPart:
        with self._lock:
            self._parts[basis.digest] = part
            while len(self._parts) > 2 * MOST_KEPT:
                del self._parts[next(iter(self._parts))]
        return part

    def _count(self, found: int, asked: int) -> None:
        with self._lock:
            self._hits += found
            self._misses += asked - found

    def _put_later(self, run: RunKey, series: Sequence[StoreSku]) -> None:
        with self._lock:
            is_waited_for = run in self._missed
            self._missed.setdefault(run, set()).update(series)
        if not is_waited_for:
            self._writer.submit(self._put_missed, run)

    def _put_missed(self, run: RunKey) -> None:
        """Wait for a run, and put what was asked of it meanwhile."""
        try:
            prepared = self._awaited(run)
        except BaseException as error:  # noqa: BLE001 - whoever asked is told, and tries again
            with self._lock:
                self._missed.pop(run, None)
            _log.warning("%s could not be prepared, so none of it is put into the cache: %s", run, error)
            return
        if prepared is None:
            return
        with self._lock:
            missed = self._missed.pop(run, set())
        known = sorted(one for one in missed if one in prepared.places)
        if not known:
            return
        try:
            rows = np.array([prepared.places[one] for one in known])
            self._runs.put_few(run, prepared, rows, self._seconds(run))
        except BaseException:  # noqa: BLE001 - questions are answered without it
            _log.exception("features of %s could not be put into the cache", run)

    def _awaited(self, run: RunKey) -> PreparedRun | None:
        """Wait for a run; None if the process ends first, which waits for this thread."""
        while not self._closed.is_set():
            try:
                return self._prepared.get(run, _WAITS_SECONDS)
            except TimeoutError:
                if not self._prepared.is_begun(run):
                    # It was let go of, or that is how it failed.
                    raise
        return None

    def _seconds(self, run: RunKey) -> float:
        """Return for how long what is made of a prepared run may be kept."""
        return min(self._prepared.seconds_left(run), self._keeps)
