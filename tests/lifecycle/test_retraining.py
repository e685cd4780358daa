"""Retraining by rule: when it is due, what it waits for, and that no rule makes a champion."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forecast_assets.core.errors import InputError, LostRaceError
from forecast_assets.lifecycle.retraining import DueTraining, due_training, version_name
from forecast_assets.operations.challengers import ChallengeRequest, offer_challenger, set_challenger, stop_challenger
from forecast_assets.operations.drift_reports import backlog_items, decide
from forecast_assets.operations.promoting import judge as judge_version
from resources.ledger.entries.backlog import BACKLOG, Backlog, BacklogDecision
from resources.ledger.entries.challenge import Challenge, running_trial
from resources.ledger.entries.drift import DriftRecords
from resources.ledger.entries.judged_days import Signal
from resources.ledger.entries.weigh import WEIGH, ChallengerVerdict
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import SIGNAL, anomalies, judge
from tests.support.store_cases import CUTOFF, accept_training, ingest, publish, register, run_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSED = {"backtest_beats_seasonal_naive": True}


@pytest.fixture
def stores(tmp_path) -> Stores:  # noqa: ANN001
    made = open_stores(tmp_path / "store")
    ingest(made)
    register(made, gates=PASSED, horizon=28)
    return made


def newest_day(stores: Stores, days: int) -> date:
    """Make sales and a snapshot of a day that comes so many days after the champion's cutoff."""
    day = CUTOFF + timedelta(days=days)
    ingest(stores, days)
    stores.predictions.write_bytes(
        "feature_snapshots", b"", key=day, path=f"predictions/feature_snapshots/{day}", rows=0, schema="", inputs={},
        facts={"known_until": f"{day}T23:59:59+00:00"},
    )  # fmt: skip
    return day


def promoted(stores: Stores) -> Stores:
    stores.registry.promote("stat-1", by="ana", reason="the first")
    return stores


def trained(stores: Stores, name: str, cutoff: date, horizon: int | None = 28) -> None:
    register(stores, name, gates=PASSED, cutoff=cutoff, horizon=horizon)
    accept_training(stores, name)


def due(stores: Stores, weeks: int = 4) -> DueTraining | str:
    return due_training(stores, weeks=weeks, now=NOW)


def signal(since: date, verdict: str = "changed") -> Signal:
    return Signal(f"feed/sales/sales_units/{verdict}/all", since.isoformat(), 0.2, "sales rose")


def test_without_a_champion_nothing_is_due(stores: Stores) -> None:
    newest_day(stores, 40)
    assert "champion" in str(due(stores))


@pytest.mark.parametrize(("days", "weeks", "is_due"), [(27, 4, False), (28, 4, True), (28, 0, False), (13, 2, False)])
def test_time_is_a_reason_after_some_weeks(stores: Stores, days: int, weeks: int, is_due: bool) -> None:
    day = newest_day(promoted(stores), days)
    found = due(stores, weeks)
    assert isinstance(found, DueTraining) == is_due
    if isinstance(found, DueTraining):
        request = found.request
        assert (request.model_version, request.family, request.cutoff, request.horizon) == (
            version_name("statistical", day), "statistical", day, 28,
        )  # fmt: skip
        assert "schedule" in found.reason


def test_drift_is_a_reason_once_two_weeks_of_it_are_known(stores: Stores) -> None:
    since = CUTOFF + timedelta(days=2)
    judge(promoted(stores), told=(signal(since),))
    newest_day(stores, 14)
    assert "Item 1" in str(due(stores, 0))
    newest_day(stores, 15)
    found = due(stores, 0)
    assert isinstance(found, DueTraining)
    assert "item 1" in found.reason


def test_a_change_that_a_version_has_seen_or_that_somebody_closed_is_no_reason(stores: Stores) -> None:
    judge(promoted(stores), told=(signal(CUTOFF),))
    newest_day(stores, 20)
    assert isinstance(due(stores, 0), str)
    judge(stores, date(2025, 1, 6), told=(signal(CUTOFF + timedelta(days=2), "changed2"),))
    assert isinstance(due(stores, 0), DueTraining)
    decide(stores.registry, 2, "closed", by="ana", reason="a sale")
    assert isinstance(due(stores, 0), str)


def test_nothing_is_learned_while_a_feed_is_broken(stores: Stores) -> None:
    judge(promoted(stores), told=(signal(CUTOFF, "broken"),))
    newest_day(stores, 40)
    assert "broken" in str(due(stores))


