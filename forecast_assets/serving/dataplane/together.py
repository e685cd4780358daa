"""Answering questions that come at the same time together, since most of what an answer costs is the same for several.

What belongs here: which questions are answered at once, by which thread. What does not: any answer.

While one lot is worked on, what comes in waits and is the next lot: the more come in, the more are answered at a time,
and nobody waits for more to come. A lot that takes unusually long is not waited for: another thread takes up the next.
Questions whose series hold together are answered by themselves, and keep nobody waiting.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.core.panics import as_error
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.what_if import WhatIf, require_answerable, what_if, what_ifs

MOST_AT_ONCE: Final = 32
# A lot of questions of one series each takes no longer, unless something is wrong.
PATIENCE_SECONDS: Final = 0.5
_THREADS: Final = 4
_log = logging.getLogger(__name__)

# Returns what predictions need of some series of a run, if that is at hand.
Gather = Callable[[RunKey, Sequence[StoreSku]], PreparedRun | None]


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question that waits.

    Attributes:
        prepared: What its answer needs.
        changes: One for each series.
        answer: Is set to the answer, or to why there is none.
    """

    prepared: PreparedRun
    changes: Sequence[SeriesChange]
    answer: "Future[WhatIf]"

    @property
    def series(self) -> StoreSku:
        """The first series; of a question in a lot the only one."""
        return self.changes[0].series


class WhatIfLots:
    """Answers what-ifs; safe to share between threads.

    Args:
        gather: Returns what questions of several callers need, where none of them has all of it; None if that is not
            at hand: each has what it needs itself.
        patience_seconds: How long a lot may take before the next is begun beside it.
    """

    def __init__(self, gather: Gather, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._gather, self._patience = gather, patience_seconds
        self._waiting: list[_Asked] = []
        self._lock, self._turn = Lock(), Lock()
        self._lots = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")
        self._single = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict-alone")

    def ask(self, prepared: PreparedRun, changes: Sequence[SeriesChange]) -> "Future[WhatIf]":
        """Return the answer to come, or the error to come: see `what_if`.

        Args:
            prepared: The published run, or what the answer needs of it.
            changes: One for each series; they hold together.
        """
        asked = _Asked(prepared, changes, Future())
        try:
            # Whoever asks wrongly is told by itself, and holds up no lot.
            require_answerable(prepared, changes)
        except InputError as error:
            asked.answer.set_exception(error)
            return asked.answer
        if len(changes) > 1:
            self._single.submit(_answer_alone, asked)
            return asked.answer
        with self._lock:
            self._waiting.append(asked)
        self._lots.submit(self._work)
        return asked.answer

    def _work(self) -> None:
        """Answer the next lot, if another thread has not taken all that waits."""
        turn = self._take_turn()
        try:
            lot = self._next_lot()
            if lot:
                self._answer(lot)
        finally:
            if turn is not None:
                turn.release()

    def _take_turn(self) -> "Lock | None":
        """Wait until no other lot is worked on; None if that takes too long twice."""
        turn = self._turn
        if turn.acquire(timeout=self._patience):
            return turn
        with self._lock:
            # Whoever has it keeps it, and nobody waits for it any more.
            if self._turn is turn:
                self._turn = Lock()
            turn = self._turn
        return turn if turn.acquire(timeout=self._patience) else None

    def _next_lot(self) -> list[_Asked]:
        """Take the question that waits longest, and those of the same run, each of another series."""
        with self._lock:
            lot = dict[StoreSku, _Asked]()
            for asked in self._waiting:
                if len(lot) < MOST_AT_ONCE and asked.prepared.key == self._waiting[0].prepared.key:
                    lot.setdefault(asked.series, asked)
            taken = [*lot.values()]
            self._waiting = [asked for asked in self._waiting if asked not in taken]
        # Whoever gave up waiting wants no answer.
        return [asked for asked in taken if asked.answer.set_running_or_notify_cancel()]

    def _answer(self, lot: Sequence[_Asked]) -> None:
        answers = self._at_once(lot) if len(lot) > 1 else None
        if answers is not None:
            for asked, answer in zip(lot, answers, strict=True):
                asked.answer.set_result(answer)
            return
        *others, last = lot
        for asked in others:
            self._single.submit(_set_answer, asked)
        _set_answer(last)

    def _at_once(self, lot: Sequence[_Asked]) -> Sequence[WhatIf] | None:
        """Return the answers of a lot; None if they have to be given one by one."""
        try:
            prepared = self._needed(lot)
            return None if prepared is None else what_ifs(prepared, [asked.changes[0] for asked in lot])
        except BaseException:  # noqa: BLE001 - one of them is the reason, and is told by itself
            _log.exception("%d questions are answered one by one", len(lot))
            return None

    def _needed(self, lot: Sequence[_Asked]) -> PreparedRun | None:
        series = [asked.series for asked in lot]
        for asked in lot:
            if all(one in asked.prepared.places for one in series):
                return asked.prepared
        return self._gather(lot[0].prepared.key.run, series)


def _answer_alone(asked: _Asked) -> None:
    if asked.answer.set_running_or_notify_cancel():
        _set_answer(asked)


def _set_answer(asked: _Asked) -> None:
    try:
        asked.answer.set_result(what_if(asked.prepared, asked.changes))
    except BaseException as error:  # noqa: BLE001 - whoever asked is told
        asked.answer.set_exception(as_error(error))
