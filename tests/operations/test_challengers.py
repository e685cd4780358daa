"""Setting, changing and stopping a challenger, and promoting it on evidence: what is refused, and nothing is lost."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from forecast_assets.core.errors import (
    ForecastAssetsError,
    HorizonError,
    InputError,
    LostRaceError,
    NotAcceptedError,
    NothingToRollBackError,
    NotReadyError,
    UnknownVersionError,
)
from forecast_assets.core.keys import DAILY, WEEKLY, RunKey
from forecast_assets.operations.challengers import (
    AUTOMATIC,
    ChallengeRequest,
    first_unseen_day,
    promote_if_better,
    promote_on_evidence,
    set_challenger,
    stop_challenger,
)
from forecast_assets.operations.policies import apply_policy, policy_in_force, propose_policy
from forecast_assets.operations.promoting import judge
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import Settings
from resources.ledger.channels import live_versions
from resources.ledger.entries.challenge import Challenges, TrialRules, running_trial
from resources.ledger.entries.judge import JUDGE, Judgements
from resources.ledger.entries.weigh import ChallengerVerdicts
from resources.ledger.log import Ledger
from resources.stores.home import Stores, open_stores
from tests.support.decision_jobs import launched
from tests.support.store_cases import CUTOFF, ingest, publish, register, run_key
from tests.support.trial_cases import (
    CHALLENGER,
    CHAMPION,
    FIRST,
    Said,
    assigned,
    begin,
    both,
    judged,
    measure_days,
    measured,
    with_champion,
)

NOW = datetime(2025, 3, 1, tzinfo=UTC)
BETTER = Said(loss=90.0)


@pytest.fixture
def prepared(stores: Stores) -> Stores:
    return with_champion(stores)


@pytest.fixture(scope="module")
def six_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose challenger was shown to be better in six weeks."""
    made = with_champion(open_stores(tmp_path_factory.mktemp("better") / "store"))
    begin(made)
    measure_days(made, 42, BETTER)
    assert judged(made).decision == "better"
    return Path(made.blobs.root)


@pytest.fixture
def shown_better(six_weeks: Path, tmp_path: Path) -> Stores:
    shutil.copytree(six_weeks, tmp_path / "better")
    return open_stores(tmp_path / "better")


def promote(stores: Stores, version: str = CHALLENGER, channel: str = "champion") -> None:
    promote_on_evidence(stores, version, by="ana", reason="five weeks beside", channel=channel)