def test_nothing_is_learned_while_a_signal_is_told_though_somebody_closed_its_item(stores: Stores) -> None:
    judge(promoted(stores), told=(signal(CUTOFF, "broken"),))
    decide(stores.registry, 1, "closed", by="ana", reason="the till is asked")
    newest_day(stores, 40)
    assert "A feed is broken (item 1" in str(due(stores))


def test_broken_days_that_no_version_has_seen_are_learned_from_once_somebody_closed_their_item(stores: Stores) -> None:
    broken = signal(CUTOFF + timedelta(days=2), "broken")
    judge(promoted(stores), CUTOFF + timedelta(days=2), told=(broken,))
    judge(stores, CUTOFF + timedelta(days=5), closed=(broken.signal,))
    decide(stores.registry, 1, "acknowledged", by="ana", reason="asked for the days again")
    newest_day(stores, 40)
    first, last = CUTOFF + timedelta(days=2), CUTOFF + timedelta(days=4)
    assert f"Item 1 of the backlog is not closed: a feed was broken from {first} to {last}" in str(due(stores))
    decide(stores.registry, 1, "closed", by="ana", reason="restated")
    assert isinstance(due(stores), DueTraining)


@pytest.mark.parametrize(("day", "is_due"), [(0, True), (1, False), (41, True)])
def test_an_item_that_is_not_closed_holds_up_only_what_would_read_its_days(
    stores: Stores, day: int, is_due: bool
) -> None:
    """One broken day: which the champion has seen, which nobody has, which comes after the newest snapshot."""
    since = CUTOFF + timedelta(days=day)
    broken = signal(since, "broken")
    judge(promoted(stores), since, told=(broken,))
    judge(stores, since + timedelta(days=1), closed=(broken.signal,))
    newest_day(stores, 40)
    assert isinstance(due(stores), DueTraining) == is_due


def test_a_version_is_trained_once(stores: Stores) -> None:
    day = newest_day(promoted(stores), 30)
    register(stores, version_name("statistical", day), gates=PASSED, cutoff=day)
    assert isinstance(due(stores), str)


def test_a_day_years_ahead_is_a_slip_of_a_clock(stores: Stores) -> None:
    newest_day(promoted(stores), 10)
    newest_day(stores, 4000)
    assert isinstance(due(stores), str)


def test_what_was_trained_becomes_challenger_by_automation_and_the_champion_stays(stores: Stores) -> None:
    trained(promoted(stores), "auto-statistical-2025-02-01", date(2025, 2, 1))
    moved = offer_challenger(stores)
    assert isinstance(moved, Challenge)
    assert (moved.channel, moved.model_version, moved.by) == ("challenger", "auto-statistical-2025-02-01", "automation")
    assert "by rule" in moved.reason
    assert stores.ledger.state().channel("champion") == "stat-1"
    assert isinstance(offer_challenger(stores), str), "once"


@pytest.mark.parametrize(("of_champion", "of_challenger", "compared"), [(7, 7, 7), (28, 14, 14), (30, None, 28)])
def test_a_trial_by_rule_compares_runs_no_longer_than_both_versions_were_trained_for(
    tmp_path: Path, of_champion: int, of_challenger: int | None, compared: int
) -> None:
    stores = open_stores(tmp_path / "store")
    ingest(stores)
    register(stores, "mean-1", gates=PASSED, horizon=of_champion)
    stores.registry.promote("mean-1", by="ana", reason="the first")
    trained(stores, "auto-statistical-2025-02-01", date(2025, 2, 1), of_challenger)
    begun = offer_challenger(stores)
    assert isinstance(begun, Challenge)
    assert begun.rules.forecast_horizon == compared


@pytest.mark.parametrize(("published", "compared"), [((7, 28), 28), ((7, 14), 14), ((30,), None)])
def test_a_trial_by_rule_compares_runs_that_the_champion_publishes(
    stores: Stores, published: Sequence[int], compared: int | None
) -> None:
    promoted(stores)
    for days in published:
        publish(stores, replace(run_key(), forecast_horizon=days))
    trained(stores, "auto-statistical-2025-02-01", date(2025, 2, 1))
    begun = offer_challenger(stores)
    if compared is None:
        assert str(begun).endswith("`stat-1` publishes no runs as short as it was trained for.")
        assert stores.ledger.state().channel("challenger") is None
    else:
        assert isinstance(begun, Challenge)
        assert begun.rules.forecast_horizon == compared


def test_a_trial_by_rule_compares_the_runs_that_the_trial_before_compared(stores: Stores) -> None:
    register(promoted(stores), "mine", gates=PASSED, horizon=28)
    accept_training(stores, "mine")
    asked = ChallengeRequest("daily", "mine", 0.5, "ben", "to be compared", rules={"forecast_horizon": 14})
    set_challenger(stores, asked)
    stores.registry.promote("mine", by="ben", reason="it is better")
    trained(stores, "auto-statistical-2025-02-01", date(2025, 2, 1))
    begun = offer_challenger(stores)
    assert isinstance(begun, Challenge)
    assert begun.rules.forecast_horizon == 14, "those are the runs whose stores are assigned"


