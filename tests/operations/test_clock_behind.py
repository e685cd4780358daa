"""A clock that jumped back: the newest entry is two days ahead, and what is decided counts as of that entry.

Whether a day is over is asked of a moment that is a day later than the clock at most.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from forecast_assets.automation.refusals import Refusals
from forecast_assets.cli import cli
from forecast_assets.core.errors import IncompleteInputsError, InputError
from forecast_assets.core.keys import DAILY
from forecast_assets.core.run import RunOptions
from forecast_assets.launch import Runner
from forecast_assets.operations.backfilling import backfill_keys
from forecast_assets.operations.challengers import first_unseen_day
from forecast_assets.operations.policies import apply_policy, policy_in_force, propose_policy, today
from forecast_assets.operations.promoting import judge
from forecast_assets.presentation.clock import clock_text
from forecast_assets.reviews.stage import ReviewContext, review_week
from forecast_assets.scoring.context import RunContext
from forecast_assets.settings import Settings
from resources.ledger.present import clock_behind, present, present_of_days
from resources.ledger.state import LedgerState
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import CUTOFF, accept_training, ingest, register

AHEAD = timedelta(days=2)
WHO = {"by": "ana", "reason": "a test"}


@contextmanager
def clock_ahead(by: timedelta) -> Iterator[None]:
    """Record entries by a clock that is ahead of the one that comes after it."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime.now(UTC) + by

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("resources.ledger.log.datetime", Clock)
        yield


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """A store that a clock two days ahead wrote to last, with sales of the day before and a policy of that day."""
    made = open_stores(tmp_path / "home/store")
    ingest(made)
    register(made, gates={"backtest_beats_seasonal_naive": True}, horizon=90)
    accept_training(made)
    ingest(made, day=(of_entry() - timedelta(days=1) - CUTOFF).days)
    with clock_ahead(AHEAD):
        apply_policy(made.ledger, propose_policy(made.ledger, {"gates.largest_bias": 0.08}, of_entry()), **WHO)
    return made


def of_entry() -> date:
    return (datetime.now(UTC) + AHEAD).date()


def test_the_present_is_never_before_the_newest_entry(stores: Stores) -> None:
    state = stores.ledger.state()
    assert present(state).isoformat() == state.recorded_at
    behind = clock_behind(state)
    assert behind is not None
    assert AHEAD - timedelta(minutes=10) < behind <= AHEAD
    before = datetime.now(UTC)
    empty = LedgerState()
    assert before <= present(empty) <= datetime.now(UTC)
    assert (clock_behind(empty), clock_text(empty)) == (None, "")


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(timedelta(seconds=30), ""), (timedelta(minutes=5), "5 minutes"), (timedelta(hours=3), "3 hours"),
     (AHEAD, "2 days")],
)  # fmt: skip
def test_a_clock_that_is_behind_is_told_but_not_by_seconds(tmp_path: Path, ahead: timedelta, words: str) -> None:
    made = open_stores(tmp_path / "store")
    with clock_ahead(ahead):
        ingest(made)
    told = clock_text(made.ledger.state())
    assert told.startswith(f"warning: the clock is {words} behind ledger entry 1, of " if words else "")
    assert bool(told) == bool(words)
    assert not words or "Either this clock is behind, or entry 1 was recorded by one that was ahead." in told


def test_a_policy_that_was_in_force_stays_so(stores: Stores) -> None:
    newest = stores.ledger.state().sequence
    assert today(stores.ledger) == of_entry()
    assert policy_in_force(stores.ledger).sequence == newest
    judged = judge(stores, "stat-1", "daily").record
    assert judged.policy == policy_in_force(stores.ledger).version
    options = RunOptions()
    assert RunContext.policy.func(SimpleNamespace(stores=stores, options=options)).sequence == newest  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="cannot take effect on"):
        propose_policy(stores.ledger, {"gates.largest_bias": 0.09}, of_entry() - timedelta(days=1))


def test_a_refusal_is_kept_by_the_policy_in_force(stores: Stores) -> None:
    tick = SimpleNamespace(cursor=None)
    tick.update_cursor = lambda text: setattr(tick, "cursor", text)
    state = stores.ledger.state()
    Refusals(tick).keep("stat-1", "daily", "why", seen=state.sequence, state=state)
    assert json.loads(tick.cursor)["policy"] == policy_in_force(stores.ledger).version
    assert Refusals(tick).still("stat-1", state) == "why"


def test_evidence_begins_after_sales_that_had_been_seen(stores: Stores) -> None:
    assert first_unseen_day(stores, DAILY) == of_entry()


def test_a_day_is_over_at_most_one_day_before_it_is_by_the_clock(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = datetime.now(UTC).date()
    ingest(stores, day=(last - CUTOFF).days)
    runner, made = Runner(Settings(home=tmp_path / "home")), list[date]()
    monkeypatch.setattr(Runner, "make_snapshot", lambda _, day, *__: made.append(day))
    monkeypatch.setattr(Runner, "judge_drift", lambda *_: None)
    monkeypatch.setattr(type(stores.predictions), "staged", lambda *_: SimpleNamespace(version="v"))
    with clock_ahead(AHEAD):
        ingest(stores, 2)
    now = present_of_days(stores.ledger.state())
    assert now < present(stores.ledger.state())
    assert (runner.drift(), made) == (last, [last])
    with pytest.raises(IncompleteInputsError, match="is not over"):
        runner.snapshot(of_entry() - timedelta(days=1))
    assert backfill_keys("daily", "stat-1", last, last, None, now)[0].prediction_date == last
    with pytest.raises(InputError, match="is not over"):
        backfill_keys("daily", "stat-1", last, last, None)
    # Nor is a week over by a clock that was a year ahead.
    with clock_ahead(timedelta(days=365)):
        ingest(stores, 1)
    sunday = present(stores.ledger.state()).date() - timedelta(days=14)
    sunday -= timedelta(days=(sunday.weekday() + 1) % 7)
    with pytest.raises(InputError, match="is not over"):
        review_week(ReviewContext(stores, "daily", sunday))
    assert present_of_days(LedgerState()) <= datetime.now(UTC)


def test_commands_say_that_the_clock_is_behind_and_decide_as_of_the_entry(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    newest = stores.ledger.state().sequence
    for arguments, said in (
        (("policy", "show"), f"in force from {of_entry()} on"),
        (("policy", "apply", "--set", "gates.largest_bias=0.09", "--by", "ana", "--reason", "r"), "from now on"),
        (("policy", "show"), "largest_bias = 0.09"),
        (("versions",), "stat-1"),
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exception is None, result.exception
        assert said in result.stdout
        assert result.stderr.count(f"warning: the clock is 2 days behind ledger entry {newest}") == 1
        newest = stores.ledger.state().sequence
