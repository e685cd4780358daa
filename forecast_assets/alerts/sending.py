"""Handing notifications to their destinations: each for itself, in order, and tried again at a later evaluation.

What belongs here: that one destination holds up no other, and what is recorded when. What does not: how one is reached.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from forecast_assets.alerts.destinations import Destination, NotTakenError
from forecast_assets.alerts.wording import WordedNotice
from resources.operational.alerts import AlertStore, Notice

# For so long one destination is handed what it lacks; the rest follows at the next evaluation.
_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Delivered:
    """What a destination was handed.

    Attributes:
        destination: Its name.
        sent: Notifications that it took.
        trouble: Why it did not take the next one; empty if nothing is left, or if it is left alone for a while.
    """

    destination: str
    sent: int
    trouble: str = ""


def deliver(
    store: AlertStore, destinations: Sequence[Destination], worded: Callable[[Notice], WordedNotice], now: datetime
) -> list[Delivered]:
    """Hand every destination what it lacks, all at the same time.

    Args:
        store: Knows what each lacks.
        destinations: Who is told.
        worded: Returns a notification with what its words need.
        now: The present moment.
    """
    if not destinations:
        return []
    with ThreadPoolExecutor(len(destinations)) as pool:
        return list(pool.map(lambda each: _hand_over(store, each, worded, now), destinations))


def _hand_over(
    store: AlertStore, destination: Destination, worded: Callable[[Notice], WordedNotice], now: datetime
) -> Delivered:
    by, sent, until = str(uuid4()), 0, time.monotonic() + _SECONDS
    for notice in store.claim(destination.name, by, now):
        if time.monotonic() > until:
            store.let_go(destination.name, by)
            break
        try:
            destination.send(worded(notice))
        except NotTakenError as error:
            store.failed(destination.name, by, str(error), now)
            return Delivered(destination.name, sent, str(error))
        store.sent(notice.notice_id, destination.name, now)
        sent += 1
    return Delivered(destination.name, sent)
