"""Signals: what somebody has to look at, gathered from the judgements of a day.

What belongs here: which judgements make one signal, its name and words, and which signals open or are told no more.
What does not: judging, or recording.

One cause is one signal: what is told over all stores is not told again of each of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import numpy as np

from forecast_assets.contracts import TOO_LITTLE_HISTORY
from forecast_assets.core.errors import first_ten
from forecast_assets.drift.daily_figures import ALL_STORES
from forecast_assets.drift.judging import DriftJudgement
from resources.ledger.entries.judged_days import Signal, SignalName, opened_and_closed

_STORES: Final = "stores"


def signals_of(judgements: Iterable[DriftJudgement], day: date) -> list[Signal]:
    """Return the signals of a day's judgements, by name."""
    told: dict[tuple[str, str, str, str], list[DriftJudgement]] = defaultdict(list)
    for each in judgements:
        if each.is_signal:
            told[*each.watched, each.verdict].append(each)
    found = []
    for key, some in sorted(told.items()):
        whole = [each for each in some if each.scope == ALL_STORES]
        reach = ALL_STORES if whole else _STORES
        counted = whole or some
        widest = max(counted, key=lambda each: abs(each.size or 0.0))
        since = min((each.since for each in counted if each.since is not None), default=day)
        found.append(
            Signal(
                str(SignalName(*key, reach)),
                since.isoformat(),
                round(widest.size or 0.0, 6),
                _words(widest, some, since),
            )
        )
    return found


def opened_and_closed_by(
    judgements: Sequence[DriftJudgement], told: Sequence[Signal], present: Iterable[str]
) -> tuple[tuple[Signal, ...], tuple[str, ...]]:
    """Return which signals are new, and which are told no more; what could not be judged stays as it is.

    Args:
        judgements: Of the day.
        told: Its signals.
        present: Signals that were told before.
    """
    judged = {each.watched for each in judgements if each.verdict != TOO_LITTLE_HISTORY}
    return opened_and_closed(told, {*present}, lambda name: name.watched in judged)


def _words(widest: DriftJudgement, every: Sequence[DriftJudgement], since: date) -> str:
    stores = [each.scope for each in every if each.scope != ALL_STORES]
    where = "over all stores" if len(stores) < len(every) else f"in {first_ten(stores)}"
    what = f"{widest.figure} of {widest.name}"
    if widest.scale == "gain":
        return f"{first_ten(stores)} sell what others of them sold before: names are swapped, on {since}"
    if widest.scale == "psi":
        return f"{what} is distributed unlike in training: psi {widest.value or 0.0:.2f}, on {since}"
    return f"{what} {widest.verdict} {where} since {since}: {size_text(widest)} what was expected"


def size_text(judgement: DriftJudgement) -> str:
    """Return how far a figure has been from what was to be expected since something is told.

    Example:
        >>> from forecast_assets.drift.judging import DriftJudgement
        >>> facts = dict.fromkeys(("value", "expected", "deviation", "spread", "statistic", "threshold", "since"))
        >>> size_text(DriftJudgement("feed", "sales", "sales_units", "all", "log", "changed", **facts, size=0.1823))
        '+20% against'
    """
    apart = judgement.size or 0.0
    if judgement.scale == "log":
        return f"{100 * (np.exp(apart) - 1):+,.0f}% against"
    return f"{100 * apart:+.0f} points against"
