"""Backfills: the runs of past prediction dates, in order, one after the other.

What belongs here: which dates a backfill has, what became of each, and what stops it. What does not: running one date,
or printing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from forecast_assets.core.errors import (
    AlreadyPublishedError,
    IncompleteInputsError,
    InputError,
    NotReadyError,
    first_ten,
)
from forecast_assets.core.keys import CADENCES, RunKey, last_day_over
from forecast_assets.operations.use_cases import UseCases


@dataclass(frozen=True)
class BackfilledDate:
    """What became of one date.

    Attributes:
        key: The run.
        state: published, published before, or waits.
        detail: Ledger entry of a published run; what is missing of one that waits.
    """

    key: RunKey
    state: str
    detail: str

    @property
    def waits(self) -> bool:
        """Whether the date is still to be run, once what is missing is there."""
        return self.state == WAITS


PUBLISHED_NOW = "published"
PUBLISHED_BEFORE = "published before"
WAITS = "waits"


def backfill_keys(
    cadence: str, model_version: str, first: date, last: date, horizon: int | None, now: datetime | None = None
) -> list[RunKey]:
    """Return the runs of a range of dates, both ends included, oldest first.

    Args:
        cadence: Rhythm of the runs.
        model_version: The version.
        first: First date.
        last: Last date.
        horizon: Days ahead; None for those of the cadence.
        now: Moment that decides which days are over; by default that of the clock.

    Raises:
        InputError: If the range is empty, reaches into the future, or holds no prediction date of the cadence.
        HorizonError: If the cadence does not allow the horizon.
    """
    if last < first:
        raise InputError(f"The range from {first} to {last} is empty.", remedy="Give --from a date before --to.")
    yesterday = last_day_over(now or datetime.now(UTC))
    if last > yesterday:
        raise InputError(f"{last} is not over (UTC).", remedy=f"Give --to {yesterday} at the latest.")
    rhythm = CADENCES[cadence]
    days = (first + timedelta(days=at) for at in range((last - first).days + 1))
    keys = [RunKey(cadence, day, model_version, rhythm.horizon(horizon)) for day in days if rhythm.allows(day)]
    if not keys:
        raise InputError(
            f"There is no prediction date of a {cadence} run from {first} to {last}.",
            remedy=f"The one before is {rhythm.newest_date(first)}.",
        )
    return keys


def backfill(
    runner: UseCases, keys: list[RunKey], starting: Callable[[int, RunKey], None] = lambda _at, _key: None
) -> Iterator[BackfilledDate]:
    """Run dates one after the other; a date whose inputs are incomplete is passed over and said to be.

    What is published already is not run again, so that a backfill that was stopped goes on where it was when it is
    started again.

    Args:
        runner: Runs one date.
        keys: The runs, in order.
        starting: Called with position and run before each.

    Raises:
        InputError: Before anything is run, if a date lies before the store's first day.
        NotAcceptedError: Before anything is run, if the version may not serve the first date; later, if a check fails.
        HorizonError: Before anything is run, if the version was not trained as far ahead.
    """
    for key in keys:
        runner.require_possible(key)
    for at, key in enumerate(keys):
        starting(at, key)
        yield _one(runner, key)


def _one(runner: UseCases, key: RunKey) -> BackfilledDate:
    done = runner.stores.ledger.state().publications.get(key)
    if done is not None:
        return BackfilledDate(key, PUBLISHED_BEFORE, f"ledger entry {done.sequence}")
    try:
        outcome = runner.score(key)
    except IncompleteInputsError as error:
        return BackfilledDate(key, WAITS, "; ".join(error.missing))
    except AlreadyPublishedError as error:
        return BackfilledDate(key, PUBLISHED_BEFORE, f"ledger entry {error.sequence}, by another process meanwhile")
    state = PUBLISHED_NOW if outcome.is_new else PUBLISHED_BEFORE
    return BackfilledDate(key, state, f"ledger entry {outcome.publication.sequence}")


def require_none_waits(done: list[BackfilledDate]) -> None:
    """Say which dates are still to be run.

    Raises:
        NotReadyError: If some wait.
    """
    waiting = [each.key.prediction_date for each in done if each.waits]
    if waiting:
        raise NotReadyError(
            f"{len(waiting)} of {len(done)} dates wait for their inputs: {first_ten(waiting)}.",
            remedy="Ingest what is missing, then run the same command again: what is published stays as it is.",
        )
