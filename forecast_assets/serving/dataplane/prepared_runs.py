"""Prepared runs of a process: made once, shared, and let go when others are asked more, or after a while.

What belongs here: how many are kept, and how long. What does not: preparing, or sharing among threads (`made_once`).
"""

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from forecast_assets.core.keys import RunKey
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.stores.home import Stores

# A champion and a challenger of both cadences; each holds the panel of all its series.
MOST_KEPT: Final = 4

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
