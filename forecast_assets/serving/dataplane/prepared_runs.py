"""Prepared runs of a process: made once, shared, and let go when others are asked more.

What belongs here: how many are kept. What does not: preparing, or sharing among threads (`made_once`).
"""

from collections.abc import Callable
from typing import Final

from forecast_assets.core.keys import RunKey
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.stores.home import Stores

# A champion and a challenger of both cadences; each holds the panel of all its series.
MOST_KEPT: Final = 4


class PreparedRuns(MadeOnce[RunKey, PreparedRun]):
    """Prepares runs when they are first asked for.

    Args:
        stores: Where everything is.
        most: Runs that are kept.
        prepare: Makes one; by default from the stores, on all cores.
    """

    def __init__(
        self, stores: Stores, most: int = MOST_KEPT, prepare: Callable[[Stores, RunKey], PreparedRun] = prepare_run
    ) -> None:
        super().__init__(lambda run: prepare(stores, run), most)