def test_what_somebody_trained_and_called_so_is_not_what_a_rule_trained(stores: Stores) -> None:
    trained(promoted(stores), "auto-statistical-2025-02-01", date(2025, 2, 2))
    trained(stores, "auto-mine", date(2025, 2, 1))
    assert offer_challenger(stores) == "No version was trained by rule."


def test_a_version_that_fails_its_gates_or_is_retired_becomes_nothing(stores: Stores) -> None:
    name = "auto-statistical-2025-02-01"
    register(promoted(stores), name, gates={"backtest_beats_seasonal_naive": False}, cutoff=date(2025, 2, 1))
    assert "backtest_beats_seasonal_naive" in str(offer_challenger(stores))
    second = "auto-statistical-2025-03-01"
    trained(stores, second, date(2025, 3, 1))
    stores.registry.retire(second, by="ana", reason="a mistake")
    assert "retired" in str(offer_challenger(stores))
    assert stores.ledger.state().channel("challenger") is None


def test_a_challenger_that_somebody_chose_is_left_alone(stores: Stores) -> None:
    register(promoted(stores), "mine", gates=PASSED)
    stores.registry.promote("mine", by="ben", reason="to be compared", channel="challenger")
    trained(stores, "auto-statistical-2025-02-01", date(2025, 2, 1))
    assert "ben" in str(offer_challenger(stores))
    assert stores.ledger.state().channel("challenger") == "mine"
    stores.registry.promote("mine", by="ben", reason="it is better")
    assert isinstance(offer_challenger(stores), Challenge)


