"""Backfills: order, what is passed over, what stops them, and going on where they were."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from forecast_assets.core.errors import (
    AlreadyPublishedError,
    HorizonError,
    IncompleteInputsError,
    InputError,
    NotAcceptedError,
    NotReadyError,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.backfilling import backfill, backfill_keys, require_none_waits
from forecast_assets.presentation.state import backfill_text

FIRST, LAST = date(2025, 6, 1), date(2025, 6, 4)
KEYS = backfill_keys("daily", "stat-1", FIRST, LAST, None)


@dataclass
class StubRunner:
    """Publishes into a dictionary; what is not ready, or fails, is given."""

    fails: dict[date, BaseException] = field(default_factory=dict)
    publications: dict[RunKey, Any] = field(default_factory=dict)
    scored: list[date] = field(default_factory=list)

    @property
    def stores(self) -> Any:
        ledger = SimpleNamespace(state=lambda: SimpleNamespace(publications=self.publications))
        return SimpleNamespace(ledger=ledger)

    def require_possible(self, key: RunKey) -> None:
        if key.prediction_date < FIRST:
            raise NotAcceptedError("trained on days after it.")

    def score(self, key: RunKey) -> Any:
        self.scored.append(key.prediction_date)
        if key.prediction_date in self.fails:
            raise self.fails[key.prediction_date]
        self.publications[key] = SimpleNamespace(sequence=len(self.publications) + 1)
        return SimpleNamespace(is_new=True, publication=self.publications[key])


def run(runner: StubRunner, keys: list[RunKey] = KEYS) -> list[tuple[str, str, str]]:
    done = backfill(cast("Runner", runner), keys)
    return [(str(each.key.prediction_date), each.state, each.detail) for each in done]


def test_dates_are_those_of_the_cadence_in_order() -> None:
    assert [key.prediction_date.day for key in KEYS] == [1, 2, 3, 4]
    weekly = backfill_keys("weekly", "stat-1", date(2025, 6, 1), date(2025, 6, 30), None)
    assert [str(key) for key in weekly] == [f"weekly/2025-06-{day:02}/stat-1/90/r0" for day in (1, 8, 15, 22, 29)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: backfill_keys("daily", "v", LAST, FIRST, None), InputError, "from 2025-06-04 to 2025-06-01 is empty"),
        (lambda: backfill_keys("weekly", "v", date(2025, 6, 2), date(2025, 6, 3), None), InputError,
         "no prediction date of a weekly run .* The one before is 2025-06-01"),
        (lambda: backfill_keys("daily", "v", FIRST, LAST, 90), HorizonError, "7 to 30 days, not 90"),
        (lambda: backfill_keys("daily", "v", FIRST, date(2225, 6, 4), None), InputError,
         r"2225-06-04 is not over \(UTC\)\. Give --to 20\d\d-"),
    ],
    ids=["backwards", "no-sunday", "horizon", "future"],
)  # fmt: skip
def test_a_range_that_makes_no_sense_is_refused(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_what_is_published_is_passed_over_and_what_waits_does_not_stop_the_rest() -> None:
    missing = IncompleteInputsError(date(2025, 6, 2), ["`sales` lacks 1 stores: S-01"])
    runner = StubRunner(fails={date(2025, 6, 2): missing})
    runner.publications[KEYS[0]] = SimpleNamespace(sequence=7)
    assert run(runner) == [
        ("2025-06-01", "published before", "ledger entry 7"),
        ("2025-06-02", "waits", "`sales` lacks 1 stores: S-01"),
        ("2025-06-03", "published", "ledger entry 2"),
        ("2025-06-04", "published", "ledger entry 3"),
    ]
    assert [day.day for day in runner.scored] == [2, 3, 4]


def test_after_what_was_missing_has_come_the_same_backfill_makes_only_that() -> None:
    runner = StubRunner(fails={date(2025, 6, 2): IncompleteInputsError(date(2025, 6, 2), ["sales"])})
    done = list(backfill(cast("Runner", runner), KEYS))
    with pytest.raises(NotReadyError, match=r"1 of 4 dates wait for their inputs: 2025-06-02\. .* the same command"):
        require_none_waits(done)
    runner.fails.clear()
    runner.scored.clear()
    again = list(backfill(cast("Runner", runner), KEYS))
    require_none_waits(again)
    assert [day.day for day in runner.scored] == [2]


def test_a_backfill_that_was_interrupted_goes_on_where_it_was() -> None:
    runner = StubRunner(fails={date(2025, 6, 3): KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        run(runner)
    runner.fails.clear()
    states = [state for _, state, _ in run(runner)]
    assert states == ["published before", "published before", "published", "published"]


def test_of_two_backfills_at_once_the_slower_finds_it_published() -> None:
    runner = StubRunner(fails={FIRST: AlreadyPublishedError(KEYS[0], 9)})
    assert run(runner)[0] == ("2025-06-01", "published before", "ledger entry 9, by another process meanwhile")


def test_a_failed_check_stops_it_and_a_date_before_the_training_is_refused_before_anything_runs() -> None:
    runner = StubRunner(fails={date(2025, 6, 2): NotAcceptedError("a check failed")})
    with pytest.raises(NotAcceptedError, match="a check failed"):
        run(runner)
    assert [day.day for day in runner.scored] == [1, 2]
    early = StubRunner()
    with pytest.raises(NotAcceptedError, match="trained on days after it"):
        run(early, backfill_keys("daily", "stat-1", date(2025, 5, 31), LAST, None))
    assert early.scored == []


def test_each_start_is_told_with_its_place() -> None:
    told: list[tuple[int, str]] = []
    list(backfill(cast("Runner", StubRunner()), KEYS[:2], lambda at, key: told.append((at, str(key)))))
    assert told == [(0, "daily/2025-06-01/stat-1/28/r0"), (1, "daily/2025-06-02/stat-1/28/r0")]


def test_the_summary_names_every_date() -> None:
    text = backfill_text(list(backfill(cast("Runner", StubRunner()), KEYS)))
    assert all(str(key) in text for key in KEYS)
    assert text.startswith("Backfill")
