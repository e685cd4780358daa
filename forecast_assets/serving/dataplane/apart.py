"""Preparing runs of many series in a process of its own.

What belongs here: which process prepares. What does not: preparing a run or a pair, or how many are kept.

What is needed on the way is given back when that process ends, and questions do not wait for Python's lock meanwhile.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from forecast_assets.core.beside import beside
from forecast_assets.core.keys import RunKey
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.operations.prepared_pair import PreparedPair
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.stores.home import Stores, open_stores

# Preparing 50,000 series takes 2 GB, of which 0.3 GB are kept; a process takes a few seconds to start.
LEAST_SERIES: Final = 10_000
# Answers come first where processors are scarce; elsewhere it changes nothing.
_NICENESS: Final = 10

T = TypeVar("T")


class Apart:
    """Prepares runs of few series here, and runs of many in another process.

    Args:
        location: Of the stores, which that process opens.
        mirror: Folder for local copies of what is in a bucket.
        least_series: Runs of fewer are prepared in this process.
    """

    def __init__(self, location: str | Path, mirror: Path | None, least_series: int = LEAST_SERIES) -> None:
        self._location, self._mirror, self._least = location, mirror, least_series

    def run(self, stores: Stores, run: RunKey) -> PreparedRun:
        """Prepare a published run: see `prepare_run`."""
        return self._made(stores, prepare_run, run)

    def pair(self, stores: Stores, before: RunKey, after: RunKey) -> PreparedPair:
        """Prepare two published runs to be compared: see `PreparedPair.of`."""
        return self._made(stores, PreparedPair.of, before, after)

    def _made(self, stores: Stores, make: Callable[..., T], *runs: RunKey) -> T:
        snapshots = [source_snapshot(stores, stores.predictions.publication(run).products) for run in runs]
        if max(snapshot.rows for snapshot in snapshots) < self._least:
            return make(stores, *runs)
        with beside([partial(_made_at, self._location, self._mirror, make, runs)]) as (made,):
            return made.result()


def _made_at(location: str | Path, mirror: Path | None, make: Callable[..., T], runs: tuple[RunKey, ...]) -> T:
    os.nice(_NICENESS)
    return make(open_stores(location, mirror).read_only(), *runs)