@pytest.mark.parametrize("moves", ["trial", "channel"])
def test_a_challenger_that_somebody_chose_while_the_rule_judged_is_left_alone(
    stores: Stores, moves: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(promoted(stores), "mine", gates=PASSED)
    accept_training(stores, "mine")
    trained(stores, "auto-statistical-2025-02-01", date(2025, 2, 1))

    def slowly(*asked: Any) -> Any:
        monkeypatch.setattr("forecast_assets.operations.challengers.judge", judge_version)
        if moves == "trial":
            set_challenger(stores, ChallengeRequest("daily", "mine", 0.5, "ben", "to be compared"))
        else:
            stores.registry.promote("mine", by="ben", reason="to be compared", channel="challenger")
        return judge_version(*asked)

    monkeypatch.setattr("forecast_assets.operations.challengers.judge", slowly)
    with pytest.raises(LostRaceError, match="Meanwhile somebody else"):
        offer_challenger(stores)
    assert stores.ledger.state().channel("challenger") == "mine"


def test_a_trial_by_rule_is_not_replaced_while_it_is_undecided_but_for_too_long(stores: Stores) -> None:
    trained(promoted(stores), "auto-statistical-2025-02-01", date(2025, 2, 1))
    assert isinstance(offer_challenger(stores), Challenge)
    trained(stores, "auto-statistical-2025-03-01", date(2025, 3, 1))
    assert "is undecided; until 2025-05-02 it goes on" in str(offer_challenger(stores))
    trained(stores, "auto-statistical-2025-05-02", date(2025, 5, 2))
    begun = offer_challenger(stores)
    assert isinstance(begun, Challenge)
    assert begun.model_version == "auto-statistical-2025-05-02"


def weighed(stores: Stores, decision: str) -> None:
    """Record a verdict on the trial that runs."""
    state = stores.ledger.state()
    trial = running_trial(state, "daily")
    assert trial is not None
    said = ChallengerVerdict(
        "daily", trial.begun_by, trial.champion_version, trial.model_version, trial.first_day, 1, 9, 25.0, 25.0, 0.3,
        0.1, 0.5, decision, (), "0" * 64,
    )  # fmt: skip
    stores.ledger.append(WEIGH.name, WEIGH.body(said), lambda _: None)


def test_a_trial_by_rule_that_is_shown_to_be_better_is_left_to_people(stores: Stores) -> None:
    better = "auto-statistical-2025-02-01"
    trained(promoted(stores), better, date(2025, 2, 1))
    offer_challenger(stores)
    weighed(stores, "better")
    trained(stores, "auto-statistical-2025-09-01", date(2025, 9, 1))
    entry = stores.ledger.state().sequence - 1
    waits = f"`{better}` is shown to be better (ledger entry {entry}), and stays challenger until somebody promotes it"
    assert str(offer_challenger(stores)).startswith(waits)
    assert stores.ledger.state().channel("challenger") == better
    weighed(stores, "undecided")
    assert isinstance(offer_challenger(stores), Challenge), "it was better, and is no more"


def test_once_the_better_one_is_promoted_or_stopped_the_next_is_offered(stores: Stores) -> None:
    better = "auto-statistical-2025-02-01"
    trained(promoted(stores), better, date(2025, 2, 1))
    offer_challenger(stores)
    weighed(stores, "better")
    trained(stores, "auto-statistical-2025-03-01", date(2025, 3, 1))
    assert isinstance(offer_challenger(stores), str)
    stop_challenger(stores.registry, "daily", by="ana", reason="not now")
    assert isinstance(offer_challenger(stores), Challenge)


def test_a_trial_that_somebody_began_of_what_a_rule_had_chosen_is_left_alone(stores: Stores) -> None:
    trained(promoted(stores), "auto-statistical-2025-02-01", date(2025, 2, 1))
    offer_challenger(stores)
    register(stores, "mine", gates=PASSED, horizon=28)
    stores.registry.promote("mine", by="ben", reason="it is better")
    set_challenger(stores, ChallengeRequest("daily", "auto-statistical-2025-02-01", 0.5, "ana", "against mine"))
    assert stores.ledger.state().channel_moves[-1].model_version == "mine", "the channel need not move"
    trained(stores, "auto-statistical-2025-07-01", date(2025, 7, 1))
    assert "by ana" in str(offer_challenger(stores))


def test_items_that_callers_or_detectors_of_anomalies_opened_do_not_keep_versions_from_being_trained(
    stores: Stores,
) -> None:
    newest_day(promoted(stores), 28)
    opened = BacklogDecision(1, "open", "ana", "the till was closed", "feedback/0b6f6a3e-6f0e-4a55-9d5e-2f1c7f0a9b1d")
    stores.ledger.append(BACKLOG.name, BACKLOG.body(opened))
    told = Signal("series/sales/anomaly_share/anomalous/all", CUTOFF.isoformat(), 0.2, "many series")
    anomalies(stores, told=(told,))
    assert len(backlog_items(stores)) == 2
    assert isinstance(due(stores), DueTraining)


def test_an_item_is_opened_acknowledged_and_closed_once_each_with_who_and_why(stores: Stores) -> None:
    judge(stores, told=(SIGNAL,))
    (item,) = backlog_items(stores)
    assert (item.newest.item, item.newest.status, item.newest.by) == (1, "open", "automation")
    decide(stores.registry, 1, "acknowledged", by="ana", reason="asked")
    for number, status, by in (
        (1, "acknowledged", "ana"),
        (2, "closed", "ana"),
        (1, "closed", " "),
        (1, "gone", "ana"),
    ):
        with pytest.raises(InputError):
            decide(stores.registry, number, status, by=by, reason="again")
    decide(stores.registry, 1, "closed", by="ben", reason="prices rose for good")
    assert backlog_items(stores) == []
    (closed,) = backlog_items(stores, has_closed=True)
    assert (closed.newest.status, closed.newest.by, closed.newest.is_present) == ("closed", "ben", True)


def test_a_signal_that_comes_again_makes_another_item(stores: Stores) -> None:
    judge(stores, told=(SIGNAL,))
    judge(stores, date(2025, 1, 6), closed=(SIGNAL.signal,))
    backlog = stores.ledger.state().part(Backlog)
    assert not backlog.present
    assert backlog.newest[1].status == "open", "it stays until somebody closes it"
    judge(stores, date(2025, 1, 7), told=(SIGNAL,))
    assert [*stores.ledger.state().part(Backlog).newest] == [1, 2]


def test_the_same_judgement_is_recorded_once_and_one_that_saw_less_is_refused(stores: Stores) -> None:
    first, is_new = judge(stores)
    again, is_new_again = judge(stores)
    assert (is_new, is_new_again, again.sequence) == (True, False, first.sequence)
    judge(stores, date(2025, 1, 6))
    with pytest.raises(LostRaceError):
        judge(stores, date(2025, 1, 7), told=(SIGNAL,), since=first.sequence)
    assert date(2025, 1, 7) not in stores.ledger.state().part(DriftRecords).by_day


def test_a_version_that_the_policy_does_not_let_pass_stays_off_the_channel(stores: Stores) -> None:
    register(promoted(stores), "auto-statistical-2025-02-01", gates=PASSED, cutoff=date(2025, 2, 1), horizon=28)
    assert "no_look_ahead" in str(offer_challenger(stores)), "nobody checked its training snapshot"
    assert stores.ledger.state().channel("challenger") is None
