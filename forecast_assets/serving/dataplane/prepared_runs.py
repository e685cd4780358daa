"""Prepared runs of a process: made once, shared, and let go when others are asked more, or after a while.

What belongs here: how many are kept, how long, and which process prepares them. What does not: preparing, or sharing
among threads (`made_once`).
"""

from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Final

from forecast_assets.core.beside import beside
from forecast_assets.core.keys import RunKey
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.stores.home import Stores, open_stores

# A champion and a challenger of both cadences; each holds the panel of all its series.
MOST_KEPT: Final = 4
# Preparing 50,000 series takes 2 GB, of which 0.3 GB are kept; a process takes a few seconds to start.
LEAST_SERIES_APART: Final = 10_000

Prepare = Callable[[Stores, RunKey], PreparedRun]


class PreparedRuns(MadeOnce[RunKey, PreparedRun]):
    """Prepares runs when they are first asked for, one at a time.

    Args:
        stores: Where everything is.
        most: Runs that are kept.
        prepare: Makes one; by default from the stores, on all cores.
        keeps_seconds: How long one is kept.
        clock: Returns seconds.
    """

    def __init__(
        self,
        stores: Stores,
        most: int = MOST_KEPT,
        prepare: Prepare = prepare_run,
        *,
        keeps_seconds: float = inf,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(lambda run: prepare(stores, run), most, keeps_seconds=keeps_seconds, clock=clock, at_once=1)


def preparing_apart(location: str | Path, mirror: Path | None, least_series: int = LEAST_SERIES_APART) -> Prepare:
    """Return what prepares runs of many series in a process of its own.

    What is needed on the way is given back when that process ends, and questions do not wait for Python's lock
    meanwhile.

    Args:
        location: Of the stores, which that process opens.
        mirror: Folder for local copies of what is in a bucket.
        least_series: Runs of fewer are prepared in this process.
    """

    def prepare(stores: Stores, run: RunKey) -> PreparedRun:
        snapshot = source_snapshot(stores, stores.predictions.publication(run).products)
        if snapshot.rows < least_series:
            return prepare_run(stores, run)
        with beside([partial(_prepared_at, location, mirror, run)]) as (made,):
            return made.result()

    return prepare


def _prepared_at(location: str | Path, mirror: Path | None, run: RunKey) -> PreparedRun:
    return prepare_run(open_stores(location, mirror).read_only(), run)
