"""Preparing the runs that callers will ask about, before they do.

What belongs here: which runs those are, and looking for new ones from time to time. What does not: preparing one.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread
from time import monotonic
from typing import Final, Self

from forecast_assets.core.errors import ForecastAssetsError, NotReadyError
from forecast_assets.core.keys import CADENCES, CHANNELS, RunKey, cadence_of
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.stores.home import Stores

LOOKS_EVERY_SECONDS: Final = 10.0
# What is recorded meanwhile is looked at after so long: a new run is asked for at once.
NOTICES_SECONDS: Final = 1.0
# A run that could not be prepared is tried again after so long.
TRIED_AGAIN_SECONDS: Final = 300.0
_log = logging.getLogger(__name__)


def runs_of_channels(state: LedgerState) -> list[RunKey]:
    """Return the newest run of the version that each channel points at, as last corrected; the champion's first."""
    found: dict[RunKey, None] = {}
    for channel in CHANNELS:
        followed = (cadence_of(channel).name, state.channel(channel))
        newest = _newest([key for key in state.publications if (key.cadence, key.model_version) == followed])
        if newest is not None:
            found[newest] = None
    return list(found)


def runs_to_warm(state: LedgerState) -> list[RunKey]:
    """Return the runs that callers will ask about: those of channels; where a cadence has none, its newest."""
    found = runs_of_channels(state)
    for cadence in CADENCES.values():
        if state.channel(cadence.champion) is None and state.channel(cadence.challenger) is None:
            newest = _newest([key for key in state.publications if key.cadence == cadence.name])
            found += [] if newest is None else [newest]
    return found


def _newest(keys: Sequence[RunKey]) -> RunKey | None:
    return max(keys, key=lambda key: (key.prediction_date, key.forecast_horizon, key.revision), default=None)


class Warming:
    """Keeps the newest runs prepared, or in a cache, while a service runs, in a thread of its own.

    Args:
        stores: Where everything is.
        features: What predictions take of series.
        few: What reads published rows of few series.
        every_seconds: Between two looks at the ledger.
        also: Makes ready at each look what else rests on the newest run.
    """

    def __init__(
        self,
        stores: Stores,
        features: OnlineFeatures,
        few: RowBlocks,
        every_seconds: float = LOOKS_EVERY_SECONDS,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._stores, self._features, self._few, self._every = stores, features, few, every_seconds
        self._also = also
        self._next_try: dict[RunKey, float] = {}
        self._seen = 0
        self._stopped = Event()
        self._thread = Thread(target=self._keep, name="warming", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a run that is being prepared is left alone."""
        self._stopped.set()

    def once(self, told: Callable[[RunKey], None] = lambda _run: None) -> None:
        """Prepare what is neither prepared nor in a cache yet, and wait for it.

        Args:
            told: Is called with each run before it is prepared.

        Raises:
            Exception: What kept the first of them from being prepared, once all others are; it is tried again later.
        """
        state = self._stores.ledger.state()
        self._seen, runs = state.sequence, runs_to_warm(state)
        # Rows are there in seconds, in the background; preparing a run takes half a minute.
        self._warm_rows([state.publications[run] for run in runs])
        self._ready_also()
        failed = [error for run in runs if (error := self._warmed(run, told)) is not None]
        self._features.let_go_old()
        if failed:
            raise failed[0]

    def _warmed(self, run: RunKey, told: Callable[[RunKey], None]) -> Exception | None:
        """Have a run answered about at once; return what keeps it from that, which is no other run's fault."""
        if monotonic() < self._next_try.get(run, 0.0):
            return None
        try:
            self._features.warm(run, told)
        except Exception as error:  # noqa: BLE001 - the others are warmed too, and then it is told
            # It takes all cores for half a minute to find that out: not with every look.
            self._next_try[run] = monotonic() + TRIED_AGAIN_SECONDS
            return error
        self._next_try.pop(run, None)
        return None

    def try_once(self, told: Callable[[RunKey], None] = lambda _run: None) -> None:
        """Do the same, and log what keeps a run from being prepared: a service goes on, and whoever asks is told.

        Args:
            told: Is called with each run before it is prepared.
        """
        try:
            self.once(told)
        except (ForecastAssetsError, OSError) as error:
            _log.warning("a run could not be prepared: %s", error)
        except BaseException:  # noqa: BLE001 - a defect here must not end the only look at the ledger
            _log.exception("a run could not be prepared")

    def _ready_also(self) -> None:
        """Make the rest ready; where that fails, whoever asks for it is told."""
        try:
            self._also()
        except NotReadyError:
            return
        except Exception:  # noqa: BLE001 - runs are prepared nevertheless
            _log.exception("what rests on the newest run could not be made ready")

    def _warm_rows(self, runs: Sequence[Publication]) -> None:
        """Have rows of runs kept; where that fails, runs are prepared nevertheless, and rows are read from files."""
        try:
            self._few.warm(runs)
        except Exception:  # noqa: BLE001 - whoever asks for rows that cannot be read is told
            _log.exception("rows of the newest runs could not be kept beforehand")

    def _keep(self) -> None:
        while not self._stopped.is_set():
            self.try_once()
            until = monotonic() + self._every
            while not self._stopped.wait(min(self._every, NOTICES_SECONDS)):
                if monotonic() >= until or self._is_behind():
                    break

    def _is_behind(self) -> bool:
        """Whether something was recorded since the last look."""
        try:
            return self._stores.ledger.state().sequence != self._seen
        except Exception:  # noqa: BLE001 - the next look tells
            return False
