"""Answering questions that come at the same time together, since most of what an answer costs is the same for several.

What belongs here: which questions are answered at once, by which thread. What does not: any answer.

While one lot is worked on, what comes in waits and is the next lot: the more come in, the more are answered at a time,
and nobody waits for more to come. A lot that takes unusually long is not waited for: another thread takes up the next.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

from forecast_assets.core.keys import RunKey, StoreSku
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.what_if import WhatIf, what_if, what_ifs

MOST_AT_ONCE: Final = 32
# Several answers take no longer, unless something is wrong.
PATIENCE_SECONDS: Final = 0.5
_THREADS: Final = 4
_log = logging.getLogger(__name__)

# Returns what predictions need of some series of a run.
Gather = Callable[[RunKey, Sequence[StoreSku]], PreparedRun]


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

    def goes_with(self, first: "_Asked") -> bool:
        """Whether it may be answered together with another one: each is of one series of the same run."""
        return len(self.changes) == len(first.changes) == 1 and self.prepared.key == first.prepared.key


class Together:
    """Answers what-ifs; safe to share between threads.

    Args:
        gather: Returns what questions of several callers need, where none of them has all of it.
        patience_seconds: How long a lot may take before the next is begun beside it.
    """

    def __init__(self, gather: Gather, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._gather, self._patience = gather, patience_seconds
        self._waiting: list[_Asked] = []
        self._lock, self._turn = Lock(), Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")

    def ask(self, prepared: PreparedRun, changes: Sequence[SeriesChange]) -> "Future[WhatIf]":
        """Return the answer to come, or the error to come: see `what_if`.

        Args:
            prepared: The published run, or what the answer needs of it.
            changes: One for each series; they hold together.
        """
        asked = _Asked(prepared, changes, Future())
        with self._lock:
            self._waiting.append(asked)
        self._pool.submit(self._work)
        return asked.answer

    def _work(self) -> None:
        """Answer the next lot, if another thread has not taken all that waits."""
        has_turn = self._turn.acquire(timeout=self._patience)
        try:
            self._answer(self._next_lot())
        finally:
            if has_turn:
                self._turn.release()

    def _next_lot(self) -> list[_Asked]:
        """Take the question that waits longest, and those that go with it, each of another series."""
        with self._lock:
            if not self._waiting:
                return []
            first, *others = self._waiting
            lot = {first.changes[0].series: first} if first.changes else {}
            for asked in others:
                if len(lot) < MOST_AT_ONCE and asked.goes_with(first):
                    lot.setdefault(asked.changes[0].series, asked)
            taken = [*lot.values()] or [first]
            self._waiting = [asked for asked in self._waiting if asked not in taken]
        # Whoever gave up waiting wants no answer.
        return [asked for asked in taken if asked.answer.set_running_or_notify_cancel()]

    def _answer(self, lot: Sequence[_Asked]) -> None:
        for asked, found in zip(lot, self._answers(lot), strict=True):
            if isinstance(found, WhatIf):
                asked.answer.set_result(found)
            else:
                asked.answer.set_exception(found)

    def _answers(self, lot: Sequence[_Asked]) -> "Sequence[WhatIf | BaseException]":
        if len(lot) > 1:
            try:
                return what_ifs(self._needed(lot), [asked.changes[0] for asked in lot])
            except Exception as error:  # noqa: BLE001 - one of them is the reason, and is told by itself
                _log.info("%d questions are answered one by one: %s", len(lot), error)
        return [_one(asked) for asked in lot]

    def _needed(self, lot: Sequence[_Asked]) -> PreparedRun:
        first = lot[0].prepared
        if all(asked.prepared is first for asked in lot):
            return first
        return self._gather(first.key.run, [asked.changes[0].series for asked in lot])


def _one(asked: _Asked) -> WhatIf | BaseException:
    try:
        return what_if(asked.prepared, asked.changes)
    except BaseException as error:  # noqa: BLE001 - whoever asked is told
        return error