def refused(kind: type[ForecastAssetsError], words: str, call: Callable[[], object], stores: Stores) -> None:
    before = stores.ledger.state().sequence
    with pytest.raises(kind, match=words):
        call()
    assert stores.ledger.state().sequence == before


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody judges: what is published by hand is not coherent."""
    monkeypatch.setattr("forecast_assets.operations.challengers.judge", lambda *_: None)


# --- setting, changing, stopping ---


def test_a_trial_fixes_its_rules_and_the_channel_follows(prepared: Stores) -> None:
    made = begin(prepared, 0.2)
    assert (made.champion_version, made.first_day, made.salt) == (CHAMPION, FIRST, "daily/stat-2")
    assert made.rules == TrialRules(forecast_horizon=7)
    again = open_stores(prepared.blobs.root).ledger.state()
    assert running_trial(again, "daily") == made
    assert again.channel("challenger") == CHALLENGER
    assert [each.model_version for each in live_versions(again, DAILY, NOW)] == [CHAMPION, CHALLENGER]
    assert running_trial(again, "weekly") is None


def test_another_share_is_the_same_trial(prepared: Stores) -> None:
    first, second = begin(prepared, 0.2), begin(prepared, 0.5)
    assert (second.begun_by, second.salt, second.first_day) == (first.sequence, first.salt, first.first_day)
    assert second.share == 0.5
    before = prepared.ledger.state().sequence
    assert begin(prepared, 0.5) == second
    assert prepared.ledger.state().sequence == before


@pytest.mark.parametrize("changed", [{"rules": {"level": 0.2}}, {"salt": "other"}, {"first_day": FIRST + timedelta(7)}])
def test_rules_do_not_change_while_a_trial_runs(prepared: Stores, changed: dict[str, object]) -> None:
    begin(prepared)
    refused(InputError, "cannot change: evidence is valid by rules", lambda: begin(prepared, 0.9, **changed), prepared)


def test_a_stopped_trial_leaves_nothing_to_follow_and_all_to_read(prepared: Stores) -> None:
    begin(prepared)
    measured(prepared, FIRST, both(Said(), Said()))
    verdict = judged(prepared)
    stop_challenger(prepared.registry, "daily", by="ben", reason="worse in fresh food")
    state = prepared.ledger.state()
    assert (state.channel("challenger"), running_trial(state, "daily")) == (None, None)
    assert [each.model_version for each in live_versions(state, DAILY, NOW)] == [CHAMPION]
    assert state.part(ChallengerVerdicts).newest(verdict.trial) == verdict
    refused(
        NotReadyError, "No daily trial runs", lambda: stop_challenger(prepared.registry, "daily", by="b", reason="r"),
        prepared,
    )  # fmt: skip
    # What nothing points at may be retired, and a new trial of it is another one.
    prepared.registry.retire(CHALLENGER, by="ben", reason="done")
    prepared.registry.retire(CHALLENGER, by="ben", reason="once more", serves_again=True)
    again = begin(prepared)
    assert again.begun_by == again.sequence
    assert again.first_day == FIRST + timedelta(days=1)
    assert prepared.ledger.state().channel("challenger") == CHALLENGER


def test_a_version_that_is_set_ends_the_trial_of_another(prepared: Stores) -> None:
    first = begin(prepared)
    register(prepared, "stat-3", horizon=28)
    second = begin(prepared, version="stat-3")
    state = prepared.ledger.state()
    assert running_trial(state, "daily") == second
    assert second.begun_by != first.begun_by
    assert state.channel("challenger") == "stat-3"


@pytest.mark.parametrize("move", ["promote", "rollback", "challenger"])
def test_a_trial_is_over_once_either_channel_moves(prepared: Stores, move: str) -> None:
    register(prepared, "stat-0", horizon=28)
    prepared.registry.promote("stat-0", by="ana", reason="a year ago")
    prepared.registry.promote(CHAMPION, by="ana", reason="since then")
    begin(prepared)
    if move == "rollback":
        prepared.registry.rollback(by="ana", reason="off")
    else:
        channel = "champion" if move == "promote" else "challenger"
        prepared.registry.promote("stat-0", by="ana", reason="another", channel=channel)
    assert running_trial(prepared.ledger.state(), "daily") is None
    with pytest.raises(NotAcceptedError, match=r"its trial is over: `\w+` became stat-0 with ledger entry"):
        promote(prepared)


@pytest.mark.usefixtures("unjudged")
def test_a_trial_does_not_revive_when_the_promotion_that_ended_it_is_rolled_back(shown_better: Stores) -> None:
    begin(shown_better, 1.0)
    promote(shown_better)
    shown_better.registry.rollback(by="ben", reason="worse in the shops")
    state = shown_better.ledger.state()
    assert (state.channel("champion"), state.channel("challenger")) == (CHAMPION, CHALLENGER), "as in the trial"
    assert running_trial(state, "daily") is None
    for version in (CHAMPION, CHALLENGER):
        publish(shown_better, run_key(43, version))
    terms = assigned(shown_better, run_key(43).prediction_date).terms
    assert (terms.champion_version, terms.challenger_version, terms.share) == (CHAMPION, "", 0.0)
    assert promote_if_better(shown_better, DAILY) is None
    with pytest.raises(NotAcceptedError, match="its trial is over: `champion` became stat-2 with ledger entry"):
        promote(shown_better)
    again = begin(shown_better)
    assert again.begun_by == again.sequence, "another trial, with no evidence yet"
    assert promote_if_better(shown_better, DAILY) is None


@pytest.mark.parametrize("to", [None, CHALLENGER])
def test_a_channel_that_was_stopped_goes_back_to_what_it_pointed_at(prepared: Stores, to: str | None) -> None:
    begin(prepared)
    stop_challenger(prepared.registry, "daily", by="ana", reason="by mistake")
    prepared.registry.rollback(by="ben", reason="it was a mistake", channel="challenger", to=to)
    state = prepared.ledger.state()
    assert (state.channel("challenger"), running_trial(state, "daily")) == (CHALLENGER, None)
    refused(NothingToRollBackError, "`challenger` is stat-2",
            lambda: prepared.registry.rollback(by="b", reason="r", channel="challenger", to=CHALLENGER),
            prepared)  # fmt: skip


def test_a_rollback_that_did_not_see_a_stop_is_refused(prepared: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    register(prepared, "stat-3", horizon=28)
    begin(prepared, version="stat-3")
    begin(prepared)
    append, other = Ledger.append, open_stores(prepared.blobs.root).registry

    def late(ledger: Ledger, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Ledger, "append", append)
        stop_challenger(other, "daily", by="ben", reason="no more trials")
        return append(ledger, *arguments, **named)

    monkeypatch.setattr(Ledger, "append", late)
    with pytest.raises(LostRaceError, match="moved `challenger` meanwhile; it is now nothing"):
        prepared.registry.rollback(by="ana", reason="the one before", channel="challenger")
    assert prepared.ledger.state().channel("challenger") is None


# --- bad input ---


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        ({"share": 1.5}, InputError, "1.5 is no share of stores"),
        ({"share": -0.1}, InputError, "no share of stores"),
        ({"version": "stat-9"}, UnknownVersionError, "stat-9"),
        ({"version": CHAMPION}, InputError, "cannot challenge itself"),
        ({"salt": " "}, InputError, "salt is empty"),
        ({"rules": {"bound": 0.0}}, InputError, "bound of a trial is above 0 and at most 2, not 0"),
        ({"rules": {"level": 1.0}}, InputError, "level of a trial is between 0 and 1, not 1"),
        ({"rules": {"deciding_step": 28}}, InputError, "deciding step of a trial is one of 1, 7, not 28"),
        ({"rules": {"least_days": 0}}, InputError, "least days of a trial is at least 1, not 0"),
        ({"rules": {"segment_margin": -1.0}}, InputError, "segment margin of a trial is 0 or more, not -1"),
        ({"rules": {"segment_margin": nan}}, InputError, "segment margin of a trial is 0 or more, not nan"),
        ({"rules": {"bias_margin": inf}}, InputError, "bias margin of a trial is 0 or more, not inf"),
        ({"rules": {"level": nan}}, InputError, "level of a trial is between 0 and 1, not nan"),
        ({"rules": {"forecast_horizon": 60}}, HorizonError, "horizon of 7 to 30 days, not 60"),
        ({"rules": {"forecast_horizon": 30}}, HorizonError, "trained for 28 days ahead; daily runs of 30 days"),
        ({"first_day": CUTOFF}, InputError, "days before 2025-01-02 have been seen"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    prepared: Stores, asked: dict[str, object], kind: type[ForecastAssetsError], words: str
) -> None:
    refused(kind, words, lambda: begin(prepared, **asked), prepared)  # type: ignore[arg-type]


def test_a_decision_needs_who_and_why(prepared: Stores) -> None:
    asked = ChallengeRequest("daily", CHALLENGER, 0.2, "", "why")
    refused(InputError, "needs who and why", lambda: set_challenger(prepared, asked), prepared)
    begin(prepared)
    refused(
        InputError, "needs who and why", lambda: stop_challenger(prepared.registry, "daily", by="ana", reason=" "),
        prepared,
    )  # fmt: skip


def test_a_retired_version_challenges_nobody(prepared: Stores) -> None:
    prepared.registry.retire(CHALLENGER, by="ana", reason="old")
    refused(NotAcceptedError, "is retired", lambda: begin(prepared), prepared)


def trials(stores: Stores) -> list[tuple[str, float]]:
    return [(each.model_version, each.share) for each in stores.ledger.state().part(Challenges).of("daily")]


def test_stores_follow_only_a_challenger_that_meets_its_gates(prepared: Stores) -> None:
    register(prepared, "stat-3", gates={"backtest_beats_seasonal_naive": False}, horizon=28)
    with pytest.raises(NotAcceptedError, match="in 20% of stores: it fails beats_seasonal_naive") as told:
        begin(prepared, version="stat-3")
    assert "with --share 0" in error_text(told.value)
    begin(prepared, 0.0, version="stat-3")
    with pytest.raises(NotAcceptedError, match="in 10% of stores: it fails beats_seasonal_naive") as told:
        begin(prepared, 0.1, version="stat-3")
    assert "make it smaller" in error_text(told.value)
    assert trials(prepared) == [("stat-3", 0.0)]


def test_a_challenger_that_is_not_sound_is_not_compared_at_all(prepared: Stores) -> None:
    # What it was trained on was never checked.
    register(prepared, "stat-3", horizon=28)
    asked = ChallengeRequest("daily", "stat-3", 0.0, "ana", "test", rules={"forecast_horizon": 7})
    with pytest.raises(NotAcceptedError, match="in 0% of stores: it fails no_look_ahead"):
        set_challenger(prepared, asked)
    assert trials(prepared) == []


def test_whoever_begins_a_trial_has_the_challenger_judged_by_the_policy_in_force(prepared: Stores) -> None:
    begin(prepared)
    newest = prepared.ledger.state().part(Judgements).newest(CHALLENGER, "daily")
    assert newest is not None
    assert (newest.against, newest.policy) == (CHAMPION, policy_in_force(prepared.ledger).version)


def test_a_policy_that_was_applied_while_the_challenger_was_judged_is_asked_again(
    prepared: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*asked: Any) -> Any:
        found = judge(*asked)
        apply_policy(prepared.ledger, propose_policy(prepared.ledger, {"gates.largest_bias": 0.5}), by="b", reason="r")
        return found

    monkeypatch.setattr("forecast_assets.operations.challengers.judge", slowly)
    with pytest.raises(LostRaceError, match="another policy was applied"):
        begin(prepared)
    assert trials(prepared) == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"patience": 3}, "no rule patience"),
        ({"level": "low"}, "'low' is no level of a trial"),
        ({"least_days": True}, "True is no least days"),
        ({"loss": 3}, "3 is no loss of a trial"),
    ],
)
def test_rules_that_there_are_not_are_refused(prepared: Stores, rules: dict[str, object], words: str) -> None:
    refused(InputError, words, lambda: begin(prepared, rules=rules), prepared)
    asked = ChallengeRequest("hourly", CHALLENGER, 0.2, "ana", "test")
    refused(InputError, "no cadence `hourly`", lambda: set_challenger(prepared, asked), prepared)


def test_a_challenger_that_fails_a_later_judgement_loses_stores_and_gets_no_more(
    prepared: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(prepared, 0.5)
    failed = replace(judge(prepared, CHALLENGER, "daily").record, failed_merit=("bias_is_small",), numbers="0" * 64)
    prepared.ledger.append(JUDGE.name, JUDGE.body(failed), lambda _: None)
    monkeypatch.setattr("forecast_assets.operations.challengers.judge", lambda *_: None)
    with pytest.raises(NotAcceptedError, match="in 60% of stores: it fails bias_is_small"):
        begin(prepared, 0.6)
    begin(prepared, 0.1)
    assert trials(prepared) == [(CHALLENGER, 0.5), (CHALLENGER, 0.1)]


def test_a_version_for_daily_runs_does_not_challenge_a_weekly_champion(prepared: Stores) -> None:
    asked = ChallengeRequest("weekly", CHALLENGER, 0.2, "ana", "test")
    refused(NotReadyError, "`weekly-champion` points at nothing", lambda: set_challenger(prepared, asked), prepared)
    register(prepared, "weekly-1", horizon=90)
    prepared.registry.promote("weekly-1", by="ana", reason="first", channel="weekly-champion")
    refused(NotAcceptedError, "trained for 28 days ahead, and weekly runs", lambda: set_challenger(prepared, asked),
            prepared)  # fmt: skip


def test_a_store_without_sales_has_no_first_day(stores: Stores) -> None:
    register(stores, CHAMPION)
    register(stores, CHALLENGER)
    stores.registry.promote(CHAMPION, by="ana", reason="first")
    refused(NotReadyError, "Nothing of the feed `sales`", lambda: begin(stores), stores)


def test_the_job_of_challengers_begins_changes_and_stops_a_trial(prepared: Stores) -> None:
    settings = Settings(home=Path(prepared.blobs.root).parent)
    who = {"by": "ana", "reason": "to be compared"}
    with dg.DagsterInstance.ephemeral() as instance:

        def launch(**asked: Any) -> dict[str, Any]:
            return launched(prepared, settings, "challenger", "challengers", instance=instance, **who, **asked)

        begun = launch(model_version=CHALLENGER, share=0.2, rules={"forecast_horizon": 7}, first_day=str(FIRST))
        more = launch(model_version=CHALLENGER, share=0.4)
        with pytest.raises(InputError, match=r"1\.5 is no share"):
            launch(model_version=CHALLENGER, share=1.5)
        ended = launch(stop=True)
    made = open_stores(prepared.blobs.root).ledger.state().part(Challenges).of("daily")
    assert [(each.share, each.is_stop, each.sequence) for each in made] == [
        (0.2, False, begun["ledger_sequence"]), (0.4, False, more["ledger_sequence"]),
        (0.4, True, ended["ledger_sequence"]),
    ]  # fmt: skip
    assert "a trial begins" in begun["what"]
    assert "is now followed in 40% of stores" in more["what"]


# --- runs of which horizon ---


def of_days(key: RunKey, days: int) -> RunKey:
    return replace(key, forecast_horizon=days)


@pytest.mark.parametrize(
    ("of_challenger", "words", "remedy", "both"),
    [
        ([], "`stat-1` publishes daily runs of 7, 14 days, none of 28", "--horizon 7 or 14", [7, 14]),
        ([14], "`stat-1` publishes daily runs of 7, 14 days, none of 28", "--horizon 14", [14]),
        ([21], "`stat-1` publishes daily runs of 7, 14 days, none of 28", "--horizon 28", []),
    ],
)
@pytest.mark.usefixtures("unjudged")
def test_runs_that_are_not_published_are_not_compared(
    prepared: Stores, of_challenger: list[int], words: str, remedy: str, both: list[int]
) -> None:
    for days in (7, 14):
        publish(prepared, of_days(run_key(0), days))
    for days in of_challenger:
        publish(prepared, of_days(run_key(0, CHALLENGER), days))
    before = prepared.ledger.state().sequence
    with pytest.raises(HorizonError, match=words) as told:
        begin(prepared, rules={"forecast_horizon": 28})
    assert remedy in error_text(told.value)
    assert told.value.facts["both"] == both
    assert told.value.facts["published"] == {CHAMPION: [7, 14], CHALLENGER: of_challenger}
    assert prepared.ledger.state().sequence == before
    if both:
        assert begin(prepared, rules={"forecast_horizon": both[-1]}).rules.forecast_horizon == both[-1]


@pytest.mark.usefixtures("unjudged")
def test_a_challenger_that_publishes_others_is_told_unless_schedules_will_make_them(prepared: Stores) -> None:
    for days in (7, 28):
        publish(prepared, of_days(run_key(0), days))
    publish(prepared, of_days(run_key(0, CHALLENGER), 14))
    with pytest.raises(HorizonError, match="`stat-2` publishes daily runs of 14 days, none of 7"):
        begin(prepared, rules={"forecast_horizon": 7})
    assert begin(prepared, rules={"forecast_horizon": 28}).rules.forecast_horizon == 28


def test_what_was_published_months_ago_is_published_no_more(prepared: Stores) -> None:
    publish(prepared, run_key(0))
    publish(prepared, of_days(run_key(60), 28))
    refused(HorizonError, "publishes daily runs of 28 days, none of 7", lambda: begin(prepared), prepared)


# --- the first day that nobody has seen ---


def test_evidence_begins_after_all_that_was_seen_whatever_the_clock_says(prepared: Stores) -> None:
    for clock in (NOW, datetime(2035, 1, 1, tzinfo=UTC)):
        assert first_unseen_day(prepared, DAILY, clock) == FIRST
    measured(prepared, date(2025, 1, 20), both(Said(), Said()))
    # A clock that went back to before days that were measured.
    assert first_unseen_day(prepared, DAILY, datetime(2025, 1, 10, tzinfo=UTC)) == date(2025, 1, 21)


def test_a_slip_years_ahead_does_not_hold_back_the_evidence(prepared: Stores) -> None:
    ingest(prepared, day=3650)
    assert first_unseen_day(prepared, DAILY, NOW) == FIRST


def test_weekly_evidence_begins_on_the_day_after_a_prediction_date(prepared: Stores) -> None:
    # 1 January 2025 is a Wednesday; weekly runs look from Sundays.
    assert first_unseen_day(prepared, WEEKLY, NOW) == date(2025, 1, 6)


def test_what_was_measured_meanwhile_is_not_evidence(prepared: Stores) -> None:
    made = begin(prepared)
    stop_challenger(prepared.registry, "daily", by="ana", reason="again")
    measured(prepared, FIRST, both(Said(), Said()))
    again = replace(made, trial=0, sequence=0, recorded_at="")
    newest = prepared.ledger.state().part(Challenges).newest("daily")
    assert newest is not None
    refused(LostRaceError, "2025-01-02 was measured, and evidence begins on days that nobody has seen",
            lambda: prepared.registry.challenge(again, seen=newest.sequence), prepared)  # fmt: skip


# --- two at once ---


def test_of_two_that_decide_at_once_one_is_told(prepared: Stores) -> None:
    register(prepared, "stat-3", horizon=28)

    def at_once(version: str) -> str:
        try:
            begin(open_stores(prepared.blobs.root), version=version)
        except LostRaceError as error:
            return str(error)
        return version

    with ThreadPoolExecutor(2) as pool:
        found = [*pool.map(at_once, [CHALLENGER, "stat-3"])]
    state = prepared.ledger.state()
    made = state.part(Challenges).of("daily")
    # Either the second saw the first, and ended its trial on purpose, or it was told.
    assert len(made) == 2 or any("somebody else decided on the daily challenger" in each for each in found)
    assert state.channel("challenger") == made[-1].model_version


def test_a_decision_on_what_has_changed_since_is_refused(prepared: Stores) -> None:
    first = begin(prepared)
    begin(prepared, 0.5)
    late = replace(first, share=0.9, trial=first.sequence, sequence=0, recorded_at="")
    refused(LostRaceError, "somebody else decided", lambda: prepared.registry.challenge(late, seen=first.sequence),
            prepared)  # fmt: skip


# --- promotion on evidence ---


def test_a_challenger_that_was_shown_to_be_better_is_promoted_and_the_trial_is_over(shown_better: Stores) -> None:
    promote(shown_better)
    state = shown_better.ledger.state()
    assert state.channel("champion") == CHALLENGER
    assert running_trial(state, "daily") is None
    (verdict,) = state.part(ChallengerVerdicts).by_trial.values()
    assert (
        state.channel_moves[-1].reason == f"five weeks beside (on the evidence of ledger entry {verdict[-1].sequence})"
    )


def test_the_job_of_promotions_asks_for_evidence_where_its_configuration_says_so(
    shown_better: Stores, prepared: Stores
) -> None:
    settings = Settings(home=Path(shown_better.blobs.root).parent)
    asked = {"model_version": CHALLENGER, "by": "ana", "reason": "five weeks beside", "on_evidence": True}
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(NotAcceptedError):
            launched(prepared, settings, "promotion", "promotions", instance=instance, **asked)
        shown = launched(shown_better, settings, "promotion", "promotions", instance=instance, **asked)
    (*_, move) = open_stores(shown_better.blobs.root).ledger.state().channel_moves
    assert (move.model_version, move.sequence) == (CHALLENGER, shown["ledger_sequence"])
    assert "on the evidence of ledger entry" in move.reason
    assert prepared.ledger.state().channel("champion") == CHAMPION


def test_of_two_promotions_at_once_one_is_told(shown_better: Stores) -> None:
    def at_once(_: int) -> str:
        try:
            promote(open_stores(shown_better.blobs.root))
        except NotAcceptedError as error:
            return str(error)
        return "promoted"

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(at_once, range(4))]
    assert found.count("promoted") == 1
    assert sum("it is `champion` already" in each for each in found) == 3
    moves = [move for move in shown_better.ledger.state().channel_moves if move.channel == "champion"]
    assert [move.model_version for move in moves] == [CHAMPION, CHALLENGER]


def test_what_is_champion_already_may_only_be_marked_with_evidence_or_without(shown_better: Stores) -> None:
    promote(shown_better)
    before = shown_better.ledger.state().sequence
    promote(shown_better)
    assert shown_better.ledger.state().sequence == before, "it points there, in spite of nothing"
    with pytest.raises(InputError, match="does not fail bias_is_small, so there is nothing to override"):
        promote_on_evidence(
            shown_better, CHALLENGER, by="ana", reason="r", channel="champion", overrides=["bias_is_small"]
        )


@pytest.mark.parametrize(
    ("days", "challenger", "words"),
    [
        (6, BETTER, "the least period is not over"),
        (14, Said(loss=99.9), "nothing is shown yet"),
        (28, Said(loss=90.0, error=40.0), "a guard speaks against it: bias_of_all_sales"),
        (28, Said(loss=115.0), "it is worse"),
    ],
)
def test_without_significant_improvement_nothing_is_promoted(
    prepared: Stores, days: int, challenger: Said, words: str
) -> None:
    begin(prepared, rules={"least_days": 7, "level": 0.3})
    measure_days(prepared, days, challenger)
    judged(prepared)
    refused(NotAcceptedError, words, lambda: promote(prepared), prepared)


def test_what_was_measured_since_is_weighed_first(shown_better: Stores) -> None:
    measured(shown_better, FIRST, both(Said(), Said(loss=110.0)))
    refused(NotAcceptedError, "days were measured since the verdict", lambda: promote(shown_better), shown_better)
    judged(shown_better)
    promote(shown_better)


def test_a_retired_or_unknown_version_or_channel_is_refused(shown_better: Stores) -> None:
    refused(UnknownVersionError, "stat-9", lambda: promote(shown_better, "stat-9"), shown_better)
    refused(
        InputError, "`challenger` is no champion", lambda: promote(shown_better, channel="challenger"), shown_better
    )
    refused(NotAcceptedError, "does not challenge `weekly-champion`",
            lambda: promote(shown_better, channel="weekly-champion"), shown_better)  # fmt: skip
    stop_challenger(shown_better.registry, "daily", by="ana", reason="done")
    shown_better.registry.retire(CHALLENGER, by="ana", reason="done")
    refused(NotAcceptedError, "its trial is over: ana stopped it", lambda: promote(shown_better), shown_better)


def test_nothing_was_weighed_yet(prepared: Stores) -> None:
    begin(prepared)
    refused(NotAcceptedError, "no evidence of the trial of ledger entry 6 was weighed yet", lambda: promote(prepared),
            prepared)  # fmt: skip


def test_automatic_promotion_waits_for_the_verdict(prepared: Stores, shown_better: Stores) -> None:
    assert promote_if_better(prepared, DAILY) is None
    begin(prepared)
    assert promote_if_better(prepared, DAILY) is None
    prepared = shown_better
    measured(prepared, FIRST, both(Said(), Said(loss=95.0)))
    assert promote_if_better(prepared, DAILY) is None
    judged(prepared)
    promotion = promote_if_better(prepared, DAILY)
    assert promotion is not None
    move = prepared.ledger.state().channel_moves[-1]
    assert (move.model_version, move.by, move.sequence) == (CHALLENGER, AUTOMATIC, promotion.sequence)
    assert promote_if_better(prepared, DAILY) is None


def test_one_that_is_no_better_is_never_promoted_by_itself(prepared: Stores) -> None:
    begin(prepared, rules={"least_days": 7})
    measure_days(prepared, 14, Said(loss=100.1))
    assert judged(prepared).decision == "undecided"
    assert promote_if_better(prepared, DAILY) is None
    assert prepared.ledger.state().channel("champion") == CHAMPION
